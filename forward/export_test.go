package forward

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
