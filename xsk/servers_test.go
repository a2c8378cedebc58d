package xsk

import (
	"dirsw/forward"
	"dirsw/packet"
)

const (
	rs4    = "198.51.100.11" // a server whose replies are translated
	rs6    = "2001:db8:2::11"
	any4   = "198.51.100.12" // one on all ports
	tunIP  = "198.51.100.21" // servers behind tunnels
	tunGRE = "198.51.100.22"
	tunGUE = "198.51.100.23"
	tun6   = "2001:db8:2::21"
	gue    = 6080
)

// everything is a filter with keys of all kinds.
var everything = forward.Filter{
	Keys: append([]forward.FilterKey{
		{Kind: forward.FromServer, Addr: addr(rs4), Proto: packet.ProtoTCP, Port: 8080},
		{Kind: forward.FromServer, Addr: addr(rs6), Proto: packet.ProtoTCP, Port: 8080},
		{Kind: forward.FromServer, Addr: addr(any4), Proto: packet.ProtoUDP},
		{Kind: forward.FromServer, Addr: addr(any4), Proto: packet.ProtoESP},
		{Kind: forward.FromServer, Addr: addr(any4), Proto: packet.ProtoAH},
		{Kind: forward.ToService, Addr: addr(vpn4), Proto: packet.ProtoUDP, Port: 500},
		{Kind: forward.ToService, Addr: addr(vpn4), Proto: packet.ProtoESP},
		{Kind: forward.ToService, Addr: addr(vpn6), Proto: packet.ProtoESP},
		{Kind: forward.Tunnelled, Addr: addr(tunIP), Proto: packet.ProtoIPIP},
		{Kind: forward.Tunnelled, Addr: addr(tunIP), Proto: packet.ProtoIPv6},
		{Kind: forward.Tunnelled, Addr: addr(tunGRE), Proto: packet.ProtoGRE},
		{Kind: forward.Tunnelled, Addr: addr(tunGUE), Proto: packet.ProtoUDP, Port: gue},
		{Kind: forward.Tunnelled, Addr: addr(tun6), Proto: packet.ProtoIPv6},
		{Addr: addr("203.0.113.128"), Free: 7, Proto: packet.ProtoTCP, Port: 80},
		{Addr: addr("203.0.113.192"), Free: 6, Proto: packet.ProtoTCP},
		{Addr: addr("2001:db8:77::"), Free: 80, Proto: packet.ProtoUDP},
		{Addr: addr("::"), Free: 128, Proto: packet.ProtoTCP, Port: 8443},
	}, services.Keys...),
	Own: []packet.Addr{addr(lb4), addr(lb6), addr(vip4)},
}

// anywhere has, besides everything, a port of all addresses.
var anywhere = forward.Filter{Own: everything.Own,
	Keys: append([]forward.FilterKey{{Addr: addr("0.0.0.0"), Free: 32, Proto: packet.ProtoUDP, Port: 4500}}, everything.Keys...)}

const (
	vpn4 = "203.0.113.20"
	vpn6 = "2001:db8:ff::20"
)

var (
	answer4  = packet.Spec{Tuple: tuple(packet.ProtoTCP, rs4, 8080, cl4, 40000), TCPFlags: packet.SYN | packet.ACK}
	answer6  = packet.Spec{Tuple: tuple(packet.ProtoTCP, rs6, 8080, cl6, 40000), TCPFlags: packet.SYN | packet.ACK}
	request4 = build(packet.Spec{Tuple: tuple(packet.ProtoTCP, cl4, 40000, rs4, 8080), TCPFlags: packet.ACK, Payload: make([]byte, 99)})
	request6 = build(packet.Spec{Tuple: tuple(packet.ProtoTCP, cl6, 40000, rs6, 8080), TCPFlags: packet.ACK, Payload: make([]byte, 99)})
)

