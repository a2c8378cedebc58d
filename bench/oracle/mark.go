package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dirsw/config"
	"dirsw/config/iptables"
	"dirsw/forward"
	"dirsw/packet"
)

// iptables carries out a line of iptables that a case has besides its rules, as dirsw mark does.
func (m *machine) iptables(line string) error {
	w := strings.Fields(line)
	program, _, _ := strings.Cut(w[0], "-") // iptables-legacy, iptables-nft
	if program != "iptables" && program != "ip6tables" {
		return &unserved{why: "setup: " + line}
	}
	c, err := iptables.Parse(program == "ip6tables", iptables.Words(w[1:]))
	if err != nil {
		return err
	}
	next := m.model.Clone()
	if err := c.Apply(&next.Marks, config.FromCommand); err != nil {
		return err
	}
	if err := m.publish(next); err != nil {
		return err
	}
	m.model = *next
	return nil
}

func markFamily(k config.ServiceKey) uint8 {
	if k.IPv6 {
		return packet.IPv6Family
	}
	return packet.IPv4Family
}

// markWord is how transcripts name a service by firewall mark.
func markWord(s *config.Service) string {
	return fmt.Sprintf("FWM %d", s.Mark)
}

// nets are the local routes, which the director's addresses are among.
func (t *topology) nets() []forward.LocalNet {
	var list []forward.LocalNet
	for _, p := range t.local {
		list = append(list, localNet(p, 0, 0))
	}
	for _, r := range t.rules {
		for _, p := range t.tables[r.table] {
			list = append(list, localNet(p, r.mark, ^uint32(0)))
		}
	}
	return list
}

func localNet(p netip.Prefix, mark, mask uint32) forward.LocalNet {
	p = p.Masked()
	return forward.LocalNet{Addr: packet.AddrFrom(p.Addr()), Free: uint8(p.Addr().BitLen() - p.Bits()), Mark: mark, Mask: mask}
}

// markRule is a policy rule: packets with the mark are routed by the table too.
type markRule struct {
	mark  uint32
	table string
}

// rule takes a line of ip rule add fwmark.
func (t *topology) rule(mark, table string) error {
	n, err := strconv.ParseUint(mark, 0, 32)
	t.rules = append(t.rules, markRule{uint32(n), table})
	return err
}

// names are the interfaces, by port.
func (t *topology) names() []string {
	list := make([]string, len(t.ports))
	for i := range t.ports {
		list[i] = t.ports[i].Name
	}
	return list
}
