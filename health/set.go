package health

import (
	"fmt"
	"slices"
	"time"

	"dirsw/clock"
)

// Set makes targets the ones that are checked. A target of the same Key keeps its state, and each check of it that asks
// the same (Kind, ID, Feed) keeps state, schedule and Checker, whatever its timing is now. What is new starts as after a
// start: its first failure is not forgiven, while keepalived 2.2.7 forgives its retries after a reload. States tells at
// once how the new ones stand. Keys must differ.
func (p *Prober) Set(targets []Target) {
	p.mu.Lock()
	now := p.opt.Clock.Now()
	old := p.units
	p.units, p.order = make(map[string]*unit, len(targets)), p.order[:0]
	for _, t := range targets {
		u := old[t.Key]
		delete(old, t.Key)
		if u == nil {
			u = &unit{suspended: t.Suspended, up: true}
		}
		p.retarget(u, t, now)
		p.units[t.Key] = u
		p.order = append(p.order, u)
	}
	for _, u := range old {
		for _, it := range u.items {
			p.forget(it)
		}
	}
	p.mu.Unlock()
	p.ring()
}

// retarget makes u the unit of t.
func (p *Prober) retarget(u *unit, t Target, now clock.Mono) {
	known := u.target.Key != ""
	before := u.items
	u.target, u.items = t, make([]*item, 0, len(t.Checks))
	for _, c := range t.Checks {
		if s, ok := c.Checker.(fmt.Stringer); ok && c.ID == "" {
			c.ID = s.String()
		}
		i := slices.IndexFunc(before, func(it *item) bool { return it.check.same(&c) })
		if i < 0 {
			u.items = append(u.items, p.start(u, c, now))
			continue
		}
		p.keep(before[i], c, now)
		u.items = append(u.items, before[i])
		before = slices.Delete(before, i, i+1)
	}
	for _, it := range before {
		p.forget(it)
	}
	e := Event{Key: t.Key, Names: t.Names, Up: u.isUp(), Weight: u.weigh(), At: now, Why: "configuration"}
	e.Changed, e.Weighed = e.Up != u.up, e.Weight != u.weight
	u.up, u.weight = e.Up, e.Weight
	if known && (e.Changed || e.Weighed) {
		p.out = append(p.out, notice{event: &e})
	}
}

// start begins a check of u.
func (p *Prober) start(u *unit, c Check, now clock.Mono) *item {
	it := &item{unit: u, check: c, probe: NewProbe(now, c.Kind.counting(), c.Timing, c.steps(), p.opt.Random())}
	if c.Checker == nil {
		f := feed{c.Kind, c.Feed}
		p.feeds[f] = append(p.feeds[f], it)
		if v, ok := p.fed[f]; ok || c.Kind == KindFile {
			it.feed(v)
		}
		return it
	}
	n := u.target.Names
	word := "Activating"
	if u.suspended {
		word = "Deactivating"
	} else {
		p.queue.add(it)
	}
	if !c.Advisory {
		p.line(lineInfo, fmt.Sprintf("%s healthchecker for service %s for VS %s", word, n.Server, n.Service))
	}
	return it
}

// keep gives it the settings of c, which asks the same.
func (p *Prober) keep(it *item, c Check, now clock.Mono) {
	if it.check.Timing != c.Timing {
		probe := NewProbe(now, c.Kind.counting(), c.Timing, c.steps(), p.opt.Random())
		probe.Adopt(it.probe)
		if latest := now.Add(c.Timing.Loop); probe.due > latest { // it was less often until now
			probe.due = now.Add(time.Duration(p.opt.Random() * float64(c.Timing.Loop)))
		}
		it.probe = probe
		if it.place != 0 {
			p.queue.add(it)
		}
		if !it.running {
			it.asking = probe.Step()
		}
	}
	c.Checker = it.check.Checker // it may remember something, and may be at work
	it.check = c
	if configured := it.unit.target.Weight; it.grade.Kind != GradeNone && it.probe.Up() {
		it.delta = it.grade.Of(configured) - configured
	}
	if c.Kind == KindFile {
		it.feed(p.fed[feed{c.Kind, c.Feed}])
	}
}

