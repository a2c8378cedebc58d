package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/internal/ring"
	"dirsw/packet"
)

// handoverRoom is how many frames may be on their way from one worker to another. Each takes a frame of the receiver's
// lane. lendFrom is from how many missing ones it lends anew: seldom, for each time costs the giver a cache line.
const (
	handoverRoom = 512
	lendFrom     = 32
)

// Lends returns how many frames of its lane a worker lends to the others of a team: what the lane needs besides those of
// its own.
func Lends(workers int) int { return max(workers-1, 0) * handoverRoom }

// handed marks a frame of the batch that another worker got.
const handed = packet.DropReasons

// A Waker is a Lane whose Wait another goroutine can end: the others of a team wake a worker that sleeps.
type Waker interface {
	// Wake lets the present or the next Wait return at once. Any goroutine.
	Wake()
}

// mate is another worker of the team, as one worker sees it. Frames go over by a single copy: the receiver lends empty
// frames of its lane, the giver fills them. Only the worker that sees touches it; a cache line long, so that no two
// workers have a part of one.
type mate struct {
	w                *Worker
	lent, full       *ring.SPSC[packet.Frame] // my frames to it: what it lends, what I filled
	lending, filling *ring.SPSC[packet.Frame] // its frames to me
	given            int                      // in this breath
	out              int                      // frames that I lend and have not got back yet
	_                [8]byte
}

// Join makes a team of workers, whose ids are their places: each hands what it receives to the worker that owns the client.
// Called once, before any of them runs, with their lanes set.
func Join(team []*Worker) {
	if len(team) < 2 {
		return
	}
	for _, w := range team {
		w.team = make([]mate, len(team))
	}
	for i, a := range team {
		for k, b := range team {
			if i == k {
				continue
			}
			lent, full := ring.New[packet.Frame](handoverRoom), ring.New[packet.Frame](handoverRoom)
			a.team[k].w, a.team[k].lent, a.team[k].full = b, lent, full
			b.team[i].w, b.team[i].lending, b.team[i].filling = a, lent, full
		}
	}
}

// recall takes back what is lent to the team and what has come back unread. Only while the whole team stands still.
func (w *Worker) recall() {
	for i := range w.team {
		m := &w.team[i]
		if m.w == nil {
			continue
		}
		for _, r := range []*ring.SPSC[packet.Frame]{m.lending, m.filling} {
			for f, ok := r.Pop(); ok; f, ok = r.Pop() {
				w.dropped.Add(f)
				if w.dropped.N == packet.BatchSize {
					w.lane.Drop(&w.dropped)
				}
			}
		}
		m.out = 0
	}
	if w.dropped.N > 0 {
		w.lane.Drop(&w.dropped)
	}
}

// void forgets what is lent and what has come back.
func (m *mate) void() {
	if m.w == nil {
		return
	}
	for _, r := range []*ring.SPSC[packet.Frame]{m.lending, m.filling} {
		for ok := true; ok; {
			_, ok = r.Pop()
		}
	}
	m.out = 0
}

// steer hands the frames of the batch that others own to them, and marks them in w.reasons.
func (w *Worker) steer(n int) {
	for i := range n {
		if w.reasons[i] != packet.NoDrop {
			continue
		}
		f := &w.in.Frames[i]
		owner := w.owner(&w.snap.Steer, f.Bytes(), &w.in.Metas[i])
		if owner == w.id || owner >= len(w.team) {
			continue
		}
		if w.reasons[i] = handed; !w.team[owner].give(f) {
			w.reasons[i] = packet.DropHandover
		}
	}
	w.delivered()
}

// delivered lets the others see what was given to them.
func (w *Worker) delivered() {
	for i := range w.team {
		if m := &w.team[i]; m.given > 0 {
			w.plain.HandedOver += uint64(m.given)
			m.given = 0
			m.lent.Release() // before what it was filled with can be seen: then there is room for what is lent anew
			m.full.Publish()
			m.w.rouse()
		}
	}
}

// former hands a packet that belongs to no connection here, and cannot open one, to the worker that owned its client
// before the steering changed: if it has the connection, that goes on there. It reports whether that is so; v.Drop says
// then what became of the packet.
func (w *Worker) former(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event) bool {
	s := w.snap.Steer.Former
	if s == nil || len(w.team) == 0 || v.whole != 0 || w.snap.Settings.opens(m, ev) {
		return false
	}
	owner := w.owner(s, f.Bytes(), m)
	if owner == w.id || owner >= len(w.team) {
		return false
	}
	if v.Drop = handed; !w.team[owner].give(f) {
		v.Drop = packet.DropHandover
	}
	return true
}

// give copies f into a frame that the mate has lent; false if there is none.
func (m *mate) give(f *packet.Frame) bool {
	to := m.lent.Next()
	if to == nil {
		return false
	}
	slot := m.full.Reserve() // there is room: no more are lent than the ring holds
	*slot = *to
	if !slot.Resize(f.Len()) {
		slot.Resize(0)
	}
	copy(slot.Bytes(), f.Bytes())
	slot.Port = f.Port
	m.given++
	return true
}

// takeOver does what the others have handed to w, at most a batch, and lends new frames. It returns how many there were.
// Who comes first in it changes with every breath, so that none goes without.
func (w *Worker) takeOver(now clock.Mono) int {
	w.in.N = 0
	if w.turn++; w.turn >= len(w.team) {
		w.turn = 0
	}
	for i := range w.team {
		at := w.turn + i
		if at >= len(w.team) {
			at -= len(w.team)
		}
		m := &w.team[at]
		if m.w == nil {
			continue
		}
		before := w.in.N
		for w.in.N < packet.BatchSize {
			f := m.filling.Next()
			if f == nil {
				break
			}
			w.in.Add(*f)
		}
		if n := w.in.N - before; n > 0 {
			m.filling.Release()
			m.out -= n
		}
		if handoverRoom-m.out >= lendFrom {
			w.lend(m)
		}
	}
	n := w.in.N
	if n > 0 {
		w.work(now, false)
	}
	return n
}

// lend keeps the mate in empty frames.
func (w *Worker) lend(m *mate) {
	was := m.out
	for m.out < handoverRoom {
		f, ok := w.lane.Alloc()
		if !ok {
			break
		}
		*m.lending.Reserve() = f // there is room: no more are out than the ring holds
		m.out++
	}
	if m.out > was {
		m.lending.Publish()
	}
}

// rouse ends the sleep of w. Any goroutine; of several that find it asleep one wakes it.
func (w *Worker) rouse() {
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) && w.waker != nil {
		w.waker.Wake()
	}
}

// pending reports whether a mate has handed something over.
func (w *Worker) pending() bool {
	for i := range w.team {
		if m := &w.team[i]; m.w != nil && m.filling.Len() > 0 {
			return true
		}
	}
	return false
}
