package xsk

import (
	"encoding/binary"
	"net/netip"

	"dirsw/packet"
)

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func tuple(proto uint8, src string, sport uint16, dst string, dport uint16) packet.Tuple {
	return packet.Tuple{Src: addr(src), Dst: addr(dst), SrcPort: sport, DstPort: dport, Proto: proto}
}

// verdict is what becomes of a frame.
type verdict int

const (
	pass verdict = iota // to the kernel
	take                // to the lane
)

func (v verdict) String() string { return [...]string{"passes to the kernel", "is taken"}[v] }

// row is a frame and what becomes of it with the filter of services.
type row struct {
	name  string
	frame []byte
	want  verdict
}

func build(s packet.Spec) []byte {
	if s.DstMAC == (packet.MAC{}) {
		s.DstMAC = packet.MAC{2, 0, 0, 0, 0, 2}
	}
	s.SrcMAC = packet.MAC{2, 0, 0, 0, 0, 1}
	return packet.Build(nil, s)
}

// edited returns the frame after f has changed it, its IPv4 header checksum mended.
func edited(frame []byte, f func([]byte) []byte) []byte {
	frame = f(frame)
	if len(frame) > 34 && binary.BigEndian.Uint16(frame[12:]) == packet.EtherTypeIPv4 {
		if ip := packet.IPv4(frame[14:]); ip.HeaderLen() >= 20 && len(ip) >= ip.HeaderLen() {
			ip.SetChecksum(ip.ComputeChecksum())
		}
	}
	return frame
}

// quoting returns an ICMP or ICMPv6 error of a router to vip about the packet in frame.
func quoting(typ, code uint8, to string, frame []byte, n int) []byte {
	proto, from := packet.ProtoICMP, "198.51.100.1"
	if !addr(to).Is4() {
		proto, from = packet.ProtoICMPv6, "2001:db8:9::1"
	}
	return build(packet.Spec{Tuple: tuple(proto, from, 0, to, 0), ICMPType: typ, ICMPCode: code,
		Payload: frame[14:min(14+n, len(frame))]})
}

// withOptions inserts n words of no-operation options into the IPv4 header.
func withOptions(words int) func([]byte) []byte {
	return func(f []byte) []byte {
		out := append([]byte{}, f[:34]...)
		for range 4 * words {
			out = append(out, 1)
		}
		out = append(out, f[34:]...)
		out[14] += byte(words)
		binary.BigEndian.PutUint16(out[16:], uint16(len(out)-14))
		return out
	}
}

// withExtensions inserts IPv6 extension headers of 8*(1+units) bytes each.
func withExtensions(units int, kinds ...uint8) func([]byte) []byte {
	return func(f []byte) []byte {
		out := append([]byte{}, f[:54]...)
		next := f[20]
		for i, k := range kinds {
			h := make([]byte, 8*(1+units))
			h[0], h[1] = next, uint8(units)
			if k == packet.ExtFragment {
				h = h[:8]
				h[1] = 0
			}
			if i+1 < len(kinds) {
				h[0] = kinds[i+1]
			}
			out = append(out, h...)
		}
		out[20] = kinds[0]
		out = append(out, f[54:]...)
		binary.BigEndian.PutUint16(out[18:], uint16(len(out)-54))
		return out
	}
}

func cut(n int) func([]byte) []byte { return func(f []byte) []byte { return f[:n] } }

func set(at int, v ...byte) func([]byte) []byte {
	return func(f []byte) []byte {
		copy(f[at:], v)
		return f
	}
}

var (
	tcp4  = packet.Spec{Tuple: tuple(packet.ProtoTCP, cl4, 40000, vip4, 80), TCPFlags: packet.SYN}
	udp4  = packet.Spec{Tuple: tuple(packet.ProtoUDP, cl4, 40000, vip4, 53), Payload: []byte("a question")}
	tcp6  = packet.Spec{Tuple: tuple(packet.ProtoTCP, cl6, 40000, vip6, 443), TCPFlags: packet.ACK}
	sctp6 = packet.Spec{Tuple: tuple(packet.ProtoSCTP, cl6, 40000, vip6, 9), Tag: 7}
	// What the services sent, and errors quote.
	reply4 = build(packet.Spec{Tuple: tuple(packet.ProtoTCP, vip4, 80, cl4, 40000), TCPFlags: packet.ACK, Payload: make([]byte, 99)})
	reply6 = build(packet.Spec{Tuple: tuple(packet.ProtoTCP, vip6, 443, cl6, 40000), TCPFlags: packet.ACK, Payload: make([]byte, 99)})
)

// with returns s after f has changed it.
func with(s packet.Spec, f func(*packet.Spec)) []byte {
	f(&s)
	return build(s)
}

