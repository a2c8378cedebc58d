package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LocalNet is a network that this host takes for its own although its addresses are on no interface: there is a route of
// the type local.
type LocalNet struct {
	Prefix     netip.Prefix
	Mark, Mask uint32 // firewall marks of the packets that come to the route; a Mask of 0 means all packets
}

// LocalNets lists the networks of local routes that are no address of an interface, or that only packets with certain
// firewall marks come to ("ip rule add fwmark 1 lookup 100", "ip route add local 0.0.0.0/0 dev lo table 100"). Those of
// 127.0.0.0/8 and ::1 are left out: nothing comes to them from outside.
func (h *Host) LocalNets() ([]LocalNet, error) {
	addrs, err := h.Addrs()
	if err != nil {
		return nil, err
	}
	own := map[netip.Prefix]bool{} // the kernel makes a route for each address
	for _, a := range addrs {
		own[netip.PrefixFrom(a.Addr, a.Addr.BitLen())] = true
	}
	var out []LocalNet
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		marks, err := h.markedTables(family)
		if err != nil {
			return nil, err
		}
		routes, err := h.localRoutes(family)
		if err != nil {
			return nil, err
		}
		for i := range routes {
			r := &routes[i]
			p := everything(family)
			if r.Dst != nil {
				ones, _ := r.Dst.Mask.Size()
				p = netip.PrefixFrom(fromIP(r.Dst.IP), ones)
			}
			switch {
			case p.Addr().IsLoopback() || p.Addr().IsMulticast():
			case r.Table == unix.RT_TABLE_LOCAL && !own[p]:
				out = append(out, LocalNet{Prefix: p})
			case r.Table != unix.RT_TABLE_LOCAL:
				for _, m := range marks[r.Table] {
					out = append(out, LocalNet{p, m.Mark, m.Mask})
				}
			}
		}
	}
	return out, nil
}

func everything(family int) netip.Prefix {
	if family == unix.AF_INET {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// localRoutes lists the routes of the type local, of all tables.
func (h *Host) localRoutes(family int) ([]netlink.Route, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Type: unix.RTN_LOCAL}
	routes, err := h.links.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	for try := 0; try < 5 && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		routes, err = h.links.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	}
	if err != nil && !absent(err) {
		return nil, fmt.Errorf("list local routes: %w", err)
	}
	return routes, nil
}

// markedTables lists, for each routing table but the local one, the marks by which packets come to it. What else a rule
// asks for is left out: a table may be said to be come to by more packets than it is.
func (h *Host) markedTables(family int) (map[int][]LocalNet, error) {
	rules, err := h.links.RuleList(family)
	for try := 0; try < 5 && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		rules, err = h.links.RuleList(family)
	}
	if err != nil && !absent(err) {
		return nil, fmt.Errorf("list policy rules: %w", err)
	}
	out := map[int][]LocalNet{}
	for i := range rules {
		r := &rules[i]
		if r.Invert || r.Table == unix.RT_TABLE_LOCAL || r.IifName == "lo" { // lo: what this host sends itself
			continue
		}
		m := LocalNet{Mark: r.Mark}
		if r.Mask != nil {
			m.Mask = *r.Mask
		} else if r.Mark != 0 {
			m.Mask = ^uint32(0)
		}
		out[r.Table] = append(out[r.Table], m)
	}
	return out, nil
}

// absent says that this machine has no such family, or no policy routing.
func absent(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}