// serverRows are what servers send whose replies are translated, and errors about what was sent to them.
func serverRows() []row {
	check := build(packet.Spec{Tuple: tuple(packet.ProtoTCP, lb4, 40000, rs4, 8080), Payload: make([]byte, 9)})
	esp := packet.Spec{Tuple: tuple(packet.ProtoESP, cl4, 0, vpn4, 0), Payload: make([]byte, 40)}
	part := build(packet.Spec{Tuple: tuple(packet.ProtoTCP, cl4, 9, rs4, 9), FragmentOffset: 64, Payload: make([]byte, 99)})
	espBack := build(packet.Spec{Tuple: tuple(packet.ProtoESP, vpn4, 0, cl4, 0), Payload: make([]byte, 40)})
	return []row{
		{"reply", build(answer4), take},
		{"reply in IPv6", build(answer6), take},
		{"reply, tagged", with(answer4, func(s *packet.Spec) { s.VLAN = 7 }), take},
		{"reply with options", edited(build(answer4), withOptions(2)), take},
		{"reply with extension headers", edited(build(answer6), withExtensions(0, packet.ExtHopByHop)), take},
		{"from another port", with(answer4, func(s *packet.Spec) { s.SrcPort = 22 }), pass},
		{"from another port in IPv6", with(answer6, func(s *packet.Spec) { s.SrcPort = 22 }), pass},
		{"from another server", with(answer4, func(s *packet.Spec) { s.Src = addr("198.51.100.99") }), pass},
		{"of another protocol", with(answer4, func(s *packet.Spec) { s.Proto = packet.ProtoUDP }), pass},
		{"to the director", with(answer4, func(s *packet.Spec) { s.Dst = addr(lb4) }), pass},
		{"to the director in IPv6", with(answer6, func(s *packet.Spec) { s.Dst = addr(lb6) }), pass},
		{"to another port of the service's address", with(answer4, func(s *packet.Spec) { s.Dst = addr(vip4) }), pass},
		{"to the service", with(answer4, func(s *packet.Spec) { s.Dst, s.DstPort = addr(vip4), 80 }), take},
		{"to the server", with(answer4, func(s *packet.Spec) { s.Src, s.Dst, s.DstPort = addr(cl4), addr(rs4), 8080 }), pass},
		{"first fragment", with(answer4, func(s *packet.Spec) { s.MoreFragments, s.Payload = true, make([]byte, 40) }), take},
		{"later fragment", with(answer4, func(s *packet.Spec) { s.FragmentOffset, s.Payload = 48, make([]byte, 40) }), take},
		{"later fragment in IPv6", with(answer6, func(s *packet.Spec) { s.FragmentOffset, s.Payload = 48, make([]byte, 40) }), take},
		{"later fragment to the director", with(answer4, func(s *packet.Spec) {
			s.FragmentOffset, s.Payload, s.Dst = 48, make([]byte, 40), addr(lb4)
		}), pass},
		{"later fragment of another protocol", with(answer4, func(s *packet.Spec) {
			s.FragmentOffset, s.Payload, s.Proto = 48, make([]byte, 40), packet.ProtoUDP
		}), pass},
		{"all ports", build(packet.Spec{Tuple: tuple(packet.ProtoUDP, any4, 1234, cl4, 9), Payload: make([]byte, 9)}), take},
		{"all ports to the director", build(packet.Spec{Tuple: tuple(packet.ProtoUDP, any4, 1234, lb4, 9), Payload: make([]byte, 9)}), pass},
		{"unreachable from the server", quoting(3, 3, cl4, request4, 28), take},
		{"too big from a router", quoting(3, 4, cl4, request4, 120), take},
		{"too big in IPv6", quoting(2, 0, cl6, request6, 120), take},
		{"redirect", quoting(5, 0, cl4, request4, 28), pass},
		{"unreachable, to somebody else", quoting(3, 3, "192.0.2.77", request4, 28), pass},
		{"unreachable about a health check", quoting(3, 3, lb4, check, 28), pass},
		{"unreachable, quotes a later fragment", quoting(3, 3, cl4, part, 28), take},
		{"unreachable, quotes the reply", quoting(3, 3, rs4, build(answer4), 28), pass},
		{"esp", build(esp), take},
		{"esp in IPv6", with(esp, func(s *packet.Spec) { s.Src, s.Dst = addr(cl6), addr(vpn6) }), take},
		{"later fragment of esp", with(esp, func(s *packet.Spec) { s.FragmentOffset = 48 }), take},
		{"ah where esp is taken alone", with(esp, func(s *packet.Spec) { s.Proto = packet.ProtoAH }), pass},
		{"esp to another address", with(esp, func(s *packet.Spec) { s.Dst = addr(vip4) }), pass},
		{"esp from a server", with(esp, func(s *packet.Spec) { s.Src, s.Dst = addr(any4), addr(cl4) }), take},
		{"ah from a server", with(esp, func(s *packet.Spec) { s.Proto, s.Src, s.Dst = packet.ProtoAH, addr(any4), addr(cl4) }), take},
		{"esp from a server to the director", with(esp, func(s *packet.Spec) { s.Src, s.Dst = addr(any4), addr(lb4) }), pass},
		{"unreachable, quotes esp", quoting(3, 4, vpn4, espBack, 28), take},
		{"unreachable, quotes esp without its data", quoting(3, 4, vpn4, espBack, 20), take},
		{"ospf", with(esp, func(s *packet.Spec) { s.Proto = 89 }), pass},
	}
}

