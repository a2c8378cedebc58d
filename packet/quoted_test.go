package packet

import "testing"

// TestQuoted: what of an ICMP error is taken for the packet it is about.
func TestQuoted(t *testing.T) {
	tcp4, tcp6 := Build(nil, spec(tuple4(ProtoTCP)))[14:], Build(nil, spec(tuple6(ProtoTCP)))[14:]
	esp4 := Build(nil, Spec{Tuple: tuple4(ProtoESP)})[14:]
	options4 := withIPv4Options(Build(nil, spec(tuple4(ProtoTCP))), 1, 1, 1, 0)[14:]
	extension6 := withExtension(Build(nil, spec(tuple6(ProtoTCP))), ExtDestOptions)[14:]
	mapped := Build(nil, spec(tuple6(ProtoTCP)))[14:]
	IPv6(mapped).SetDst(addr("192.0.2.1"))
	later := spec(tuple6(ProtoTCP))
	later.FragmentOffset = 1232
	later6 := Build(nil, later)[14:]
	none := Tuple{}
	notes := func(b []byte, f func([]byte)) []byte { b = append([]byte{}, b...); f(b); return b }
	noPorts := func(t Tuple) Tuple { t.SrcPort, t.DstPort = 0, 0; return t }
	for _, tc := range []struct {
		name  string
		v6    bool
		typ   uint8
		quote []byte
		want  Tuple // of the quoted packet; none for plain ICMP
		l4    int   // of it, from the start of the quote
		frag  bool
	}{
		{"unreachable", false, ICMPv4Unreachable, tcp4, tuple4(ProtoTCP), 20, false},
		{"source quench", false, ICMPv4SourceQuench, tcp4, tuple4(ProtoTCP), 20, false},
		{"time exceeded", false, ICMPv4TimeExceeded, tcp4, tuple4(ProtoTCP), 20, false},
		{"redirect", false, 5, tcp4, none, 0, false},
		{"parameter problem", false, 12, tcp4, none, 0, false},
		{"echo reply with a packet in it", false, ICMPv4EchoReply, tcp4, none, 0, false},
		{"nothing quoted", false, ICMPv4Unreachable, nil, none, 0, false},
		{"19 bytes", false, ICMPv4Unreachable, tcp4[:19], none, 0, false},
		{"no ports", false, ICMPv4Unreachable, tcp4[:20], none, 0, false},
		{"half the ports", false, ICMPv4Unreachable, tcp4[:23], none, 0, false},
		{"just the ports", false, ICMPv4Unreachable, tcp4[:24], tuple4(ProtoTCP), 20, false},
		{"options", false, ICMPv4Unreachable, options4, tuple4(ProtoTCP), 24, false},
		{"options, ports cut", false, ICMPv4Unreachable, options4[:27], none, 0, false},
		{"protocol without ports", false, ICMPv4Unreachable, esp4, noPorts(tuple4(ProtoESP)), 20, false},
		{"options of that cut", false, ICMPv4Unreachable, notes(esp4, func(b []byte) { b[0] = 0x46 }), none, 0, false},
		{"version 6 in icmp", false, ICMPv4Unreachable, tcp6, none, 0, false},
		{"header of 16 bytes", false, ICMPv4Unreachable, notes(tcp4, func(b []byte) { b[0] = 0x44 }), none, 0, false},
		{"header checksum and length wrong", false, ICMPv4Unreachable, notes(tcp4, func(b []byte) { b[2], b[10] = 0xff, 0xff }), tuple4(ProtoTCP), 20, false},
		{"later fragment", false, ICMPv4Unreachable, notes(tcp4, func(b []byte) { b[7] = 0x64 }), tuple4(ProtoTCP), 20, true},
		{"first fragment", false, ICMPv4Unreachable, notes(tcp4, func(b []byte) { b[6] = 0x20 }), tuple4(ProtoTCP), 20, false},

		{"unreachable 6", true, ICMPv6Unreachable, tcp6, tuple6(ProtoTCP), 40, false},
		{"packet too big 6", true, ICMPv6PacketTooBig, tcp6, tuple6(ProtoTCP), 40, false},
		{"time exceeded 6", true, ICMPv6TimeExceeded, tcp6, tuple6(ProtoTCP), 40, false},
		{"parameter problem 6", true, ICMPv6ParameterProblem, tcp6, tuple6(ProtoTCP), 40, false},
		{"error not known yet 6", true, 100, tcp6, tuple6(ProtoTCP), 40, false},
		{"echo request with a packet in it 6", true, ICMPv6EchoRequest, tcp6, none, 0, false},
		{"redirect 6", true, 137, tcp6, none, 0, false},
		{"39 bytes 6", true, ICMPv6Unreachable, tcp6[:39], none, 0, false},
		{"half the ports 6", true, ICMPv6Unreachable, tcp6[:43], none, 0, false},
		{"just the ports 6", true, ICMPv6Unreachable, tcp6[:44], tuple6(ProtoTCP), 40, false},
		{"extension header 6", true, ICMPv6Unreachable, extension6, tuple6(ProtoTCP), 48, false},
		{"extension header cut 6", true, ICMPv6Unreachable, extension6[:47], none, 0, false},
		{"version 4 in icmp6", true, ICMPv6Unreachable, tcp4, none, 0, false},
		{"version 5 6", true, ICMPv6Unreachable, notes(tcp6, func(b []byte) { b[0] = 0x50 }), none, 0, false},
		{"v4-mapped 6", true, ICMPv6Unreachable, mapped, none, 0, false},
		{"later fragment 6", true, ICMPv6Unreachable, later6,
			Tuple{Src: tuple6(0).Src, Dst: tuple6(0).Dst, SrcPort: 0x4745, DstPort: 0x5420, Proto: ProtoTCP, Family: IPv6Family}, 48, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec(tuple4(ProtoICMP).Reverse())
			if tc.v6 {
				s = spec(tuple6(ProtoICMPv6).Reverse())
			}
			s.ICMPType, s.ICMPCode, s.ICMPRest, s.Payload = tc.typ, 0, 1300, tc.quote
			b := Build(nil, s)
			m := mustParse(t, b)
			l4 := uint16(len(b) - len(tc.quote) - ICMPLen)
			want := Meta{Tuple: tc.want, L3: 14, L4: l4, Payload: l4 + ICMPLen, End: uint32(len(b))}
			if tc.want == none {
				want.Tuple = s.Tuple
				want.SrcPort, want.DstPort = 0, 0
			} else {
				want.Flags = ICMPError
				want.Quoted = l4 + ICMPLen
				want.QuotedL4 = want.Quoted + uint16(tc.l4)
			}
			if tc.frag {
				want.Flags |= QuotedFragment
			}
			if m != want {
				t.Errorf("\n got %+v\nwant %+v", m, want)
			}
			if !ChecksumOK(b, &m) {
				t.Error("checksum taken as wrong")
			}
			b[len(b)-1] ^= 1
			if len(tc.quote) > 44 && ChecksumOK(b, &m) {
				t.Error("wrong checksum taken as right")
			}
		})
	}
}

// TestFragmentIsNoError: an ICMP error in fragments is plain ICMP, for the later ones cannot be known as errors.
func TestFragmentIsNoError(t *testing.T) {
	s := spec(tuple4(ProtoICMP))
	s.ICMPType, s.ICMPRest, s.MoreFragments = ICMPv4Unreachable, 1300, true
	s.Payload = Build(nil, spec(tuple4(ProtoTCP)))[14:]
	if m := mustParse(t, Build(nil, s)); m.Flags != Fragment || m.Proto != ProtoICMP || m.Src != s.Src {
		t.Errorf("%+v", m)
	}
}
