package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// edited returns a copy of b that f has changed, with a right IPv4 header checksum.
func edited(b []byte, f func(b []byte)) []byte {
	b = bytes.Clone(b)
	f(b)
	if h := IPv4(b[EthernetLen:]); len(h) >= IPv4MinLen && h[0]>>4 == 4 && h.HeaderLen() >= IPv4MinLen &&
		h.HeaderLen() <= len(h) {
		h.SetChecksum(h.ComputeChecksum())
	}
	return b
}

// put16 returns an edit that writes v at off.
func put16(off int, v uint16) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint16(b[off:], v) }
}

// extensions returns a TCP segment behind n extension headers.
func extensions(n int) []byte {
	b := Build(nil, spec(tuple6(ProtoTCP)))
	for range n {
		b = withExtension(b, ExtDestOptions)
	}
	return b
}

func TestParseDrops(t *testing.T) {
	tcp4, tcp6 := Build(nil, spec(tuple4(ProtoTCP))), Build(nil, spec(tuple6(ProtoTCP)))
	udp4, udp6 := Build(nil, spec(tuple4(ProtoUDP))), Build(nil, spec(tuple6(ProtoUDP)))
	sctp4, icmp4 := Build(nil, spec(tuple4(ProtoSCTP))), Build(nil, spec(tuple4(ProtoICMP)))
	icmp6 := Build(nil, spec(tuple6(ProtoICMPv6)))
	tagged := spec(tuple4(ProtoTCP))
	tagged.VLAN = 5
	vlan := Build(nil, tagged)
	options := withIPv4Options(tcp4, 1, 1, 1, 1, 1, 1, 1, 0)
	const ip, l4v4, l4v6 = 14, 34, 54
	total := func(n int) func([]byte) { return put16(ip+2, uint16(n)) }
	for _, tc := range []struct {
		name string
		b    []byte
		want DropReason
	}{
		{"nothing", nil, DropRunt},
		{"13 bytes", tcp4[:13], DropRunt},
		{"ethernet header alone", tcp4[:14], DropRunt},
		{"tag cut", vlan[:17], DropRunt},
		{"tag alone", vlan[:18], DropRunt},
		{"ipv4 header cut", tcp4[:33], DropRunt},
		{"ipv4 options cut", options[:41], DropRunt},
		{"ipv6 header cut", tcp6[:53], DropRunt},
		{"arp", edited(tcp4, put16(12, EtherTypeARP)), DropNotIP},
		{"802.3 length", edited(tcp4, put16(12, 0x0026)), DropNotIP},
		{"two tags", edited(vlan, put16(16, EtherTypeVLAN)), DropNotIP},
		{"provider tag", edited(vlan, put16(12, 0x88a8)), DropNotIP},
		{"version 5", edited(tcp4, func(b []byte) { b[ip] = 0x55 }), DropBadHeader},
		{"version 6 with the ethertype of ipv4", edited(tcp4, func(b []byte) { b[ip] = 0x65 }), DropBadHeader},
		{"version 4 with the ethertype of ipv6", edited(tcp6, func(b []byte) { b[ip] = 0x40 }), DropBadHeader},
		{"header of 16 bytes", edited(tcp4, func(b []byte) { b[ip] = 0x44 }), DropBadHeader},
		{"checksum", func() []byte { b := bytes.Clone(tcp4); b[ip+10]++; return b }(), DropBadChecksum},
		{"checksum with options", func() []byte { b := bytes.Clone(options); b[ip+20]++; return b }(), DropBadChecksum},
		{"total length below the header", edited(tcp4, total(19)), DropBadHeader},
		{"total length below the options", edited(options, total(24)), DropBadHeader},
		{"total length 0", edited(tcp4, total(0)), DropBadHeader},
		{"total length beyond the frame", edited(tcp4, total(len(tcp4)-ip+1)), DropTruncated},
		{"total length 65535", edited(tcp4, total(0xffff)), DropTruncated},
		{"payload length beyond the frame", edited(tcp6, put16(ip+4, uint16(len(tcp6)-l4v6+1))), DropTruncated},
		{"tcp header cut", edited(tcp4, total(39)), DropTruncated},
		{"tcp header cut, ipv6", edited(tcp6, put16(ip+4, 19)), DropTruncated},
		{"no tcp header", edited(tcp4, total(20)), DropTruncated},
		{"data offset 4", edited(tcp4, func(b []byte) { b[l4v4+12] = 0x40 }), DropBadTransport},
		{"data offset 0, ipv6", edited(tcp6, func(b []byte) { b[l4v6+12] = 0 }), DropBadTransport},
		{"data offset beyond the packet", edited(tcp4, func(b []byte) { b[l4v4+12] = 0xf0 }), DropBadTransport},
		{"data offset just beyond the packet", edited(tcp4, func(b []byte) { b[l4v4+12] = 0xa0 }), DropBadTransport},
		{"data offset just beyond the packet, ipv6", edited(tcp6, func(b []byte) { b[l4v6+12] = 0xa0 }), DropBadTransport},
		{"data offset beyond the packet, ipv6", edited(tcp6, func(b []byte) { b[l4v6+12] = 0xf0 }), DropBadTransport},
		{"udp header cut", edited(udp4, total(27)), DropTruncated},
		{"udp length 0", edited(udp4, put16(l4v4+4, 0)), DropBadTransport},
		{"udp length 7", edited(udp4, put16(l4v4+4, 7)), DropBadTransport},
		{"udp length 7, ipv6", edited(udp6, put16(l4v6+4, 7)), DropBadTransport},
		{"udp length beyond the packet", edited(udp4, put16(l4v4+4, 27)), DropBadTransport},
		{"udp length beyond the packet, ipv6", edited(udp6, put16(l4v6+4, 27)), DropBadTransport},
		{"sctp header cut", edited(sctp4, total(31)), DropTruncated},
		{"icmp header cut", edited(icmp4, total(27)), DropTruncated},
		{"icmp6 header cut", edited(icmp6, put16(ip+4, 7)), DropTruncated},
		{"source v4-mapped", edited(tcp6, func(b []byte) { IPv6(b[ip:]).SetSrc(addr("192.0.2.1")) }), DropBadHeader},
		{"destination v4-mapped", edited(tcp6, func(b []byte) { IPv6(b[ip:]).SetDst(addr("192.0.2.1")) }), DropBadHeader},
		{"extension header cut", edited(extensions(1), put16(ip+4, 7)), DropTruncated},
		{"extension header beyond the packet", edited(extensions(1), func(b []byte) { b[l4v6+1] = 0xff }), DropTruncated},
		{"transport behind extensions cut", edited(extensions(2), put16(ip+4, 16)), DropTruncated},
		{"too many extension headers", extensions(MaxExtensionHeaders + 1), DropExtensionHeaders},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := filledMeta()
			if got := Parse(tc.b, &m); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if m != (Meta{}) {
				t.Errorf("Meta %+v, want none", m)
			}
		})
	}
}

