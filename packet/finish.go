package packet

import "encoding/binary"

// Where the checksum stands in a TCP and in a UDP header.
const (
	tcpChecksumOffset = 16
	udpChecksumOffset = 6
)

// FinishChecksum completes the checksum of a packet whose sender left that to its network card, and reports whether it
// wrote. m is what Parse learnt of f; call it before addresses or ports are changed.
//
// Linux calls it CHECKSUM_PARTIAL. On a veth or virtio interface such a packet never meets a card: it reaches the other
// end as the sender's stack left it, and an AF_XDP socket is not told. The TCP or UDP checksum field then holds the sum
// of the pseudo-header, folded but not complemented (__tcp_v4_send_check, udp4_hwcsum and their IPv6 kin), and an SCTP
// packet has a CRC32c of 0 (sctp_packet_transmit). Such a packet is mended, unless that value happens to be the right
// checksum. All others are left alone: whatever else is wrong with a checksum came from the wire, and the receiver must
// see it. One in 65536 TCP and UDP packets damaged in just this field would pass as unfinished.
//
// Fragments and ICMP errors are not looked at: Linux finishes checksums before it cuts, and in software for ICMP.
func FinishChecksum(f *Frame, m *Meta) bool {
	if m.Flags&(Fragment|ICMPError) != 0 {
		return false
	}
	t := f.Bytes()[m.L4:m.End]
	n, off := len(t), tcpChecksumOffset
	switch m.Proto {
	case ProtoTCP:
	case ProtoUDP:
		// The length of the datagram may be less than the packet has (RFC 768); Parse has compared them.
		n, off = int(binary.BigEndian.Uint16(t[4:6])), udpChecksumOffset
	case ProtoSCTP:
		return finishSCTP(SCTP(t))
	default:
		return false
	}
	var pseudo uint32
	if m.Family == IPv4Family {
		pseudo = pseudoHeader4(&m.Tuple, n)
	} else {
		pseudo = pseudoHeader6(&m.Tuple, n)
	}
	// No pseudo-header sums up to 0, for the protocol is in it: a UDP datagram without a checksum is not touched.
	if uint16(pseudo) != binary.BigEndian.Uint16(t[off:off+2]) {
		return false
	}
	return finish(t[:n], t[off:off+2], pseudo, m.Proto)
}

// finish writes the checksum of t, whose pseudo-header has the sum pseudo, into field, unless it is right already.
func finish(t, field []byte, pseudo uint32, proto uint8) bool {
	// What stands in field is pseudo, so that the sum of t alone is the sum that the checksum is to complement.
	sum := Sum(t, 0)
	if Fold(sum+pseudo) == 0xffff {
		return false
	}
	full := ^Fold(sum)
	if proto == ProtoUDP {
		full = UDPChecksum(full)
	}
	binary.BigEndian.PutUint16(field, full)
	return true
}

// finishSCTP writes the CRC32c of an SCTP packet that has none, unless 0 is right. An association that does without
// (RFC 9653) accepts the right one too.
func finishSCTP(h SCTP) bool {
	if h.Checksum() != 0 {
		return false
	}
	crc := h.ComputeChecksum()
	if crc == 0 {
		return false
	}
	h.SetChecksum(crc)
	return true
}

// ChecksumOK reports whether the transport checksum of the packet is right: of TCP, UDP, SCTP, ICMP and ICMPv6. A UDP
// datagram without a checksum over IPv4, a fragment and any other protocol are taken as right, for there is nothing to
// compare. frame and m are as Parse had them.
func ChecksumOK(frame []byte, m *Meta) bool {
	if m.Flags&Fragment != 0 {
		return true
	}
	t := frame[m.L4:m.End]
	outer := m.Tuple
	if m.Flags&ICMPError != 0 { // Tuple is not that of the message
		outer.Proto = ProtoICMP
		if m.Family == IPv6Family {
			h := IPv6(frame[m.L3:])
			outer.Src, outer.Dst, outer.Proto = h.Src(), h.Dst(), ProtoICMPv6
		}
	}
	switch outer.Proto {
	case ProtoUDP:
		h := UDP(t)
		if h.Checksum() == 0 {
			return m.Family == IPv4Family // RFC 8200, section 8.1
		}
		t = t[:h.Len()]
	case ProtoSCTP:
		h := SCTP(t)
		return h.Checksum() == h.ComputeChecksum()
	case ProtoICMP:
		return m.Family != IPv4Family || Checksum(t, 0) == 0
	case ProtoICMPv6:
		if m.Family != IPv6Family {
			return true
		}
	case ProtoTCP:
	default:
		return true
	}
	return Checksum(t, pseudoHeader(&outer, len(t))) == 0
}
