package sched

import (
	"hash/maphash"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// localities is how many addresses lblc and lblcr remember for one service on one worker. The kernel trims its table each
// minute to as many, by those that were not used for six minutes, and knows no bound in between; here the address used
// longest ago goes. A power of two.
const localities = 1024 * 16

// The kernel looks for entries to expire every half hour only (COUNT_FOR_FULL_EXPIRATION times CHECK_EXPIRE_INTERVAL).
const (
	expireEvery   = 30 * time.Minute
	expireDefault = 24 * time.Hour
)

// none ends the lists of a locality, which are linked by index.
const none = -1

// locality is the memory of lblc and lblcr: which servers serve a destination address. All of its storage is there from the
// start (1.2 MB for lblc, 1.6 MB for lblcr, touched as it is used), so that Pick allocates nothing. Each worker has its own.
type locality struct {
	members []member // of the pool, and those gone that an entry still names: they count again when they come back
	free    []int32  // members that nobody names
	known   map[serverKey]int32
	place   []int32 // member by index in the pool

	seed    maphash.Seed
	index   []int32 // entry+1 by hash of its address, 0 for none: linear probing
	entries []entry
	newest  int32 // the entries by their last use
	oldest  int32
	vacant  int32 // list, by older, of entries that were used and are not any more

	nodes []node
	spare int32 // list of nodes that were used and are not any more

	begun  bool
	began  clock.Mono // where the half hours count from: the first connection
	expire time.Duration
}

// serverKey is what makes it the same server when it comes back.
type serverKey struct {
	addr packet.Addr
	port uint16
}

type member struct {
	Dest
	at   int32 // index in the pool, none if the server is gone
	refs int32 // nodes that name it
}

// entry is what is known about a destination address.
type entry struct {
	addr         packet.Addr
	used         clock.Mono // last connection to it
	changed      clock.Mono // last change of the set
	newer, older int32      // neighbours by last use
	set          int32      // first node, the server that came last; none if there is none
	size         int32
}

type node struct{ member, next int32 }

// newLocality returns an empty memory of that many addresses, a power of two, whose sets have that many nodes in all.
func newLocality(addresses, nodes int) locality {
	return locality{known: map[serverKey]int32{}, seed: maphash.MakeSeed(), index: make([]int32, 2*addresses),
		entries: make([]entry, 0, addresses), newest: none, oldest: none, vacant: none,
		nodes: make([]node, 0, nodes), spare: none}
}

// fit follows a changed pool. Servers that are gone are remembered as long as an entry names them.
func (l *locality) fit(p *Pool) {
	for i := range l.members {
		l.members[i].at = none
	}
	l.place = l.place[:0]
	for i := range p.Dests {
		d := &p.Dests[i]
		m := l.member(serverKey{d.Addr, d.Port})
		l.members[m].Dest, l.members[m].at = *d, int32(i)
		l.place = append(l.place, m)
	}
	for key, m := range l.known {
		if mb := &l.members[m]; mb.at == none && mb.refs == 0 {
			delete(l.known, key)
			l.free = append(l.free, m)
		}
	}
	if l.expire = p.Expire; l.expire == 0 {
		l.expire = expireDefault
	}
}

func (l *locality) member(key serverKey) int32 {
	m, ok := l.known[key]
	if ok {
		return m
	}
	if n := len(l.free); n > 0 {
		m, l.free = l.free[n-1], l.free[:n-1]
	} else {
		m = int32(len(l.members))
		l.members = append(l.members, member{})
	}
	l.members[m] = member{}
	l.known[key] = m
	return m
}

// find returns the entry of an address, nil if there is none. It stays valid until the next add or put.
func (l *locality) find(a *packet.Addr) *entry {
	if i := l.index[l.slot(a)]; i != 0 {
		return &l.entries[i-1]
	}
	return nil
}

// expired reports whether e was unused for long enough when expiry was last looked at.
func (l *locality) expired(e *entry, now clock.Mono) bool {
	return l.begun && now.Add(-(now.Sub(l.began)%expireEvery)).Sub(e.used) >= l.expire
}

// touch notes a connection to e's address. An entry that has expired loses its set.
func (l *locality) touch(e *entry, now clock.Mono) {
	if l.expired(e, now) {
		l.empty(e)
	}
	e.used = now
	at := l.index[l.slot(&e.addr)] - 1
	l.unlink(at)
	l.link(at)
}

// add makes an entry for an address that find does not know. When all are taken, the one used longest ago goes.
func (l *locality) add(a *packet.Addr, now clock.Mono) *entry {
	if !l.begun {
		l.begun, l.began = true, now
	}
	if l.vacant == none && len(l.entries) == cap(l.entries) {
		l.forget(l.oldest)
	}
	at := l.vacant
	if at != none {
		l.vacant = l.entries[at].older
	} else {
		at = int32(len(l.entries))
		l.entries = l.entries[:at+1]
	}
	e := &l.entries[at]
	*e = entry{addr: *a, used: now, set: none}
	l.index[l.slot(a)] = at + 1
	l.link(at)
	return e
}

// put makes destination i of the pool the first of e's set, if it is not in it.
func (l *locality) put(e *entry, i int, now clock.Mono) {
	m := l.place[i]
	for n := e.set; n != none; n = l.nodes[n].next {
		if l.nodes[n].member == m {
			return
		}
	}
	n := l.node(e)
	if n == none {
		return
	}
	l.nodes[n] = node{m, e.set}
	e.set, e.changed = n, now
	e.size++
	l.members[m].refs++
}

// node returns a node that is not in use, for e, which was used last. When there is none, the addresses used longest ago
// are forgotten; none if there is only e.
func (l *locality) node(e *entry) int32 {
	for l.spare == none && len(l.nodes) == cap(l.nodes) {
		if &l.entries[l.oldest] == e {
			return none
		}
		l.forget(l.oldest)
	}
	if n := l.spare; n != none {
		l.spare = l.nodes[n].next
		return n
	}
	n := len(l.nodes)
	l.nodes = l.nodes[:n+1]
	return int32(n)
}

// drop takes node n out of e's set.
func (l *locality) drop(e *entry, n int32) {
	if e.set == n {
		e.set = l.nodes[n].next
	} else {
		before := e.set
		for l.nodes[before].next != n {
			before = l.nodes[before].next
		}
		l.nodes[before].next = l.nodes[n].next
	}
	e.size--
	l.members[l.nodes[n].member].refs--
	l.nodes[n].next, l.spare = l.spare, n
}

func (l *locality) empty(e *entry) {
	for e.set != none {
		l.drop(e, e.set)
	}
}

// forget gives up the entry at.
func (l *locality) forget(at int32) {
	e := &l.entries[at]
	l.empty(e)
	l.unlink(at)
	e.older, l.vacant = l.vacant, at
	// Whoever stands behind the hole and could not reach his place but over it moves up.
	hole, mask := l.slot(&e.addr), l.mask()
	for s := (hole + 1) & mask; l.index[s] != 0; s = (s + 1) & mask {
		home := l.home(&l.entries[l.index[s]-1].addr)
		if (s-home)&mask >= (s-hole)&mask {
			l.index[hole], hole = l.index[s], s
		}
	}
	l.index[hole] = 0
}

// slot returns the place of an address in the index, or the free one where it belongs.
func (l *locality) slot(a *packet.Addr) uint32 {
	s := l.home(a)
	for l.index[s] != 0 && l.entries[l.index[s]-1].addr != *a {
		s = (s + 1) & l.mask()
	}
	return s
}

func (l *locality) home(a *packet.Addr) uint32 { return uint32(maphash.Bytes(l.seed, a[:])) & l.mask() }

func (l *locality) mask() uint32 { return uint32(len(l.index) - 1) }

func (l *locality) link(at int32) {
	e := &l.entries[at]
	if e.newer, e.older = none, l.newest; l.newest != none {
		l.entries[l.newest].newer = at
	} else {
		l.oldest = at
	}
	l.newest = at
}

func (l *locality) unlink(at int32) {
	e := &l.entries[at]
	if e.newer != none {
		l.entries[e.newer].older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != none {
		l.entries[e.older].newer = e.newer
	} else {
		l.oldest = e.newer
	}
}

// overloaded reports whether destination i has more active connections than its weight while another one has fewer than
// half of its own (kernel: is_overloaded in ip_vs_lblc.c).
func overloaded(p *Pool, i int) bool {
	if p.Active(i) <= int(p.Dests[i].Weight) {
		return false
	}
	for k := range p.Dests {
		if p.Active(k)*2 < int(p.Dests[k].Weight) {
			return true
		}
	}
	return false
}
