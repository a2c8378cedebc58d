package sched

import "sync/atomic"

// key is what a destination is judged by: the smallest num/den wins. A den of 0 is a destination that may not be picked.
type key struct{ num, den int64 }

// loses reports whether b is better than a, which stands before it: of equals the first wins.
func (a key) loses(b key) bool { return b.den != 0 && (a.den == 0 || a.num*b.den > b.num*a.den) }

// measure judges a usable destination.
type measure func(*Dest) key

func (m measure) of(d *Dest) key {
	if d.Weight <= 0 || d.Load.Overloaded() {
		return key{}
	}
	return m(d)
}

// tournamentFrom is the number of destinations from which the winner is kept instead of looked for.
const tournamentFrom = 16

// tournament finds the destination with the smallest key, the first of equals. Among few it looks at each. Among many it
// keeps the winner of each pair, of each pair of pairs and so on: a change of one destination is followed up to the root,
// and the answer stands there. It learns of changes, also those that other workers make, from the journal of the
// service, so that the choice is that of the slow walk.
type tournament struct {
	measure measure

	dests []Dest // that the rest speaks of; nil: few
	keys  []key
	size  int     // number of leaves: a power of two
	node  []int32 // index of the winner below each node; the children of n are 2n and 2n+1, leaves begin at size
	index map[uint32]int32
	log   *journal
	pos   uint64 // in log
	next  int    // destination to look at in any case
}

// Update follows a change of the pool.
func (t *tournament) Update(p *Pool, _ bool) {
	if t.dests = nil; len(p.Dests) < tournamentFrom {
		return
	}
	t.dests = p.Dests
	t.index = make(map[uint32]int32, len(p.Dests))
	t.log = p.Cursor.changes()
	for i := range p.Dests {
		d := &p.Dests[i]
		t.index[d.ID] = int32(i)
		d.Load.tell(t.log, d.ID) // from now on, and before the counts are read
	}
	for t.size = 1; t.size < len(p.Dests); {
		t.size *= 2
	}
	t.keys = make([]key, len(p.Dests))
	t.node = make([]int32, 2*t.size)
	t.next = 0
	t.rebuild()
}

// Pick returns the winner.
func (t *tournament) Pick(p *Pool, _ *Flow) int {
	if t.dests == nil {
		return t.walk(p)
	}
	t.follow()
	if best := int(t.node[1]); t.keys[best].den != 0 {
		return best
	}
	return None
}

// walk looks at every destination.
func (t *tournament) walk(p *Pool) int {
	best, least := None, key{}
	for i := range p.Dests {
		if k := t.measure.of(&p.Dests[i]); least.loses(k) {
			best, least = i, k
		}
	}
	return best
}

// follow reads what has happened since.
func (t *tournament) follow() {
	end := t.log.end.Load()
	if end-t.pos > journalLen {
		t.rebuild()
		return
	}
	for ; t.pos < end; t.pos++ {
		e := t.log.entries[t.pos%journalLen].Load()
		if uint32(e>>32) != uint32(t.pos) { // being written, or overwritten: there is a next time
			break
		}
		if i, ok := t.index[uint32(e)]; ok {
			t.refresh(int(i))
		}
	}
	// One more each time, should another worker's change have been written to the journal of an older scheduler.
	t.refresh(t.next)
	if t.next++; t.next == len(t.dests) {
		t.next = 0
	}
}

// refresh looks at a destination anew, and up from it as far as something changes.
func (t *tournament) refresh(i int) {
	k := t.measure.of(&t.dests[i])
	if k == t.keys[i] {
		return
	}
	t.keys[i] = k
	for n := (t.size + i) / 2; n > 0; n /= 2 {
		was := t.node[n]
		t.node[n] = t.winner(n)
		if t.node[n] == was && int(was) != i {
			return
		}
	}
}

// winner decides between the children of a node.
func (t *tournament) winner(n int) int32 {
	a, b := t.node[2*n], t.node[2*n+1]
	if int(b) < len(t.keys) && t.keys[a].loses(t.keys[b]) {
		return b
	}
	return a
}

// rebuild looks at all destinations.
func (t *tournament) rebuild() {
	t.pos = t.log.end.Load()
	for i := range t.dests {
		t.keys[i] = t.measure.of(&t.dests[i])
	}
	for i := range t.size {
		t.node[t.size+i] = int32(i)
	}
	for n := t.size - 1; n > 0; n-- {
		t.node[n] = t.winner(n)
	}
}

const journalLen = 1024

// journal is a list of destinations whose load has changed, for all workers of a service. Any of them writes, at the rate
// at which connections change state; each reader has a place of its own, and one that falls behind by more than its length
// looks at everything.
type journal struct {
	end     atomic.Uint64
	_       [56]byte
	entries [journalLen]atomic.Uint64 // the low half of the position, and the destination's ID
}

func (j *journal) note(id uint32) {
	at := j.end.Add(1) - 1
	j.entries[at%journalLen].Store(at<<32 | uint64(id))
}
