package director

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/host"
)

// Statics puts into the kernel what is there while dirsw runs, whoever is master. *host.Holdings does.
type Statics interface {
	Hold(addrs []host.Address, lifetime time.Duration) error
	Prolong(addrs []host.Address, lifetime time.Duration) error
	Release(addrs []host.Address) error
	AddRoute(host.Route) error
	DelRoute(host.Route) error
	AddRule(host.Rule) error
	DelRule(host.Rule) error
}

// statics are the blocks static_ipaddress, static_routes and static_rules as they are in force.
type statics struct {
	addrs  []host.Address
	routes []config.Route
	rules  []config.Rule
}

// staticLifetime is after how long the kernel takes an address away whose director has died (ADR 0003).
const staticLifetime = 10 * time.Second

// holdStatic puts in force what a model has of them, and takes away what it has no more. What cannot be set is tried again
// with the next call.
func (d *Director) holdStatic(m *config.Model) error {
	s := &m.VRRP.Static
	var want statics
	for i := range s.Addresses {
		want.addrs = append(want.addrs, hostAddress(address(&s.Addresses[i])))
	}
	for _, r := range s.Routes {
		r.Pos = config.Pos{}
		want.routes = append(want.routes, r)
	}
	for _, r := range s.Rules {
		r.Pos = config.Pos{}
		want.rules = append(want.rules, r)
	}
	errs := d.dropStatic(&want)
	in := &d.static
	in.addrs, in.routes, in.rules = nil, nil, nil
	for _, a := range want.addrs {
		if err := d.o.Statics.Hold([]host.Address{a}, staticLifetime); err != nil {
			errs = append(errs, err)
			continue
		}
		in.addrs = append(in.addrs, a)
	}
	for _, r := range want.routes {
		out, err := hostRoute(&r)
		if err == nil {
			err = d.o.Statics.AddRoute(out)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		in.routes = append(in.routes, r)
	}
	for _, r := range want.rules {
		out, err := hostRule(&r)
		if err == nil {
			err = d.o.Statics.AddRule(out)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		in.rules = append(in.rules, r)
	}
	return errors.Join(errs...)
}

// dropStatic takes away what is in force and not wanted: rules first, then the routes that they lead to.
func (d *Director) dropStatic(want *statics) (errs []error) {
	in := &d.static
	has := func(text string, list []string) bool { return slices.Contains(list, text) }
	rules, routes := texts(want.rules), texts(want.routes)
	for _, r := range in.rules {
		if has(fmt.Sprintf("%+v", r), rules) {
			continue
		}
		if out, err := hostRule(&r); err == nil {
			errs = append(errs, d.o.Statics.DelRule(out))
		}
	}
	for _, r := range in.routes {
		if has(fmt.Sprintf("%+v", r), routes) {
			continue
		}
		if out, err := hostRoute(&r); err == nil {
			errs = append(errs, d.o.Statics.DelRoute(out))
		}
	}
	for _, a := range in.addrs {
		if !slices.Contains(want.addrs, a) {
			errs = append(errs, d.o.Statics.Release([]host.Address{a}))
		}
	}
	return errs
}

// texts writes each of a list, so that they can be compared.
func texts[T any](list []T) (out []string) {
	for _, e := range list {
		out = append(out, fmt.Sprintf("%+v", e))
	}
	return out
}

// releaseStatic takes everything away.
func (d *Director) releaseStatic() {
	if err := errors.Join(d.dropStatic(&statics{})...); err != nil {
		d.o.Log.Error("static addresses, routes or rules are left", zap.Error(err))
	}
	d.static = statics{}
}
