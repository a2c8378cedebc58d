package packet

import (
	"net/netip"
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
