package packet

import (
	"bytes"
	"testing"
)

// TestBuildParses: what Build makes, Parse reads back.
func TestBuildParses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tuple  Tuple
		vlan   uint16
		l4len  int
		family int
	}{
		{"tcp4", tuple4(ProtoTCP), 0, TCPMinLen, IPv4MinLen},
		{"tcp4 vlan", tuple4(ProtoTCP), 0x2064, TCPMinLen, IPv4MinLen},
		{"udp4", tuple4(ProtoUDP), 0, UDPLen, IPv4MinLen},
		{"sctp4", tuple4(ProtoSCTP), 0, SCTPLen, IPv4MinLen},
		{"icmp", tuple4(ProtoICMP), 0, ICMPLen, IPv4MinLen},
		{"esp4", tuple4(ProtoESP), 0, 0, IPv4MinLen},
		{"tcp6", tuple6(ProtoTCP), 0, TCPMinLen, IPv6Len},
		{"udp6 vlan", tuple6(ProtoUDP), 7, UDPLen, IPv6Len},
		{"sctp6", tuple6(ProtoSCTP), 0, SCTPLen, IPv6Len},
		{"icmp6", tuple6(ProtoICMPv6), 0, ICMPLen, IPv6Len},
		{"ah6", tuple6(ProtoAH), 0, 0, IPv6Len},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec(tc.tuple)
			s.VLAN = tc.vlan
			b := Build(nil, s)
			m := mustParse(t, b)
			want := Meta{Tuple: tc.tuple, L3: EthernetLen, VLAN: tc.vlan}
			if tc.vlan != 0 {
				want.L3 += VLANTagLen
			}
			want.L4 = want.L3 + uint16(tc.family)
			want.Payload = want.L4 + uint16(tc.l4len)
			want.End = uint32(len(b))
			switch tc.tuple.Proto {
			case ProtoTCP:
				want.TCPFlags = SYN
			case ProtoUDP, ProtoSCTP:
			default:
				want.SrcPort, want.DstPort = 0, 0
			}
			if m != want {
				t.Errorf("Meta\n got %+v\nwant %+v", m, want)
			}
			if got := b[m.Payload:m.End]; !bytes.Equal(got, s.Payload) {
				t.Errorf("payload %q, want %q", got, s.Payload)
			}
		})
	}
}

// TestBuildChecksums: every checksum is right, of fragments those of the IP header.
func TestBuildChecksums(t *testing.T) {
	dirty := bytes.Repeat([]byte{0xff}, 4096) // what a frame before left in the buffer must not show
	for _, proto := range []uint8{ProtoTCP, ProtoUDP, ProtoSCTP, ProtoICMP, ProtoICMPv6, ProtoESP} {
		for _, tuple := range []Tuple{tuple4(proto), tuple6(proto)} {
			for n := range 33 {
				s := spec(tuple)
				s.Payload = bytes.Repeat([]byte{0x5a}, n)
				b := Build(dirty, s)
				m := mustParse(t, b)
				if !ChecksumOK(b, &m) {
					t.Errorf("%v, %d bytes: wrong checksum", tuple, n)
				}
				if fresh := Build(nil, s); !bytes.Equal(b, fresh) {
					t.Errorf("%v, %d bytes: the buffer shows\n got % x\nwant % x", tuple, n, b, fresh)
				}
			}
		}
	}
}

// TestBuildUDPZero: a UDP checksum that comes out as 0 is written as 0xffff.
func TestBuildUDPZero(t *testing.T) {
	s := spec(tuple4(ProtoUDP))
	s.Payload = make([]byte, 2)
	sum := UDP(Build(nil, s)[34:]).Checksum()
	s.Payload = []byte{uint8(sum >> 8), uint8(sum)}
	if got := UDP(Build(nil, s)[34:]).Checksum(); got != 0xffff {
		t.Errorf("%#04x, want 0xffff", got)
	}
}

func TestBuildTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s := spec(tuple4(ProtoUDP))
	s.Payload = make([]byte, 0x10000-IPv4MinLen-UDPLen)
	Build(nil, s)
}

func TestBuildAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 2048)
	s := spec(tuple4(ProtoTCP))
	if n := testing.AllocsPerRun(100, func() { buf = Build(buf, s) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
