package config

import (
	"fmt"
	"slices"
	"strings"
)

// Action is what a Change does.
type Action uint8

// The actions, in the order Diff returns them.
const (
	Removed Action = iota
	Changed
	Added
)

// String returns the sign a Change is printed with.
func (a Action) String() string { return word(int(a), "-", "~", "+") }

// Change is one difference between two Models.
type Change struct {
	Action   Action
	Kind     Kind
	Service  ServiceKey // of KindService and KindReal
	Real     RealKey    // of KindReal
	Instance string     // of KindInstance, and of KindAddress, KindRoute and KindRule that are not static
	Name     string     // of the entry, for people
	Detail   string     // what it is, or what changed: "weight 1 -> 3, method DR -> NAT"
}

// Kind is what a Change is about.
type Kind uint8

// The kinds.
const (
	KindGlobals Kind = iota
	KindDataplane
	KindInstance
	KindAddress
	KindService
	KindReal
	KindMarkChain // of iptables; a built-in one changes only
	KindMarkRule
	KindDaemon
	KindRoute // of an instance, or static
	KindRule
	KindSyncGroup
	KindScript
	KindTrackFile
	KindTrackProcess
	KindBFD
	KindArbiter
	KindLinkDelay
	KindPacing // garp_group
)

// String returns the word a Change is printed with.
func (k Kind) String() string {
	return word(int(k), "globals", "dataplane", "vrrp_instance", "address", "service", "real", "chain", "rule", "sync_daemon",
		"route", "ip rule", "vrrp_sync_group", "vrrp_script", "track_file", "vrrp_track_process", "bfd_instance", "vrrp_arbiter",
		"interface_up_down_delays", "garp_group")
}

// String returns the change in one line: `~ real 192.0.2.11:80 of TCP 192.0.2.1:80: weight 1 -> 3`.
func (c Change) String() string {
	s := c.Action.String() + " " + c.Kind.String()
	if c.Name != "" {
		s += " " + c.Name
	}
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	return s
}

// Diff returns what turns one Model into the other: first what goes, then what changes, then what comes, each in the
// order of the Model it is in. Positions do not count. A service that comes is followed by its real servers; one that
// goes takes them with it.
func Diff(old, new *Model) []Change {
	d := &differ{}
	d.changed(Change{Kind: KindGlobals}, fileFields(old), fileFields(new))
	d.changed(Change{Kind: KindDataplane}, dataplaneFields(&old.Dataplane), dataplaneFields(&new.Dataplane))
	d.instances(old, new)
	d.vrrp(&old.VRRP, &new.VRRP)
	d.services(old, new)
	d.marks(&old.Marks, &new.Marks)
	d.daemons(old.Daemons, new.Daemons)
	slices.SortStableFunc(d.out, func(a, b Change) int { return int(a.Action) - int(b.Action) })
	return d.out
}

type differ struct{ out []Change }

func (d *differ) add(a Action, c Change, detail string) {
	c.Action, c.Detail = a, detail
	d.out = append(d.out, c)
}

// field is a setting as text; secret ones are never printed.
type field struct {
	name, value string
	secret      bool
	empty       string // what an empty value stands for in a change; "": none
}

// nothing is how an empty value is written.
func (f *field) nothing() string { return or(f.empty, "none") }

// changed adds a change if a field differs.
func (d *differ) changed(c Change, old, new []field) {
	var list []string
	for i, f := range new {
		o := old[i].value
		switch {
		case o == f.value:
		case f.secret:
			list = append(list, f.name+" is another")
		case strings.Contains(f.value+o, "\n"):
			list = append(list, f.name+" are others")
		default:
			list = append(list, fmt.Sprintf("%s %s -> %s", f.name, or(o, f.nothing()), or(f.value, f.nothing())))
		}
	}
	if len(list) > 0 {
		d.add(Changed, c, strings.Join(list, ", "))
	}
}

// count writes a number of things.
func count(n int, thing, plural string) string {
	if n == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d %s%s", n, thing, plural)
}

func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

// describe names the fields that say something.
func describe(fields []field) string {
	var list []string
	for _, f := range fields {
		zero := f.value == "0" && f.name != "weight" || f.value == "0s"
		if f.value != "" && !zero && f.value != "false" && !f.secret && !strings.Contains(f.value, "\n") {
			list = append(list, f.name+" "+f.value)
		}
	}
	return strings.Join(list, ", ")
}

func (d *differ) services(old, new *Model) {
	for i := range old.Services {
		s := &old.Services[i]
		if findService(new.Services, i, s.Key()) == nil {
			d.add(Removed, serviceChange(s), "with "+count(len(s.Reals), "real server", "s"))
		}
	}
	for i := range new.Services {
		s := &new.Services[i]
		was := findService(old.Services, i, s.Key())
		if was == nil {
			d.add(Added, serviceChange(s), describe(serviceFields(s)))
			was = &Service{}
		} else {
			d.changed(serviceChange(s), serviceFields(was), serviceFields(s))
		}
		d.reals(was, s)
	}
}

// findService looks for a service, at index i first: mostly nothing has moved.
func findService(list []Service, i int, k ServiceKey) *Service {
	if i < len(list) && list[i].Key() == k {
		return &list[i]
	}
	for i := range list {
		if list[i].Key() == k {
			return &list[i]
		}
	}
	return nil
}

// findReal looks for a real server, at index i first.
func findReal(list []Real, i int, k RealKey) *Real {
	if i < len(list) && list[i].Key() == k {
		return &list[i]
	}
	for i := range list {
		if list[i].Key() == k {
			return &list[i]
		}
	}
	return nil
}

func serviceChange(s *Service) Change {
	return Change{Kind: KindService, Service: s.Key(), Name: s.Key().String()}
}

func realChange(s *Service, r *Real) Change {
	return Change{Kind: KindReal, Service: s.Key(), Real: r.Key(), Name: r.Key().String() + " of " + s.Key().String()}
}

func (d *differ) reals(old, new *Service) {
	var before, after []RealKey // of those in both
	for i := range old.Reals {
		r := &old.Reals[i]
		if findReal(new.Reals, i, r.Key()) == nil {
			d.add(Removed, realChange(new, r), "")
		} else {
			before = append(before, r.Key())
		}
	}
	for i := range new.Reals {
		r := &new.Reals[i]
		was := findReal(old.Reals, i, r.Key())
		if was == nil {
			d.add(Added, realChange(new, r), describe(realFields(r)))
			continue
		}
		after = append(after, r.Key())
		if !r.same(was) {
			d.changed(realChange(new, r), realFields(was), realFields(r))
		}
	}
	if !slices.Equal(before, after) {
		d.add(Changed, serviceChange(new), "real servers in another order")
	}
}