// filledMeta is a Meta that a frame before has left: no field is what the next frame wants.
func filledMeta() Meta {
	m := Meta{L3: 0xabab, L4: 0xabab, Payload: 0xabab, End: 0xabab, VLAN: 0xabab, Quoted: 0xabab, QuotedL4: 0xabab,
		TCPFlags: 0xab, Flags: 0xab, FragID: 0xabababab}
	m.SrcPort, m.DstPort, m.Proto, m.Family = 0xabab, 0xabab, 0xab, 0xab
	for i := range m.Src {
		m.Src[i], m.Dst[i] = 0xab, 0xab
	}
	return m
}

func TestParsePasses(t *testing.T) {
	first4, later4, first6, later6 := spec(tuple4(ProtoTCP)), spec(tuple4(ProtoTCP)), spec(tuple6(ProtoUDP)), spec(tuple6(ProtoUDP))
	first4.MoreFragments, first6.MoreFragments = true, true
	later4.FragmentOffset, later6.FragmentOffset = 1480, 1480
	laterOptions := spec(tuple6(ExtDestOptions))
	laterOptions.FragmentOffset = 1480
	noPorts := func(t Tuple) Tuple { t.SrcPort, t.DstPort = 0, 0; return t }
	var short [8]byte
	echo := tuple4(ProtoICMP)
	wrongFamily := tuple6(ProtoICMP)
	for _, tc := range []struct {
		name string
		b    []byte
		want Meta
	}{
		{"ethernet padding", append(Build(nil, Spec{Tuple: tuple4(ProtoTCP)}), make([]byte, 6)...),
			Meta{Tuple: tuple4(ProtoTCP), L3: 14, L4: 34, Payload: 54, End: 54}},
		{"padding behind udp6", append(Build(nil, Spec{Tuple: tuple6(ProtoUDP)}), 0, 0),
			Meta{Tuple: tuple6(ProtoUDP), L3: 14, L4: 54, Payload: 62, End: 62}},
		{"tagged with priority in no vlan", slicesInsert(Build(nil, Spec{Tuple: tuple4(ProtoUDP)}), 12, 0x81, 0, 0, 0),
			Meta{Tuple: tuple4(ProtoUDP), L3: 18, L4: 38, Payload: 46, End: 46}},
		{"ece and cwr", Build(nil, Spec{Tuple: tuple4(ProtoTCP), TCPFlags: 0xc0 | SYN}),
			Meta{Tuple: tuple4(ProtoTCP), L3: 14, L4: 34, Payload: 54, End: 54, TCPFlags: SYN}},
		{"tcp options", edited(Build(nil, Spec{Tuple: tuple6(ProtoTCP), Payload: short[:]}), func(b []byte) { TCP(b[54:]).SetHeaderLen(24) }),
			Meta{Tuple: tuple6(ProtoTCP), L3: 14, L4: 54, Payload: 78, End: 82}},
		{"udp shorter than the packet", edited(Build(nil, Spec{Tuple: tuple4(ProtoUDP), Payload: short[:]}), put16(38, 10)),
			Meta{Tuple: tuple4(ProtoUDP), L3: 14, L4: 34, Payload: 42, End: 50}},
		{"first fragment", Build(nil, first4),
			Meta{Tuple: tuple4(ProtoTCP), L3: 14, L4: 34, Payload: 54, End: 72, TCPFlags: SYN, Flags: Fragment, FragID: 0x1234}},
		{"first fragment ends in the tcp options", edited(Build(nil, first4), func(b []byte) { TCP(b[34:]).SetHeaderLen(60) }),
			Meta{Tuple: tuple4(ProtoTCP), L3: 14, L4: 34, Payload: 72, End: 72, TCPFlags: SYN, Flags: Fragment, FragID: 0x1234}},
		{"later fragment", Build(nil, later4),
			Meta{Tuple: noPorts(tuple4(ProtoTCP)), L3: 14, L4: 34, Payload: 34, End: 52, Flags: Fragment | LaterFragment, FragID: 0x1234}},
		{"first fragment of a longer datagram, ipv6", edited(Build(nil, first6), put16(66, 3000)),
			Meta{Tuple: tuple6(ProtoUDP), L3: 14, L4: 62, Payload: 70, End: 88, Flags: Fragment | IPOptions, FragID: 0x1234}},
		{"later fragment, ipv6", Build(nil, later6),
			Meta{Tuple: noPorts(tuple6(ProtoUDP)), L3: 14, L4: 62, Payload: 62, End: 80, Flags: Fragment | LaterFragment | IPOptions, FragID: 0x1234}},
		{"atomic fragment", withExtension(Build(nil, Spec{Tuple: tuple6(ProtoUDP)}), ExtFragment),
			Meta{Tuple: tuple6(ProtoUDP), L3: 14, L4: 62, Payload: 70, End: 70, Flags: Fragment | IPOptions, FragID: 0x4242}},
		{"as many extension headers as are followed", extensions(MaxExtensionHeaders),
			Meta{Tuple: tuple6(ProtoTCP), L3: 14, L4: 118, Payload: 138, End: 156, TCPFlags: SYN, Flags: IPOptions}},
		{"extension header of 24 bytes", edited(slicesInsert(extensions(1), 62, make([]byte, 16)...), func(b []byte) { b[55], b[19] = 2, b[19]+16 }),
			Meta{Tuple: tuple6(ProtoTCP), L3: 14, L4: 78, Payload: 98, End: 116, TCPFlags: SYN, Flags: IPOptions}},
		{"later fragment that goes on in destination options", Build(nil, laterOptions),
			Meta{Tuple: noPorts(tuple6(ExtDestOptions)), L3: 14, L4: 62, Payload: 62, End: 80, Flags: Fragment | LaterFragment | IPOptions, FragID: 0x1234}},
		{"no next header", edited(Build(nil, Spec{Tuple: Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), Proto: ProtoNoNext, Family: IPv6Family}}), func([]byte) {}),
			Meta{Tuple: Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), Proto: ProtoNoNext, Family: IPv6Family}, L3: 14, L4: 54, Payload: 54, End: 54}},
		{"authentication header", Build(nil, Spec{Tuple: noPorts(tuple6(ProtoAH)), Payload: short[:]}),
			Meta{Tuple: noPorts(tuple6(ProtoAH)), L3: 14, L4: 54, Payload: 54, End: 62}},
		{"echo", Build(nil, Spec{Tuple: echo}),
			Meta{Tuple: noPorts(echo), L3: 14, L4: 34, Payload: 42, End: 42}},
		{"icmp of the other family", Build(nil, Spec{Tuple: wrongFamily}),
			Meta{Tuple: noPorts(wrongFamily), L3: 14, L4: 54, Payload: 54, End: 62}},
		{"source with 64 bits of zero", Build(nil, Spec{Tuple: Tuple{Src: addr("::1:2:3"), Dst: addr("2001:db8::2"), SrcPort: 1, DstPort: 2, Proto: ProtoUDP}}),
			Meta{Tuple: Tuple{Src: addr("::1:2:3"), Dst: addr("2001:db8::2"), SrcPort: 1, DstPort: 2, Proto: ProtoUDP, Family: IPv6Family}, L3: 14, L4: 54, Payload: 62, End: 62}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := filledMeta()
			if r := Parse(tc.b, &m); r != NoDrop {
				t.Fatalf("dropped: %v", r)
			}
			if m != tc.want {
				t.Errorf("\n got %+v\nwant %+v", m, tc.want)
			}
		})
	}
}

