package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dirsw/config"
)

// Finding is something that two directors of a pair do not agree about.
type Finding struct {
	// Wrong says that the pair does not work: two masters, or none that serves. Else it works, otherwise than one may expect.
	Wrong bool
	Pos   config.Pos // in the first configuration; zero: the whole of it
	Peer  config.Pos // in the second one
	Text  string
	Fix   string
}

// String returns "error a.conf:3:1: TEXT (b.conf:4:1); FIX", or "note …".
func (f Finding) String() string {
	s := "note"
	if f.Wrong {
		s = "error"
	}
	s += fmt.Sprintf(" %v: %s", f.Pos, f.Text)
	if f.Peer != (config.Pos{}) {
		s += fmt.Sprintf(" (%v)", f.Peer)
	}
	if f.Fix != "" {
		s += "; " + f.Fix
	}
	return s
}

// Peers compares the configurations of two directors that are to be master and backup of each other. What differs and
// must not, and what is the same and must not be, is told in the order of the first configuration.
func Peers(a, b *config.Model) []Finding {
	c := &comparer{a: a, b: b}
	c.names()
	c.instances()
	c.groups()
	c.services()
	c.rest()
	return c.out
}

type comparer struct {
	a, b *config.Model
	out  []Finding
}

func (c *comparer) wrong(pos, peer config.Pos, fix, format string, args ...any) {
	c.out = append(c.out, Finding{Wrong: true, Pos: pos, Peer: peer, Text: fmt.Sprintf(format, args...), Fix: fix})
}

func (c *comparer) note(pos, peer config.Pos, fix, format string, args ...any) {
	c.out = append(c.out, Finding{Pos: pos, Peer: peer, Text: fmt.Sprintf(format, args...), Fix: fix})
}

// names compares what tells the directors apart.
func (c *comparer) names() {
	if a, b := c.a.Globals.RouterID, c.b.Globals.RouterID; a != "" && a == b {
		c.note(config.Pos{}, config.Pos{}, "give each a router_id of its own", "both directors are called %q in mails and logs", a)
	}
}

// partner finds the instance of the peer with that virtual router, or with that name if no other has it.
func partner(in *config.Instance, list []config.Instance) *config.Instance {
	var named *config.Instance
	for i := range list {
		p := &list[i]
		if p.RouterID == in.RouterID && p.Is6() == in.Is6() && p.Name == in.Name {
			return p
		}
		if p.Name == in.Name {
			named = p
		}
	}
	for i := range list {
		if p := &list[i]; named == nil && p.RouterID == in.RouterID && p.Is6() == in.Is6() {
			return p
		}
	}
	return named
}

func (c *comparer) instances() {
	met := map[*config.Instance]bool{}
	for i := range c.a.Instances {
		in := &c.a.Instances[i]
		p := partner(in, c.b.Instances)
		if p == nil {
			c.wrong(in.Pos, config.Pos{}, "write it there, too", "the peer has no vrrp_instance %q with virtual_router_id %d: its addresses are not taken over",
				in.Name, in.RouterID)
			continue
		}
		if met[p] {
			c.wrong(in.Pos, p.Pos, "give each its own virtual_router_id", "two instances here stand for %q of the peer", p.Name)
			continue
		}
		met[p] = true
		pair{comparer: c, a: in, b: p}.compare()
	}
	for i := range c.b.Instances {
		if p := &c.b.Instances[i]; !met[p] && partner(p, c.a.Instances) == nil {
			c.wrong(config.Pos{}, p.Pos, "write it here, too", "the peer's vrrp_instance %q with virtual_router_id %d is not here: its addresses are not taken over",
				p.Name, p.RouterID)
		}
	}
}

// groups compares which instances change their state together.
func (c *comparer) groups() {
	members := func(m *config.Model) map[string]string {
		out := map[string]string{} // instance -> its group's members
		for _, g := range m.VRRP.Groups {
			names := make([]string, len(g.Instances))
			for i, r := range g.Instances {
				names[i] = r.Name
			}
			slices.Sort(names)
			for _, n := range names {
				out[n] = strings.Join(names, " ")
			}
		}
		return out
	}
	theirs := members(c.b)
	for _, g := range c.a.VRRP.Groups {
		names := make([]string, len(g.Instances))
		for i, r := range g.Instances {
			names[i] = r.Name
		}
		slices.Sort(names)
		for _, n := range names {
			if have := theirs[n]; have != strings.Join(names, " ") {
				c.wrong(g.Pos, config.Pos{}, "write the same vrrp_sync_group there", "the members of the group %q change together here (%s), and not so at the peer",
					g.Name, strings.Join(names, " "))
				break
			}
		}
	}
	ours := members(c.a)
	for _, g := range c.b.VRRP.Groups {
		for _, r := range g.Instances {
			if ours[r.Name] == "" && c.has(r.Name) {
				c.wrong(config.Pos{}, g.Pos, "write the same vrrp_sync_group here", "the instance %q is in the group %q of the peer, and in none here", r.Name, g.Name)
			}
		}
	}
}

// has reports whether the first configuration has an instance of that name.
func (c *comparer) has(name string) bool {
	return slices.ContainsFunc(c.a.Instances, func(in config.Instance) bool { return in.Name == name })
}

// services compares what is forwarded: it works with differences, but otherwise after a takeover than before.
func (c *comparer) services() {
	theirs := map[config.ServiceKey]*config.Service{}
	for i := range c.b.Services {
		theirs[c.b.Services[i].Key()] = &c.b.Services[i]
	}
	for i := range c.a.Services {
		s := &c.a.Services[i]
		p := theirs[s.Key()]
		if p == nil {
			c.wrong(s.Pos, config.Pos{}, "write it there, too", "the peer does not serve %s", s.Key())
			continue
		}
		delete(theirs, s.Key())
		c.service(s, p)
	}
	for _, k := range slices.SortedFunc(maps.Keys(theirs), func(a, b config.ServiceKey) int { return strings.Compare(a.String(), b.String()) }) {
		c.wrong(config.Pos{}, theirs[k].Pos, "write it here, too", "%s is served by the peer only", k)
	}
}

