package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dirsw/forward"
	"dirsw/packet"
)

// The ports of the director in every transcript: towards the clients, and towards the real servers.
const (
	clientSide = 0
	serverSide = 1
	ownStack   = 2 // the tap to the director's own network stack
)

func portOf(name string) (int, error) {
	switch name {
	case "c0":
		return clientSide, nil
	case "s0":
		return serverSide, nil
	}
	return 0, fmt.Errorf("no interface %q", name)
}

// realServers is how many of the real servers 172.16.0.11, .12, … and 2001:db8:2::11, ::12, … there are.
const realServers = 8

// topology is the network around the director of a transcript. Its addresses are always the same:
//
//	c0  192.168.1.1/24, 2001:db8:1::1/64, and the virtual addresses; default route by 192.168.1.254 and 2001:db8:1::fe
//	s0  172.16.0.1/16, 2001:db8:2::1/64, and the real servers, whose link layer addresses are known
type topology struct {
	mtu       [2]int
	local     []netip.Prefix
	dead      []netip.Prefix              // unreachable, prohibit and blackhole
	via       map[netip.Prefix]netip.Addr // routes by a gateway
	tables    map[string][]netip.Prefix   // local routes of other tables
	rules     []markRule
	noDefault bool // IPv4 only
	ports     [3]forward.PortInfo
}

// plainTopology is the network of most cases.
func plainTopology() (*topology, error) { return newTopology(0, 0), nil }

func newTopology(mtuClient, mtuServer int) *topology {
	t := &topology{mtu: [2]int{mtuOr(mtuClient), mtuOr(mtuServer)}, via: map[netip.Prefix]netip.Addr{},
		tables: map[string][]netip.Prefix{}}
	t.mtu[clientSide] = max(t.mtu[clientSide], 1280) // it has IPv6 addresses
	for _, p := range []string{"192.168.1.1/32", "172.16.0.1/32", "192.0.2.100/32", "127.0.0.0/8", "2001:db8:1::1/128",
		"2001:db8:2::1/128", "2001:db8:100::100/128", "::1/128"} {
		t.local = append(t.local, netip.MustParsePrefix(p))
	}
	t.ports[clientSide] = forward.PortInfo{Name: "c0", MAC: packet.MAC{2, 0, 0, 0, 1, 1}, MTU: t.mtu[clientSide]}
	t.ports[serverSide] = forward.PortInfo{Name: "s0", MAC: packet.MAC{2, 0, 0, 0, 2, 1}, MTU: t.mtu[serverSide]}
	t.ports[ownStack] = forward.PortInfo{Name: "tap", MAC: packet.MAC{2, 0, 0, 0, 3, 2}, MTU: 1500}
	return t
}

func mtuOr(n int) int {
	if n == 0 {
		return 1500
	}
	return n
}

// gateway is the router of the clients. It is the far end of c0 for everything.
var gateway = packet.MAC{2, 0, 0, 0, 1, 0xfe}

