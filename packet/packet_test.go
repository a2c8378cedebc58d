package packet

import (
	"net/netip"
	"slices"
	"testing"
)

// Addresses, MACs and ports that the tests use.
func addr(s string) Addr { return AddrFrom(netip.MustParseAddr(s)) }

func testMACs() (src, dst MAC) { return MAC{2, 0, 0, 0, 1, 0xfe}, MAC{2, 0, 0, 0, 1, 1} }

// tuple4 and tuple6 are a client's tuples.
func tuple4(proto uint8) Tuple {
	return Tuple{Src: addr("192.0.2.7"), Dst: addr("198.51.100.80"), SrcPort: 40000, DstPort: 80,
		Proto: proto, Family: IPv4Family}
}

func tuple6(proto uint8) Tuple {
	return Tuple{Src: addr("2001:db8:7::1"), Dst: addr("2001:db8:100::80"), SrcPort: 40000, DstPort: 80,
		Proto: proto, Family: IPv6Family}
}

func spec(t Tuple) Spec {
	s := Spec{Tuple: t, Payload: []byte("GET / HTTP/1.0\r\n\r\n"), TCPFlags: SYN, Seq: 1000, ID: 0x1234}
	s.SrcMAC, s.DstMAC = testMACs()
	return s
}

// frameOf lends b as a frame with some headroom.
func frameOf(b []byte) Frame {
	buf := append(make([]byte, 64), b...)
	return MakeFrame(buf, 64, len(b), 0, 0)
}

func mustParse(t testing.TB, b []byte) (m Meta) {
	t.Helper()
	if r := Parse(b, &m); r != NoDrop {
		t.Fatalf("Parse: %v of % x", r, b)
	}
	return m
}

// withIPv4Options puts options, a multiple of four bytes, into an untagged frame and makes the header right again.
func withIPv4Options(b []byte, options ...byte) []byte {
	at := EthernetLen + IPv4MinLen
	b = slices.Insert(slices.Clone(b), at, options...)
	h := IPv4(b[EthernetLen:])
	h[0] += uint8(len(options) / 4)
	h.SetTotalLen(h.TotalLen() + len(options))
	h.SetChecksum(h.ComputeChecksum())
	return b
}

// withExtension puts an empty IPv6 extension header of that kind before all others of an untagged frame.
func withExtension(b []byte, kind uint8) []byte {
	at := EthernetLen + IPv6Len
	h := IPv6(b[EthernetLen:])
	ext := []byte{h.NextHeader(), 0, 1, 4, 0, 0, 0, 0} // PadN over the rest
	if kind == ExtFragment {
		ext = []byte{h.NextHeader(), 0, 0, 0, 0, 0, 0x42, 0x42} // atomic
	}
	b = slices.Insert(slices.Clone(b), at, ext...)
	h = IPv6(b[EthernetLen:])
	h.SetNextHeader(kind)
	h.SetPayloadLen(h.PayloadLen() + len(ext))
	return b
}

// icmpError returns a port unreachable about the untagged frame about, sent by whom that was for.
func icmpError(about []byte) []byte {
	var m Meta
	if r := Parse(about, &m); r != NoDrop {
		panic(r)
	}
	s := spec(m.Reverse())
	s.Payload = about[m.L3:m.End]
	if m.Family == IPv4Family {
		s.Proto, s.ICMPType, s.ICMPCode = ProtoICMP, ICMPv4Unreachable, ICMPv4PortUnreachable
	} else {
		s.Proto, s.ICMPType, s.ICMPCode = ProtoICMPv6, ICMPv6Unreachable, ICMPv6PortUnreachable
	}
	return Build(nil, s)
}
