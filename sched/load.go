package sched

import "sync/atomic"

// Load is the connections of one destination. Each worker writes its own cell, when a connection changes state and not
// for each packet; everyone may read. It outlives changes of the pool.
type Load struct {
	cells  []cell
	over   atomic.Bool
	report atomic.Pointer[report] // nil: nobody wants to know of changes
}

// report is where changes are told.
type report struct {
	to *journal
	id uint32
}

// cell is written by one worker. A line of its own, so that writing it does not disturb the others.
type cell struct {
	active, inactive, persistent atomic.Int32
	_                            [52]byte
}

// NewLoad returns an empty load for that many workers.
func NewLoad(workers int) *Load { return &Load{cells: make([]cell, workers)} }

// workers returns how many share the load.
func (l *Load) workers() int { return len(l.cells) }

// tell writes to the journal from now on that the load has changed.
func (l *Load) tell(to *journal, id uint32) {
	if r := l.report.Load(); r == nil || r.to != to || r.id != id {
		l.report.Store(&report{to, id})
	}
}

func (l *Load) changed() {
	if r := l.report.Load(); r != nil {
		r.to.note(r.id)
	}
}

// Active returns the active connections, summed over workers.
func (l *Load) Active() int {
	n := 0
	for i := range l.cells {
		n += int(l.cells[i].active.Load())
	}
	return n
}

// Inactive returns the inactive connections, summed over workers.
func (l *Load) Inactive() int {
	n := 0
	for i := range l.cells {
		n += int(l.cells[i].inactive.Load())
	}
	return n
}

// Persistent returns the persistence templates, summed over workers.
func (l *Load) Persistent() int {
	n := 0
	for i := range l.cells {
		n += int(l.cells[i].persistent.Load())
	}
	return n
}

// Idle reports whether nothing refers to the destination any more.
func (l *Load) Idle() bool { return l.Active() == 0 && l.Inactive() == 0 && l.Persistent() == 0 }

// Overloaded reports whether the destination is over its upper threshold and has not come down far enough since.
func (l *Load) Overloaded() bool { return l.over.Load() }

// Add changes the counts of one worker. Only that worker may call it.
func (l *Load) Add(worker int, active, inactive, persistent int32) {
	c := &l.cells[worker]
	if active != 0 {
		c.active.Store(c.active.Load() + active)
	}
	if inactive != 0 {
		c.inactive.Store(c.inactive.Load() + inactive)
	}
	if persistent != 0 {
		c.persistent.Store(c.persistent.Load() + persistent)
	}
	if active != 0 || inactive != 0 {
		l.changed()
	}
}

// Bound looks at the upper threshold after a connection was added (kernel: ip_vs_bind_dest).
func (l *Load) Bound(upper uint32) {
	if upper != 0 && uint32(l.Active()+l.Inactive()) >= upper {
		l.overload(true)
	}
}

func (l *Load) overload(over bool) {
	if l.over.Load() != over {
		l.over.Store(over)
		l.changed()
	}
}

// Unbound looks at the thresholds after a connection went: the flag falls below the lower one, or without a lower one
// below three quarters of the upper (kernel: ip_vs_unbind_dest).
func (l *Load) Unbound(upper, lower uint32) {
	if !l.over.Load() {
		return
	}
	n := uint32(l.Active() + l.Inactive())
	if lower != 0 && n >= lower || lower == 0 && upper != 0 && n*4 >= upper*3 {
		return
	}
	l.overload(false)
}

// Rethreshold is told of edited thresholds: one raised or taken away lifts the flag until the next connection
// (kernel: __ip_vs_update_dest).
func (l *Load) Rethreshold(old, new uint32) {
	if new == 0 || new > old {
		l.overload(false)
	}
}
