package director

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/host"
	"dirsw/packet"
)

// facts is what the network is like, as far as the model needs to know.
type facts struct {
	hops   map[netip.Addr]forward.Hop // of every real server: the way there, or why there is none
	routes map[netip.Addr]host.Hop    // what the kernel said of every real server
	why    map[netip.Addr]string      // of those that cannot be sent to: the reason, for listings and the log
	deaf   map[netip.Addr]string      // of those whose replies are not seen: the interface they come by

	kernel forward.Hop        // see forward.Snapshot
	own    [][2]packet.Addr   // likewise
	local  []packet.Addr      // likewise
	nets   []forward.LocalNet // see forward.Marks
	names  []string           // of the ports
}

func (f facts) equal(o facts) bool {
	return maps.Equal(f.hops, o.hops) && maps.Equal(f.why, o.why) && maps.Equal(f.deaf, o.deaf) && f.kernel == o.kernel && slices.Equal(f.own, o.own) &&
		slices.Equal(f.local, o.local) && slices.Equal(f.nets, o.nets) && slices.Equal(f.names, o.names)
}

// log says what is different now.
func (f facts) log(log *zap.Logger, now facts) {
	for a, h := range now.hops {
		if old, ok := f.hops[a]; h.OK && (!ok || old != h) {
			log.Info("next hop of a real server", zap.Stringer("server", a), zap.Stringer("mac", macString(h.Dst)))
		}
	}
	for a, why := range now.why {
		if f.why[a] != why {
			log.Warn("real server cannot be reached", zap.Stringer("server", a), zap.String("reason", why))
		}
	}
	for a, port := range now.deaf {
		if f.deaf[a] != port {
			log.Warn("the replies of a real server are not seen: its interface was opened to send only; name it with --interface "+
				"or in the dataplane block and restart dirsw", zap.Stringer("server", a), zap.String("interface", port))
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

// gather asks the kernel about every real server of m, and about this host itself.
func (d *Director) gather(m *config.Model) facts {
	f := facts{hops: map[netip.Addr]forward.Hop{}, routes: map[netip.Addr]host.Hop{}, why: map[netip.Addr]string{},
		deaf: map[netip.Addr]string{}}
	ports, next := *d.ports.Load(), d.survey()
	for i := range ports {
		f.names = append(f.names, ports[i].Name)
		if ports[i].Local {
			f.kernel = forward.Hop{OK: true, Local: true, Port: uint8(i), MTU: anyMTU, Src: ports[i].MAC, Dst: ports[i].MAC}
		}
	}
	for i := range m.Services {
		for _, r := range everybody(&m.Services[i]) {
			if _, ok := f.routes[r.Addr]; !ok {
				d.ask(&f, next, r.Addr, ports)
			}
			if h := f.hops[r.Addr]; r.Method == config.NAT && h.OK && ports[h.Port].SendOnly {
				f.deaf[r.Addr] = ports[h.Port].Name
			}
		}
	}
	d.askOwn(&f, ports)
	if marked(m) { // what is local matters to marks alone, and routes may be many
		d.askNets(&f)
	}
	return f
}

// marked reports whether a model gives packets firewall marks.
func marked(m *config.Model) bool { return !m.Marks.IPv4.Empty() || !m.Marks.IPv6.Empty() }

// anyMTU is that of the way to the director's own network stack, which takes everything.
const anyMTU = 65535

const unresolved = "its link layer address is not known (ARP or neighbour discovery has no answer)"

// asked are the facts of a director that has just begun: of neighbours that were not asked yet there is nothing to tell.
func (f facts) asked() facts {
	why := maps.Clone(f.why)
	maps.DeleteFunc(why, func(_ netip.Addr, why string) bool { return why != unresolved })
	return facts{why: why}
}

// surveyor is what a Host has besides if it answers quickly for many addresses.
type surveyor interface {
	Survey() func(netip.Addr) (host.Hop, error)
}

// survey returns NextHop for the addresses of one round.
func (d *Director) survey() func(netip.Addr) (host.Hop, error) {
	if s, ok := d.o.Host.(surveyor); ok {
		return s.Survey()
	}
	return d.o.Host.NextHop
}

// ask finds the way to a real server by next.
func (d *Director) ask(f *facts, next func(netip.Addr) (host.Hop, error), a netip.Addr, ports []Port) {
	h, err := next(a)
	f.routes[a] = h
	port := slices.IndexFunc(ports, func(p Port) bool { return p.Link == h.Link && !p.Local })
	hop := forward.Hop{}
	switch {
	case err != nil:
		f.why[a] = err.Error()
	case h.Unreachable:
		f.why[a] = h.Reason
		if h.Refused {
			hop.Fail = forward.HopUnreachable
		}
	case h.Local && !f.kernel.OK:
		f.why[a] = "it is an address of this host, and there is no tap to deliver to it by (/dev/net/tun)"
	case h.Local:
		hop = f.kernel
		hop.Own = packet.AddrFrom(a)
	case port < 0:
		f.why[a] = "it is reached by an interface that dirsw is not attached to, as of a VLAN (ip route get shows it)"
	case !h.Resolved:
		f.why[a] = unresolved
		if h.Failed || d.facts.hops[a].Fail == forward.HopSilent { // it is asked again and again, and silent in between
			hop.Fail = forward.HopSilent
		}
	default:
		hop = forward.Hop{OK: true, Port: uint8(port), MTU: uint16(min(h.MTU, anyMTU)), Src: ports[port].MAC, Dst: h.MAC}
	}
	if !h.Local && h.Src.IsValid() {
		hop.Own = packet.AddrFrom(h.Src)
	}
	f.hops[a] = hop
}

// askOwn lists the addresses of this host, and those that it sends errors from by each port.
func (d *Director) askOwn(f *facts, ports []Port) {
	addrs, err := d.o.Host.Addrs()
	if err != nil {
		d.o.Log.Warn("the addresses of this host cannot be listed", zap.Error(err))
		f.own, f.local = d.facts.own, d.facts.local
		return
	}
	f.own = make([][2]packet.Addr, len(ports))
	for _, a := range addrs {
		f.local = append(f.local, packet.AddrFrom(a.Addr))
	}
	slices.SortFunc(f.local, func(a, b packet.Addr) int { return bytes.Compare(a[:], b[:]) })
	f.local = slices.Compact(f.local)
	for i := range ports {
		for six := range 2 {
			f.own[i][six] = source(addrs, ports[i].Link, six == 1)
		}
	}
}

// askNets lists the networks that are this host's own by its routes.
func (d *Director) askNets(f *facts) {
	nets, err := d.o.Host.LocalNets()
	if err != nil {
		d.o.Log.Warn("the local routes of this host cannot be listed", zap.Error(err))
		f.nets = d.facts.nets
		return
	}
	for _, n := range nets {
		f.nets = append(f.nets, localNet(n.Prefix, n.Mark, n.Mask))
	}
}

// source is what this host sends from by a link to an address that no route says anything of: the first address of the
// link, else of any (kernel: inet_select_addr). The zero address: it has none.
func source(addrs []host.Addr, link int, six bool) packet.Addr {
	fits := func(a host.Addr) bool { return a.Source && a.Addr.Is6() == six }
	i := slices.IndexFunc(addrs, func(a host.Addr) bool { return a.Link == link && fits(a) })
	if i < 0 {
		i = slices.IndexFunc(addrs, fits)
	}
	if i < 0 {
		return packet.Addr{}
	}
	return packet.AddrFrom(addrs[i].Addr)
}

// confirm lets the kernel ask for link layer addresses that are missing; with all it asks again for those that it has,
// because frames that bypass the kernel never confirm them.
func (d *Director) confirm(all bool) {
	asked := map[nextDoor]bool{}
	for a, h := range d.facts.routes {
		if h.Unreachable || h.Local || h.Link == 0 || h.Resolved && !all || asked[nextDoor{h.Link, h.Gateway}] {
			continue
		}
		asked[nextDoor{h.Link, h.Gateway}] = true
		if err := d.o.Host.Resolve(h); err != nil {
			d.o.Log.Debug("neighbour cannot be asked for", zap.Stringer("server", a), zap.Error(err))
		}
	}
}

// nextDoor is a neighbour, by which there may be many servers.
type nextDoor struct {
	link int
	addr netip.Addr
}
