package ring

import (
	"math/bits"
	"sync/atomic"

	"dirsw/internal/invariants"
)

// cacheLine is the distance in bytes at which two writers do not disturb each other.
const cacheLine = 64

// SPSC is a bounded queue with a single producer and a single consumer. One goroutine at a time may call the producer's
// methods (Push, Reserve, Publish), one goroutine at a time the consumer's (Pop, Next, Release); the two may differ.
// Whoever passes a role on must order the hand-over (channel, mutex, WaitGroup). Len and Cap may be called by anybody.
//
// Indices count values since the start and never wrap in practice (2⁶⁴); slot = index & mask. A slot belongs to the
// consumer from the moment tail passes it and goes back to the producer when head passes it, so the elements
// themselves need no atomics: the store of tail and the store of head carry them over.
type SPSC[T any] struct {
	buf  []T
	mask uint64

	_ [cacheLine]byte

	// Written by the producer, read by the consumer: everything before tail may be consumed.
	tail atomic.Uint64

	_ [cacheLine - 8]byte

	// The producer's own. A separate line, so that staging does not disturb a consumer that polls tail.
	staged     uint64 // next slot to fill; tail ≤ staged ≤ head+len(buf)
	cachedHead uint64 // head as last seen; never ahead of it
	producing  owner

	_ [cacheLine]byte

	// Written by the consumer, read by the producer: everything before head may be overwritten.
	head atomic.Uint64

	_ [cacheLine - 8]byte

	// The consumer's own.
	taken      uint64 // next slot to take; head ≤ taken ≤ tail
	cachedTail uint64 // tail as last seen; never ahead of it
	consuming  owner

	_ [cacheLine]byte
}

// New returns an empty queue with room for at least n values: n is rounded up to a power of two. It panics when n is
// not between 1 and 2³⁰.
func New[T any](n int) *SPSC[T] {
	if n < 1 || n > 1<<30 {
		panic("ring: size out of range")
	}
	size := 1 << bits.Len(uint(n-1))
	return &SPSC[T]{buf: make([]T, size), mask: uint64(size - 1)}
}

// Push publishes v behind whatever Reserve returned before, and reports whether there was room; without room nothing is
// published. Producer only.
func (r *SPSC[T]) Push(v T) bool {
	p := r.Reserve()
	if p == nil {
		return false
	}
	*p = v
	r.Publish()
	return true
}

// Reserve returns the next free slot for the producer to fill in place, or nil when the queue is full. The slot keeps
// what an earlier lap left there. The consumer sees it after the next Publish, until which the pointer is valid.
// Producer only.
func (r *SPSC[T]) Reserve() *T {
	if invariants.Enabled {
		r.producing.enter("produce")
		defer r.producing.leave()
	}
	if r.staged-r.cachedHead > r.mask {
		r.cachedHead = r.head.Load()
		if r.staged-r.cachedHead > r.mask {
			return nil
		}
	}
	p := &r.buf[r.staged&r.mask]
	r.staged++
	return p
}

// Publish makes all reserved slots visible to the consumer. One store: a worker calls it once for each breath, not for
// each value. Producer only.
func (r *SPSC[T]) Publish() {
	if invariants.Enabled {
		r.producing.enter("produce")
		defer r.producing.leave()
	}
	r.tail.Store(r.staged)
}

// Pop takes the oldest value and gives its slot back, with whatever Next returned before; without a value (false)
// nothing is given back. The slot is cleared, so that nothing it pointed to is kept alive. Consumer only.
func (r *SPSC[T]) Pop() (v T, ok bool) {
	p := r.Next()
	if p == nil {
		return v, false
	}
	v, *p = *p, v
	r.Release()
	return v, true
}

// Next returns the oldest value not taken yet, in place, or nil when there is none. The pointer is valid until the next
// Release. The slot is not cleared. Consumer only.
func (r *SPSC[T]) Next() *T {
	if invariants.Enabled {
		r.consuming.enter("consume")
		defer r.consuming.leave()
	}
	if r.taken == r.cachedTail {
		r.cachedTail = r.tail.Load()
		if r.taken == r.cachedTail {
			return nil
		}
	}
	p := &r.buf[r.taken&r.mask]
	r.taken++
	return p
}

// Release gives all slots that Next returned back to the producer. Consumer only.
func (r *SPSC[T]) Release() {
	if invariants.Enabled {
		r.consuming.enter("consume")
		defer r.consuming.leave()
	}
	r.head.Store(r.taken)
}

// Take copies the oldest values into dst, gives their slots back, and returns how many they are. Consumer only.
func (r *SPSC[T]) Take(dst []T) (n int) {
	for ; n < len(dst); n++ {
		p := r.Next()
		if p == nil {
			break
		}
		dst[n] = *p
	}
	if n > 0 {
		r.Release()
	}
	return n
}

// Len returns how many values are published and not yet released. Exact for a caller that holds both roles; for others
// a moment's view.
func (r *SPSC[T]) Len() int {
	// head first: tail only grows, so the difference is never negative. It may exceed Cap when the consumer released
	// and the producer published in between.
	head := r.head.Load()
	return min(int(r.tail.Load()-head), len(r.buf))
}

// Cap returns the number of slots.
func (r *SPSC[T]) Cap() int { return len(r.buf) }

// owner finds two goroutines in one role, under the tag invariants only.
type owner struct{ busy atomic.Bool }

func (o *owner) enter(role string) {
	if !o.busy.CompareAndSwap(false, true) {
		invariants.Check(false, "two goroutines %s on one ring", role)
	}
}

func (o *owner) leave() { o.busy.Store(false) }
