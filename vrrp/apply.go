package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"dirsw/clock"
)

// Validate reports what no Machine can do. It is not the place for advice: the configuration's own checks are.
func (p *Plan) Validate() error {
	names := map[string]bool{}
	for n := range p.Instances {
		c := &p.Instances[n]
		if err := c.validate(); err != nil {
			return fmt.Errorf("vrrp_instance %s: %w", c.Name, err)
		}
		if names[c.Name] {
			return fmt.Errorf("vrrp_instance %s is there twice", c.Name)
		}
		names[c.Name] = true
	}
	member := map[string]string{}
	for _, g := range p.Groups {
		for _, i := range g.Members {
			if !names[i] {
				return fmt.Errorf("vrrp_sync_group %s: no instance %s", g.Name, i)
			}
			if other, twice := member[i]; twice {
				return fmt.Errorf("vrrp_sync_group %s: instance %s is in group %s", g.Name, i, other)
			}
			member[i] = g.Name
		}
	}
	return nil
}

func (c *Config) validate() error {
	switch {
	case c.Name == "":
		return errors.New("no name")
	case c.VRID == 0:
		return errors.New("no virtual router id")
	case c.Version != 2 && c.Version != 3:
		return fmt.Errorf("version %d", c.Version)
	case c.Priority == 0:
		return errors.New("priority 0")
	case c.Interval <= 0 || c.Version == 2 && (c.Interval%1e9 != 0 || c.Interval > 255e9) || c.Version == 3 && (c.Interval%centisecond != 0 || c.Interval > maxInterval3*centisecond):
		return fmt.Errorf("advertisement interval %v", c.Interval)
	case c.DownTimerAdverts < 1:
		return fmt.Errorf("down_timer_adverts %d", c.DownTimerAdverts)
	case len(c.Addresses) > MaxAddrs:
		return fmt.Errorf("%d addresses", len(c.Addresses))
	case c.Auth > AuthAH || c.Auth != AuthNone && c.Version == 3 || c.Auth == AuthAH && c.IPv6:
		return fmt.Errorf("authentication type %d", c.Auth)
	case !c.Unicast() && (!c.Group.IsMulticast() || c.Group.Is6() != c.IPv6):
		return fmt.Errorf("multicast group %v", c.Group)
	case c.Interface == "" && !c.Unicast():
		return errors.New("no interface")
	}
	for _, a := range c.Addresses {
		if a.Prefix.Addr().Unmap().Is6() != c.IPv6 {
			return fmt.Errorf("address %v is not of the instance's family", a.Prefix)
		}
	}
	return nil
}

// Apply makes the machine follow a plan, at the start and at every reload. Instances whose settings are equal are not
// touched. Those that stay the same virtual router (interface, family, identifier, version) keep their state and take the
// new settings over. All others end and begin. The plan must have passed Validate.
func (m *Machine) Apply(now clock.Mono, p Plan) []Effect {
	m.out = m.out[:0]
	first := !m.applied
	if first {
		m.applied = true
		if p.StartupDelay > 0 {
			m.startAt = now.Add(p.StartupDelay)
			m.logf(nil, "Delaying startup for %g seconds", p.StartupDelay.Seconds())
		}
	}
	if !reflect.DeepEqual(m.plan.Pacing, p.Pacing) {
		m.pacers = nil
	}
	old := m.instances
	m.plan, m.instances = p, make([]*Instance, len(p.Instances))
	var fresh, changed []*Instance
	before := make(map[*Instance]*Config)
	for n := range p.Instances {
		c := &m.plan.Instances[n]
		at := slices.IndexFunc(old, func(i *Instance) bool { return i.cfg.Name == c.Name && sameRouter(i.cfg, c) })
		if at < 0 {
			m.instances[n] = newInstance(m, c)
			fresh = append(fresh, m.instances[n])
			continue
		}
		i := old[at]
		m.instances[n] = i
		if !reflect.DeepEqual(i.cfg, c) {
			changed = append(changed, i)
			before[i] = i.cfg
		}
		i.cfg = c
	}
	m.end(now, old, p)
	m.regroup()
	for _, i := range changed {
		i.give(before[i])
	}
	for _, i := range changed {
		i.reconfigured(now, before[i])
	}
	m.start(now, fresh)
	m.settle(now)
	return m.out
}

