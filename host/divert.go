package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is diverted has a routing table of its own, to which policy rules lead. Rules and routes bear our number as the
// protocol that made them (rtm_protocol), so that those of a director that was killed can be told from others'.
const (
	divertTable    = 0x6469 // "di"
	divertPriority = 16     // behind the table local alone: what is for this host stays here
	divertProtocol = 0xd5
)

// Endpoint is where programs of this host send from. Proto 0 stands for all protocols, Port 0 for all ports.
type Endpoint struct {
	Addr  netip.Addr
	Proto uint8 // IP protocol
	Port  uint16
}

// Divert makes what this host itself sends from the endpoints, and from no others, to other hosts leave by a link, whatever
// the routes say. No endpoints: nothing is diverted, and nothing of an earlier director's is left; link does not matter
// then. It needs CAP_NET_ADMIN. When the link goes, its route goes too and the rules lead nowhere: everything is routed as
// if they were not there.
//
// What is received by the link may be forwarded from then on, unless all endpoints are in 127.0.0.0/8: packets of the
// endpoints that nobody wanted can be sent back by it, and go where the routes say.
//
// A program that sends UDP from an address that it leaves to the kernel to choose is not diverted: the rules know what
// it has bound to, or received on, alone.
func (h *Host) Divert(link int, from []Endpoint) error {
	want := map[Endpoint]bool{}
	forward := false
	for _, e := range from {
		e.Addr = e.Addr.Unmap()
		want[e] = true
		forward = forward || !e.Addr.IsLoopback()
	}
	if len(want) > 0 {
		if err := h.divertRoutes(link, forward); err != nil {
			return err
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		have, err := h.diverted(family)
		if err != nil {
			return err
		}
		for i := range have {
			e := endpoint(&have[i])
			if want[e] {
				delete(want, e)
				continue
			}
			if err := h.links.RuleDel(&have[i]); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("remove the rule for what is sent from %v: %w", e.Addr, err)
			}
		}
	}
	for e := range want {
		if err := h.links.RuleAdd(divertRule(e)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add a rule for what is sent from %v: %w", e.Addr, err)
		}
	}
	return nil
}

// divertRoutes fills the table that the rules lead to.
func (h *Host) divertRoutes(link int, forward bool) error {
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		p := netip.MustParsePrefix(dst)
		err := h.links.RouteReplace(&netlink.Route{LinkIndex: link, Table: divertTable, Protocol: divertProtocol,
			Scope: netlink.SCOPE_LINK, Dst: ipNet(p)})
		if err != nil && !(p.Addr().Is6() && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES))) { // no IPv6
			return fmt.Errorf("add a route by interface %d: %w", link, err)
		}
	}
	if forward {
		if err := h.setConf(link, map[int]uint32{confForwarding: 1}); err != nil {
			return fmt.Errorf("let interface %d forward: %w", link, err)
		}
	}
	return nil
}

// diverted lists our rules of a family.
func (h *Host) diverted(family int) ([]netlink.Rule, error) {
	filter := &netlink.Rule{Table: divertTable}
	all, err := h.links.RuleListFiltered(family, filter, netlink.RT_FILTER_TABLE)
	for try := 0; try < 5 && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		all, err = h.links.RuleListFiltered(family, filter, netlink.RT_FILTER_TABLE)
	}
	if err != nil && !absent(err) {
		return nil, fmt.Errorf("list policy rules: %w", err)
	}
	ours := all[:0]
	for _, r := range all {
		if r.Protocol == divertProtocol && r.Src != nil {
			r.Family = family
			ours = append(ours, r)
		}
	}
	return ours, nil
}

// divertRule is the rule for an endpoint. The interface lo stands for what this host sends itself.
func divertRule(e Endpoint) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = unix.AF_INET, divertPriority, divertTable, divertProtocol
	if e.Addr.Is6() {
		r.Family = unix.AF_INET6
	}
	r.IifName, r.Src, r.IPProto = "lo", ipNet(netip.PrefixFrom(e.Addr, e.Addr.BitLen())), int(e.Proto)
	if e.Port != 0 {
		r.Sport = netlink.NewRulePortRange(e.Port, e.Port)
	}
	return r
}

// endpoint is what a rule of ours is for.
func endpoint(r *netlink.Rule) Endpoint {
	e := Endpoint{Addr: fromIP(r.Src.IP), Proto: uint8(r.IPProto)}
	if r.Sport != nil {
		e.Port = r.Sport.Start
	}
	return e
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
