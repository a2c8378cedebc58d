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
	if q == nil {
		return nil
	}
	n, proto := 0, o.Proto
	switch t.Type {
	case GUE:
		if n, proto = t.unwrapGUE(q, &o); n > 0 {
			q = q[:UDP(q).Len()] // as long as UDP says
		}
	case GRE:
		n = -1
		if o.Proto == ProtoGRE && len(q) >= greLen {
			n, proto = skipGRE(q)
		}
		if n > greLen && (len(q) < n || Checksum(q, 0) != 0) {
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

// unwrapGUE returns the length of the headers of UDP and GUE at the start of q, and the protocol of the packet behind
// them; -1 if they are not those of t.
func (t Tunnel) unwrapGUE(q []byte, o *Tuple) (n int, proto uint8) {
	if o.Proto != ProtoUDP || len(q) < UDPLen+gueLen {
		return -1, 0
	}
	h := UDP(q)
	if h.DstPort() != t.Port || h.Len() < UDPLen+gueLen || h.Len() > len(q) {
		return -1, 0
	}
	if h.Checksum() != 0 && Checksum(q[:h.Len()], pseudoHeader(o, h.Len())) != 0 {
		return -1, 0
	}
	if n, proto = skipGUE(q[UDPLen:]); n > h.Len() {
		return -1, 0
	}
	return n, proto
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
