package vrrp

import (
	"slices"

	"dirsw/clock"
)

// placed is an address with its link filled in.
func (i *Instance) placed(a Address) Address {
	a.Link = i.cfg.linkOf(&a)
	return a
}

// setAll takes what a master has: addresses, then routes, then rules.
func (i *Instance) setAll() {
	i.vipset = true
	i.own("setting VIPs.", i.cfg.Addresses)
	i.own("setting E-VIPs.", i.cfg.Excluded)
	i.set("setting Virtual Routes", i.cfg.Routes)
	i.set("setting Virtual Rules", i.cfg.Rules)
}

// unsetAll gives it back in the opposite order. It is done at the start too: whatever a director before this one left.
func (i *Instance) unsetAll() {
	i.vipset = false
	i.unset("removing Virtual Rules", i.cfg.Rules)
	i.unset("removing Virtual Routes", i.cfg.Routes)
	i.disown("removing VIPs.", i.cfg.Addresses)
	i.disown("removing E-VIPs.", i.cfg.Excluded)
}

func (i *Instance) own(words string, list []Address) {
	if len(list) > 0 {
		i.logf("(%s) %s", i.cfg.Name, words)
	}
	for _, a := range list {
		i.m.out = append(i.m.out, Effect{Kind: EffectOwn, Instance: i, Address: i.placed(a)})
	}
}

func (i *Instance) disown(words string, list []Address) {
	if len(list) > 0 {
		i.logf("(%s) %s", i.cfg.Name, words)
	}
	for _, a := range list {
		i.m.out = append(i.m.out, Effect{Kind: EffectDisown, Instance: i, Address: i.placed(a)})
	}
}

// set sets routes or rules; nothing is logged without words.
func (i *Instance) set(words string, list []Extra) {
	if len(list) > 0 && words != "" {
		i.logf("(%s) %s", i.cfg.Name, words)
	}
	for _, e := range list {
		i.m.out = append(i.m.out, Effect{Kind: EffectSet, Instance: i, Extra: e})
	}
}

func (i *Instance) unset(words string, list []Extra) {
	if len(list) > 0 {
		i.logf("(%s) %s", i.cfg.Name, words)
	}
	for _, e := range list {
		i.m.out = append(i.m.out, Effect{Kind: EffectUnset, Instance: i, Extra: e})
	}
}

// held yields the addresses that the instance holds now, with their links; none unless it is master.
func (i *Instance) held() []Address {
	if !i.vipset {
		return nil
	}
	out := make([]Address, 0, len(i.cfg.Addresses)+len(i.cfg.Excluded))
	for _, a := range i.cfg.Addresses {
		out = append(out, i.placed(a))
	}
	for _, a := range i.cfg.Excluded {
		out = append(out, i.placed(a))
	}
	return out
}

// give takes away what a master had by its configuration before and has not by the present one. What is in both stays
// untouched.
func (i *Instance) give(old *Config) {
	if !i.vipset {
		return
	}
	was := Instance{cfg: old, vipset: true}
	i.unset("removing Virtual Rules", missing(old.Rules, i.cfg.Rules))
	i.unset("removing Virtual Routes", missing(old.Routes, i.cfg.Routes))
	gone := without(was.held(), i.held())
	i.forget(gone)
	i.disown("removing VIPs.", gone)
}

// take sets what a master did not have by its configuration before. Before it all instances of the machine have given:
// an address may move from one to another.
func (i *Instance) take(now clock.Mono, old *Config) {
	if !i.vipset {
		return
	}
	was := Instance{cfg: old, vipset: true}
	fresh := without(i.held(), was.held())
	i.own("setting VIPs.", fresh)
	i.set("setting Virtual Routes", missing(i.cfg.Routes, old.Routes))
	i.set("setting Virtual Rules", missing(i.cfg.Rules, old.Rules))
	i.announceThese(now, burst{addrs: fresh, left: i.cfg.GARP.Repeat})
}

// without returns what is in a and not in b.
func without(a, b []Address) []Address {
	out := make(map[Address]bool, len(b))
	for _, x := range b {
		out[x] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(x Address) bool { return out[x] })
}

// missing returns what is in a and, by its text, not in b.
func missing(a, b []Extra) []Extra {
	return slices.DeleteFunc(slices.Clone(a), func(x Extra) bool {
		return slices.ContainsFunc(b, func(y Extra) bool { return x.Rule == y.Rule && x.Text == y.Text })
	})
}
