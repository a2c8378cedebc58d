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

// score is num/den as a number that is compared at once: the bits of a floating point number, turned so that they are in
// its order. It is unpickable for what may not be picked. As long as num and den are small, two scores are equal only if the
// fractions are.
func (a key) score() (score uint64, small bool) {
	if a.den == 0 {
		return unpickable, true
	}
	bits := math.Float64bits(float64(a.num) / float64(a.den))
	return bits ^ (uint64(int64(bits)>>63) | 1<<63), a.num < 1<<34 && a.den < 1<<16 // a product below 2^50, of the 53 bits
}

// unpickable is a score greater than that of any fraction.
const unpickable = math.MaxUint64 - 1

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

	dests []Dest   // that the rest speaks of; nil: few
	size  int      // number of leaves: a power of two
	score []uint64 // by place; unpickable behind the last
	node  []uint32 // place of the winner below: the children of node n are 2n and 2n+1, leaves begin at size
	big   bool     // a key has been too big for scores: the walk decides, until the pool changes
	first uint32
	index []int32 // by ID less first: place in dests, or -1
	log   *journal
	pos   uint64 // in log
	picks uint32
	next  int // destination to look at in any case
}

// Update follows a change of the pool.
func (t *tournament) Update(p *Pool, _ bool) {
	if t.dests = nil; len(p.Dests) < tournamentFrom || !t.number(p) {
		return
	}
	t.dests, t.big = p.Dests, false
	t.log = p.Cursor.changes(p.Dests[0].Load.workers())
	for i := range p.Dests {
		p.Dests[i].Load.tell(t.log, p.Dests[i].ID) // from now on, and before the counts are read
	}
	for t.size = 1; t.size < len(p.Dests); {
		t.size *= 2
	}
	t.node, t.score = make([]uint32, 2*t.size), make([]uint64, t.size)
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
	if best := t.node[1]; t.score[best] != unpickable {
		return int(best)
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
	if t.log.solo {
		t.followOwn()
	} else {
		t.followAll()
	}
	if t.picks++; t.picks%healEvery == 0 { // should a change have been written to the journal of an older scheduler
		t.refresh(t.next)
		if t.next++; t.next == len(t.dests) {
			t.next = 0
		}
	}
}

// followOwn reads the journal of the only worker.
func (t *tournament) followOwn() {
	end := t.log.noted
	if end-t.pos > journalLen {
		t.rebuild()
		return
	}
	for ; t.pos < end; t.pos++ {
		t.hear(t.log.own[t.pos%journalLen])
	}
}

// followAll reads the journal of several workers. One that is kept from running while it writes holds up no other: what stands
// behind its entry is heard now, and once more from that entry on at the next choice, until the entry is there.
func (t *tournament) followAll() {
	end := t.log.end.Load()
	if end-t.pos > journalLen {
		t.rebuild()
		return
	}
	next := end
	for at := t.pos; at < end; at++ {
		e := t.log.entries[at%journalLen].Load()
		if uint32(e>>32) != uint32(at+1) { // being written, or overwritten
			next = min(next, at)
			continue
		}
		t.hear(uint32(e))
	}
	t.pos = next
}

// hear is told of a destination whose load has changed.
func (t *tournament) hear(id uint32) {
	if n := id - t.first; n < uint32(len(t.index)) && t.index[n] >= 0 {
		t.refresh(int(t.index[n]))
	}
}

// judge returns the score of a destination.
func (t *tournament) judge(i int) uint64 {
	s, small := t.measure.of(&t.dests[i]).score()
	if !small {
		t.big = true
	}
	return s
}

// refresh looks at a destination anew, and lets who is above it meet again. It goes up to the root whether something changes
// there or not, and asks by arithmetic who has won: a processor cannot foretell either, and would take longer for what it
// foretells wrongly than for all of the way (BenchmarkPick/wlc/100: 67 ns instead of 78).
func (t *tournament) refresh(i int) {
	s := t.judge(i)
	if t.score[i] == s {
		return
	}
	t.score[i] = s
	node, score, best := t.node, t.score, uint32(i)
	for n := t.size + i; n > 1; n /= 2 {
		other := node[n^1]
		o := score[other]
		left := uint64(n & 1) // of equals the left one wins, which stands before the other
		if o < s+left {
			best = other
		}
		s = min(s, o)
		node[n/2] = best
	}
}

// rebuild looks at all destinations.
func (t *tournament) rebuild() {
	if t.pos = t.log.noted; !t.log.solo {
		t.pos = t.log.end.Load()
	}
	for i := range t.size {
		t.node[t.size+i], t.score[i] = uint32(i), unpickable
		if i < len(t.dests) {
			t.score[i] = t.judge(i)
		}
	}
	for n := t.size - 1; n > 0; n-- {
		a, b := t.node[2*n], t.node[2*n+1]
		if t.score[b] < t.score[a] {
			a = b
		}
		t.node[n] = a
	}
}

const journalLen = 1024

// journal is a list of destinations whose load has changed, for all workers of a service. Any of them writes, at the rate
// at which connections change state; each reader has a place of its own, and one that falls behind by more than its length
// looks at everything. Where there is one worker only, nobody else reads or writes and nothing needs to be atomic
// (BenchmarkPick/wlc/100: 54 ns instead of 67).
type journal struct {
	solo  bool   // one worker: noted and own are used, else end and entries
	noted uint64 // how many changes there have been
	own   [journalLen]uint32

	_       [56]byte
	end     atomic.Uint64
	_       [56]byte
	entries [journalLen]atomic.Uint64 // the low half of the position, from 1 on, and the destination's ID
}

func (j *journal) note(id uint32) {
	if j.solo {
		j.own[j.noted%journalLen] = id
		j.noted++
		return
	}
	at := j.end.Add(1) - 1
	j.entries[at%journalLen].Store((at+1)<<32 | uint64(id))
}
