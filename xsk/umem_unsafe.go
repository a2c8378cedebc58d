package xsk

import "unsafe"

// hugePage is the size of a huge page in bytes on x86-64, and on arm64 with pages of 4 KiB.
const hugePage = 2 << 20

// aligned returns the n bytes of mem that begin at a multiple of the size of a huge page; mem is that much longer. Sound
// because it only looks at the address; the result is cut from mem with bounds checked.
func aligned(mem []byte, n int) []byte {
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (hugePage - 1))
	return mem[skip : skip+n : skip+n]
}