// service4Rows are frames of IPv4 that look like a service's.
func service4Rows() []row {
	return []row{
		{"tcp", build(tcp4), take},
		{"udp", build(udp4), take},
		{"tagged", with(tcp4, func(s *packet.Spec) { s.VLAN = 100 }), take},
		{"one word of options", edited(build(tcp4), withOptions(1)), take},
		{"ten words of options", edited(build(tcp4), withOptions(10)), take},
		{"padded", append(build(udp4), make([]byte, 8)...), take},
		{"another port", with(tcp4, func(s *packet.Spec) { s.DstPort = 22 }), pass},
		{"the port swapped", with(tcp4, func(s *packet.Spec) { s.DstPort = 80 << 8 }), pass},
		{"the port of the other protocol", with(tcp4, func(s *packet.Spec) { s.DstPort = 53 }), pass},
		{"another address", with(tcp4, func(s *packet.Spec) { s.Dst = addr(lb4) }), pass},
		{"from the service", reply4, pass},
		{"protocol without ports", with(tcp4, func(s *packet.Spec) { s.Proto = packet.ProtoESP; s.Payload = make([]byte, 40) }), pass},
		{"first fragment", with(udp4, func(s *packet.Spec) { s.MoreFragments = true; s.Payload = make([]byte, 40) }), take},
		{"later fragment", with(udp4, func(s *packet.Spec) { s.FragmentOffset = 48 }), take},
		{"later fragment, small", with(udp4, func(s *packet.Spec) { s.FragmentOffset = 48; s.Payload = []byte{1} }), take},
		{"later fragment of another protocol", with(udp4, func(s *packet.Spec) { s.Proto = packet.ProtoSCTP; s.FragmentOffset = 48 }), pass},
		{"later fragment to another address", with(udp4, func(s *packet.Spec) { s.Dst = addr(lb4); s.FragmentOffset = 48 }), pass},
		{"two tags", edited(with(tcp4, func(s *packet.Spec) { s.VLAN = 100 }), func(f []byte) []byte {
			return append(append(append([]byte{}, f[:12]...), 0x81, 0, 0, 7), f[12:]...)
		}), pass},
		{"an outer tag of 802.1ad", edited(with(tcp4, func(s *packet.Spec) { s.VLAN = 100 }), set(12, 0x88, 0xa8)), pass},
		{"another station's", with(tcp4, func(s *packet.Spec) { s.DstMAC = packet.MAC{2, 0, 0, 0, 0, 9} }), pass},
		{"broadcast", with(tcp4, func(s *packet.Spec) { s.DstMAC = packet.MAC{255, 255, 255, 255, 255, 255} }), pass},
		{"multicast", with(tcp4, func(s *packet.Spec) { s.DstMAC = packet.MAC{1, 0, 0x5e, 0, 0, 1} }), pass},
		{"cut in the ports", edited(build(tcp4), cut(36)), pass},
		{"cut in the TCP header", edited(build(tcp4), cut(50)), pass},
		{"cut in the IPv4 header", edited(build(tcp4), cut(30)), pass},
		{"cut in the options", edited(edited(build(tcp4), withOptions(10)), cut(60)), pass},
		{"cut in the tag", edited(with(tcp4, func(s *packet.Spec) { s.VLAN = 1 }), cut(17)), pass},
		{"total length behind the frame", edited(build(tcp4), set(16, 1, 0)), pass},
		{"total length within the TCP header", edited(build(tcp4), set(16, 0, 36)), pass},
		{"total length within the IPv4 header", edited(build(tcp4), set(16, 0, 16)), pass},
		{"version 5", edited(build(tcp4), set(14, 0x55)), pass},
		{"four words of header", edited(build(tcp4), set(14, 0x44)), pass},
		{"an IPv6 EtherType", edited(build(tcp4), set(12, 0x86, 0xdd)), pass},
	}
}

// service6Rows are the same of IPv6.
func service6Rows() []row {
	hop, frag, dst, route := packet.ExtHopByHop, packet.ExtFragment, packet.ExtDestOptions, packet.ExtRouting
	all := []uint8{hop, dst, route, frag, dst, dst, dst, dst}
	return []row{
		{"tcp", build(tcp6), take},
		{"sctp, all ports", build(sctp6), take},
		{"tagged", with(tcp6, func(s *packet.Spec) { s.VLAN = 4000 }), take},
		{"another port", with(tcp6, func(s *packet.Spec) { s.DstPort = 80 }), pass},
		{"another address", with(tcp6, func(s *packet.Spec) { s.Dst = addr(lb6) }), pass},
		{"one extension header", edited(build(tcp6), withExtensions(0, hop)), take},
		{"a long extension header", edited(build(tcp6), withExtensions(40, dst)), take},
		{"eight extension headers", edited(build(tcp6), withExtensions(0, all...)), take},
		{"nine extension headers", edited(build(tcp6), withExtensions(0, append(all, dst)...)), pass},
		{"an atomic fragment", edited(build(tcp6), withExtensions(0, frag)), take},
		{"first fragment", with(sctp6, func(s *packet.Spec) { s.MoreFragments = true; s.Payload = make([]byte, 40) }), take},
		{"later fragment", with(sctp6, func(s *packet.Spec) { s.FragmentOffset = 48; s.Payload = make([]byte, 3) }), take},
		{"later fragment of another protocol", with(sctp6, func(s *packet.Spec) {
			s.Proto, s.FragmentOffset, s.Payload = packet.ProtoUDP, 48, make([]byte, 9)
		}), pass},
		{"authentication header", edited(build(tcp6), withExtensions(0, packet.ProtoAH)), pass},
		{"cut in the ports", edited(build(tcp6), cut(56)), pass},
		{"cut in the IPv6 header", edited(build(tcp6), cut(50)), pass},
		{"cut in an extension header", edited(edited(build(tcp6), withExtensions(1, hop)), cut(66)), pass},
		{"payload behind the frame", edited(build(tcp6), set(18, 1, 0)), pass},
		{"payload within the TCP header", edited(build(tcp6), set(18, 0, 10)), pass},
		{"version 4", edited(build(tcp6), set(14, 0x40)), pass},
	}
}

