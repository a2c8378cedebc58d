package ring

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"dirsw/internal/invariants"
)

// Bytes is a bounded queue of byte strings, each with a tag, with a single producer and a single consumer: as SPSC, but the
// strings themselves lie in it, one behind the other, so that a processor that reads them fetches the next ones ahead.
//
// A record is its head (length, and the tag in the highest byte), the string, and what is left of its last cache line: two
// goroutines never use one line at once. One that would not fit before the end of the memory begins at its start; a head
// of skip stands where it would have been. Positions count bytes since the start.
type Bytes struct {
	buf  []byte
	mask uint64

	_ [cacheLine]byte

	// Written by the producer, read by the consumer: everything before tail may be consumed.
	tail atomic.Uint64

	_ [cacheLine - 8]byte

	// The producer's own.
	staged     uint64
	cachedHead uint64
	producing  owner

	_ [cacheLine]byte

	// Written by the consumer, read by the producer: everything before head may be overwritten.
	head atomic.Uint64

	_ [cacheLine - 8]byte

	// The consumer's own.
	taken      uint64
	cachedTail uint64
	consuming  owner

	_ [cacheLine]byte
}

const (
	recordHead = 4 // bytes
	maxRecord  = 1<<24 - 2
	skip       = 1<<24 - 1
)

// NewBytes returns an empty queue over at least n bytes, rounded up to a power of two. It panics when n is not between 64
// and 2³⁰.
func NewBytes(n int) *Bytes {
	if n < cacheLine || n > 1<<30 {
		panic("ring: size out of range")
	}
	size := 1 << bits.Len(uint(n-1))
	return &Bytes{buf: make([]byte, size), mask: uint64(size - 1)}
}

// lines is what a record of n bytes takes.
func lines(n int) uint64 { return uint64(n+recordHead+cacheLine-1) &^ (cacheLine - 1) }

// Reserve returns n bytes for the producer to fill, or nil when there is no room. They hold what an earlier lap left there.
// The consumer sees them after the next Publish, until which the slice is valid. Producer only.
func (r *Bytes) Reserve(n int, tag uint8) []byte {
	if invariants.Enabled {
		r.producing.enter("produce")
		defer r.producing.leave()
	}
	size, need := uint64(len(r.buf)), lines(n)
	if n > maxRecord || need > size {
		return nil
	}
	at := r.staged & r.mask
	gap := uint64(0)
	if at+need > size {
		gap = size - at
	}
	if end := r.staged + gap + need; end-r.cachedHead > size {
		r.cachedHead = r.head.Load()
		if end-r.cachedHead > size {
			return nil
		}
	}
	if gap > 0 {
		binary.LittleEndian.PutUint32(r.buf[at:], skip)
		r.staged += gap
		at = 0
	}
	binary.LittleEndian.PutUint32(r.buf[at:], uint32(n)|uint32(tag)<<24)
	r.staged += need
	at += recordHead
	return r.buf[at : at+uint64(n) : at+uint64(n)]
}

// Publish makes all reserved strings visible to the consumer. Producer only.
func (r *Bytes) Publish() {
	if invariants.Enabled {
		r.producing.enter("produce")
		defer r.producing.leave()
	}
	r.tail.Store(r.staged)
}

// Look makes what has been published by now available to Next, and reports whether there is anything. Consumer only.
func (r *Bytes) Look() bool {
	r.cachedTail = r.tail.Load()
	return r.taken != r.cachedTail
}

// Next returns the oldest string of those that the last Look has seen, and its tag, in place; false when none is left. It is
// valid until the next Release. Consumer only.
func (r *Bytes) Next() (b []byte, tag uint8, ok bool) {
	if invariants.Enabled {
		r.consuming.enter("consume")
		defer r.consuming.leave()
	}
	if r.taken == r.cachedTail {
		return nil, 0, false
	}
	at := r.taken & r.mask
	head := binary.LittleEndian.Uint32(r.buf[at:])
	if head == skip { // there is always one behind it
		r.taken += uint64(len(r.buf)) - at
		at, head = 0, binary.LittleEndian.Uint32(r.buf)
	}
	n := uint64(head & skip)
	r.taken += lines(int(n))
	at += recordHead
	return r.buf[at : at+n : at+n], uint8(head >> 24), true
}

// Left reports whether Next would return a string. Consumer only.
func (r *Bytes) Left() bool { return r.taken != r.cachedTail }

// Release gives the room of all strings that Next returned back to the producer. Consumer only.
func (r *Bytes) Release() {
	if invariants.Enabled {
		r.consuming.enter("consume")
		defer r.consuming.leave()
	}
	r.head.Store(r.taken)
}