// tunnelled returns a packet of the director to a server inside another one, as errors quote it.
func tunnelled(from, to string, proto uint8, dport uint16) []byte {
	s := packet.Spec{Tuple: tuple(proto, from, 50000, to, dport), Payload: build(tcp4)[14:]}
	return build(s)
}

// tunnelRows are errors about what travels in tunnels.
func tunnelRows() []row {
	part := tunnelled(lb4, tunIP, packet.ProtoIPIP, 0)
	part[14+7] = 8 // an offset
	return []row{
		{"ipip", quoting(3, 4, lb4, tunnelled(lb4, tunIP, packet.ProtoIPIP, 0), 68), take},
		{"ipv6 inside", quoting(11, 0, lb4, tunnelled(lb4, tunIP, packet.ProtoIPv6, 0), 68), take},
		{"the outer header alone", quoting(3, 4, lb4, tunnelled(lb4, tunIP, packet.ProtoIPIP, 0), 20), take},
		{"gre", quoting(3, 1, lb4, tunnelled(lb4, tunGRE, packet.ProtoGRE, 0), 68), take},
		{"gue", quoting(3, 4, lb4, tunnelled(lb4, tunGUE, packet.ProtoUDP, gue), 68), take},
		{"gue to another port", quoting(3, 4, lb4, tunnelled(lb4, tunGUE, packet.ProtoUDP, 53), 68), pass},
		{"in IPv6", quoting(2, 0, lb6, tunnelled(lb6, tun6, packet.ProtoIPv6, 0), 120), take},
		{"another tunnel to the server", quoting(3, 4, lb4, tunnelled(lb4, tunIP, packet.ProtoGRE, 0), 68), pass},
		{"a tunnel to another server", quoting(3, 4, lb4, tunnelled(lb4, rs4, packet.ProtoIPIP, 0), 68), pass},
		{"a tunnel of somebody else", quoting(3, 4, cl4, tunnelled(cl4, tunIP, packet.ProtoIPIP, 0), 68), pass},
		{"to another address", quoting(3, 4, vip4, tunnelled(lb4, tunIP, packet.ProtoIPIP, 0), 68), pass},
		{"a later fragment", quoting(3, 4, lb4, part, 68), pass},
		{"redirect", quoting(5, 0, lb4, tunnelled(lb4, tunIP, packet.ProtoIPIP, 0), 68), pass},
		{"the tunnel itself", tunnelled(cl4, lb4, packet.ProtoIPIP, 0), pass},
	}
}

// wideRows are packets to prefixes.
func wideRows() []row {
	to := func(proto uint8, dst string, port uint16) []byte {
		src := cl4
		if !addr(dst).Is4() {
			src = cl6
		}
		return build(packet.Spec{Tuple: tuple(proto, src, 40000, dst, port), Payload: make([]byte, 20)})
	}
	back := build(packet.Spec{Tuple: tuple(packet.ProtoTCP, "203.0.113.200", 443, cl4, 9), Payload: make([]byte, 40)})
	later := packet.Spec{Tuple: tuple(packet.ProtoUDP, cl6, 1, "2001:db8:77::9", 1), FragmentOffset: 64, Payload: make([]byte, 9)}
	return []row{
		{"first address", to(packet.ProtoTCP, "203.0.113.128", 80), take},
		{"last address", to(packet.ProtoTCP, "203.0.113.255", 80), take},
		{"another port", to(packet.ProtoTCP, "203.0.113.129", 81), pass},
		{"all ports", to(packet.ProtoTCP, "203.0.113.192", 81), take},
		{"below", to(packet.ProtoTCP, "203.0.113.127", 80), pass},
		{"another protocol", to(packet.ProtoSCTP, "203.0.113.128", 80), pass},
		{"any address", to(packet.ProtoUDP, "192.0.2.99", 4500), take},
		{"any address, another port", to(packet.ProtoUDP, "192.0.2.99", 4501), pass},
		{"any address, of the director", to(packet.ProtoUDP, lb4, 4500), take},
		{"not IPv6", to(packet.ProtoUDP, lb6, 4500), pass},
		{"prefix of IPv6", to(packet.ProtoUDP, "2001:db8:77:1::1", 9), take},
		{"outside of it", to(packet.ProtoUDP, "2001:db8:78::1", 9), pass},
		{"any IPv6", to(packet.ProtoTCP, "2001:db8:9::9", 8443), take},
		{"not IPv4", to(packet.ProtoTCP, "192.0.2.99", 8443), pass},
		{"unreachable", quoting(3, 1, "203.0.113.200", back, 28), take},
		{"later fragment", build(later), take},
		{"later fragment of another protocol", with(later, func(s *packet.Spec) { s.Proto = packet.ProtoSCTP }), pass},
	}
}
