package director

import (
	"slices"
	"strings"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/health"
	"dirsw/packet"
	"dirsw/script"
)

// followHealth follows the servers: what their checks have found is put in force, all of it at once.
func (d *Director) followHealth() {
	var told []happening
	changed := false
	for _, e := range d.beats.take() {
		news, what := d.hearProber(&e)
		told, changed = append(told, news...), changed || what
		d.alarm(&e)
	}
	if changed {
		d.pursue("what the checks found cannot be put in force")
	}
	d.tell(told)
}

// hearProber notes what the prober has found. It returns what is to be told, and whether other things are to be forwarded now.
func (d *Director) hearProber(e *health.Event) (told []happening, changed bool) {
	why := strings.Trim(e.Subject, "=> <")
	switch {
	case e.Changed:
		told = d.vitals.answer(e.Key, e.Up, e.Why)
		changed = len(told) > 0
		if changed && why != "" {
			told[0].why = why
		}
	case e.Unproven:
		told = d.vitals.unproved(e.Key)
	case e.CheckChanged:
		told = d.vitals.checked(e.Key, e.Up, why)
	}
	if e.Weighed {
		news := d.vitals.weigh(e.Key, e.Weight)
		if e.Changed && len(news) > 0 { // keepalived writes one line
			news[0].text = ""
		}
		told, changed = append(told, news...), changed || len(news) > 0
	}
	return told, changed
}

// pursue puts in force what is known of the network and of the servers. If that fails it is tried again with each tick.
func (d *Director) pursue(otherwise string) {
	err := d.publish()
	if err != nil && !d.behind {
		d.o.Log.Error(otherwise, zap.Error(err))
	}
	d.behind = err != nil
}

// alarm tells of a real server that answers itself but not by the way that clients take, or the reverse.
func (d *Director) alarm(e *health.Event) {
	at := []zap.Field{zap.String("server", e.Names.Server), zap.String("service", e.Names.Service), zap.String("why", e.Why)}
	switch {
	case e.Alarm:
		d.o.Log.Warn("the way of clients and the plain check disagree about a real server", at...)
	case e.AlarmEnd:
		d.o.Log.Info("the way of clients and the plain check agree again about a real server", at...)
	}
}

// check has the servers of a model checked, instead of those before, and notes how the new ones stand. What is left of the
// old model keeps its state; what is not is returned.
func (d *Director) check(m *config.Model, targets []health.Target) []happening {
	d.prober.Set(d.withPaths(m, targets))
	d.suspend(m)
	gone := d.vitals.leave(m)
	d.vitals.adopt(m)
	for _, s := range d.prober.States() {
		d.vitals.set(s.Key, s.Up, s.Weight)
	}
	return gone
}

// farewell tells of the end, once nobody is checked any more.
func (d *Director) farewell() { d.tell(d.vitals.end()) }

// suspend stops the checks of services with ha_suspend whose address this host does not have, and resumes those of others.
func (d *Director) suspend(m *config.Model) {
	for i := range m.Services {
		s := &m.Services[i]
		if !s.HASuspend || s.Mark != 0 {
			continue
		}
		do := d.prober.Suspend
		if slices.Contains(d.facts.local, packet.AddrFrom(s.Addr)) {
			do = d.prober.Resume
		}
		for k := range s.Reals {
			do(checkKey(s, &s.Reals[k]))
		}
	}
}

// uncheck has the servers of the model in force checked again, after another one was given up. Those that the other one did not
// have begin anew.
func (d *Director) uncheck() {
	if d.vitals.model == nil {
		return
	}
	before, _, err := Targets(d.vitals.model, d.runner())
	if err != nil {
		return // it was good before: files are gone since
	}
	d.prober.Set(d.withPaths(d.vitals.model, before))
	var told []happening
	for _, s := range d.prober.States() {
		told = append(told, d.vitals.answer(s.Key, s.Up, "configuration")...)
	}
	d.behind = d.behind || len(told) > 0
	d.tell(told)
}

// Health is how the checks of the real servers stand. Any goroutine.
func (d *Director) Health() []health.State { return d.prober.States() }

// runner runs programs.
func (d *Director) runner() script.Runner { return script.Runner{Clock: d.o.Clock} }
