package vrrp

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"dirsw/clock"
)

// never is a deadline that does not come.
const never = clock.Mono(math.MaxInt64)

// Machine is the instances of one director with their groups, and what they depend on. It is pure: everything that
// happens is an argument, everything that it wants done is a returned Effect. One goroutine uses it. The effects that
// a method returns are valid until the next call of any method.
type Machine struct {
	instances []*Instance // in the order of the plan
	groups    []*group
	links     map[string]LinkState
	tracks    map[trackKey]TrackState
	waning    map[string]waning // links that went down or came up and are not believed yet
	pacers    []*pacer
	plan      Plan
	applied   bool       // the first plan was
	startAt   clock.Mono // nothing is sent or believed before
	out       []Effect
}

// waning is a link that will count as down, or as up.
type waning struct {
	state LinkState
	at    clock.Mono
}

type trackKey struct {
	kind TrackKind
	name string
}

// NewMachine returns a machine without instances.
func NewMachine() *Machine {
	return &Machine{links: map[string]LinkState{}, tracks: map[trackKey]TrackState{}, waning: map[string]waning{}}
}

// Instances returns the instances in the order of the plan.
func (m *Machine) Instances() []*Instance { return m.instances }

// Next is when a timer of the machine falls due; a time far in the future if none runs.
func (m *Machine) Next() clock.Mono {
	next := never
	for _, i := range m.instances {
		next = min(next, i.Next())
	}
	for _, p := range m.pacers {
		next = min(next, p.next())
	}
	for _, w := range m.waning {
		next = min(next, w.at)
	}
	return next
}

// Timers runs what has fallen due, in the order of the times.
func (m *Machine) Timers(now clock.Mono) []Effect {
	m.out = m.out[:0]
	for {
		var first *Instance
		at := never
		for _, i := range m.instances {
			if n := i.Next(); n < at {
				first, at = i, n
			}
		}
		if first == nil || at > now {
			break
		}
		first.timer(now)
	}
	for _, p := range m.pacers {
		p.run(m, now)
	}
	for _, name := range slices.Sorted(maps.Keys(m.waning)) {
		if w := m.waning[name]; w.at <= now {
			delete(m.waning, name)
			m.setLink(now, w.state)
		}
	}
	return m.out
}

// Link takes the news that a link is up or down, or has other addresses. One that is not there is down.
func (m *Machine) Link(now clock.Mono, l LinkState) []Effect {
	m.out = m.out[:0]
	old, known := m.links[l.Name]
	if d := m.debounce(l.Name, l.Up); d > 0 && known && old.Up != l.Up {
		w, waits := m.waning[l.Name]
		if !waits {
			w.at = now.Add(d)
		}
		m.waning[l.Name] = waning{l, w.at}
		return nil
	}
	delete(m.waning, l.Name)
	m.setLink(now, l)
	return m.out
}

// setLink believes what is known of a link.
func (m *Machine) setLink(now clock.Mono, l LinkState) {
	old, known := m.links[l.Name]
	m.links[l.Name] = l
	if known && m.uses(l.Name) {
		if old.Up != l.Up {
			m.logf(nil, "Netlink reports %s %s", l.Name, upWord(l.Up))
		}
		m.logAddress(&old, &l, false)
		m.logAddress(&old, &l, true)
	}
	for _, i := range m.instances {
		if i.resource(l.Name) || i.dependsOn(l.Name) {
			i.reconsider(now)
		}
		if known && l.Up && !old.Up && i.state == Master && i.vipset {
			i.set("", i.cfg.Routes) // the kernel has dropped those by a link that went down
		}
	}
}

// logAddress tells that a link has another first address of a family, or none any more.
func (m *Machine) logAddress(old, l *LinkState, v6 bool) {
	before, after := m.firstOf(old, v6), m.firstOf(l, v6)
	switch {
	case before == after:
	case after.IsValid():
		m.logf(nil, "Assigned address %v for interface %s", after, l.Name)
	default:
		m.logf(nil, "Deassigned address %v from interface %s", before, l.Name)
	}
}

