package director

import (
	"fmt"
	"net/netip"
	"slices"

	"dirsw/config"
	"dirsw/health"
	"dirsw/host"
)

// pathHost is what a Host has besides if check_path vip is to work.
type pathHost interface {
	OpenPath(server netip.Addr, vip netip.AddrPort, port uint16, direct bool) (*host.PathSocket, error)
}

// withPaths adds to the targets of a model the checks that take the way of clients (check_path vip). A service's real
// servers have such a check where packets of its clients come to them as they are, or in a tunnel: lvs_method DR or TUN,
// TCP, and one address and port. With NAT the plain check takes the way of clients already.
func (d *Director) withPaths(m *config.Model, targets []health.Target) []health.Target {
	h, ok := d.o.Host.(pathHost)
	if !ok {
		return targets
	}
	return addPaths(m, targets, func(server netip.Addr, vip netip.AddrPort, port uint16, direct bool) (health.Wire, error) {
		if hop, err := d.o.Host.NextHop(server); err == nil && hop.Local {
			return nil, &health.Failure{Kind: health.ErrSilent, Text: fmt.Sprintf("%v is this director", server)}
		}
		w, err := h.OpenPath(server, vip, port, direct)
		if err != nil {
			return nil, err
		}
		return w, nil
	})
}

// addPaths is withPaths with the wires that open opens.
func addPaths(m *config.Model, targets []health.Target, open health.OpenWire) []health.Target {
	places := map[string]int{}
	for i := range targets {
		places[targets[i].Key] = i
	}
	for i := range m.Services {
		s := &m.Services[i]
		for k := range s.Reals {
			r := &s.Reals[k]
			at, ok := places[checkKey(s, r)]
			if !ok {
				continue
			}
			delete(places, checkKey(s, r)) // services of a group share it: the first one's address stands for all
			if c, ok := pathCheck(s, r, open); ok {
				t := &targets[at]
				t.Checks = append(slices.Clip(t.Checks), c)
			}
		}
	}
	return targets
}

// pathCheck is the check of the way to r, if one of its checks asks for it and there is such a way.
func pathCheck(s *config.Service, r *config.Real, open health.OpenWire) (health.Check, bool) {
	i := slices.IndexFunc(r.Checks, func(c config.Check) bool { return c.ViaVIP })
	if i < 0 || s.Mark != 0 || s.Proto != config.TCP || s.Port == 0 || r.Method != config.DR && r.Method != config.TUN {
		return health.Check{}, false
	}
	k := &r.Checks[i]
	check := &health.PathCheck{
		Open: open, Server: r.Addr, VIP: netip.AddrPortFrom(s.Addr, s.Port), Timeout: k.ConnectTimeout,
	}
	if r.Method == config.TUN {
		check.Tunnel, check.TunnelPort = tunnelOf(r.Tunnel)
	}
	return health.Check{
		Kind: health.KindPath, Advisory: true, Checker: check, LogAll: k.LogAllFailures,
		Timing: health.Timing{Loop: k.DelayLoop, BeforeRetry: k.DelayBeforeRetry, Warmup: k.Warmup, Retry: k.Retry},
	}, true
}

// tunnelOf is how a check wraps what it sends by a tunnel.
func tunnelOf(t config.Tunnel) (health.Tunnel, uint16) {
	switch t.Type {
	case config.GRE:
		return health.TunnelGRE, 0
	case config.GUE:
		return health.TunnelGUE, t.Port
	default:
		return health.TunnelIPIP, 0
	}
}
