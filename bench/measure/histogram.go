package measure

import (
	"math"
	"math/bits"
)

// Histogram counts values without keeping them: exactly below 64, above in steps of at most a thirty-second of the value.
// The zero value is empty. Adding allocates nothing.
type Histogram struct {
	counts [64 * steps]uint64
	n      uint64
	max    uint64
}

const (
	stepBits = 5
	steps    = 1 << stepBits
)

// Add counts v, n times.
func (h *Histogram) Add(v, n uint64) {
	h.counts[place(v)] += n
	h.n += n
	h.max = max(h.max, v)
}

// place returns where v is counted: below 2*steps at v itself, above by its highest bits.
func place(v uint64) int {
	if v < 2*steps {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - stepBits
	return shift*steps + int(v>>shift)
}

// greatest returns the greatest value that is counted at place i.
func greatest(i int) uint64 {
	if i < 2*steps {
		return uint64(i)
	}
	shift := i/steps - 1
	return (uint64(i%steps+steps)+1)<<shift - 1
}

// N returns how many were added.
func (h *Histogram) N() uint64 { return h.n }

// Max returns the greatest of them; 0 if there are none.
func (h *Histogram) Max() uint64 { return h.max }

// Quantile returns a value that is not below the share q of them, and at most a thirty-second too great; 0 if there are none.
func (h *Histogram) Quantile(q float64) uint64 {
	want := max(uint64(math.Ceil(q*float64(h.n))), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= want {
			return min(greatest(i), h.max)
		}
	}
	return 0
}
