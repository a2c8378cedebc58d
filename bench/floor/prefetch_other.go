//go:build !amd64

package floor

// prefetch does nothing: TwoPass is then no faster than OnePass, and the benchmark takes the faster of both.
func prefetch(*byte, []uint32) {}
