package reassembly

import (
	"dirsw/clock"
	"dirsw/internal/invariants"
	"dirsw/packet"
)

// Origin is what else is known of a fragment; of a first one it is kept.
type Origin struct {
	Port    uint8 // that it came by
	Options packet.OptionsSeen
}

// Add takes in the fragment that frame holds; m is what Parse learnt of it, with packet.Fragment in its Flags. The frame is
// not used any more afterwards. Time must not go back.
func (c *Cache) Add(frame []byte, m *packet.Meta, from Origin, now clock.Mono) Outcome {
	if invariants.Enabled && c.serial%64 == 0 {
		c.check()
	}
	var p part
	if m.Family == packet.IPv4Family {
		p.read4(frame, m)
	} else if !p.read6(frame, m) {
		return Bad
	}
	d := c.place(&p.key, now)
	outcome := c.queue(d, &p, now)
	switch outcome {
	case Held:
	case Duplicate:
		return Duplicate
	case Bad:
		if p.key.family == packet.IPv4Family || d.count == 0 {
			c.lose(d)
		}
		return Bad
	default:
		c.lose(d)
		return outcome
	}
	c.keep(d, frame, m, &p, from)
	if !d.hasFirst || !d.hasLast || d.meat != d.len {
		return Held
	}
	if !c.assemble(d) {
		d.count-- // the last one is what the answer is about
		c.lose(d)
		return Bad
	}
	c.forget(d)
	return Whole
}

// queue decides whether the fragment p becomes a part of d, and where it goes: Held if so.
func (c *Cache) queue(d *datagram, p *part, now clock.Mono) Outcome {
	var o Outcome
	if p.key.family == packet.IPv4Family {
		c.distance(d, now)
		o = d.judge4(p)
	} else {
		o = d.judge6(p)
	}
	if o != Held {
		return o
	}
	if o = c.compare(d, p); o != Held {
		return o
	}
	if d.count == MaxFragments {
		return TooMany
	}
	return Held
}

// distance begins d anew if too many fragments of its sender came since its last one (ip_frag_too_far).
func (c *Cache) distance(d *datagram, now clock.Mono) {
	e := &c.peers.list[d.peer]
	e.count++
	since := e.count - d.seen
	d.seen = e.count
	if d.count == 0 || since <= maxDistance {
		return
	}
	c.lost += uint64(d.count)
	c.empty(d)
	d.hasFirst, d.hasLast, d.len, d.meat, d.ecn = false, false, 0, 0, 0
	c.dequeue(d)
	c.enqueue(d, now)
}

// compare tells whether p repeats or overlaps what is there (inet_frag_queue_insert). What came in order counts as one
// piece: a fragment inside it is a duplicate, wherever its borders are.
func (c *Cache) compare(d *datagram, p *part) Outcome {
	if d.last == none {
		return Held
	}
	if end := c.blocks.frags[d.last].end; end < p.end {
		if p.start < end {
			return Overlap
		}
		return Held
	}
	for i := d.first; i != none; {
		start, end := c.blocks.frags[i].start, c.blocks.frags[i].end
		i = c.blocks.frags[i].next
		for i != none && c.blocks.frags[i].joins {
			end = c.blocks.frags[i].end
			i = c.blocks.frags[i].next
		}
		switch {
		case p.start >= end:
		case p.end <= start:
			return Held
		case p.start >= start && p.end <= end:
			return Duplicate
		default:
			return Overlap
		}
	}
	return Held
}

// keep stores the fragment p of d. Older datagrams make room for it; d itself stays, for it is as old as its first
// fragment, and the memory holds more than one datagram can have.
func (c *Cache) keep(d *datagram, frame []byte, m *packet.Meta, p *part, from Origin) {
	data := p.data
	if p.start == 0 { // with all headers
		data = frame[:int(m.L3)+int(p.header)+len(p.data)]
		d.hasFirst, d.from = true, from
		d.head, d.l3, d.firstBuffer = m.L3+p.header, m.L3, uint16(len(frame))
		d.fragmentAt, d.protoAt = p.fragmentAt, p.protoAt
	}
	c.makeRoom(d, need(len(data)))
	i := c.blocks.store(data)
	c.blocks.frags[i] = fragment{start: p.start, end: p.end, header: p.header}
	c.link(d, i)
	d.count++
	d.meat += p.end - p.start
	d.ecn |= p.ecn
	d.largest = max(d.largest, p.length)
	if p.df {
		d.largestDF = max(d.largestDF, p.length)
	}
}

// link puts the fragment i in its place among those of d.
func (c *Cache) link(d *datagram, i int32) {
	frags := c.blocks.frags
	f := &frags[i]
	f.next = none
	switch {
	case d.last == none:
		d.first, d.last = i, i
	case frags[d.last].end <= f.start:
		f.joins = frags[d.last].end == f.start
		frags[d.last].next, d.last = i, i
	case f.end <= frags[d.first].start:
		f.next, d.first = d.first, i
	default:
		before := d.first
		for frags[frags[before].next].start < f.start {
			before = frags[before].next
		}
		f.next, frags[before].next = frags[before].next, i
	}
}

// makeRoom gives up the datagrams that came first until n blocks are free. It does not give up d.
func (c *Cache) makeRoom(d *datagram, n int) {
	for c.blocks.left < n {
		c.evict(d.self)
	}
}

// Expired is a datagram that has not become complete in time.
type Expired struct {
	Fragments int // that are lost with it
	// First is its first fragment as it came, to be quoted in an error to its sender (RFC 792; RFC 4443, section 3.3); its
	// length is 0 if that did not come. It is valid until the next call of Add or Expire.
	First packet.Frame
	// L3 is where in First its IP header starts, Options what was seen of its options.
	L3      int
	Options packet.OptionsSeen
}

// Expire gives up one datagram whose time is over; false if there is none.
func (c *Cache) Expire(now clock.Mono) (e Expired, ok bool) {
	for _, q := range c.age {
		if q.first == none || c.data[q.first].deadline > now {
			continue
		}
		d := &c.data[q.first]
		e.Fragments = int(d.count)
		if d.hasFirst {
			n := int(d.head) + int(c.blocks.frags[d.first].end)
			c.blocks.load(c.out[Headroom:Headroom+n], d.first)
			e.First = packet.MakeFrame(c.out, Headroom, n, d.from.Port, NoDesc)
			e.L3, e.Options = int(d.l3), d.from.Options
		}
		c.forget(d)
		return e, true
	}
	return e, false
}
