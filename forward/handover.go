package forward

import (
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

// mate is another worker of the team, as one worker sees it. A frame goes over by two copies, into the ring and out of it, and
// what is in the ring outlives the lanes. Two workers that hand over half of the short frames they receive take 79 ns of
// processor time for each packet, beside 51 if they get only their own: 15 of the difference are instructions (both workers on
// one processor take them too), the rest is waiting for lines of the other processor. To ask for these ahead, to own or demote
// lines of the ring by instruction, or to keep its counters further apart changes nothing that can be measured. Only the worker
// that sees touches a mate; it is a cache line long, so that no two workers have a part of one.
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

// takeOver adds to the batch what the others have handed to w, as far as there is room and the lane has free frames, and
// returns how many there were. Who comes first in it changes with every breath, so that none goes without.
func (w *Worker) takeOver() int {
	before := w.in.N
	if w.turn++; w.turn >= len(w.team) {
		w.turn = 0
	}
	for i := range w.team {
		at := w.turn + i
		if at >= len(w.team) {
			at -= len(w.team)
		}
		if m := &w.team[at]; m.w != nil {
			w.take(m)
		}
	}
	return w.in.N - before
}

// look sees what the others have handed over until now: it will be taken when the batch that comes now has been steered. Their
// lines come from the other processors meanwhile; those of frames that were handed over a moment ago would have to be
// waited for one by one (half of the short frames handed over: 79 ns a packet instead of 87).
func (w *Worker) look() {
	for i := range w.team {
		if m := &w.team[i]; m.w != nil {
			m.from.Look()
		}
	}
}

// take adds to the batch what the mate has handed over, as far as there is room: in the buffers of what w itself has handed
// over in this breath, which are in its cache, and then in free frames of the lane.
func (w *Worker) take(m *mate) {
	before := w.in.N
	for w.in.N < packet.BatchSize && m.from.Left() {
		f := &w.in.Frames[w.in.N]
		if left := w.dropped.N - 1; left >= 0 {
			w.dropped.N, *f = left, w.dropped.Frames[left]
		} else if free, ok := w.lane.Alloc(); ok {
			*f = free
		} else {
			break
		}
		b, port, _ := m.from.Next()
		if !f.Resize(len(b)) { // longer than any frame of the lane: it will be dropped as cut short
			f.Resize(0)
		}
		copy(f.Bytes(), b)
		f.Port = port
		w.in.N++
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
		if m := &w.team[i]; m.w != nil && (m.from.Left() || m.from.Look()) {
			return true
		}
	}
	return false
}
