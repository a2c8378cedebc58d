package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit words of b to initial in one's complement arithmetic (RFC 1071, section 1) and returns the sum,
// neither folded to 16 bits nor complemented, so that sums can be chained. A last odd byte counts as the high half of a
// word, so only the last piece of a chain may be of odd length.
func Sum(b []byte, initial uint32) uint32 {
	// The sum does not depend on the byte order it is made in, but for a swap at the end (RFC 1071, section 2B), nor on
	// the width of the words added (2C).
	var s, c uint64
	for len(b) >= 32 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[0:8]), 0)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:16]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:24]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:32]), c)
		s += c
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[0:8]), 0)
		s += c
		b = b[8:]
	}
	var last uint64
	for i, v := range b {
		last |= uint64(v) << (8 * i)
	}
	s, c = bits.Add64(s, last, 0)
	s += c
	t := uint64(bits.ReverseBytes16(fold64(s))) + uint64(initial)
	return uint32(t) + uint32(t>>32)
}

// Checksum returns the Internet checksum of b and of what initial sums up (RFC 1071, section 1): 0 for data that hold
// their own right checksum, if initial is the sum of their pseudo-header.
func Checksum(b []byte, initial uint32) uint16 { return ^Fold(Sum(b, initial)) }

// Fold returns sum as 16 bits, carries added back, not complemented.
func Fold(sum uint32) uint16 {
	sum += bits.RotateLeft32(sum, 16) // the high half is now both halves added, end-around carry included
	return uint16(sum >> 16)
}

// fold64 does for 64 bits what Fold does for 32.
func fold64(s uint64) uint16 {
	s += bits.RotateLeft64(s, 32)
	return Fold(uint32(s >> 32))
}

// PseudoHeaderIPv4 returns the sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293, section 3.1; RFC 768) for a
// transport header and data of n bytes. It takes the last four bytes of each address.
func PseudoHeaderIPv4(src, dst Addr, proto uint8, n int) uint32 {
	return pseudoHeader4(&Tuple{Src: src, Dst: dst, Proto: proto}, n)
}

// PseudoHeaderIPv6 returns the sum of the IPv6 pseudo-header (RFC 8200, section 8.1) for a transport header and data of
// n bytes. dst is the final destination.
func PseudoHeaderIPv6(src, dst Addr, proto uint8, n int) uint32 {
	return pseudoHeader6(&Tuple{Src: src, Dst: dst, Proto: proto}, n)
}

// pseudoHeader returns the sum of the pseudo-header of t's family for n bytes of transport header and data.
func pseudoHeader(t *Tuple, n int) uint32 {
	if t.Family == IPv4Family {
		return pseudoHeader4(t, n)
	}
	return pseudoHeader6(t, n)
}

func pseudoHeader4(t *Tuple, n int) uint32 {
	return uint32(fold64(uint64(binary.BigEndian.Uint32(t.Src[12:])) + uint64(binary.BigEndian.Uint32(t.Dst[12:])) +
		uint64(t.Proto) + uint64(n)))
}

func pseudoHeader6(t *Tuple, n int) uint32 {
	s, c := bits.Add64(binary.BigEndian.Uint64(t.Src[0:8]), binary.BigEndian.Uint64(t.Src[8:16]), 0)
	s, c = bits.Add64(s, binary.BigEndian.Uint64(t.Dst[0:8]), c)
	s, c = bits.Add64(s, binary.BigEndian.Uint64(t.Dst[8:16]), c)
	s, c = bits.Add64(s, uint64(t.Proto)+uint64(n), c)
	return uint32(fold64(s + c))
}

// UpdateChecksum16 returns the checksum sum after a 16-bit word that it covers changed from old to new, all three as
// they stand in the header (RFC 1624, section 3, equation 3).
func UpdateChecksum16(sum, old, new uint16) uint16 {
	return ^Fold(uint32(^sum) + uint32(^old) + uint32(new))
}

// UpdateChecksumAddr returns the checksum sum after an address that it covers changed from old to new. Both must be of
// one family; the prefix of v4-mapped addresses cancels out.
func UpdateChecksumAddr(sum uint16, old, new Addr) uint16 {
	s, c := bits.Add64(^binary.BigEndian.Uint64(old[0:8]), ^binary.BigEndian.Uint64(old[8:16]), 0)
	s, c = bits.Add64(s, binary.BigEndian.Uint64(new[0:8]), c)
	s, c = bits.Add64(s, binary.BigEndian.Uint64(new[8:16]), c)
	s, c = bits.Add64(s, uint64(^sum), c)
	return ^fold64(s + c)
}

// UDPChecksum returns a computed checksum as it has to stand in a UDP header: a computed 0 is written as 0xffff, for 0
// says that there is none (RFC 768).
func UDPChecksum(sum uint16) uint16 {
	if sum == 0 {
		return 0xffff
	}
	return sum
}

// UpdateUDPChecksum16 is UpdateChecksum16 for UDP: no checksum stays none, and none comes into being.
func UpdateUDPChecksum16(sum, old, new uint16) uint16 {
	if sum == 0 {
		return 0
	}
	return UDPChecksum(UpdateChecksum16(sum, old, new))
}

// UpdateUDPChecksumAddr is UpdateChecksumAddr for UDP: no checksum stays none, and none comes into being.
func UpdateUDPChecksumAddr(sum uint16, old, new Addr) uint16 {
	if sum == 0 {
		return 0
	}
	return UDPChecksum(UpdateChecksumAddr(sum, old, new))
}