// otherRows are ICMP and what belongs to the kernel.
func otherRows() []row {
	arp := append(edited(make([]byte, 60), set(0, 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)), 0)
	other4 := build(packet.Spec{Tuple: tuple(packet.ProtoTCP, vip4, 22, cl4, 40000), Payload: make([]byte, 99)})
	part4 := build(packet.Spec{Tuple: tuple(packet.ProtoUDP, vip4, 53, cl4, 9), FragmentOffset: 64, Payload: make([]byte, 99)})
	return []row{
		{"echo request to the service's address", build(packet.Spec{Tuple: tuple(packet.ProtoICMP, cl4, 0, vip4, 0)}), pass},
		{"echo request in IPv6", build(packet.Spec{Tuple: tuple(packet.ProtoICMPv6, cl6, 0, vip6, 0)}), pass},
		{"unreachable", quoting(3, 4, vip4, reply4, 28), take},
		{"unreachable, whole quote", quoting(3, 1, vip4, reply4, 128), take},
		{"source quench", quoting(4, 0, vip4, reply4, 28), take},
		{"time exceeded", quoting(11, 0, vip4, reply4, 28), take},
		{"redirect", quoting(5, 0, vip4, reply4, 28), pass},
		{"parameter problem", quoting(12, 0, vip4, reply4, 28), pass},
		{"quotes options", quoting(3, 4, vip4, edited(append([]byte{}, reply4...), withOptions(3)), 60), take},
		{"quotes another port", quoting(3, 4, vip4, other4, 28), pass},
		{"quotes what came to the service", quoting(3, 4, vip4, build(tcp4), 28), pass},
		{"quotes a later fragment", quoting(3, 4, vip4, part4, 28), take},
		{"quotes the service, to another address", quoting(3, 4, lb4, reply4, 28), pass},
		{"quotes less than the ports", quoting(3, 4, vip4, reply4, 22), pass},
		{"quotes less than a header", quoting(3, 4, vip4, reply4, 19), pass},
		{"a fragment of an error", edited(quoting(3, 4, vip4, reply4, 128), set(20, 0x20, 0)), pass},
		{"too big", quoting(2, 0, vip6, reply6, 120), take},
		{"unreachable in IPv6", quoting(1, 4, vip6, reply6, 48), take},
		{"parameter problem in IPv6", quoting(4, 0, vip6, reply6, 48), take},
		{"quotes extension headers", quoting(1, 4, vip6, edited(append([]byte{}, reply6...), withExtensions(1, packet.ExtDestOptions, packet.ExtFragment)), 120), take},
		{"quotes all ports", quoting(1, 4, vip6, build(packet.Spec{Tuple: tuple(packet.ProtoSCTP, vip6, 5, cl6, 9)}), 52), take},
		{"quotes another port in IPv6", quoting(1, 4, vip6, build(packet.Spec{Tuple: tuple(packet.ProtoTCP, vip6, 80, cl6, 9)}), 60), pass},
		{"neighbour solicitation", build(packet.Spec{Tuple: tuple(packet.ProtoICMPv6, cl6, 0, vip6, 0), ICMPType: 135, Payload: make([]byte, 16), TTL: 255}), pass},
		{"vrrp", build(packet.Spec{Tuple: tuple(112, cl4, 0, "224.0.0.18", 0), DstMAC: packet.MAC{1, 0, 0x5e, 0, 0, 18}, Payload: make([]byte, 20)}), pass},
		{"arp", arp[:60], pass},
		{"lldp", edited(make([]byte, 60), set(0, 1, 0x80, 0xc2, 0, 0, 14, 2, 0, 0, 0, 0, 1, 0x88, 0xcc)), pass},
		{"an Ethernet header alone", build(tcp4)[:14], pass},
	}
}
