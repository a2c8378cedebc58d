package forward

import (
	"fmt"

	"dirsw/conntrack"
)

// Plod has the worker take the long way with all packets until it adopts a snapshot.
func (w *Worker) Plod() { clear(w.courses) }

// NoLongWay has the worker find no way to any server but by its courses, until it adopts a snapshot.
func (w *Worker) NoLongWay() {
	s := *w.snap
	s.Dests = append([]Dest(nil), s.Dests...)
	for i := range s.Dests {
		s.Dests[i].Hop = Hop{}
	}
	w.snap = &s
	w.published.Store(&s)
}

// Table is the worker's.
func (w *Worker) Table() *conntrack.Table { return w.table }

// Memory tells what the worker knows beside its connections and counters, by which packets are forwarded.
func (w *Worker) Memory() string {
	return fmt.Sprintf("%v\n%v\n%v\n%v %v\n%v", w.paths, w.ipID, w.back.seen, w.back.asked, w.back.turn, w.errors)
}

// Sailed reports whether the packet that an Observer is told of took a course.
func (v *Verdict) Sailed() bool { return v.Why == WhyConnection && v.Drop == 0 && v.conn == nil }
