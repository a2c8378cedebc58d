package sched

import (
	"encoding/binary"

	"dirsw/packet"
)

// buckets is the size of the tables of sh and dh (CONFIG_IP_VS_SH_TAB_BITS and CONFIG_IP_VS_DH_TAB_BITS, 8 by default).
const buckets = 256

// fold is the address as one number: IPv4 as it is, IPv6 as the exclusive or of its four words.
func fold(a *packet.Addr) uint32 {
	if a.Is4() {
		return binary.BigEndian.Uint32(a[12:])
	}
	return binary.BigEndian.Uint32(a[0:]) ^ binary.BigEndian.Uint32(a[4:]) ^ binary.BigEndian.Uint32(a[8:]) ^
		binary.BigEndian.Uint32(a[12:])
}

// spread multiplies by the golden ratio and keeps the upper 8 bits (Linux include/linux/hash.h, hash_32).
func spread(v uint32) uint32 { return v * 0x61c88647 >> 24 }