// service compares a virtual server in both.
func (c *comparer) service(s, p *config.Service) {
	for _, d := range []struct {
		name         string
		ours, theirs any
	}{
		{"lvs_sched", s.Scheduler, p.Scheduler},
		{"the scheduler's flags are", strings.Join(s.SchedFlags, " "), strings.Join(p.SchedFlags, " ")},
		{"persistence_timeout", s.Persistence, p.Persistence},
		{"persistence_granularity", s.Granularity, p.Granularity},
		{"persistence_engine", s.Engine, p.Engine},
		{"ops", s.OnePacket, p.OnePacket},
		{"quorum", max(s.Quorum, 1), max(p.Quorum, 1)},
	} {
		if d.ours != d.theirs {
			c.note(s.Pos, p.Pos, "write the same in both", "%s %v of %s, and %v at the peer", d.name, orNone(d.ours), s.Key(), orNone(d.theirs))
		}
	}
	theirs := map[config.RealKey]*config.Real{}
	for i := range p.Reals {
		theirs[p.Reals[i].Key()] = &p.Reals[i]
	}
	for i := range s.Reals {
		r := &s.Reals[i]
		o := theirs[r.Key()]
		switch {
		case o == nil:
			c.note(r.Pos, p.Pos, "write it there, too", "the peer has no real server %s of %s", r.Key(), s.Key())
		case o.Method != r.Method || o.Tunnel != r.Tunnel:
			c.wrong(r.Pos, o.Pos, "write the same in both", "%s of %s is reached by %s, and by %s from the peer", r.Key(), s.Key(), r.Method, o.Method)
		case o.Weight != r.Weight:
			c.note(r.Pos, o.Pos, "write the same in both", "weight %d of %s of %s, and %d at the peer", r.Weight, r.Key(), s.Key(), o.Weight)
		}
		delete(theirs, r.Key())
	}
	for i := range p.Reals {
		if r := &p.Reals[i]; theirs[r.Key()] != nil {
			c.note(s.Pos, r.Pos, "write it here, too", "only the peer has the real server %s of %s", r.Key(), s.Key())
		}
	}
}

// orNone shows a value, an empty one as a word.
func orNone(v any) any {
	if v == "" {
		return "none"
	}
	return v
}

// rest compares what is said for the whole.
func (c *comparer) rest() {
	a, b := c.a.Globals.Sync, c.b.Globals.Sync
	switch {
	case (a == nil) != (b == nil):
		c.note(config.Pos{}, config.Pos{}, "write it in both", "only one of the two has lvs_sync_daemon: connections are lost when the other takes over")
	case a != nil:
		c.sync(master(c.a), master(c.b))
	}
	if x, y := c.a.Globals.Timeouts.OrDefault(), c.b.Globals.Timeouts.OrDefault(); x != y {
		c.note(config.Pos{}, config.Pos{}, "write the same in both", "lvs_timeouts %v %v %v, and %v %v %v at the peer", x.TCP, x.TCPFin, x.UDP, y.TCP, y.TCPFin, y.UDP)
	}
	if len(c.a.Marks.IPv4.Chains)+len(c.a.Marks.IPv6.Chains) > 0 || len(c.b.Marks.IPv4.Chains)+len(c.b.Marks.IPv6.Chains) > 0 {
		old, new := &config.Model{Marks: c.a.Marks}, &config.Model{Marks: c.b.Marks}
		if d := config.Diff(old, new); len(d) > 0 {
			c.note(config.Pos{}, config.Pos{}, "write the same rules in both", "the rules that give firewall marks differ; first: %v", d[0])
		}
	}
}

// master is the daemon of lvs_sync_daemon while its instance is master.
func master(m *config.Model) config.SyncDaemon {
	alone := config.Model{Instances: m.Instances, Globals: m.Globals}
	return alone.SyncDaemons(func(string) bool { return true }, func(string) int { return 0 })[0]
}

// sync compares whether the lvs_sync_daemon of the two hear each other.
func (c *comparer) sync(a, b config.SyncDaemon) {
	here, there := c.a.Globals.Sync.Pos, c.b.Globals.Sync.Pos
	const what = "the lvs_sync_daemon of the two do not hear each other: "
	switch {
	case a.SyncID != b.SyncID:
		c.wrong(here, there, "write the same id in both", what+"id %d, and %d at the peer", a.SyncID, b.SyncID)
	case a.Group != b.Group:
		c.wrong(here, there, "write the same group in both", what+"group %v, and %v at the peer", a.Group, b.Group)
	case a.Port != b.Port:
		c.wrong(here, there, "write the same port in both", what+"port %d, and %d at the peer", a.Port, b.Port)
	}
	if x, y := c.a.Globals.Sync.MaxLen, c.b.Globals.Sync.MaxLen; x != y {
		c.wrong(here, there, "write the same maxlen in both, or none", "lvs_sync_daemon has the maxlen %d, and %d at the peer (0: the "+
			"default): messages that are longer than the other's are lost", x, y)
	}
	if x, y := c.a.Dataplane.Sysctl("sync_ports"), c.b.Dataplane.Sysctl("sync_ports"); x != y {
		c.wrong(here, there, "give sysctl sync_ports the same value in both", "connections are told of by %s ports, and by %s at the peer", x, y)
	}
}