// forget ends a check. An answer that is still to come is dropped.
func (p *Prober) forget(it *item) {
	p.queue.drop(it)
	it.unit = nil
	if it.check.Checker != nil {
		return
	}
	f := feed{it.check.Kind, it.check.Feed}
	p.feeds[f] = slices.DeleteFunc(p.feeds[f], func(o *item) bool { return o == it })
	if len(p.feeds[f]) == 0 {
		delete(p.feeds, f)
	}
}

// steps is how many steps the check has.
func (c *Check) steps() int {
	if s, ok := c.Checker.(Sequence); ok {
		return s.Steps()
	}
	return 1
}

// Suspend stops the checks of the target of key; its state stays as it is. It is ha_suspend, where no address of the
// service is held any more.
func (p *Prober) Suspend(key string) { p.suspend(key, true) }

// Resume ends Suspend. The checks are made within one delay_loop.
func (p *Prober) Resume(key string) { p.suspend(key, false) }

func (p *Prober) suspend(key string, stop bool) {
	p.mu.Lock()
	defer p.ring()
	defer p.mu.Unlock()
	u := p.units[key]
	if u == nil || u.suspended == stop {
		return
	}
	u.suspended = stop
	now := p.opt.Clock.Now()
	for _, it := range u.items {
		if it.check.Checker == nil {
			continue
		}
		if stop {
			p.queue.drop(it)
		} else if !it.running {
			it.probe.due = now.Add(time.Duration(p.opt.Random() * float64(it.check.Timing.Loop)))
			p.queue.add(it)
		}
		if n := u.target.Names; !it.check.Advisory {
			p.line(lineInfo, fmt.Sprintf("%s healthchecker for service %s for VS %s",
				pick(stop, "Suspending", "Activating"), n.Server, n.Service))
		}
	}
}

// Feed gives the state of what fed checks follow: KindBFD with the name of the bfd_instance, 1 up or 0 down; KindFile
// with the name of the track_file and the number in it. It may come before Set.
func (p *Prober) Feed(kind Kind, name string, value int64) {
	p.mu.Lock()
	defer p.ring()
	defer p.mu.Unlock()
	f := feed{kind, name}
	p.fed[f] = value
	now := p.opt.Clock.Now()
	for _, it := range p.feeds[f] {
		wasUp, first := it.probe.Up(), !it.probe.Ran()
		o := it.feed(value)
		it.at = now
		it.asked++
		p.line(lineInfo, it.fedLine(o))
		var err error
		if !it.probe.Up() {
			err = fmt.Errorf("%s %s is down", kind, name)
			it.failed++
		}
		it.last = ""
		if err != nil {
			it.last = err.Error()
		}
		p.changed(it, wasUp, first, now, err)
	}
}

// feed takes in a value.
func (it *item) feed(value int64) Outcome {
	up, delta := value != 0, 0
	if it.check.Kind == KindFile {
		up, delta = it.check.Scale.Of(value)
	}
	it.delta, it.grade = delta, Grade{Kind: GradeDelta, Value: delta}
	return it.probe.Force(up)
}

// fedLine is keepalived's line about a change of a fed check.
func (it *item) fedLine(o Outcome) string {
	if o != Up && o != Down {
		return ""
	}
	n := it.unit.target.Names
	if it.check.Kind == KindBFD {
		return fmt.Sprintf("BFD check of [%s] RS(%s) is %s", it.check.Feed, n.Server, pick(o == Up, "UP", "DOWN"))
	}
	return fmt.Sprintf("(%s): tracked file %s %s FAULT state", n.Server, it.check.Feed, pick(o == Up, "leaving", "now"))
}

// States returns all targets as they stand, in the order of Set.
func (p *Prober) States() []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]State, 0, len(p.order))
	for _, u := range p.order {
		s := State{Key: u.target.Key, Names: u.target.Names, Up: u.up, Weight: u.weight, Suspended: u.suspended}
		for _, it := range u.items {
			s.Checks = append(s.Checks, it.state())
		}
		out = append(out, s)
	}
	return out
}

// state is it as CheckState.
func (it *item) state() CheckState {
	c := CheckState{
		Kind: it.check.Kind, ID: it.check.ID, Advisory: it.check.Advisory, Up: it.probe.Up(), Ran: it.probe.Ran(),
		Running: it.running, Asked: it.asked, Failed: it.failed, Last: it.last, At: it.at, Took: it.took, Grade: it.grade,
	}
	if c.Ran {
		c.Retries = it.probe.retries
	}
	return c
}
