//go:build !amd64

package floor

// Prefetch does nothing: TwoPass is then no faster than OnePass, and the benchmark takes the faster of both.
func Prefetch(*byte, []uint32) {}
