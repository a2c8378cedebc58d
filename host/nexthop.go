package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Hop is the way to an address: the first machine a frame for it goes to.
type Hop struct {
	Link    int        // index of the link it leaves by
	Gateway netip.Addr // the neighbour: a gateway, or the address itself if it is on the link
	Src     netip.Addr // what the kernel would send from; invalid if it has no choice to make
	MAC     [6]byte    // of the neighbour; valid iff Resolved
	MTU     int        // bytes of the IP packet: of the route if it says, else of the link

	Resolved bool // the kernel knows the neighbour's MAC
	Stale    bool // …but has not heard of it lately: time for Resolve
	Failed   bool // the neighbour was asked, and has not answered (NUD_FAILED)
	Local    bool // the address is one of this host; nothing else is valid but Link and Src

	Unreachable bool   // there is no way; nothing else is valid but Refused and Reason
	Refused     bool   // a route says so (unreachable, prohibit, blackhole): the kernel tells who sends by it
	Reason      string // why, as the end of a sentence: "there is no route"
}

// NextHop asks the kernel for its route to dst and for the neighbour on it. A dst of link scope needs its zone. That
// there is no way is an answer (Unreachable), not an error. Policy routing applies as for a packet of this host
// without mark.
func (h *Host) NextHop(dst netip.Addr) (Hop, error) { return h.Survey()(dst) }

// Survey returns a NextHop for many addresses, to be used at once and by one goroutine: what it has learned of a link or of a
// neighbour it does not ask for again. Two thousand servers behind one gateway take a third of the time.
func (h *Host) Survey() func(dst netip.Addr) (Hop, error) {
	s := &survey{host: h, links: map[int]netlink.Link{}, entries: map[neighbour]entry{}}
	return s.nextHop
}

// survey remembers what it was told.
type survey struct {
	host    *Host
	links   map[int]netlink.Link
	entries map[neighbour]entry
}

// link is LinkByIndex.
func (s *survey) link(index int) (netlink.Link, error) {
	if l, ok := s.links[index]; ok {
		return l, nil
	}
	l, err := s.host.links.LinkByIndex(index)
	if err == nil {
		s.links[index] = l
	}
	return l, err
}

// neighbour is Host.neighbour.
func (s *survey) neighbour(k neighbour) (entry, error) {
	if e, ok := s.entries[k]; ok {
		return e, nil
	}
	e, err := s.host.neighbour(k)
	if err == nil {
		s.entries[k] = e
	}
	return e, err
}

// nextHop is NextHop.
func (s *survey) nextHop(dst netip.Addr) (Hop, error) {
	h := s.host
	zone := dst.Zone()
	dst = dst.Unmap().WithZone("")
	if !dst.IsValid() || dst.IsUnspecified() || dst.IsMulticast() {
		return Hop{Unreachable: true, Reason: "it is not the address of a machine"}, nil
	}
	var options *netlink.RouteGetOptions
	if zone != "" {
		options = &netlink.RouteGetOptions{Oif: zone}
	}
	routes, err := h.links.RouteGetWithOptions(net.IP(dst.AsSlice()), options)
	if reason := refusal(err); reason != "" {
		return Hop{Unreachable: true, Refused: !errors.Is(err, unix.ENETUNREACH), Reason: reason}, nil
	}
	if err != nil {
		return Hop{}, fmt.Errorf("ask for the route to %v: %w", dst, err)
	}
	if len(routes) == 0 {
		return Hop{}, fmt.Errorf("ask for the route to %v: empty answer", dst)
	}
	return s.hop(dst, &routes[0])
}

// hop completes the answer r to a question for the route to dst.
func (s *survey) hop(dst netip.Addr, r *netlink.Route) (Hop, error) {
	hop := Hop{Link: r.LinkIndex, Gateway: dst, MTU: r.MTU}
	hop.Src = fromIP(r.Src)
	switch r.Type {
	case unix.RTN_LOCAL:
		hop.Local = true
		return hop, nil
	case unix.RTN_UNICAST:
	case unix.RTN_BLACKHOLE:
		return refused(unix.EINVAL), nil
	case unix.RTN_UNREACHABLE:
		return refused(unix.EHOSTUNREACH), nil
	case unix.RTN_PROHIBIT:
		return refused(unix.EACCES), nil
	default:
		return Hop{Unreachable: true, Reason: "it is not the address of a machine"}, nil
	}
	if gw := fromIP(r.Gw); gw.IsValid() {
		hop.Gateway = gw
	} else if via, ok := r.Via.(*netlink.Via); ok { // an IPv4 route by an IPv6 gateway, RFC 5549
		hop.Gateway = fromIP(via.Addr)
	}
	link, err := s.link(hop.Link)
	if err != nil {
		return Hop{}, fmt.Errorf("ask for interface %d of the route to %v: %w", hop.Link, dst, err)
	}
	if a := link.Attrs(); a.EncapType != "ether" {
		return Hop{Unreachable: true, Reason: fmt.Sprintf("%s has no Ethernet addresses", a.Name)}, nil
	} else if hop.MTU == 0 {
		hop.MTU = a.MTU
	}
	n, err := s.neighbour(neighbour{hop.Link, hop.Gateway})
	if err != nil {
		return Hop{}, err
	}
	hop.MAC, hop.Resolved, hop.Failed = n.mac, n.state&nudValid != 0, n.state&netlink.NUD_FAILED != 0
	if hop.Stale = hop.Resolved && n.state&nudFresh == 0; !hop.Stale {
		s.host.forget(neighbour{hop.Link, hop.Gateway})
	}
	return hop, nil
}

// refused is the Hop by a route of a type that has this error.
func refused(e unix.Errno) Hop { return Hop{Unreachable: true, Refused: true, Reason: refusal(e)} }

// refusal says what an error of RTM_GETROUTE means for the way of a packet; empty if it means nothing (see
// fib_props in net/ipv4/fib_semantics.c and ip6_rt_type_to_error in net/ipv6/route.c).
func refusal(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return "there is no route"
	case errors.Is(err, unix.EHOSTUNREACH):
		return "its route says unreachable"
	case errors.Is(err, unix.EACCES):
		return "its route says prohibit"
	case errors.Is(err, unix.EINVAL):
		return "its route says blackhole"
	}
	return ""
}

// fromIP converts; nil gives the invalid address.
func fromIP(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