// command takes a line of ip(8), without the word ip, that a case has besides the rules.
func (t *topology) command(line string) error {
	w := strings.Fields(strings.TrimPrefix(line, "ip "))
	bad := &unserved{why: "setup: " + line}
	if len(w) > 5 && w[0] == "rule" && w[2] == "fwmark" && w[4] == "lookup" {
		return t.rule(w[3], w[5])
	}
	if len(w) < 3 || w[0] != "route" && w[0] != "addr" {
		return bad
	}
	if w[0] == "route" && w[1] == "del" && w[2] == "default" {
		t.noDefault = true
		return nil
	}
	if w[1] != "add" {
		return bad
	}
	what, at := "", w[2]
	if w[0] == "route" && (at == "unreachable" || at == "prohibit" || at == "blackhole" || at == "local") && len(w) > 3 {
		what, at = at, w[3]
	}
	p, err := netip.ParsePrefix(at)
	if err != nil {
		return bad
	}
	switch {
	case what == "local" && len(w) > 7 && w[6] == "table":
		t.tables[w[7]] = append(t.tables[w[7]], p)
	case what == "local":
		t.local = append(t.local, p)
	case what != "":
		t.dead = append(t.dead, p)
	case w[0] == "addr":
		t.local = append(t.local, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	case len(w) > 4 && w[3] == "via":
		gw, err := netip.ParseAddr(w[4])
		if err != nil {
			return bad
		}
		t.via[p] = gw
	default:
		return bad
	}
	return nil
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hop is the way to an address.
func (t *topology) hop(a netip.Addr) forward.Hop {
	switch {
	case within(a, t.local):
		return t.kernel()
	case within(a, t.dead):
		return forward.Hop{Fail: forward.HopUnreachable}
	}
	for p, gw := range t.via {
		if p.Contains(a) {
			a = gw
			break
		}
	}
	port, mac, known := clientSide, gateway, true
	switch b := a.AsSlice(); {
	case inPrefix(a, "172.16.0.0/16"):
		port = serverSide
		mac, known = serverMAC(int(b[3])-10, inPrefix(a, "172.16.0.0/24"))
	case inPrefix(a, "2001:db8:2::/64"):
		port = serverSide
		mac, known = serverMAC(int(b[15])-0x10, inPrefix(a, "2001:db8:2::/120"))
	case a.Is4() && t.noDefault && !inPrefix(a, "192.168.1.0/24"):
		return forward.Hop{}
	}
	h := forward.Hop{OK: known, Port: uint8(port), MTU: uint16(t.ports[port].MTU), Src: t.ports[port].MAC, Dst: mac,
		Own: ownAddress(port, a.Is6())}
	if !known {
		h.Fail = forward.HopSilent
	}
	return h
}

// kernel is the way to the director's own network stack.
func (t *topology) kernel() forward.Hop {
	return forward.Hop{OK: true, Local: true, Port: ownStack, MTU: uint16(t.ports[ownStack].MTU), Src: t.ports[ownStack].MAC,
		Dst: packet.MAC{2, 0, 0, 0, 3, 1}}
}

// own are the addresses that errors about replies come from, by port.
func (t *topology) own() [][2]packet.Addr {
	return [][2]packet.Addr{clientSide: {ownAddress(clientSide, false), ownAddress(clientSide, true)},
		serverSide: {ownAddress(serverSide, false), ownAddress(serverSide, true)}, ownStack: {}}
}

// ownAddress is what the director sends from by a port.
func ownAddress(port int, six bool) packet.Addr {
	own := [2][2]string{clientSide: {"192.168.1.1", "2001:db8:1::1"}, serverSide: {"172.16.0.1", "2001:db8:2::1"}}[port]
	if six {
		return packet.AddrFrom(netip.MustParseAddr(own[1]))
	}
	return packet.AddrFrom(netip.MustParseAddr(own[0]))
}

func serverMAC(i int, known bool) (packet.MAC, bool) {
	return packet.MAC{2, 0, 0, 0, 2, byte(0x10 + i)}, known && i >= 1 && i <= realServers
}

// serverOf names the real server of a link layer address, "" if it is none's.
func serverOf(mac packet.MAC, six bool) string {
	i := int(mac[5]) - 0x10
	if known, ok := serverMAC(i, true); !ok || known != mac {
		return ""
	}
	if six {
		return fmt.Sprintf("2001:db8:2::%x", 0x10+i)
	}
	return fmt.Sprintf("172.16.0.%d", 10+i)
}

func inPrefix(a netip.Addr, p string) bool { return netip.MustParsePrefix(p).Contains(a) }

// addresses are those of the director.
func (t *topology) addresses() (list []packet.Addr) {
	for _, p := range t.local {
		if p.IsSingleIP() {
			list = append(list, packet.AddrFrom(p.Addr()))
		}
	}
	slices.SortFunc(list, func(a, b packet.Addr) int { return bytes.Compare(a[:], b[:]) })
	return list
}
