package sched

import "math/bits"

// hsip is the keyed hash of one 32-bit number that the kernel uses for tables (include/linux/siphash.h, hsiphash_1u32 on
// 64-bit machines): SipHash with one round for each word and three at the end, the lower half of the result. Both
// halves of the key are the same here, as mh has them.
//
// SipHash: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
func hsip(v uint32, key uint64) uint32 {
	s := [4]uint64{key ^ 0x736f6d6570736575, key ^ 0x646f72616e646f6d, key ^ 0x6c7967656e657261, key ^ 0x7465646279746573}
	last := 4<<56 | uint64(v) // the only word: the message and its length in bytes
	s[3] ^= last
	sipRound(&s)
	s[0] ^= last
	s[2] ^= 0xff
	for range 3 {
		sipRound(&s)
	}
	return uint32(s[0] ^ s[1] ^ s[2] ^ s[3])
}

func sipRound(s *[4]uint64) {
	s[0] += s[1]
	s[2] += s[3]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[1]
	s[0] += s[3]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] = bits.RotateLeft64(s[2], 32)
}