// sameRouter reports whether an instance can go on with other settings: what makes it a virtual router is the same.
func sameRouter(a, b *Config) bool {
	return a.VRID == b.VRID && a.Version == b.Version && a.IPv6 == b.IPv6 && a.Interface == b.Interface &&
		sameVMAC(a.VMAC, b.VMAC) && a.Unicast() == b.Unicast() && a.Auth == b.Auth && (a.Priority == PriorityOwner) == (b.Priority == PriorityOwner)
}

// end stops what the plan has no more. What will begin again under its name is not said to be deleted.
func (m *Machine) end(now clock.Mono, old []*Instance, p Plan) {
	for _, i := range old {
		if slices.Contains(m.instances, i) {
			continue
		}
		last := Deleted
		if slices.ContainsFunc(p.Instances, func(c Config) bool { return c.Name == i.cfg.Name }) {
			last = Stop
		}
		i.stop(now, last, false)
	}
	for _, g := range m.groups {
		if !slices.ContainsFunc(p.Groups, func(c GroupConfig) bool { return c.Name == g.cfg.Name }) {
			g.prev = g.state
			g.notice(m, now, Deleted)
		}
	}
}

// regroup makes the groups of the plan. One that was there keeps its state.
func (m *Machine) regroup() {
	old := m.groups
	m.groups = nil
	for _, i := range m.instances {
		i.group = nil
	}
	for n := range m.plan.Groups {
		g := &group{m: m, cfg: &m.plan.Groups[n]}
		for _, name := range g.cfg.Members {
			i := m.instance(name)
			g.members, i.group = append(g.members, i), g
		}
		if at := slices.IndexFunc(old, func(o *group) bool { return o.cfg.Name == g.cfg.Name }); at >= 0 {
			g.state, g.prev = old[at].state, old[at].prev
		}
		m.groups = append(m.groups, g)
	}
}

func newInstance(m *Machine, c *Config) *Instance {
	i := &Instance{m: m, cfg: c, deadline: never, masterInterval: c.Interval}
	i.setPaths()
	i.advert.Addrs = make([]netip.Addr, 0, MaxAddrs)
	return i
}

// start begins with instances, all of them up to the same point before any goes on, as keepalived does.
func (m *Machine) start(now clock.Mono, fresh []*Instance) {
	for _, i := range fresh {
		i.down, i.unknown = len(i.faults()) > 0, i.undecided()
		i.total, i.priority = i.weighed(), i.cfg.Priority
		for _, f := range i.faults() {
			i.logf("(%s): entering FAULT state (%s)", i.cfg.Name, f)
		}
		if i.down && i.group != nil && i.group.state != Fault {
			i.logf("VRRP_Group(%s): Syncing %s to FAULT state", i.group.cfg.Name, i.cfg.Name)
			i.group.enter(Fault)
		}
		i.setPriority(now)
	}
	for _, i := range fresh {
		if i.down {
			i.logf("(%s) entering FAULT state", i.cfg.Name)
		}
	}
	for _, i := range fresh {
		if i.cfg.Priority != PriorityOwner { // whose addresses they are
			i.unsetAll()
		}
	}
	m.startGroups(now, fresh)
	for _, i := range fresh {
		i.begin(now)
	}
}

// startGroups puts the groups of new instances into their first state.
func (m *Machine) startGroups(now clock.Mono, fresh []*Instance) {
	for _, g := range m.groups {
		if !slices.ContainsFunc(g.members, func(i *Instance) bool { return slices.Contains(fresh, i) }) {
			continue
		}
		switch {
		case g.state == Fault:
			g.notice(m, now, Fault)
		case !g.held() && g.state == Init:
			g.enter(Backup)
			g.notice(m, now, Backup)
		}
	}
}

