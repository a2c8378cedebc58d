package packet

import "encoding/binary"

// SetMACs writes the Ethernet addresses of f, which must have passed Parse.
func SetMACs(f *Frame, src, dst MAC) {
	b := f.Bytes()[:12]
	*(*MAC)(b[0:6]) = dst
	*(*MAC)(b[6:12]) = src
}

// DecrementTTL takes one from the IPv4 time to live, and mends the header checksum (RFC 1624, section 3), or from the
// IPv6 hop limit. It returns false, and changes nothing, if 0 would be left: the packet must not be forwarded (RFC
// 1812, section 5.3.1; RFC 8200, section 3). m is what Parse learnt of f.
func DecrementTTL(f *Frame, m *Meta) bool {
	b := f.Bytes()[m.L3:]
	if b[0]>>4 == 6 {
		h := b[:IPv6Len]
		if h[7] <= 1 {
			return false
		}
		h[7]--
		return true
	}
	h := b[:IPv4MinLen]
	if h[8] <= 1 {
		return false
	}
	word := binary.BigEndian.Uint16(h[8:10]) // with the protocol
	sum := binary.BigEndian.Uint16(h[10:12])
	h[8]--
	binary.BigEndian.PutUint16(h[10:12], UpdateChecksum16(sum, word, word-0x100))
	return true
}
