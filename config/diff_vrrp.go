package config

import (
	"slices"
	"strings"
)

// instances tells what changed of the vrrp_instances, and of what each of them holds.
func (d *differ) instances(old, new *Model) {
	was, now := byName(old.Instances, instanceName), byName(new.Instances, instanceName)
	for i := range old.Instances {
		in := &old.Instances[i]
		if now[in.Name] == nil {
			d.add(Removed, instanceChange(in), "with "+count(len(in.Addresses), "address", "es"))
		}
	}
	for i := range new.Instances {
		in := &new.Instances[i]
		before := was[in.Name]
		if before == nil {
			d.add(Added, instanceChange(in), describe(beyond(instanceFields(in), instanceFields(freshInstance(in)))))
			before = &Instance{}
		} else {
			d.changed(instanceChange(in), instanceFields(before), instanceFields(in))
		}
		d.addresses(in.Name, before.Addresses, in.Addresses)
		d.lines(KindRoute, in.Name, routeLines(before.Routes), routeLines(in.Routes))
		d.lines(KindRule, in.Name, ruleLines(before.Rules), ruleLines(in.Rules))
	}
}

func instanceName(in *Instance) string { return in.Name }

// byName finds entries by their names; of two with one name it is the first.
func byName[T any](entries []T, name func(*T) string) map[string]*T {
	of := make(map[string]*T, len(entries))
	for i := range entries {
		if n := name(&entries[i]); of[n] == nil {
			of[n] = &entries[i]
		}
	}
	return of
}

func instanceChange(in *Instance) Change {
	return Change{Kind: KindInstance, Instance: in.Name, Name: in.Name}
}

// of names what belongs to an instance; static entries belong to none.
func of(name, instance string) string {
	if instance == "" {
		return name + " (static)"
	}
	return name + " of " + instance
}

// addresses tells what changed of the addresses of an instance, or of the static ones.
func (d *differ) addresses(instance string, old, new []VirtualAddress) {
	prefix := func(a *VirtualAddress) string { return a.Prefix.String() }
	before, after := byName(old, prefix), byName(new, prefix)
	change := func(a *VirtualAddress) Change {
		return Change{Kind: KindAddress, Instance: instance, Name: of(a.Prefix.String(), instance)}
	}
	for i := range old {
		if a := &old[i]; after[prefix(a)] == nil {
			d.add(Removed, change(a), "")
		}
	}
	for i := range new {
		a := &new[i]
		if was := before[prefix(a)]; was != nil {
			d.changed(change(a), addressFields(was), addressFields(a))
		} else {
			d.add(Added, change(a), describe(addressFields(a)))
		}
	}
}

// lines tells which lines of a list come and go. Their order counts as well: among equals, routes and rules are tried in it.
func (d *differ) lines(kind Kind, instance string, old, new []string) {
	var before, after []string
	for _, l := range old {
		if slices.Contains(new, l) {
			before = append(before, l)
		} else {
			d.add(Removed, Change{Kind: kind, Instance: instance, Name: of(l, instance)}, "")
		}
	}
	for _, l := range new {
		if slices.Contains(old, l) {
			after = append(after, l)
		} else {
			d.add(Added, Change{Kind: kind, Instance: instance, Name: of(l, instance)}, "")
		}
	}
	if !slices.Equal(before, after) {
		d.add(Changed, Change{Kind: kind, Instance: instance, Name: of(strings.Join(after, ", "), instance)}, "in another order")
	}
}

func routeLines(list []Route) []string {
	var out []string
	for i := range list {
		out = append(out, list[i].String())
	}
	return out
}

func ruleLines(list []Rule) []string {
	var out []string
	for i := range list {
		out = append(out, list[i].String())
	}
	return out
}

// vrrp tells what changed around the instances.
func (d *differ) vrrp(old, new *VRRP) {
	named(d, KindSyncGroup, old.Groups, new.Groups, func(g *SyncGroup) string { return g.Name }, groupFields)
	named(d, KindScript, old.Scripts, new.Scripts, func(s *Script) string { return s.Name }, scriptFieldsOf)
	named(d, KindTrackFile, old.Files, new.Files, func(f *TrackFile) string { return f.Name }, trackFileFields)
	named(d, KindTrackProcess, old.Processes, new.Processes, func(t *TrackProcess) string { return t.Name }, processFields)
	named(d, KindBFD, old.BFDs, new.BFDs, func(f *BFD) string { return f.Name }, bfdFields)
	named(d, KindArbiter, old.Arbiters, new.Arbiters, func(a *Arbiter) string { return a.Name }, arbiterFields)
	named(d, KindLinkDelay, old.Delays, new.Delays, func(l *InterfaceDelay) string { return l.Interface },
		func(l *InterfaceDelay) []field { return list("down", l.Down, "up", l.Up) })
	named(d, KindPacing, old.Pacing, new.Pacing, func(g *GARPGroup) string { return strings.Join(g.Interfaces, " ") }, pacingFields)
	d.addresses("", old.Static.Addresses, new.Static.Addresses)
	d.lines(KindRoute, "", routeLines(old.Static.Routes), routeLines(new.Static.Routes))
	d.lines(KindRule, "", ruleLines(old.Static.Rules), ruleLines(new.Static.Rules))
}

// named tells what changed of a list of entries that have names.
func named[T any](d *differ, kind Kind, old, new []T, name func(*T) string, fields func(*T) []field) {
	was, now := byName(old, name), byName(new, name)
	for i := range old {
		if n := name(&old[i]); now[n] == nil {
			d.add(Removed, Change{Kind: kind, Name: n}, "")
		}
	}
	var fresh T
	for i := range new {
		c := Change{Kind: kind, Name: name(&new[i])}
		if before := was[c.Name]; before != nil {
			d.changed(c, fields(before), fields(&new[i]))
		} else {
			d.add(Added, c, describe(beyond(fields(&new[i]), fields(&fresh))))
		}
	}
}