// begin is section 6.4.1 of RFC 9568, but that all listen first who are not the owner of the addresses.
func (i *Instance) begin(now clock.Mono) {
	waits := i.unknown || i.group != nil && i.group.held()
	switch {
	case i.down || waits && i.group != nil && i.group.state == Fault:
		i.state, i.want = Fault, Fault
	case waits:
		i.state, i.want = Init, Backup
		return
	case i.cfg.Priority == PriorityOwner && (i.group == nil || i.group.allOwners()):
		i.state, i.want = Backup, Master
		i.downInterval, i.deadline = 0, i.m.from(now, 0)
		return
	default:
		i.logf("(%s) Entering BACKUP STATE (init)", i.cfg.Name)
		i.state, i.want = Backup, Backup
		i.restartDown(now, i.downTime())
	}
	i.lastTransition = now
	i.notice(now, Init, i.why())
}

// reconfigured goes on with other settings.
func (i *Instance) reconfigured(now clock.Mono, old *Config) {
	i.setPaths()
	i.take(now, old)
	if i.state != Backup {
		i.masterInterval = i.cfg.Interval
	} else if i.masterInterval == old.Interval {
		i.masterInterval = i.cfg.Interval
		i.restartDown(now, i.downTime())
	}
	if i.state == Master {
		i.deadline = min(i.deadline, now.Add(i.cfg.Interval))
	}
	if i.cfg.PreemptDelay == 0 {
		i.preemptAt = 0
	}
	i.logged = 0
}

// setPaths derives the paths from the configuration.
func (i *Instance) setPaths() {
	i.paths = i.cfg.Paths()
	i.sources, i.heard, i.quiet = make([]Source, len(i.paths)), make([]clock.Mono, len(i.paths)), make([]bool, len(i.paths))
	for n := range i.paths {
		i.sources[n] = i.m.sourceOf(&i.paths[n])
	}
}

// resource looks at the sources again after a link changed, and reports whether any did.
func (i *Instance) resource(link string) (changed bool) {
	for n := range i.paths {
		if p := &i.paths[n]; p.Link == link || p.Base == link {
			s := i.m.sourceOf(p)
			changed = changed || s != i.sources[n]
			i.sources[n] = s
		}
	}
	return changed
}

// sourceOf finds the address that adverts of a path leave from: the configured one, or the first of the link that is
// not a virtual address.
func (m *Machine) sourceOf(p *Path) Source {
	link := p.Link
	if p.Base != "" {
		link = p.Base
	}
	l := m.links[link]
	if p.Source.IsValid() {
		return Source{Addr: p.Source, Missing: link != "" && !slices.Contains(l.Addrs, p.Source)}
	}
	return Source{Addr: m.firstOf(&l, p.IPv6)}
}

// virtual reports whether an address is one of some instance that does not own it.
func (m *Machine) virtual(a netip.Addr) bool {
	is := func(v Address) bool { return v.Prefix.Addr() == a }
	for n := range m.plan.Instances {
		c := &m.plan.Instances[n]
		if c.Priority == PriorityOwner {
			continue
		}
		if slices.ContainsFunc(c.Addresses, is) || slices.ContainsFunc(c.Excluded, is) {
			return true
		}
	}
	return false
}

// settle makes instances agree with what a reload gave them, or took from them: weights and groups.
func (m *Machine) settle(now clock.Mono) {
	for _, i := range m.instances {
		i.reconsider(now)
	}
	for _, g := range m.groups {
		g.settle(now)
	}
	for _, i := range m.instances {
		if (i.state == Fault || i.state == Init) && !i.down && !i.unknown {
			i.comeUp(now)
		}
	}
}
