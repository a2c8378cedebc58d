package packet

import "encoding/binary"

// Inner finds, in an ICMP error about a packet that Wrap made, the packet that is inside. m is what Parse learnt of
// frame, with ICMPError set; it describes the outer packet. inner becomes what Parse would say if the error were about
// the packet inside: Tuple (from the client to the service), Quoted and QuotedL4 are its own.
//
// It returns false, and inner then holds anything, if the quoted packet is none of this kind of tunnel, is a later
// fragment, or is quoted too short to have the inner ports. As IPVS does, it takes GUE with options, but no control
// messages, and GRE with a checksum or none, whatever t.Sum says (ipvs_gue_decap, ipvs_gre_decap).
func (t Tunnel) Inner(frame []byte, m, inner *Meta) bool {
	if m.Flags&(ICMPError|QuotedFragment) != ICMPError {
		return false
	}
	at := int(m.QuotedL4)
	n, proto := t.skip(frame[at:m.End], m)
	if n < 0 || at+n > int(m.End) {
		return false
	}
	at += n
	*inner = *m
	inner.Quoted = 0
	switch proto {
	case ProtoIPIP:
		inner.Family = IPv4Family
		inner.quotedIPv4(frame[at:m.End], at)
	case ProtoIPv6:
		inner.Family = IPv6Family
		inner.quotedIPv6(frame[at:m.End], at)
	}
	return inner.Quoted != 0
}

// skip returns the length of the headers at the start of q, which stand behind the outer IP header that m describes, and
// the protocol of the packet behind them; -1 if they are not those of t.
func (t Tunnel) skip(q []byte, m *Meta) (n int, proto uint8) {
	switch t.Type {
	case IPIP:
		return 0, m.Proto
	case GUE:
		if m.Proto == ProtoUDP && m.DstPort == t.Port && len(q) >= UDPLen+gueLen {
			if n, proto = skipGUE(q[UDPLen:]); n > 0 {
				return UDPLen + n, proto
			}
		}
	case GRE:
		if m.Proto == ProtoGRE && len(q) >= greLen {
			return skipGRE(q)
		}
	}
	return -1, 0
}

// skipGUE reads the GUE header at the start of q.
func skipGUE(q []byte) (n int, proto uint8) {
	if q[0]&0xe0 != 0 { // variant and the bit of control messages
		return -1, 0
	}
	return gueLen + int(q[0]&0x1f)*4, q[1]
}

// skipGRE reads the GRE header at the start of q.
func skipGRE(q []byte) (n int, proto uint8) {
	n = greLen
	switch binary.BigEndian.Uint16(q[0:2]) {
	case 0:
	case greHasChecksum << 8:
		n += greChecksumLen
	default:
		return -1, 0
	}
	switch binary.BigEndian.Uint16(q[2:4]) {
	case EtherTypeIPv4:
		return n, ProtoIPIP
	case EtherTypeIPv6:
		return n, ProtoIPv6
	}
	return -1, 0
}
