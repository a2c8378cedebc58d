package sched

import (
	"math"
	"sync/atomic"
)

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

// score is num/den as a number that is compared at once; infinite for what may not be picked. As long as num and den are
// small, two scores are equal only if the fractions are.
func (a key) score() (score float64, small bool) {
	if a.den == 0 {
		return math.Inf(1), true
	}
	return float64(a.num) / float64(a.den), a.num < 1<<34 && a.den < 1<<16 // a product below 2^50, of the 53 bits
}

// tournamentFrom is the number of destinations from which the winner is kept instead of looked for.
const tournamentFrom = 6

// healEvery is how many choices pass between two looks at a destination of which nothing was heard.
const healEvery = 8

// tournament finds the destination with the smallest key, the first of equals. Among few it looks at each. Among many it
// keeps the winner of each pair, of each pair of pairs and so on: a change of one destination is followed up to the root,
// and the answer stands there. It learns of changes, also those that other workers make, from the journal of the
// service, so that the choice is that of the slow walk.
type tournament struct {
	measure measure

	dests []Dest // that the rest speaks of; nil: few
	size  int    // number of leaves: a power of two
	node  []entrant
	big   bool // a key has been too big for scores: the walk decides, until the pool changes
	first uint32
	index []int32 // by ID less first: place in dests, or -1
	log   *journal
	pos   uint64 // in log
	picks uint32
	next  int // destination to look at in any case
}

// entrant is the winner below a node: the children of node n are 2n and 2n+1, leaves begin at size.
type entrant struct {
	score float64
	i     int32
}

// Update follows a change of the pool.
func (t *tournament) Update(p *Pool, _ bool) {
	if t.dests = nil; len(p.Dests) < tournamentFrom || !t.number(p) {
		return
	}
	t.dests, t.big = p.Dests, false
	t.log = p.Cursor.changes()
	for i := range p.Dests {
		p.Dests[i].Load.tell(t.log, p.Dests[i].ID) // from now on, and before the counts are read
	}
	for t.size = 1; t.size < len(p.Dests); {
		t.size *= 2
	}
	t.node = make([]entrant, 2*t.size)
	t.next = 0
	t.rebuild()
}

// number makes index; false if the IDs are scattered over too wide a range for it.
func (t *tournament) number(p *Pool) bool {
	lo, hi := p.Dests[0].ID, p.Dests[0].ID
	for i := range p.Dests {
		lo, hi = min(lo, p.Dests[i].ID), max(hi, p.Dests[i].ID)
	}
	if hi-lo > 1<<20 {
		return false
	}
	t.first, t.index = lo, make([]int32, hi-lo+1)
	for i := range t.index {
		t.index[i] = -1
	}
	for i := range p.Dests {
		t.index[p.Dests[i].ID-lo] = int32(i)
	}
	return true
}

// Pick returns the winner.
func (t *tournament) Pick(p *Pool, _ *Flow) int {
	if t.dests == nil {
		return t.walk(p)
	}
	t.follow()
	if t.big {
		return t.walk(p)
	}
	if best := &t.node[1]; !math.IsInf(best.score, 1) {
		return int(best.i)
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
		if n := uint32(e) - t.first; n < uint32(len(t.index)) && t.index[n] >= 0 {
			t.refresh(int(t.index[n]))
		}
	}
	if t.picks++; t.picks%healEvery == 0 { // should a change have been written to the journal of an older scheduler
		t.refresh(t.next)
		if t.next++; t.next == len(t.dests) {
			t.next = 0
		}
	}
}

// score judges a destination.
func (t *tournament) score(i int) float64 {
	s, small := t.measure.of(&t.dests[i]).score()
	if !small {
		t.big = true
	}
	return s
}

// refresh looks at a destination anew, and up from it as far as something changes.
func (t *tournament) refresh(i int) {
	s := t.score(i)
	n := t.size + i
	if t.node[n].score == s {
		return
	}
	t.node[n].score = s
	for n /= 2; n > 0; n /= 2 {
		was := t.node[n].i
		t.play(n)
		if t.node[n].i == was && int(was) != i {
			return
		}
	}
}

// play lets the children of a node meet: of equals the left one wins, which stands before the other.
func (t *tournament) play(n int) {
	a, b := &t.node[2*n], &t.node[2*n+1]
	if b.score < a.score {
		a = b
	}
	t.node[n] = *a
}

// rebuild looks at all destinations.
func (t *tournament) rebuild() {
	t.pos = t.log.end.Load()
	for i := range t.size {
		t.node[t.size+i] = entrant{math.Inf(1), int32(i)}
		if i < len(t.dests) {
			t.node[t.size+i].score = t.score(i)
		}
	}
	for n := t.size - 1; n > 0; n-- {
		t.play(n)
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
