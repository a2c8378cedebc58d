package xsk

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// kernelSide is the other end of a ring, in the test.
type kernelSide struct{ producer, consumer, flags uint32 }

// newRing makes a ring in ordinary memory whose indices start at start.
func newRing(n, start uint32) (*ring[uint64], *kernelSide) {
	k := &kernelSide{start, start, 0}
	return &ring[uint64]{producer: &k.producer, consumer: &k.consumer, flags: &k.flags, entries: make([]uint64, n),
		mask: n - 1, cachedOwn: start, cachedPeer: start}, k
}

// TestRing puts and takes at random, across the end of the entries and of the indices, beside a queue that is a slice.
func TestRing(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, start := range []uint32{0, 1, 1<<32 - 20} {
		const size = 16
		out, k := newRing(size, start) // ours to fill
		in, kin := newRing(size, start)
		var queue, queueIn []uint64
		for i := range uint64(2000) {
			// We put some, the kernel takes some.
			for n := rnd.IntN(size); n > 0 && out.room(1) > 0; n-- {
				out.put(i)
				queue = append(queue, i)
			}
			if len(queue) > size {
				t.Fatalf("seed %d: %d entries in a ring of %d", seed, len(queue), size)
			}
			out.publish()
			if got := out.pending(); int(got) != len(queue) {
				t.Fatalf("seed %d: %d are pending, want %d", seed, got, len(queue))
			}
			for n := rnd.IntN(size); n > 0 && k.consumer != k.producer; n-- {
				if got := out.entries[k.consumer%size]; got != queue[0] {
					t.Fatalf("seed %d: the kernel takes %d, want %d", seed, got, queue[0])
				}
				k.consumer++
				queue = queue[1:]
			}
			if got := out.room(size); int(got) != size-len(queue) {
				t.Fatalf("seed %d: there is room for %d, want %d", seed, got, size-len(queue))
			}
			// The kernel puts some, we take some.
			for n := rnd.IntN(size); n > 0 && kin.producer-kin.consumer < size; n-- {
				in.entries[kin.producer%size] = i
				kin.producer++
				queueIn = append(queueIn, i)
			}
			var got []uint64
			for n := min(uint32(rnd.IntN(size)), in.available()); n > 0; n-- {
				got = append(got, in.take())
			}
			in.release()
			if !slices.Equal(got, queueIn[:len(got)]) {
				t.Fatalf("seed %d: took %v, want %v", seed, got, queueIn[:len(got)])
			}
			queueIn = queueIn[len(got):]
		}
	}
}

func TestNeedWakeup(t *testing.T) {
	r, k := newRing(4, 0)
	if r.needWakeup() {
		t.Error("a ring needs a wakeup without the flag")
	}
	k.flags = 1
	if !r.needWakeup() {
		t.Error("a ring with the flag needs no wakeup")
	}
}
