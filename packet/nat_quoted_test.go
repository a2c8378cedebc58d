package packet

import (
	"bytes"
	"testing"
)

// slowErrorRewrite is rewriteError byte by byte, with all checksums but the quoted transport's computed by the slow sum.
func slowErrorRewrite(b []byte, m *Meta, a Addr, port uint16, toServer bool) {
	outerAt, quotedAt, portAt := 12, 16, 2 // to the client: source, quoted destination
	size, from := 4, 12
	if m.Family == IPv6Family {
		outerAt, quotedAt, size, from = 8, 24, 16, 0
	}
	if toServer {
		outerAt, quotedAt, portAt = outerAt+size, quotedAt-size, 0
	}
	copy(b[int(m.L3)+outerAt:], a[from:])
	copy(b[int(m.Quoted)+quotedAt:], a[from:])
	if p := m.Proto; (p == ProtoTCP || p == ProtoUDP || p == ProtoSCTP) &&
		(m.Family == IPv4Family || m.Flags&QuotedFragment == 0) {
		b[int(m.QuotedL4)+portAt], b[int(m.QuotedL4)+portAt+1] = uint8(port>>8), uint8(port)
	}
	msg := b[m.L4:m.End]
	if m.Family == IPv4Family {
		slowHeader(b[m.L3:m.L4])
		slowHeader(b[m.Quoted:m.QuotedL4])
		ICMPv4(msg).SetChecksum(0)
		ICMPv4(msg).SetChecksum(slowChecksum(msg))
		return
	}
	ICMPv6(msg).SetChecksum(0)
	p := append(bytes.Clone(b[m.L3+8:m.L3+40]), 0, 0, uint8(len(msg)>>8), uint8(len(msg)), 0, 0, 0, ProtoICMPv6)
	ICMPv6(msg).SetChecksum(slowChecksum(append(p, msg...)))
}

func slowHeader(h []byte) {
	IPv4(h).SetChecksum(0)
	IPv4(h).SetChecksum(slowChecksum(h))
}

func checkErrorRewrite(t *testing.T, b []byte, m *Meta, a Addr, port uint16) {
	t.Helper()
	for _, toServer := range []bool{true, false} {
		want := bytes.Clone(b)
		slowErrorRewrite(want, m, a, port, toServer)
		f := frameOf(b)
		if toServer {
			RewriteErrorToServer(&f, m, &a, port)
		} else {
			RewriteErrorToClient(&f, m, &a, port)
		}
		if !bytes.Equal(f.Bytes(), want) {
			t.Errorf("to server %v\n got % x\nwant % x", toServer, f.Bytes(), want)
		}
		if m2 := mustParse(t, f.Bytes()); !ChecksumOK(f.Bytes(), &m2) || m2.Flags != m.Flags {
			t.Errorf("to server %v: flags %v, want %v, or a wrong checksum", toServer, m2.Flags, m.Flags)
		}
	}
}

// TestRewriteError: errors about all kinds of packets, whole and cut.
func TestRewriteError(t *testing.T) {
	later4 := Build(nil, spec(tuple4(ProtoTCP)))
	IPv4(later4[EthernetLen:]).SetFragment(false, true, 800)
	later6 := spec(tuple6(ProtoTCP))
	later6.FragmentOffset = 1232
	for _, tc := range []struct {
		name  string
		about []byte
		keep  int // bytes quoted; 0: all
	}{
		{"tcp", Build(nil, spec(tuple4(ProtoTCP))), 0},
		{"tcp, eight bytes of it", Build(nil, spec(tuple4(ProtoTCP))), 28},
		{"tcp, odd", Build(nil, spec(tuple4(ProtoTCP))), 41},
		{"udp", Build(nil, spec(tuple4(ProtoUDP))), 0},
		{"sctp", Build(nil, spec(tuple4(ProtoSCTP))), 0},
		{"esp", Build(nil, spec(tuple4(ProtoESP))), 0},
		{"options", withIPv4Options(Build(nil, spec(tuple4(ProtoTCP))), 1, 1, 1, 0), 0},
		{"later fragment", later4, 28},
		{"tcp 6", Build(nil, spec(tuple6(ProtoTCP))), 0},
		{"udp 6", Build(nil, spec(tuple6(ProtoUDP))), 48},
		{"extension 6", withExtension(Build(nil, spec(tuple6(ProtoTCP))), ExtDestOptions), 0},
		{"later fragment 6", Build(nil, later6), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := errorAbout(tc.about, tc.keep)
			m := mustParse(t, b)
			if m.Flags&ICMPError == 0 {
				t.Fatal("not taken for an error")
			}
			a, port := natEnd(m.Family)
			checkErrorRewrite(t, b, &m, a, port)
		})
	}
}

// errorAbout is a port unreachable about the untagged frame about, which quotes its first keep bytes.
func errorAbout(about []byte, keep int) []byte {
	quote := about[EthernetLen:]
	if keep != 0 {
		quote = quote[:keep]
	}
	s := spec(tuple4(ProtoICMP))
	s.ICMPType, s.ICMPCode, s.Payload = ICMPv4Unreachable, ICMPv4PortUnreachable, quote
	if Ethernet(about).Type() == EtherTypeIPv6 {
		s.Tuple, s.ICMPType, s.ICMPCode = tuple6(ProtoICMPv6), ICMPv6Unreachable, ICMPv6PortUnreachable
	}
	return Build(nil, s)
}
