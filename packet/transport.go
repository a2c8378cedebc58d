package packet

import "encoding/binary"

// tcpFlags are those of the control bits that Meta has: not ECE and CWR, so that a SYN that offers ECN is a SYN like
// any other.
const tcpFlags = FIN | SYN | RST | PSH | ACK | URG

// transport reads the header at the start of t, which is all that the IP packet holds behind its headers, and sets what
// parseIPv4 and parseIPv6 have left of m. l4 is where t starts in the frame.
func (m *Meta) transport(t []byte, l3, l4 int, proto uint8, flags Flags) DropReason {
	m.L3, m.L4, m.End = uint16(l3), uint16(l4), uint32(l4+len(t))
	m.Proto, m.Flags = proto, flags
	m.Quoted, m.QuotedL4 = 0, 0
	m.TCPFlags = 0
	if flags&LaterFragment != 0 {
		return m.withoutPorts(l4)
	}
	switch proto {
	case ProtoTCP:
		if len(t) < TCPMinLen {
			return m.short(l4)
		}
		hlen := int(t[12]>>4) * 4
		if hlen < TCPMinLen {
			return m.drop(DropBadTransport)
		}
		if hlen > len(t) {
			if flags&Fragment == 0 {
				return m.drop(DropBadTransport)
			}
			hlen = len(t) // the options go on in the next fragment
		}
		m.TCPFlags = t[13] & tcpFlags
		m.SrcPort = binary.BigEndian.Uint16(t[0:2])
		m.DstPort = binary.BigEndian.Uint16(t[2:4])
		m.Payload = uint16(l4 + hlen)
		return NoDrop
	case ProtoUDP:
		return m.udp(t, l4)
	case ProtoSCTP:
		if len(t) < SCTPLen {
			return m.short(l4)
		}
		m.SrcPort = binary.BigEndian.Uint16(t[0:2])
		m.DstPort = binary.BigEndian.Uint16(t[2:4])
		m.Payload = uint16(l4 + SCTPLen)
		return NoDrop
	case ProtoICMP, ProtoICMPv6:
		return m.icmp(t, l4)
	}
	return m.withoutPorts(l4)
}

// short ends the parsing of what is shorter than its transport header. In IPv4 the rest of that may be in the next
// fragment; in IPv6 it must not (RFC 8200, section 4.5).
func (m *Meta) short(l4 int) DropReason {
	if m.Flags&Fragment == 0 || m.Family == IPv6Family {
		return m.drop(DropTruncated)
	}
	return m.withoutPorts(l4)
}

// withoutPorts ends the parsing of what has no transport header that is known.
func (m *Meta) withoutPorts(l4 int) DropReason {
	m.SrcPort, m.DstPort = 0, 0
	m.Payload = uint16(l4)
	return NoDrop
}

// udp reads the UDP header at the start of t (RFC 768). A length shorter than the IP packet is legal, the rest is not
// part of the datagram. A first fragment holds less than the length says.
func (m *Meta) udp(t []byte, l4 int) DropReason {
	if len(t) < UDPLen {
		return m.short(l4)
	}
	n := int(binary.BigEndian.Uint16(t[4:6]))
	if n < UDPLen || n > len(t) && m.Flags&Fragment == 0 {
		return m.drop(DropBadTransport)
	}
	m.SrcPort = binary.BigEndian.Uint16(t[0:2])
	m.DstPort = binary.BigEndian.Uint16(t[2:4])
	m.Payload = uint16(l4 + UDPLen)
	return NoDrop
}

// icmp reads the ICMP or ICMPv6 message t, and the packet it quotes if it is an error. ICMP in IPv6 and ICMPv6 in IPv4
// are protocols like any other.
func (m *Meta) icmp(t []byte, l4 int) DropReason {
	if (m.Proto == ProtoICMP) != (m.Family == IPv4Family) {
		return m.withoutPorts(l4)
	}
	if len(t) < ICMPLen {
		return m.short(l4)
	}
	m.SrcPort, m.DstPort = 0, 0
	m.Payload = uint16(l4 + ICMPLen)
	if m.Flags&Fragment != 0 {
		return NoDrop
	}
	if m.Proto == ProtoICMPv6 {
		if t[0] < ICMPv6EchoRequest {
			m.quotedIPv6(t[ICMPLen:], l4+ICMPLen)
		}
		return NoDrop
	}
	switch t[0] {
	case ICMPv4Unreachable, ICMPv4SourceQuench, ICMPv4TimeExceeded:
		m.quotedIPv4(t[ICMPLen:], l4+ICMPLen)
	}
	return NoDrop
}
