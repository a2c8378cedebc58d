package director

import (
	"reflect"
	"slices"

	"go.uber.org/zap"

	"dirsw/config"
)

// reload is Reload on Run's goroutine, or, to look only, Foresee.
func (d *Director) reload(look bool) (r reloaded) {
	file, notes, err := d.o.Load()
	if r.notes, r.err = notes, err; err != nil {
		return r
	}
	old := d.now.Load().wanted
	m, notes := config.Merge(d.file, old, file)
	r.notes = append(r.notes, notes...)
	if r.err = Unserved(m); r.err != nil {
		return r
	}
	if r.err = d.reachable(m); r.err != nil {
		return r
	}
	was, is := old.Dataplane, m.Dataplane
	was.Sysctls, is.Sysctls = nil, nil
	was.Steer, is.Steer = 0, 0                                                  // followed at once
	was.Interfaces, is.Interfaces = missing(was.Interfaces, is.Interfaces), nil // further ones are
	if was.Pos, is.Pos = (config.Pos{}), (config.Pos{}); !reflect.DeepEqual(was, is) {
		r.notes = append(r.notes, config.Note{Pos: m.Dataplane.Pos, Text: "dataplane: what has changed here is in force " +
			"from the next start on"})
	}
	r.changes = config.Diff(old, m)
	if look {
		_, notes, r.err = Targets(m, d.runner())
		r.notes = append(r.notes, notes...)
		return r
	}
	if d.o.Attach != nil {
		ports, err := d.o.Attach(m)
		if r.err = err; err != nil {
			return r
		}
		d.ports.Store(&ports)
	}
	d.follows(m, &r)
	if r.err == nil {
		d.file = file
	}
	return r
}

// missing returns what of was is not in is.
func missing(was, is []string) []string {
	left := slices.DeleteFunc(slices.Clone(was), func(name string) bool { return slices.Contains(is, name) })
	if len(left) == 0 {
		return nil
	}
	return left
}

// follows puts a model in force that a reload brings.
func (d *Director) follows(m *config.Model, r *reloaded) {
	before := d.facts
	d.facts = d.meet(m)
	told, err := d.apply(m)
	if r.err = err; err != nil {
		d.facts = before
		return
	}
	d.confirm(false)
	heard := d.tellWhom(m)
	d.tell(told)
	for _, err := range []error{heard, d.watch(m), d.meetBFD(m), d.vote(m), d.holdStatic(m)} {
		if err != nil { // the model is in force all the same, and this is tried again
			d.o.Log.Error("not all of the configuration can be put in force", zap.Error(err))
			r.notes = append(r.notes, config.Note{Text: err.Error()})
		}
	}
	d.synchronise()
	if m.Globals.FIFOReload {
		d.election.Repeat()
	}
}
