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
	word := binary.BigEndian.Uint32(h[8:12]) // time to live, protocol, checksum
	if word>>24 <= 1 {
		return false
	}
	sum := UpdateChecksum16(uint16(word), uint16(word>>16), uint16(word>>16)-0x100)
	binary.BigEndian.PutUint32(h[8:12], (word-0x01000000)&0xffff0000|uint32(sum))
	return true
}
