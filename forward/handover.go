package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/internal/ring"
	"dirsw/packet"
)

// handoverRoom is how many bytes of frames may be on their way from one worker to another: some 4 000 of the shortest, 300
// of 1500 bytes.
const handoverRoom = 512 << 10

// handed marks a frame of the batch that another worker got.
const handed = packet.DropReasons

// A Waker is a Lane whose Wait another goroutine can end: the others of a team wake a worker that sleeps.
type Waker interface {
	// Wake lets the present or the next Wait return at once. Any goroutine.
	Wake()
}

// mate is another worker of the team, as one worker sees it. A frame goes over by two copies, into the ring and out of it.
// To fill frames that the receiver lends saves one of them and is no faster, for each cache line of its memory and of two
// rings of descriptors has to come from the other processor (two workers, half of the short frames handed over: 52 ns for
// each packet, beside 50); and what is in the ring outlives the lanes. Only the worker that sees touches a mate; it is a
// cache line long, so that no two workers have a part of one.
type mate struct {
	w        *Worker
	to, from *ring.Bytes // frames with their ports
	given    int         // in this breath
	_        [32]byte
}

// Join makes a team of workers, whose ids are their places: each hands what it receives to the worker that owns the client.
// Called once, before any of them runs.
func Join(team []*Worker) {
	if len(team) < 2 {
		return
	}
	for _, w := range team {
		w.team = make([]mate, len(team))
	}
	for i, a := range team {
		for k, b := range team {
			if i != k {
				r := ring.NewBytes(handoverRoom)
				a.team[k].w, a.team[k].to = b, r
				b.team[i].w, b.team[i].from = a, r
			}
		}
	}
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
			m.to.Publish()
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

// give copies f for the mate; false if there is no room.
func (m *mate) give(f *packet.Frame) bool {
	b := m.to.Reserve(f.Len(), f.Port)
	if b == nil {
		return false
	}
	copy(b, f.Bytes())
	m.given++
	return true
}

// takeOver does what the others have handed to w, at most a batch. It returns how many there were; what finds no free frame
// waits. Who comes first in it changes with every breath, so that none goes without.
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
		w.take(m)
	}
	n := w.in.N
	if n > 0 {
		w.work(now, false)
	}
	return n
}

// take adds to the batch what the mate has handed over, as far as there is room.
func (w *Worker) take(m *mate) {
	before := w.in.N
	for w.in.N < packet.BatchSize && !m.from.Empty() {
		f, ok := w.lane.Alloc()
		if !ok {
			break
		}
		b, port, _ := m.from.Next()
		if !f.Resize(len(b)) { // longer than any frame of the lane: it will be dropped as cut short
			f.Resize(0)
		}
		copy(f.Bytes(), b)
		f.Port = port
		w.in.Add(f)
	}
	if w.in.N > before {
		m.from.Release()
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
		if m := &w.team[i]; m.w != nil && !m.from.Empty() {
			return true
		}
	}
	return false
}
