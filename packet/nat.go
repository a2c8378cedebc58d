package packet

import (
	"encoding/binary"
	"math/bits"
)

// Where a header has the addresses and ports that network address translation changes, in bytes: of a source, of a
// destination is as much further on as it is long.
const (
	ipv4SrcOffset = 12
	ipv6SrcOffset = 8
)

// end says which end of a flow is rewritten.
type end int

const (
	source end = iota
	destination
)

// RewriteSrc makes a and port the source of the packet, as network address translation does (RFC 3022, section 4.1). m is
// what Parse learnt of f, and is not changed; a is of the packet's family. Ports are those of TCP, UDP and SCTP; of other
// protocols, and of fragments that do not hold all of the transport header, only the address is written.
//
// Checksums are mended by difference (RFC 1624, section 3), so that a wrong one stays wrong, with the exceptions that Linux
// makes (ip_vs_proto_udp.c, ip_vs_proto_sctp.c): a UDP datagram without a checksum gets one, unless it is a fragment, and
// an SCTP packet whose port changes gets a CRC32c made anew. FinishChecksum must be called before, where it must at all.
func RewriteSrc(f *Frame, m *Meta, a *Addr, port uint16) { rewrite(f, m, a, port, source) }

// RewriteDst is RewriteSrc for the destination.
func RewriteDst(f *Frame, m *Meta, a *Addr, port uint16) { rewrite(f, m, a, port, destination) }

func rewrite(f *Frame, m *Meta, a *Addr, port uint16, e end) {
	b := f.Bytes()
	var diff uint64
	if m.Family == IPv4Family {
		diff = rewriteIPv4(b[m.L3:], a, e)
	} else {
		diff = rewriteIPv6(b[m.L3:], a, e)
	}
	if m.Flags&Fragment != 0 && m.Payload == m.L4 { // there are no ports, or not all of their header
		return
	}
	t := b[m.L4:m.End]
	switch m.Proto {
	case ProtoTCP:
		h := t[:TCPMinLen]
		mend(h[tcpChecksumOffset:tcpChecksumOffset+2], diff+rewritePort(h, port, e))
	case ProtoUDP:
		h := t[:UDPLen]
		diff += rewritePort(h, port, e)
		field := h[udpChecksumOffset : udpChecksumOffset+2]
		if field[0]|field[1] == 0 {
			sumUDP(b, m)
			return
		}
		if mend(field, diff); field[0]|field[1] == 0 {
			field[0], field[1] = 0xff, 0xff // see UDPChecksum
		}
	case ProtoSCTP:
		rewriteSCTP(SCTP(t), port, e)
	}
}

// rewriteIPv4 writes the address into the header at the start of b, and returns what changed, for other checksums that
// cover it: the complement of the old words and the new ones, added up as they lie in memory, for the sum does not depend
// on the order of bytes (RFC 1071, section 2B).
func rewriteIPv4(b []byte, a *Addr, e end) (diff uint64) {
	h := b[:IPv4MinLen]
	field := h[ipv4SrcOffset : ipv4SrcOffset+4]
	if e == destination {
		field = h[ipv4SrcOffset+4 : ipv4SrcOffset+8]
	}
	now := binary.LittleEndian.Uint32(a[12:16])
	diff = uint64(^binary.LittleEndian.Uint32(field)) + uint64(now)
	binary.LittleEndian.PutUint32(field, now)
	mend(h[10:12], diff)
	return diff
}

// rewriteIPv6 is rewriteIPv4 for IPv6, whose header has no checksum.
func rewriteIPv6(b []byte, a *Addr, e end) uint64 {
	h := b[:IPv6Len]
	field := h[ipv6SrcOffset : ipv6SrcOffset+16]
	if e == destination {
		field = h[ipv6SrcOffset+16 : ipv6SrcOffset+32]
	}
	lo, hi := binary.LittleEndian.Uint64(a[:8]), binary.LittleEndian.Uint64(a[8:])
	s, c := bits.Add64(^binary.LittleEndian.Uint64(field[:8]), ^binary.LittleEndian.Uint64(field[8:]), 0)
	s, c = bits.Add64(s, lo, c)
	s, c = bits.Add64(s, hi, c)
	s += c
	binary.LittleEndian.PutUint64(field[:8], lo)
	binary.LittleEndian.PutUint64(field[8:], hi)
	return s>>32 + s&0xffffffff // room to add more
}

// rewritePort writes the port into the transport header t and returns what changed, as rewriteIPv4 does.
func rewritePort(t []byte, port uint16, e end) (diff uint64) {
	field := t[0:2]
	if e == destination {
		field = t[2:4]
	}
	now := bits.ReverseBytes16(port)
	diff = uint64(^binary.LittleEndian.Uint16(field)) + uint64(now)
	binary.LittleEndian.PutUint16(field, now)
	return diff
}

// mend brings the checksum field up to date after words that it covers have changed by diff (RFC 1624, section 3, equation
// 3).
func mend(field []byte, diff uint64) {
	binary.LittleEndian.PutUint16(field, ^fold64(uint64(^binary.LittleEndian.Uint16(field))+diff))
}

// sumUDP writes the checksum of a datagram that has none; nothing if it is only a fragment of one. It is out of line
// because hardly any datagram goes without.
//
//go:noinline
func sumUDP(b []byte, m *Meta) {
	if m.Flags&Fragment != 0 {
		return
	}
	h := UDP(b[m.L4:m.End])
	h = h[:h.Len()]
	n := Tuple{Proto: ProtoUDP, Family: m.Family}
	if m.Family == IPv4Family {
		n.Src, n.Dst = IPv4(b[m.L3:]).Src(), IPv4(b[m.L3:]).Dst()
	} else {
		n.Src, n.Dst = IPv6(b[m.L3:]).Src(), IPv6(b[m.L3:]).Dst()
	}
	h.SetChecksum(UDPChecksum(Checksum(h, pseudoHeader(&n, len(h)))))
}

// rewriteSCTP writes the port. The CRC32c does not cover addresses, so it is made anew only if the port was another; what
// was wrong with it before is then lost, as in the kernel. That of a fragment cannot be made.
func rewriteSCTP(h SCTP, port uint16, e end) {
	if e == source {
		if h.SrcPort() == port {
			return
		}
		h.SetSrcPort(port)
	} else {
		if h.DstPort() == port {
			return
		}
		h.SetDstPort(port)
	}
	h.SetChecksum(h.ComputeChecksum())
}
