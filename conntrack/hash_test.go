package conntrack

import (
	"math/bits"
	"testing"

	"dirsw/packet"
)

// TestIndexSpreads: clients and ports that count up, as scanners' do, fill the index as evenly as chance would, in a
// table that is as full as it can be.
func TestIndexSpreads(t *testing.T) {
	const n = 100_000
	for seed := range uint64(8) {
		x := newTable(t, Options{MaxConns: n, Seed: seed})
		for i := range uint32(n) {
			var s Spec
			flow(&s.Tuple, i)
			s.Real, s.RealPort, s.Event = s.Dst, 8080, TCPSyn
			if _, err := x.Insert(&s, x.Hash(&s.Tuple), start); err != nil {
				t.Fatal(err)
			}
		}
		far, sum := uint64(0), uint64(0)
		for i, cell := range x.index.cells {
			if cell == 0 {
				continue
			}
			d := x.index.behind(x.index.home(uint32(cell>>32)), uint64(i))
			far, sum = max(far, d), sum+d
		}
		// With 0.77 of the cells used, linear probing leaves a cell 1.7 places behind on average (Knuth, volume 3, 6.4).
		if mean := float64(sum) / (2 * n); mean < 1.55 || mean > 1.8 || far > 400 {
			t.Errorf("seed %d: cells %.2f places behind on average, %d at most, want about 1.7 and below 400", seed, mean, far)
		}
	}
}

// TestHashChanges: each bit of a flow, and the seed, change about half of the hash.
func TestHashChanges(t *testing.T) {
	x, other := newTable(t, Options{MaxConns: 1, Seed: 1}), newTable(t, Options{MaxConns: 1, Seed: 2})
	k := tcp("198.51.100.1", 4000)
	h := x.Hash(&k)
	differ := func(what string, got uint64) {
		t.Helper()
		if n := bits.OnesCount64(h ^ got); n < 12 || n > 52 {
			t.Errorf("%s changes %d bits of 64", what, n)
		}
	}
	differ("the seed", other.Hash(&k))
	differ("being a template", x.HashTemplate(&k))
	for bit := range 128 {
		for _, c := range []struct {
			name string
			flip func(*packet.Tuple)
		}{
			{"source", func(k *packet.Tuple) { k.Src[bit/8] ^= 1 << (bit % 8) }},
			{"destination", func(k *packet.Tuple) { k.Dst[bit/8] ^= 1 << (bit % 8) }},
			{"source port", func(k *packet.Tuple) { k.SrcPort ^= 1 << (bit % 16) }},
			{"destination port", func(k *packet.Tuple) { k.DstPort ^= 1 << (bit % 16) }},
			{"protocol", func(k *packet.Tuple) { k.Proto ^= 1 << (bit % 8) }},
		} {
			f := k
			c.flip(&f)
			differ(c.name, x.Hash(&f))
		}
	}
}
