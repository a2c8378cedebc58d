package packet

import "encoding/binary"

// quotedIPv4 makes m an ICMP error about the packet whose beginning is q, at offset off of the frame (RFC 792; RFC
// 1812, section 4.3.2.3). It leaves m as it is if q does not reach the ports. The checksum and the lengths of a quote
// say nothing: it is cut, and routers have changed it.
func (m *Meta) quotedIPv4(q []byte, off int) {
	if len(q) < IPv4MinLen || q[0]>>4 != 4 {
		return
	}
	h := IPv4(q)
	l4, proto := h.HeaderLen(), h.Protocol()
	if l4 < IPv4MinLen || !m.quotedPorts(q, l4, proto) {
		return
	}
	m.Src.put4(binary.LittleEndian.Uint32(q[12:16]))
	m.Dst.put4(binary.LittleEndian.Uint32(q[16:20]))
	m.quoted(off, off+l4, proto)
	if h.FragmentOffset() != 0 {
		m.Flags |= QuotedFragment
	}
}

// quotedIPv6 is quotedIPv4 for ICMPv6 (RFC 4443, section 2.4 c).
func (m *Meta) quotedIPv6(q []byte, off int) {
	if len(q) < IPv6Len || q[0]>>4 != 6 {
		return
	}
	h := IPv6(q)
	c := chain{off: IPv6Len, proto: h.NextHeader()}
	if isExtension(c.proto) {
		var r DropReason
		if c, r = followExtensions(q, c.off, c.proto); r != NoDrop {
			return
		}
	}
	if h.Src().Is4() || h.Dst().Is4() || !m.quotedPorts(q, c.off, c.proto) {
		return
	}
	m.Src, m.Dst = h.Src(), h.Dst()
	m.quoted(off, off+c.off, c.proto)
	if c.flags&LaterFragment != 0 {
		m.Flags |= QuotedFragment
	}
}

// quotedPorts reads the ports at l4 of the quote q, and reports whether q holds as much as proto has of them. It takes
// them from a later fragment too, where they are data: so does IPVS, and QuotedFragment tells.
func (m *Meta) quotedPorts(q []byte, l4 int, proto uint8) bool {
	switch proto {
	case ProtoTCP, ProtoUDP, ProtoSCTP:
		if len(q) < l4+4 {
			return false
		}
		m.SrcPort = binary.BigEndian.Uint16(q[l4 : l4+2])
		m.DstPort = binary.BigEndian.Uint16(q[l4+2 : l4+4])
		return true
	}
	return len(q) >= l4
}

// quoted notes where the quoted headers are.
func (m *Meta) quoted(l3, l4 int, proto uint8) {
	m.Quoted, m.QuotedL4 = uint16(l3), uint16(l4)
	m.Proto = proto
	m.Flags |= ICMPError
}
