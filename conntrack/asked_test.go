package conntrack

import (
	"math/rand/v2"
	"testing"

	"dirsw/packet"
)

// TestLookupAsked: what Prefetch has found is found, and nothing that has moved, come or gone since then. Tables are full, so
// that cells stand far from where they belong.
func TestLookupAsked(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	const room = 2 * prefetchFrom
	x := newTable(t, Options{MaxConns: room})
	flow := func() packet.Tuple { return tcp("198.51.100.1", uint16(1+rnd.IntN(2*room))) }
	insert := func() {
		k := flow()
		if c, _ := x.Lookup(&k, x.Hash(&k)); c == nil {
			_, _ = x.Insert(&Spec{Tuple: k, Real: addr("203.0.113.7"), RealPort: k.SrcPort, Flags: Flags(rnd.IntN(2)) * OneWay, Event: TCPSyn},
				x.Hash(&k), start) // full now and then
		}
	}
	for range 20 * room {
		insert()
	}
	found, kept := 0, 0
	for range 3000 {
		ks, hs := make([]packet.Tuple, packet.BatchSize), make([]uint64, packet.BatchSize)
		for i := range ks {
			if ks[i] = flow(); rnd.IntN(2) == 0 { // a reply
				ks[i] = packet.Tuple{Src: addr("203.0.113.7"), Dst: ks[i].Src, SrcPort: ks[i].SrcPort, DstPort: ks[i].SrcPort,
					Proto: ks[i].Proto, Family: ks[i].Family}
			}
			hs[i] = x.Hash(&ks[i])
		}
		x.Prefetch(hs)
		changes := rnd.IntN(4)
		for i := range ks {
			if changes > 1 && i%8 == 0 {
				if c := x.At(uint32(1 + rnd.IntN(room))); c != nil && rnd.IntN(2) == 0 {
					x.Remove(c)
				} else {
					insert()
				}
			}
			if x.askedAt == x.index.changes && x.asked[i].tag == tagOf(hs[i]) {
				kept++
			}
			c, d := x.LookupAsked(&ks[i], hs[i], i)
			x.asked[i].tag = 0
			if slow, sd := x.Lookup(&ks[i], hs[i]); c != slow || d != sd {
				t.Fatalf("%p %v, want %p %v", c, d, slow, sd)
			}
			if c != nil {
				found++
			}
		}
	}
	if found < 10_000 || kept < 10_000 {
		t.Errorf("%d connections were found, %d findings were valid", found, kept)
	}
}
