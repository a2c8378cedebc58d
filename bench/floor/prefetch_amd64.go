package floor

// Prefetch asks for the lines of 64 bytes at these numbers behind base. A prefetch neither reads nor faults.
//
//go:noescape
func Prefetch(base *byte, lines []uint32)
