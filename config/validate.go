package config

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// MaxTimeout is the longest timeout of connections and of persistence: 31 days, as ipvsadm has it.
const MaxTimeout = 31 * 24 * time.Hour

// Validate reports everything that is wrong with the Model, as an Errors sorted by position; nil means that all of it
// can be served. schedulers are the names of those that exist.
func (m *Model) Validate(schedulers []string) error {
	v := &validator{schedulers: schedulers}
	v.dataplane(&m.Dataplane)
	v.steer(m)
	v.timeouts(m.Globals.Timeouts)
	v.vrrp(m)
	v.services(m.Services)
	v.references(m)
	v.marks(&m.Marks)
	return v.errs.Or()
}

type validator struct {
	schedulers []string
	errs       Errors
}

func (v *validator) fail(pos Pos, fix, format string, args ...any) {
	v.errs = append(v.errs, Error{Pos: pos, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// at says where an earlier entry stands, if it stands in a file.
func at(p Pos) string {
	if p == (Pos{}) {
		return ""
	}
	return fmt.Sprintf(" (the first is in line %d)", p.Line)
}

// maxAccelerate is what package xsk has room for.
const maxAccelerate = 1 << 24

// maxCoalesce is in microseconds: what a client would not notice yet.
const maxCoalesce = 10000

func (v *validator) dataplane(d *Dataplane) {
	for i, name := range d.Interfaces {
		if slices.Contains(d.Interfaces[:i], name) {
			v.fail(d.Pos, "name it once", "interface %q is named twice in dataplane", name)
		}
	}
	for i, c := range d.Cores {
		if slices.Contains(d.Cores[:i], c) {
			v.fail(d.Pos, "give each worker a core of its own", "core %d is named twice in dataplane", c)
		}
		if c < 0 {
			v.fail(d.Pos, "count cores from 0", "core %d in dataplane", c)
		}
	}
	switch n := len(d.Cores); {
	case d.Queues > 0 && n > d.Queues:
		v.fail(d.Pos, fmt.Sprintf("name %d cores, or write `cores auto`", d.Queues), "%d cores for %d queues in dataplane", n, d.Queues)
	case n > 0 && d.Workers > 0 && n != d.Workers:
		v.fail(d.Pos, "name one core for each worker, or leave `workers` out", "%d cores for %d workers in dataplane", n, d.Workers)
	case d.Queues > 0 && d.Workers > d.Queues:
		v.fail(d.Pos, "have at most as many workers as queues", "%d workers for %d queues in dataplane", d.Workers, d.Queues)
	}
	if d.Mode == ModeGeneric && d.ZeroCopy == ZeroCopyOn {
		v.fail(d.Pos, "write `zero_copy auto`, or `mode native`", "generic mode copies every frame, and zero_copy is on")
	}
	if d.Queues < 0 {
		v.fail(d.Pos, "write `queues all` or a number", "%d queues in dataplane", d.Queues)
	}
	if d.Connections < 0 {
		v.fail(d.Pos, "leave it out for the default", "room for %d connections in dataplane", d.Connections)
	}
	if d.Accelerate < 0 || d.Accelerate > maxAccelerate {
		v.fail(d.Pos, "write `accelerate on`, or a number up to 16777216", "%d connections to accelerate in dataplane", d.Accelerate)
	}
	if d.Coalesce < NoCoalesce || d.Coalesce > maxCoalesce {
		v.fail(d.Pos, "write `coalesce auto`, `coalesce off` or a number up to 10000", "%d microseconds to coalesce in dataplane", d.Coalesce)
	}
	if d.Accelerate > 0 && d.Mode == ModeGeneric {
		v.fail(d.Pos, "write `mode auto`, or leave `accelerate` out", "generic mode has no accelerator")
	}
	v.sysctls(d.Sysctls)
}

// steer refuses steering by ports where packets with other ports, or without any, belong to a connection: then only the
// client's address leads them all to one worker.
func (v *validator) steer(m *Model) {
	if m.Dataplane.Steer != SteerFlow {
		return
	}
	const fix = "write `steer client` in dataplane"
	for i := range m.Services {
		s := &m.Services[i]
		if s.Persistence > 0 {
			v.fail(s.Pos, fix, "%s is persistent and dataplane says `steer flow`: connections of one client would not know of each other",
				s.Key())
			continue
		}
		reals := s.Reals
		if s.SorryServer != nil {
			reals = append(slices.Clip(reals), *s.SorryServer)
		}
		if k := slices.IndexFunc(reals, func(r Real) bool { return r.Method == NAT }); k >= 0 {
			v.fail(s.Pos, fix, "%s reaches %s by NAT and dataplane says `steer flow`: fragments and data connections would not find "+
				"their connection", s.Key(), reals[k].Key())
		}
	}
}

func (v *validator) timeouts(t Timeouts) {
	for _, e := range []struct {
		name string
		d    time.Duration
	}{{"tcp", t.TCP}, {"tcpfin", t.TCPFin}, {"udp", t.UDP}} {
		if e.d < 0 || e.d > MaxTimeout {
			v.fail(Pos{}, "write 0 to 2678400 seconds", "the %s timeout %s is out of range", e.name, e.d)
		}
	}
}

func (v *validator) services(list []Service) {
	// What members of a group have in common is told once for each kind of packets that they take.
	type kind struct {
		group     Group
		six, mark bool
	}
	first, told := map[ServiceKey]Pos{}, map[kind]bool{}
	for i := range list {
		s := &list[i]
		if p, ok := first[s.Key()]; ok {
			v.fail(s.Pos, "merge the two", "the virtual server %s is there twice%s", s.Key(), at(p))
		} else {
			first[s.Key()] = s.Pos
		}
		k := kind{s.Group, s.Key().Is6(), s.Mark != 0}
		if told[k] && s.Group.Name != "" {
			v.selector(s)
			continue
		}
		told[k] = true
		v.service(s)
	}
}

func (v *validator) service(s *Service) {
	v.selector(s)
	v.scheduler(s)
	v.persistence(s)
	if s.OnePacket && s.Mark == 0 && s.Proto != UDP {
		v.fail(s.Pos, "remove ops, or write `protocol UDP`", "one-packet scheduling (ops) of %s: it is for UDP only", s.Key())
	}
	if s.Quorum < 0 {
		v.fail(s.Pos, "write 1 or more", "quorum %d of %s", s.Quorum, s.Key())
	}
	if s.Hysteresis < 0 || s.Hysteresis >= max(s.Quorum, 1) && s.Hysteresis > 0 {
		v.fail(s.Pos, "write less than the quorum", "hysteresis %d of %s, whose quorum is %d", s.Hysteresis, s.Key(), max(s.Quorum, 1))
	}
	first := map[RealKey]Pos{}
	for i := range s.Reals {
		r := &s.Reals[i]
		if p, ok := first[r.Key()]; ok {
			v.fail(r.Pos, "remove one, or give it more weight", "the real server %s is there twice in %s%s", r.Key(), s.Key(), at(p))
		} else {
			first[r.Key()] = r.Pos
		}
		v.real(s, r, "real server")
	}
	if s.SorryServer != nil {
		v.real(s, s.SorryServer, "sorry server")
	}
}

// references checks that what the health checks name is there.
func (v *validator) references(m *Model) {
	files, sessions := map[string]bool{}, map[string]*BFD{}
	for i := range m.VRRP.Files {
		files[m.VRRP.Files[i].Name] = true
	}
	for i := range m.VRRP.BFDs {
		sessions[m.VRRP.BFDs[i].Name] = &m.VRRP.BFDs[i]
	}
	told := map[Pos]bool{} // a check of a group is in many services
	for i := range m.Services {
		for k := range m.Services[i].Reals {
			for j := range m.Services[i].Reals[k].Checks {
				c := &m.Services[i].Reals[k].Checks[j]
				if c.File == nil && c.BFD == nil || told[c.Pos] && c.Pos != (Pos{}) {
					continue
				}
				told[c.Pos] = true
				v.reference(c, files, sessions)
			}
		}
	}
}

func (v *validator) reference(c *Check, files map[string]bool, sessions map[string]*BFD) {
	if c.File != nil && !files[c.File.TrackFile] {
		v.fail(c.Pos, suggest(c.File.TrackFile, maps.Keys(files), "write a track_file block of that name"), "there is no track_file %q", c.File.TrackFile)
	}
	if c.BFD == nil {
		return
	}
	switch s := sessions[c.BFD.Name]; {
	case s == nil:
		v.fail(c.Pos, suggest(c.BFD.Name, maps.Keys(sessions), "write a bfd_instance of that name"), "there is no bfd_instance %q", c.BFD.Name)
	case s.NoChecker:
		v.fail(c.Pos, "remove `vrrp` from it, or write `checker` too", "the bfd_instance %q is for VRRP only", c.BFD.Name)
	}
}

// suggest returns what to write instead of a name that is not known.
func suggest(name string, known iter.Seq[string], otherwise string) string {
	if near := Nearest(name, known); near != "" {
		return "write " + near
	}
	return otherwise
}

// selector checks what packets the service is for.
func (v *validator) selector(s *Service) {
	if s.Mark != 0 {
		if s.Addr.IsValid() || s.Port != 0 || s.Proto != 0 {
			v.fail(s.Pos, "give it one of them", "a virtual server with both a firewall mark (%d) and an address", s.Mark)
		}
		return
	}
	switch {
	case !s.Addr.IsValid():
		v.fail(s.Pos, "write ADDRESS PORT or fwmark NUMBER", "a virtual server without address")
	case s.Addr.IsMulticast(), s.Addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		v.fail(s.Pos, "write a unicast address", "the address of %s is not one of a host", s.Key())
	}
	if s.Proto != TCP && s.Proto != UDP && s.Proto != SCTP {
		v.fail(s.Pos, "write TCP, UDP or SCTP", "the virtual server %s has no protocol that is served", s.Key())
	}
	if s.Port == 0 && s.Persistence == 0 {
		v.fail(s.Pos, "write its port, or a persistence_timeout", "port 0 of %s: a service for all ports must be persistent", s.Key())
	}
}

func (v *validator) scheduler(s *Service) {
	pos := s.SchedPos
	if pos == (Pos{}) {
		pos = s.Pos
	}
	if !slices.Contains(v.schedulers, s.Scheduler) {
		fix := "write one of " + strings.Join(v.schedulers, " ")
		if near := Nearest(s.Scheduler, slices.Values(v.schedulers)); near != "" {
			fix = "write " + near
		}
		v.fail(pos, fix, "unknown scheduler %q of %s", s.Scheduler, s.Key())
	}
	for _, f := range s.SchedFlags {
		switch owner, _, _ := strings.Cut(f, "-"); f {
		case "flag-1", "flag-2", "flag-3":
		case "sh-fallback", "sh-port", "mh-fallback", "mh-port":
			if owner != s.Scheduler {
				v.fail(pos, "remove it, or write the scheduler "+owner, "the flag %s of %s is not one of the scheduler %s", f, s.Key(), s.Scheduler)
			}
		default:
			v.fail(pos, "write flag-1, flag-2, flag-3, sh-port, sh-fallback, mh-port or mh-fallback", "unknown scheduler flag %q of %s", f, s.Key())
		}
	}
}

func (v *validator) persistence(s *Service) {
	if s.Persistence < 0 || s.Persistence > MaxTimeout || s.Persistence%time.Second != 0 {
		v.fail(s.Pos, "write 1 to 2678400 whole seconds", "the persistence %s of %s", s.Persistence, s.Key())
	}
	most := 32
	if s.Key().Is6() {
		most = 128
	}
	if s.Granularity < 0 || s.Granularity > most {
		v.fail(s.Pos, fmt.Sprintf("write 1 to %d", most), "a persistence mask of %d bits for %s", s.Granularity, s.Key())
	}
	if s.Netmask.IsValid() && s.Persistence > 0 {
		v.fail(s.Pos, "write the mask of a network, like 255.255.255.0", "the persistence mask %s of %s is not served", s.Netmask, s.Key())
	}
	if s.Engine != "" && s.Engine != "sip" {
		v.fail(s.Pos, "write sip", "unknown persistence engine %q of %s", s.Engine, s.Key())
	}
}

func (v *validator) real(s *Service, r *Real, what string) {
	if !r.Addr.IsValid() {
		v.fail(r.Pos, "write its address", "a %s of %s without address", what, s.Key())
		return
	}
	if r.Addr.IsMulticast() || r.Addr.IsUnspecified() {
		v.fail(r.Pos, "write a unicast address", "the address of the %s %s of %s is not one of a host", what, r.Key(), s.Key())
	}
	if r.Addr.Is6() != s.Key().Is6() && r.Method != TUN {
		v.fail(r.Pos, "use addresses of one family, or the method TUN", "the %s %s is of another address family than %s", what, r.Key(), s.Key())
	}
	if s.Mark == 0 && r.Method != NAT && r.Port != s.Port {
		v.fail(r.Pos, fmt.Sprintf("write port %d, or the method NAT", s.Port), "port %d of the %s %s: %s leaves the port %d of the service alone",
			r.Port, what, r.Addr, r.Method, s.Port)
	}
	if r.Weight < 0 || r.Weight > math.MaxInt32 {
		v.fail(r.Pos, "write 0 to 2147483647", "the weight %d of %s", r.Weight, r.Key())
	}
	if r.Lower > r.Upper {
		v.fail(r.Pos, "write less than the upper one", "the lower threshold %d of %s is above the upper one, %d", r.Lower, r.Key(), r.Upper)
	}
	if r.Method == TUN && r.Tunnel.Type == GUE && r.Tunnel.Port == 0 {
		v.fail(r.Pos, "write the port of the tunnel", "the GUE tunnel to %s has no port", r.Key())
	}
}