func slicesInsert(b []byte, at int, v ...byte) []byte {
	return append(append(bytes.Clone(b[:at]), v...), b[at:]...)
}

// TestParseLongest: the longest packets that IP can carry pass.
func TestParseLongest(t *testing.T) {
	for _, tc := range []struct {
		tuple Tuple
		data  int
	}{{tuple4(ProtoUDP), 0xffff - IPv4MinLen - UDPLen}, {tuple6(ProtoUDP), 0xffff - UDPLen}} {
		s := spec(tc.tuple)
		s.VLAN, s.Payload = 5, make([]byte, tc.data)
		b := Build(nil, s)
		if m := mustParse(t, append(b, 0)); int(m.End) != len(b) || m.Len() != len(b)-EthernetLen-VLANTagLen {
			t.Errorf("family %d: End %d of %d", m.Family, m.End, len(b))
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	rows := benchFrames()
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple6(ProtoUDP), tuple4(ProtoSCTP)} {
		b := Build(nil, spec(tuple))
		unfinish(t, b)
		rows = append(rows, benchFrame{fmt.Sprintf("unfinished %d", tuple.Proto), b})
	}
	for _, r := range rows {
		var m Meta
		f := frameOf(r.b)
		src, dst := testMACs()
		if n := testing.AllocsPerRun(100, func() {
			if Parse(f.Bytes(), &m) != NoDrop {
				t.Fatal("dropped")
			}
			SetMACs(&f, src, dst)
			DecrementTTL(&f, &m)
			copy(f.Bytes(), r.b)
			FinishChecksum(&f, &m)
			ChecksumOK(f.Bytes(), &m)
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", r.name, n)
		}
	}
}
