package director

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/sched"
)

// edit is a call of Edit on its way to Run's goroutine.
type edit struct {
	change func(*config.Model) error
	answer chan<- reloaded
}

// Edit changes what is in force: change gets a copy of the Model, and what it leaves is validated, compiled and published
// as one. Edit returns when all workers follow it, with what is different now; or with the error of change or of the
// director, and then everything is as it was. Calls of Edit and Reload follow each other; change runs on the director's
// own goroutine and must neither wait nor call the Director.
func (d *Director) Edit(change func(*config.Model) error) ([]config.Change, error) {
	answer := make(chan reloaded, 1)
	select {
	case d.edits <- edit{change, answer}:
	case <-d.done:
		return nil, ErrStopped
	}
	select {
	case r := <-answer:
		return r.changes, r.err
	case <-d.done:
		return nil, ErrStopped
	}
}

// edit is Edit on Run's goroutine.
func (d *Director) edit(change func(*config.Model) error) (r reloaded) {
	old := d.now.Load().wanted
	m := old.Clone()
	if r.err = change(m); r.err != nil {
		return r
	}
	if r.err = servable(m); r.err != nil {
		return r
	}
	r.changes = config.Diff(old, m)
	r.err = d.replace(old, m)
	return r
}

// servable refuses what would not compile.
func servable(m *config.Model) error {
	for i := range m.Services {
		if s := &m.Services[i]; !known(s.Scheduler) {
			return fmt.Errorf("%s: there is no scheduler %q", s.Key(), s.Scheduler)
		}
	}
	return Unserved(m)
}

func known(scheduler string) bool {
	_, ok := sched.Lookup(scheduler)
	return ok
}

// replace puts m in force in the place of old, or leaves old in force and says why.
func (d *Director) replace(old, m *config.Model) error {
	before := d.facts
	if !sameServers(old, m) || marked(old) != marked(m) {
		d.facts = d.meet(m)
	}
	told, err := d.apply(m)
	if err == nil {
		d.tell(told)
		d.confirm(false)
		d.synchronise()
		return nil
	}
	d.facts = before
	if d.now.Load().wanted != old { // it was published, but the filter did not follow
		if _, undo := d.apply(old); undo != nil {
			d.o.Log.Error("an edit failed and cannot be undone", zap.Error(undo))
			err = errors.Join(err, undo)
		}
	}
	return err
}

const (
	meetWithin = 100 * time.Millisecond // for the kernel to learn who a new real server is
	meetAgain  = 5 * time.Millisecond
)

// meet is gather, with a moment for the kernel to ask for the link layer addresses of real servers that are new: what the
// scheduler gives them while it does not know them is dropped, where the kernel's IPVS would keep it for as long.
func (d *Director) meet(m *config.Model) facts {
	f := d.gather(m)
	ports := *d.ports.Load()
	var strangers []netip.Addr
	asked := map[nextDoor]bool{}
	for a, h := range f.routes {
		if _, ok := d.facts.routes[a]; ok || h.Unreachable || h.Local || h.Resolved || !slices.ContainsFunc(ports,
			func(p Port) bool { return p.Link == h.Link }) {
			continue
		}
		if k := (nextDoor{h.Link, h.Gateway}); !asked[k] && d.o.Host.Resolve(h) == nil {
			asked[k] = true
		} else if !asked[k] {
			continue
		}
		strangers = append(strangers, a)
	}
	for limit := d.o.Clock.Now().Add(meetWithin); len(strangers) > 0 && d.o.Clock.Now() < limit; {
		again := make(chan struct{})
		d.o.Clock.AfterFunc(meetAgain, func() { close(again) })
		<-again
		next := d.survey()
		strangers = slices.DeleteFunc(strangers, func(a netip.Addr) bool {
			delete(f.why, a)
			d.ask(&f, next, a, ports)
			return f.routes[a].Resolved || f.routes[a].Failed
		})
	}
	return f
}

// sameServers reports whether two models send to the same addresses: then there is nothing to ask the kernel.
func sameServers(a, b *config.Model) bool { return slices.Equal(Servers(a), Servers(b)) }

// Servers returns the addresses that a model sends to, in order, each once.
func Servers(m *config.Model) []netip.Addr {
	var list []netip.Addr
	for i := range m.Services {
		for _, r := range everybody(&m.Services[i]) {
			list = append(list, r.Addr)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
