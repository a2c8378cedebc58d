package ipvsadm

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"dirsw/config"
)

// Apply changes m as the kernel would change its table, and returns the kernel's error (ErrNoService and the like) without
// a change where it would refuse. Commands that change nothing in a Model (-L, -S, -h, -v, and -R, whose lines are
// commands themselves) do nothing; -Z looks whether its service is there. What -A and -a make is marked as made by a command. m changes in place: who keeps the Model as it
// was, or wants all of several commands or none, applies them to its Clone.
func (c Command) Apply(m *config.Model) error {
	switch c.Op {
	case OpAddService:
		return c.addService(m)
	case OpEditService:
		return c.editService(m)
	case OpDeleteService:
		i := slices.IndexFunc(m.Services, func(s config.Service) bool { return s.Key() == c.Service.Key() })
		if i < 0 {
			return ErrNoService
		}
		m.Services = slices.Delete(m.Services, i, i+1)
	case OpClear:
		m.Services = nil
	case OpAddServer, OpEditServer, OpDeleteServer:
		s := m.Service(c.Service.Key())
		if s == nil {
			return ErrNotDefined
		}
		return c.server(m, s)
	case OpSetTimeouts:
		keep := func(to *time.Duration, d time.Duration) {
			if d != 0 {
				*to = d
			}
		}
		t := &m.Globals.Timeouts
		keep(&t.TCP, c.Timeouts.TCP)
		keep(&t.TCPFin, c.Timeouts.TCPFin)
		keep(&t.UDP, c.Timeouts.UDP)
	case OpZero:
		if c.HasService && m.Service(c.Service.Key()) == nil {
			return ErrNoService
		}
	case OpStartDaemon:
		return c.startDaemon(m)
	case OpStopDaemon:
		i := slices.IndexFunc(m.Daemons, func(d Daemon) bool { return d.Master == c.Daemon.Master })
		if i < 0 {
			return ErrNoDaemon
		}
		m.Daemons = slices.Delete(m.Daemons, i, i+1)
	}
	return nil
}

func (c Command) addService(m *config.Model) error {
	if m.Service(c.Service.Key()) != nil {
		return ErrServiceExists
	}
	if err := c.modules(); err != nil {
		return err
	}
	s := c.Service
	m.Births++
	s.Origin, s.Edited, s.Birth = config.FromCommand, c.Time, m.Births
	s.SchedFlags = slices.Clone(s.SchedFlags)
	m.Services = append(m.Services, s)
	return nil
}

// editService replaces all settings of a service, those that were not named by their defaults. Its real servers stay, and
// so does what keepalived.conf says about checking them.
func (c Command) editService(m *config.Model) error {
	s := m.Service(c.Service.Key())
	if s == nil {
		return ErrNoService
	}
	if err := c.modules(); err != nil {
		return err
	}
	n := c.Service
	s.Scheduler, s.SchedPos, s.SchedFlags = n.Scheduler, config.Pos{}, slices.Clone(n.SchedFlags)
	s.Persistence, s.Granularity, s.Netmask = n.Persistence, n.Granularity, n.Netmask
	s.Engine, s.OnePacket, s.Edited = n.Engine, n.OnePacket, c.Time
	return nil
}

// modules reports a scheduler or persistence engine that is not there.
func (c Command) modules() error {
	if c.Schedulers != nil && !slices.Contains(c.Schedulers, c.Service.Scheduler) {
		return ErrNoScheduler
	}
	if c.Service.Engine != "" && c.Service.Engine != "sip" {
		return ErrNoScheduler
	}
	return nil
}

// server carries out -a, -e and -d. -e replaces all settings, those that were not named by their defaults; what
// keepalived.conf says about checking the server stays.
func (c Command) server(m *config.Model, s *config.Service) error {
	r := s.Real(c.Real.Key())
	if c.Op != OpDeleteServer && mixed(s, &c.Real) && (len(m.Daemons) > 0 || m.Globals.Sync != nil) {
		return ErrInvalid // the synchronisation protocol has no room for two families
	}
	if c.Op == OpDeleteServer {
		if r == nil {
			return ErrNoDest
		}
		s.Reals = slices.DeleteFunc(s.Reals, func(r config.Real) bool { return r.Key() == c.Real.Key() })
		return nil
	}
	n := c.Real
	switch {
	case n.Weight < 0 || n.Weight > math.MaxInt32 || n.Lower > n.Upper:
		return ErrRange
	case c.Op == OpAddServer && r != nil:
		return ErrDestExists
	case c.Op == OpEditServer && r == nil:
		return ErrNoDest
	case !unicast(n.Addr):
		return ErrInvalid
	case r == nil:
		m.Births++
		n.Origin, n.Edited, n.Birth = config.FromCommand, c.Time, m.Births
		s.Reals = append(s.Reals, n)
		return nil
	}
	r.Weight, r.Method, r.Tunnel, r.Upper, r.Lower, r.Edited = n.Weight, n.Method, n.Tunnel, n.Upper, n.Lower, c.Time
	m.Births++
	r.Edits = m.Births
	return nil
}

// startDaemon notes a daemon with the length of messages that the kernel would choose.
func (c Command) startDaemon(m *config.Model) error {
	d, mtu := c.Daemon, 0
	for i := range m.Services {
		s := &m.Services[i]
		if slices.ContainsFunc(s.Reals, func(r config.Real) bool { return mixed(s, &r) }) {
			return ErrInvalid
		}
	}
	if c.Link != nil {
		n, ok := c.Link(d.Interface)
		if !ok {
			return ErrNoDevice
		}
		mtu = n
	}
	if m.Globals.Sync != nil || slices.ContainsFunc(m.Daemons, func(o Daemon) bool { return o.Master == d.Master }) {
		return ErrDaemonRuns
	}
	d.Fit(mtu)
	m.Daemons = append(m.Daemons, d)
	slices.SortStableFunc(m.Daemons, Daemon.Compare)
	return nil
}

// mixed reports whether a server has another address family than its service.
func mixed(s *config.Service, r *config.Real) bool { return r.Addr.Is6() != s.Key().Is6() }

// unicast reports whether an address can be that of a host.
func unicast(a netip.Addr) bool {
	if a.Is4() && (a.As4()[0] == 0 || a.As4() == [4]byte{255, 255, 255, 255}) {
		return false
	}
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast()
}
