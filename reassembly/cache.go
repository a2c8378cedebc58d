package reassembly

import (
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// Options of a Cache. The zero value works.
type Options struct {
	Datagrams int    // how many may be incomplete at a time; 0: DefaultDatagrams
	Bytes     int    // memory for their fragments; 0: DefaultBytes
	Seed      uint64 // of the hash: secret, so that nobody can choose datagrams that collide
	// IPv4 and IPv6 are how long after its first fragment a datagram is given up; 0: IPv4Time and IPv6Time.
	IPv4, IPv6 time.Duration
}

// What Options stand for.
const (
	DefaultDatagrams = 1024
	DefaultBytes     = 4 << 20          // net.ipv4.ipfrag_high_thresh
	IPv4Time         = 30 * time.Second // net.ipv4.ipfrag_time
	IPv6Time         = 60 * time.Second // net.ipv6.ip6frag_time (RFC 8200, section 4.5)
)

// MaxFragments is the most fragments that one datagram may have. Linux has no such limit; a datagram of 64 KB over links
// with an MTU of 296 bytes has 241.
const MaxFragments = 256

const (
	maxDistance = 64     // net.ipv4.ipfrag_max_dist
	maxIP       = 0xffff // bytes of an IPv4 packet, or behind an IPv6 header
	none        = -1     // no index
)

// Cache holds the fragments of datagrams that are not complete yet. All memory is allocated by New. When there is no
// room for another fragment, the datagram that has waited longest is given up. One goroutine uses it.
type Cache struct {
	o      Options
	blocks blocks
	index  index // of data by key
	data   []datagram
	free   int32    // the first unused one of data, the others follow by chain
	age    [2]queue // of data by time of arrival: IPv4 and IPv6
	peers  peers
	serial uint64 // counts datagrams
	held   int    // datagrams

	lost    uint64
	whole   Datagram
	out     []byte
	parts   [MaxFragments]packet.Part
	evicted Pressure
}

// Pressure is what a Cache gave up because it was full.
type Pressure struct {
	Datagrams, Fragments uint64
}

// New returns an empty Cache.
func New(o Options) *Cache {
	o.Datagrams = orDefault(o.Datagrams, DefaultDatagrams)
	o.Bytes = orDefault(o.Bytes, DefaultBytes)
	o.IPv4, o.IPv6 = orDefault(o.IPv4, IPv4Time), orDefault(o.IPv6, IPv6Time)
	c := &Cache{
		o:      o,
		blocks: newBlocks(max(o.Bytes, minBytes)),
		index:  newIndex(o.Datagrams, o.Seed),
		data:   make([]datagram, o.Datagrams),
		age:    [2]queue{{none, none}, {none, none}},
		peers:  newPeers(o.Datagrams, o.Seed),
		out:    make([]byte, Headroom+maxFrame),
	}
	for i := range c.data {
		c.data[i].chain = int32(i) + 1
	}
	c.data[len(c.data)-1].chain = none
	return c
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Len returns the number of datagrams that are incomplete.
func (c *Cache) Len() int { return c.held }

// Fragments returns the number of fragments that are held.
func (c *Cache) Fragments() int {
	n := 0
	for _, q := range c.age {
		for i := q.first; i != none; i = c.data[i].newer {
			n += int(c.data[i].count)
		}
	}
	return n
}

// MemoryBytes returns how much memory all that takes. It does not change.
func (c *Cache) MemoryBytes() int {
	return c.blocks.bytes() + c.index.bytes() + len(c.data)*datagramBytes + c.peers.bytes() + len(c.out)
}

// Lost returns the number of fragments that were taken in and given up later, other than by Expire.
func (c *Cache) Lost() uint64 { return c.lost }

// Pressure returns what was given up so far because there was no room.
func (c *Cache) Pressure() Pressure { return c.evicted }

// place returns the datagram of a fragment, a new one if it is the first that came.
func (c *Cache) place(k *key, now clock.Mono) *datagram {
	h := c.index.hash(k)
	for i := c.index.first(h); i != none; i = c.data[i].chain {
		if d := &c.data[i]; d.hash == h && d.key == *k {
			return d
		}
	}
	if c.free == none {
		c.evict(none)
	}
	i := c.free
	d := &c.data[i]
	c.free = d.chain
	*d = datagram{key: *k, hash: h, self: i, first: none, last: none, serial: c.serial, peer: none}
	c.serial++
	c.held++
	d.chain = c.index.push(h, i)
	if k.family == packet.IPv4Family {
		d.peer = c.peers.join(&k.src)
		d.seen = c.peers.list[d.peer].count
	}
	c.enqueue(d, now)
	return d
}

// enqueue lets d wait from now on.
func (c *Cache) enqueue(d *datagram, now clock.Mono) {
	wait, q := c.o.IPv4, &c.age[0]
	if d.key.family == packet.IPv6Family {
		wait, q = c.o.IPv6, &c.age[1]
	}
	d.deadline = now.Add(wait)
	d.newer, d.older = none, q.last
	if q.last == none {
		q.first = d.self
	} else {
		c.data[q.last].newer = d.self
	}
	q.last = d.self
}

// dequeue ends the waiting of d.
func (c *Cache) dequeue(d *datagram) {
	q := &c.age[0]
	if d.key.family == packet.IPv6Family {
		q = &c.age[1]
	}
	if d.older == none {
		q.first = d.newer
	} else {
		c.data[d.older].newer = d.newer
	}
	if d.newer == none {
		q.last = d.older
	} else {
		c.data[d.newer].older = d.older
	}
}

// queue lists datagrams by age.
type queue struct{ first, last int32 }

// lose forgets d because of something else than its end.
func (c *Cache) lose(d *datagram) {
	c.lost += uint64(d.count)
	c.forget(d)
}

// forget frees d and all its fragments.
func (c *Cache) forget(d *datagram) {
	c.empty(d)
	c.dequeue(d)
	c.unchain(d)
	if d.peer != none {
		c.peers.leave(d.peer)
	}
	d.chain, c.free = c.free, d.self
	c.held--
}

// unchain takes d out of the index.
func (c *Cache) unchain(d *datagram) {
	at := c.index.at(d.hash)
	for *at != d.self {
		at = &c.data[*at].chain
	}
	*at = d.chain
}

// empty gives up the fragments of d.
func (c *Cache) empty(d *datagram) {
	for i := d.first; i != none; {
		next := c.blocks.frags[i].next
		c.blocks.release(i)
		i = next
	}
	d.first, d.last, d.count = none, none, 0
}

// evict gives up the datagram that has come first of all but keep.
func (c *Cache) evict(keep int32) {
	i, j := c.oldest(0, keep), c.oldest(1, keep)
	if i == none || j != none && c.data[j].serial < c.data[i].serial {
		i = j
	}
	d := &c.data[i]
	c.evicted.Datagrams++
	c.evicted.Fragments += uint64(d.count)
	c.lose(d)
}

// oldest returns the datagram of a family that has waited longest, but for keep.
func (c *Cache) oldest(family int, keep int32) int32 {
	i := c.age[family].first
	if i == keep && i != none {
		return c.data[i].newer
	}
	return i
}
