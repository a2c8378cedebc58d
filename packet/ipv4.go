package packet

import "encoding/binary"

// IPv4MinLen is the length in bytes of an IPv4 header without options (RFC 791, section 3.1).
const IPv4MinLen = 20

// Bits of the fragment field (RFC 791, section 3.1) and of its offset, which counts units of 8 bytes.
const (
	ipv4DF         uint16 = 0x4000
	ipv4MF         uint16 = 0x2000
	ipv4OffsetMask uint16 = 0x1fff
)

// IPv4 is a view of a packet from its IPv4 header on (RFC 791, section 3.1). It must hold IPv4MinLen bytes. Setters
// leave the checksum as it is unless they say otherwise.
type IPv4 []byte

// Version returns the version, 4 in a packet that Parse passed.
func (h IPv4) Version() int { return int(h[0] >> 4) }

// HeaderLen returns the length of the header with its options, in bytes.
func (h IPv4) HeaderLen() int { return int(h[0]&0x0f) * 4 }

// TOS returns the type of service: DSCP and ECN (RFC 2474, section 3; RFC 3168, section 5).
func (h IPv4) TOS() uint8 { return h[1] }

// TotalLen returns the length of header and data in bytes.
func (h IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:4])) }

// ID returns the identification.
func (h IPv4) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// DontFragment reports whether DF is set.
func (h IPv4) DontFragment() bool { return binary.BigEndian.Uint16(h[6:8])&ipv4DF != 0 }

// MoreFragments reports whether MF is set.
func (h IPv4) MoreFragments() bool { return binary.BigEndian.Uint16(h[6:8])&ipv4MF != 0 }

// FragmentOffset returns where the data belongs in the datagram, in bytes.
func (h IPv4) FragmentOffset() int { return int(binary.BigEndian.Uint16(h[6:8])&ipv4OffsetMask) * 8 }

// TTL returns the time to live in hops.
func (h IPv4) TTL() uint8 { return h[8] }

// Protocol returns the protocol of the data.
func (h IPv4) Protocol() uint8 { return h[9] }

// Checksum returns the header checksum as it stands.
func (h IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:12]) }

// Src returns the source address.
func (h IPv4) Src() (a Addr) {
	a.put4(binary.LittleEndian.Uint32(h[12:16]))
	return a
}

// Dst returns the destination address.
func (h IPv4) Dst() (a Addr) {
	a.put4(binary.LittleEndian.Uint32(h[16:20]))
	return a
}

// SetTOS writes the type of service.
func (h IPv4) SetTOS(tos uint8) { h[1] = tos }

// SetTotalLen writes the length of header and data in bytes.
func (h IPv4) SetTotalLen(n int) { binary.BigEndian.PutUint16(h[2:4], uint16(n)) }

// SetID writes the identification.
func (h IPv4) SetID(id uint16) { binary.BigEndian.PutUint16(h[4:6], id) }

// SetFragment writes DF, MF and the offset in bytes, of which the lowest three bits are lost.
func (h IPv4) SetFragment(df, mf bool, offset int) {
	v := uint16(offset/8) & ipv4OffsetMask
	if df {
		v |= ipv4DF
	}
	if mf {
		v |= ipv4MF
	}
	binary.BigEndian.PutUint16(h[6:8], v)
}

// SetTTL writes the time to live. DecrementTTL also mends the checksum.
func (h IPv4) SetTTL(ttl uint8) { h[8] = ttl }

// SetProtocol writes the protocol of the data.
func (h IPv4) SetProtocol(p uint8) { h[9] = p }

// SetChecksum writes the header checksum.
func (h IPv4) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[10:12], sum) }

// SetSrc writes the source address, the last four bytes of a.
func (h IPv4) SetSrc(a Addr) { copy(h[12:16], a[12:16]) }

// SetDst writes the destination address, the last four bytes of a.
func (h IPv4) SetDst(a Addr) { copy(h[16:20], a[12:16]) }

// ComputeChecksum returns what the header checksum ought to be; what stands there does not matter. The view must hold
// the whole header.
func (h IPv4) ComputeChecksum() uint16 {
	n := h.HeaderLen()
	return Checksum(h[12:n], Sum(h[:10], 0))
}

// put4 makes a the v4-mapped address whose last four bytes are le, as loaded in little-endian order. It writes through
// the pointer in two words: an Addr made on the stack and copied costs 5 ns, for the copy waits for both stores.
func (a *Addr) put4(le uint32) {
	binary.LittleEndian.PutUint64(a[0:8], 0)
	binary.LittleEndian.PutUint64(a[8:16], uint64(le)<<32|0xffff0000)
}
