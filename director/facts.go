package director

import (
	"maps"
	"net/netip"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/host"
	"dirsw/packet"
)

// facts is what the network is like, as far as the model needs to know.
type facts struct {
	hops   map[netip.Addr]forward.Hop // of the real servers that can be sent to
	routes map[netip.Addr]host.Hop    // what the kernel said of every real server
	why    map[netip.Addr]string      // of those that cannot be sent to: the reason, for listings and the log
}

func (f facts) equal(o facts) bool { return maps.Equal(f.hops, o.hops) && maps.Equal(f.why, o.why) }

// log says what is different now.
func (f facts) log(log *zap.Logger, now facts) {
	for a, h := range now.hops {
		if old, ok := f.hops[a]; !ok || old != h {
			log.Info("next hop of a real server", zap.Stringer("server", a), zap.Stringer("mac", macString(h.Dst)))
		}
	}
	for a, why := range now.why {
		if f.why[a] != why {
			log.Warn("real server cannot be reached", zap.Stringer("server", a), zap.String("reason", why))
		}
	}
}

type macString packet.MAC

func (m macString) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, v := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[v>>4], hex[v&15])
	}
	return string(b)
}

// gather asks the kernel about every real server of m.
func (d *Director) gather(m *config.Model) facts {
	f := facts{map[netip.Addr]forward.Hop{}, map[netip.Addr]host.Hop{}, map[netip.Addr]string{}}
	for i := range m.Services {
		for k := range m.Services[i].Reals {
			a := m.Services[i].Reals[k].Addr
			if _, ok := f.routes[a]; !ok {
				d.ask(&f, a)
			}
		}
	}
	return f
}

func (d *Director) ask(f *facts, a netip.Addr) {
	h, err := d.o.Host.NextHop(a)
	f.routes[a] = h
	port, ports := -1, *d.ports.Load()
	for i, p := range ports {
		if p.Link == h.Link {
			port = i
		}
	}
	switch {
	case err != nil:
		f.why[a] = err.Error()
	case h.Unreachable:
		f.why[a] = h.Reason
	case h.Local:
		f.why[a] = "it is an address of this host, and delivery to the director itself is not served yet"
	case port < 0:
		f.why[a] = "it is reached by an interface that is not attached"
	case !h.Resolved:
		f.why[a] = "its link layer address is not known (ARP or neighbour discovery has no answer)"
	default:
		f.hops[a] = forward.Hop{OK: true, Port: uint8(port), MTU: uint16(min(h.MTU, 65535)),
			Src: ports[port].MAC, Dst: h.MAC}
	}
}

// confirm lets the kernel ask for link layer addresses that are missing; with all it asks again for those that it has,
// because frames that bypass the kernel never confirm them.
func (d *Director) confirm(all bool) {
	for a, h := range d.facts.routes {
		if h.Unreachable || h.Local || h.Link == 0 || h.Resolved && !all {
			continue
		}
		if err := d.o.Host.Resolve(h); err != nil {
			d.o.Log.Debug("neighbour cannot be asked for", zap.Stringer("server", a), zap.Error(err))
		}
	}
}
