package packet

import "encoding/binary"

// Unwrap returns the packet inside p, an IP packet that Wrap of the same Tunnel made, as part of p: what the end of the
// tunnel does. p begins with the outer IP header and may go on behind the packet. It returns nil if p is not such a
// packet: another protocol or port, a fragment, a wrong checksum in the header of IP, GUE or GRE, an inner packet that
// is cut short. Extension headers of the outer IPv6 packet are not followed; GUE and GRE are taken with and without a
// checksum, whatever t.Sum says.
func (t Tunnel) Unwrap(p []byte) []byte {
	var o Tuple
	q := outerPayload(p, &o)
	if o.Proto == ProtoUDP {
		if len(q) < UDPLen || UDP(q).DstPort() != t.Port {
			return nil
		}
		if q = udpData(q, &o); q == nil {
			return nil
		}
	}
	return t.Inside(q, o.Proto)
}

// Inside returns the packet inside q, which is what a packet of the protocol proto carries: with GUE what follows its
// UDP header. It is for who gets the outer packet from a socket, which has looked at the outer headers and the checksum
// of UDP. It returns nil as Unwrap does.
func (t Tunnel) Inside(q []byte, proto uint8) []byte {
	n := 0
	switch t.Type {
	case GUE:
		if proto != ProtoUDP || len(q) < gueLen {
			return nil
		}
		n, proto = skipGUE(q)
	case GRE:
		if proto != ProtoGRE || len(q) < greLen {
			return nil
		}
		if n, proto = skipGRE(q); n > greLen && (len(q) < n || Checksum(q, 0) != 0) {
			return nil
		}
	}
	if n < 0 || n > len(q) {
		return nil
	}
	return wholePacket(q[n:], proto)
}

// outerPayload returns what the IP packet p carries, and notes its addresses, protocol and family; nil if it is none, or
// a fragment.
func outerPayload(p []byte, o *Tuple) []byte {
	switch {
	case len(p) >= IPv4MinLen && p[0]>>4 == 4:
		h := IPv4(p)
		hlen, n := h.HeaderLen(), h.TotalLen()
		if hlen < IPv4MinLen || n < hlen || n > len(p) || Checksum(p[:hlen], 0) != 0 ||
			h.MoreFragments() || h.FragmentOffset() != 0 {
			return nil
		}
		*o = Tuple{Src: h.Src(), Dst: h.Dst(), Proto: h.Protocol(), Family: IPv4Family}
		return p[hlen:n]
	case len(p) >= IPv6Len && p[0]>>4 == 6:
		h := IPv6(p)
		n := IPv6Len + h.PayloadLen()
		if n > len(p) {
			return nil
		}
		*o = Tuple{Src: h.Src(), Dst: h.Dst(), Proto: h.NextHeader(), Family: IPv6Family}
		return p[IPv6Len:n]
	}
	return nil
}

// udpData returns what the UDP datagram at the start of q carries, q being the payload of an IP packet with the addresses
// of o; nil if it is cut short or has a wrong checksum.
func udpData(q []byte, o *Tuple) []byte {
	h := UDP(q)
	n := h.Len()
	if n < UDPLen || n > len(q) || h.Checksum() != 0 && Checksum(q[:n], pseudoHeader(o, n)) != 0 {
		return nil
	}
	return q[UDPLen:n]
}

// wholePacket returns the IP packet at the start of q, of the family that proto says; nil if it is not whole.
func wholePacket(q []byte, proto uint8) []byte {
	n := 0
	switch {
	case proto == ProtoIPIP && len(q) >= IPv4MinLen && q[0]>>4 == 4:
		n = max(IPv4(q).TotalLen(), IPv4MinLen)
	case proto == ProtoIPv6 && len(q) >= IPv6Len && q[0]>>4 == 6:
		n = IPv6Len + int(binary.BigEndian.Uint16(q[4:6]))
	}
	if n == 0 || n > len(q) {
		return nil
	}
	return q[:n]
}
