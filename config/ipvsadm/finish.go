package ipvsadm

import (
	"fmt"
	"strings"
	"time"

	"dirsw/config"
)

// finish checks what only the whole command line shows, in ipvsadm's order.
func (p *parser) finish() *Error {
	c := &p.cmd
	if c.Op == OpSetTimeouts {
		if err := p.timeouts(); err != nil {
			return err
		}
	}
	if len(p.words) > 0 {
		return fail("unexpected argument " + p.words[0])
	}
	if err := p.netmask(); err != nil {
		return err
	}
	if err := p.schedFlags(); err != nil {
		return err
	}
	if err := commandRule(c.Op).check(p.given, 0, optCount, "'"+c.Op.String()+"' command"); err != nil {
		return err
	}
	switch c.Op {
	case OpList:
		return p.format()
	case OpAddService, OpEditService:
		return p.finishService()
	case OpAddServer, OpEditServer:
		return p.finishServer()
	case OpSave:
		c.Format = Format{View: ViewSave, Numeric: p.given.has(optNumeric)}
	}
	return nil
}

// timeouts takes the three values of --set.
func (p *parser) timeouts() *Error {
	if len(p.words) < 3 {
		return fail("--set option requires 3 timeout values")
	}
	t := &p.cmd.Timeouts
	for i, to := range []*time.Duration{&t.TCP, &t.TCPFin, &t.UDP} {
		d, err := timeout(p.words[i], 0)
		if err != nil {
			return err
		}
		*to = d
	}
	p.words = p.words[3:]
	return nil
}

// netmask reads the value of -M: for IPv4 a mask, of any bits, for IPv6 a prefix length.
func (p *parser) netmask() *Error {
	s := &p.cmd.Service
	if !p.given.has(optNetmask) {
		return nil
	}
	if s.Key().Is6() {
		n, ok := decimal(p.mask, 1, 128)
		if !ok {
			return fail("illegal ipv6 netmask specified")
		}
		s.Granularity = int(n) % 128
		return nil
	}
	a, ok := inetAton(p.mask)
	if !ok {
		return fail("illegal virtual server persistent mask specified")
	}
	b := a.As4()
	m := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := 0
	for n < 32 && m&(1<<(31-n)) != 0 {
		n++
	}
	switch {
	case n == 0 || m<<n != 0:
		s.Netmask = a
	case n < 32:
		s.Granularity = n
	}
	return nil
}

// schedFlags reads the value of -b.
func (p *parser) schedFlags() *Error {
	if p.flags == "" {
		return nil
	}
	s := &p.cmd.Service
	for name := range strings.SplitSeq(p.flags, ",") {
		owner, _, _ := strings.Cut(name, "-")
		switch name {
		case "flag-1", "flag-2", "flag-3":
		case "sh-fallback", "sh-port", "mh-fallback", "mh-port":
			if owner != s.Scheduler {
				return fail("incompatible scheduler flag `" + name + "'")
			}
		default:
			return fail("invalid scheduler flag `" + name + "'")
		}
		s.SchedFlags = append(s.SchedFlags, name)
	}
	return nil
}

// format makes the format of -L of the options that were given.
func (p *parser) format() *Error {
	given := p.given
	if given&set(optConnection, optTimeout, optDaemon) != 0 && given&set(optStats, optRate, optThresholds) != 0 ||
		given&set(optTimeout, optDaemon) != 0 && given.has(optPersistentConn) {
		return fail("options conflicts in the list command")
	}
	f := Format{Numeric: given.has(optNumeric), Exact: given.has(optExact), NoSort: given.has(optNoSort),
		Engines: given.has(optPersistentConn), Origin: p.origin}
	for _, v := range []struct {
		opt  opt
		view View
	}{{optConnection, ViewConns}, {optTimeout, ViewTimeouts}, {optDaemon, ViewDaemons}, {optStats, ViewStats}, {optRate, ViewRate},
		{optThresholds, ViewThresholds}, {optPersistentConn, ViewPersistentConn}, {optTunInfo, ViewTunnels}} {
		if given.has(v.opt) {
			f.View = v.view
			break
		}
	}
	if p.cmd.HasService {
		k := p.cmd.Service.Key()
		f.Only = &k
	}
	p.cmd.Format = f
	return nil
}

func (p *parser) finishService() *Error {
	s := &p.cmd.Service
	if s.Mark == 0 && s.Port == 0 && s.Persistence == 0 {
		return fail("Zero port specified for non-persistent service")
	}
	if s.OnePacket && s.Mark == 0 && s.Proto != config.UDP {
		return fail("One-Packet Scheduling is only for UDP virtual services")
	}
	if s.Scheduler == "" {
		s.Scheduler = "wlc"
	}
	return nil
}

func (p *parser) finishServer() *Error {
	s, r := &p.cmd.Service, &p.cmd.Real
	p.cmd.Forward = p.given.has(optForward)
	if !p.given.has(optWeight) {
		r.Weight = 1
	}
	if r.Addr.Is6() != s.Key().Is6() && r.Method != config.TUN {
		return fail("Different address family is allowed only for tunneling servers")
	}
	tunnels := set(optTunType, optTunPort, optTunNoCsum, optTunCsum, optTunRemCsum)
	if p.given&tunnels != 0 && r.Method != config.TUN {
		return fail("Tunnel options conflict with forward method")
	}
	if r.Method == config.TUN {
		name := r.Tunnel.Type.String()
		if err := tunnelRule(name).check(p.given, optTunPort, optCount, "'"+name+"' tunnel type"); err != nil {
			return err
		}
	}
	if s.Mark == 0 && r.Method != config.NAT && r.Port != s.Port { // DR and TUN leave ports alone
		if p.hasPort {
			p.cmd.Notes = append(p.cmd.Notes, fmt.Sprintf(
				"port %d of the real server became %d, the service's: only -m changes ports", r.Port, s.Port))
		}
		r.Port = s.Port
	}
	return nil
}
