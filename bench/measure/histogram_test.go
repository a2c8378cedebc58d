package measure

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHistogram compares quantiles with those of the sorted values.
func TestHistogram(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []uint64
	for range 20_000 {
		v := rnd.Uint64() >> rnd.IntN(64)
		h.Add(v, 1)
		all = append(all, v)
	}
	slices.Sort(all)
	for _, q := range []float64{0.0001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[int(q*float64(len(all)))-1]
		if got := h.Quantile(q); got < want || got-want > want/32 {
			t.Errorf("quantile %v: %d, want %d or at most a thirty-second more", q, got, want)
		}
	}
	if h.N() != 20_000 || h.Max() != all[len(all)-1] {
		t.Errorf("%d values, at most %d", h.N(), h.Max())
	}
	var none Histogram
	if none.Quantile(0.5) != 0 || none.Max() != 0 {
		t.Error("quantiles of nothing")
	}
	var weighed Histogram
	weighed.Add(10, 98)
	weighed.Add(1000, 2)
	if weighed.Quantile(0.98) != 10 || weighed.Quantile(0.99) != 1000 || weighed.N() != 100 {
		t.Errorf("weighed: %d, %d of %d", weighed.Quantile(0.98), weighed.Quantile(0.99), weighed.N())
	}
	if n := testing.AllocsPerRun(100, func() { h.Add(1<<40, 3) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
