package forward

import (
	"dirsw/clock"
	"dirsw/packet"
)

// fragment takes in a part of a datagram; the caller gives the frame back to the lane. A datagram that is whole goes on.
func (w *Worker) fragment(f *packet.Frame, m *packet.Meta, now clock.Mono) {
	v := Verdict{Service: NoService, Why: WhyFragment}
	if w.o.Observer != nil {
		w.o.Observer(f, m, v)
	}
	w.plain.Drops[packet.DropFragment]++
}

// cut sends the packet of f, from m.L3 to m.End as it will leave, in pieces of at most v.pieces bytes. They go to w.extra.
func (w *Worker) cut(f *packet.Frame, m *packet.Meta, v *Verdict) {
	w.plain.Drops[packet.DropTooBig]++
}

// emit queues a frame of lane.Alloc that is ready to leave.
func (w *Worker) emit(f packet.Frame) {
	if w.extra.N == packet.BatchSize {
		w.plain.Forwarded += uint64(w.extra.N)
		w.lane.Send(&w.extra)
	}
	w.extra.Add(f)
}