// firstOf is the first address of a link that can be the source of adverts.
func (m *Machine) firstOf(l *LinkState, v6 bool) netip.Addr {
	for _, a := range l.Addrs {
		if a.Is6() == v6 && (!v6 || a.IsLinkLocalUnicast()) && !m.virtual(a) {
			return a
		}
	}
	return netip.Addr{}
}

// debounce is how long a link is up, or down, before that counts.
func (m *Machine) debounce(link string, up bool) (d time.Duration) {
	for _, i := range m.instances {
		switch {
		case !slices.Contains(i.ownLinks(), link):
		case up:
			d = max(d, i.cfg.DebounceUp)
		default:
			d = max(d, i.cfg.Debounce)
		}
	}
	return d
}

// Track takes the news of a tracked thing.
func (m *Machine) Track(now clock.Mono, kind TrackKind, name string, s TrackState) []Effect {
	m.out = m.out[:0]
	key := trackKey{kind, name}
	if m.tracks[key] == s {
		return nil
	}
	old := m.tracks[key]
	m.tracks[key] = s
	for _, i := range m.instances {
		if i.tracks(key) {
			i.logTrack(key, old, s)
			if old.Up && !s.Up {
				i.masterLost(now, key)
			}
			i.reconsider(now)
		}
	}
	return m.out
}

// Farewell has masters say that they will stop. Until Leaving is false, or patience is over, they keep their addresses; then
// Stop is to be called.
func (m *Machine) Farewell(now clock.Mono) (effects []Effect, patience time.Duration) {
	m.out = m.out[:0]
	if m.plan.KeepVIPs {
		return nil, 0
	}
	for _, i := range m.instances {
		if i.farewell(now); i.leaving {
			// Backups wait for their skew time, less than an interval (RFC 9568, section 6.1).
			patience = max(patience, i.cfg.Interval+i.cfg.Interval/4)
		}
	}
	return m.out, min(patience, maxPatience)
}

// maxPatience bounds how long a stop takes when there is no backup.
const maxPatience = 3 * time.Second

// Leaving reports whether a master that said farewell has not heard of another one yet.
func (m *Machine) Leaving() bool {
	return slices.ContainsFunc(m.instances, func(i *Instance) bool { return i.leaving && !i.left })
}

// Stop ends everything: masters send priority 0 and give their addresses back.
func (m *Machine) Stop(now clock.Mono) []Effect {
	m.out = m.out[:0]
	for _, i := range m.instances {
		i.stop(now, Stop, m.plan.KeepVIPs)
	}
	for _, g := range m.groups {
		g.prev = g.state
		g.notice(m, now, Stop)
	}
	return m.out
}

// delayed reports whether the startup delay still runs.
func (m *Machine) delayed(now clock.Mono) bool { return now < m.startAt }

// uses reports whether any instance cares for a link.
func (m *Machine) uses(link string) bool {
	return slices.ContainsFunc(m.instances, func(i *Instance) bool { return i.dependsOn(link) })
}

// track returns what is known of a thing. Interfaces are known from Link; a BFD session is down until it is said to be up;
// any other thing of which nothing was heard is not known, which holds back those that depend on it without a weight.
func (m *Machine) track(t *Track) TrackState {
	s := m.tracks[trackKey{t.Kind, t.Name}]
	switch t.Kind {
	case TrackInterface:
		return TrackState{Known: true, Up: m.links[t.Name].Up}
	case TrackBFD:
		s.Known = true
	}
	return s
}

// instance finds an instance by name.
func (m *Machine) instance(name string) *Instance {
	for _, i := range m.instances {
		if i.cfg.Name == name {
			return i
		}
	}
	return nil
}

// State returns what listings show, with copies of everything that changes.
func (m *Machine) State() ([]InstanceState, []GroupState) {
	instances := make([]InstanceState, len(m.instances))
	for n, i := range m.instances {
		instances[n] = i.report()
	}
	groups := make([]GroupState, len(m.groups))
	for n, g := range m.groups {
		groups[n] = GroupState{Config: *g.cfg, State: g.state}
	}
	return instances, groups
}

// from adds d to now, or to the end of the startup delay if that is later.
func (m *Machine) from(now clock.Mono, d time.Duration) clock.Mono { return max(now, m.startAt).Add(d) }

func upWord(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
