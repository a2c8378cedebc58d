package packet

import "encoding/binary"

// maxFrame is the longest frame that an IP packet can be in. What lies beyond is taken as not there.
const maxFrame = EthernetLen + VLANTagLen + IPv6Len + 0xffff

// MaxExtensionHeaders is the number of IPv6 extension headers that Parse follows before it gives up.
const MaxExtensionHeaders = 8

// Parse reads the frame once, from its Ethernet header to the transport header and, in an ICMP error, the packet
// quoted, and sets every field of m. Ethernet padding behind the packet is tolerated. The IPv4 header checksum is
// verified, those of the transport protocols are not.
//
// Bytes are only read. If the answer is not NoDrop, m is zero. Otherwise L3 < L4 <= Payload <= End <= len(frame), and
// the views of this package may be laid on the frame at these offsets; frame[m.L4:m.End] is all of the transport
// header and its data.
//
// An ICMP message is taken for an error where IPVS does so: ICMP types 3, 4 and 11, ICMPv6 types below 128, not in a
// fragment, with a quote that reaches the ports, if its protocol has ports. Others are plain ICMP.
func Parse(frame []byte, m *Meta) DropReason {
	if len(frame) >= EthernetLen && len(frame) <= maxFrame {
		switch binary.BigEndian.Uint16(frame[12:14]) {
		case EtherTypeIPv4:
			if plainIPv4(frame, m) {
				return NoDrop
			}
		case EtherTypeIPv6:
			if plainIPv6(frame, m) {
				return NoDrop
			}
		}
	}
	return parse(frame, m)
}

// parse is Parse for any frame.
func parse(frame []byte, m *Meta) DropReason {
	if len(frame) < EthernetLen {
		return m.drop(DropRunt)
	}
	if len(frame) > maxFrame {
		frame = frame[:maxFrame]
	}
	l3, tci := EthernetLen, uint16(0)
	etherType := binary.BigEndian.Uint16(frame[12:14])
	if etherType == EtherTypeVLAN {
		if len(frame) < EthernetLen+VLANTagLen {
			return m.drop(DropRunt)
		}
		l3, tci = EthernetLen+VLANTagLen, binary.BigEndian.Uint16(frame[14:16])
		etherType = binary.BigEndian.Uint16(frame[16:18])
	}
	m.VLAN = tci
	switch etherType {
	case EtherTypeIPv4:
		return parseIPv4(frame, m, l3)
	case EtherTypeIPv6:
		return parseIPv6(frame, m, l3)
	}
	return m.drop(DropNotIP)
}

// drop clears m, so that nobody reads what a frame before left there.
//
//go:noinline
func (m *Meta) drop(r DropReason) DropReason {
	*m = Meta{}
	return r
}

// parseIPv4 reads the packet whose IPv4 header starts at l3 (RFC 791, section 3.1).
func parseIPv4(frame []byte, m *Meta, l3 int) DropReason {
	ip := frame[l3:]
	if len(ip) < IPv4MinLen {
		return m.drop(DropRunt)
	}
	hlen, flags := IPv4MinLen, Flags(0)
	if ip[0] != 0x45 { // version 4, five words
		hlen = IPv4(ip).HeaderLen()
		if ip[0]>>4 != 4 || hlen < IPv4MinLen {
			return m.drop(DropBadHeader)
		}
		if len(ip) < hlen {
			return m.drop(DropRunt)
		}
		flags = IPOptions
	}
	if Checksum(ip[:hlen], 0) != 0 {
		return m.drop(DropBadChecksum)
	}
	n := int(binary.BigEndian.Uint16(ip[2:4]))
	if n < hlen {
		return m.drop(DropBadHeader)
	}
	if n > len(ip) {
		return m.drop(DropTruncated)
	}
	m.Src.put4(binary.LittleEndian.Uint32(ip[12:16]))
	m.Dst.put4(binary.LittleEndian.Uint32(ip[16:20]))
	m.Family = IPv4Family
	m.FragID = 0
	if part := binary.BigEndian.Uint16(ip[6:8]); part&(ipv4MF|ipv4OffsetMask) != 0 {
		m.FragID = uint32(binary.BigEndian.Uint16(ip[4:6]))
		flags |= Fragment
		if part&ipv4OffsetMask != 0 {
			flags |= LaterFragment
		}
	}
	return m.transport(ip[hlen:n], l3, l3+hlen, ip[9], flags)
}

// parseIPv6 reads the packet whose IPv6 header starts at l3 (RFC 8200, section 3). Jumbograms (RFC 2675) are not known.
func parseIPv6(frame []byte, m *Meta, l3 int) DropReason {
	ip := frame[l3:]
	if len(ip) < IPv6Len {
		return m.drop(DropRunt)
	}
	if ip[0]>>4 != 6 {
		return m.drop(DropBadHeader)
	}
	n := IPv6Len + int(binary.BigEndian.Uint16(ip[4:6]))
	if n > len(ip) {
		return m.drop(DropTruncated)
	}
	m.Src, m.Dst = Addr(ip[8:24]), Addr(ip[24:40])
	if m.Src.Is4() || m.Dst.Is4() {
		// v4-mapped addresses do not belong on a wire, and would be taken for IPv4 (ip6_rcv_core drops them too).
		return m.drop(DropBadHeader)
	}
	m.Family = IPv6Family
	m.FragID = 0
	proto := ip[6]
	if !isExtension(proto) {
		return m.transport(ip[IPv6Len:n], l3, l3+IPv6Len, proto, 0)
	}
	c, r := followExtensions(ip[:n], IPv6Len, proto)
	if r != NoDrop {
		return m.drop(r)
	}
	m.FragID = c.fragID
	return m.transport(ip[c.off:n], l3, l3+c.off, c.proto, c.flags)
}
