package ring

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

func TestBytesSizes(t *testing.T) {
	for _, n := range []int{0, 63, 1<<30 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewBytes(%d) did not panic", n)
				}
			}()
			NewBytes(n)
		}()
	}
	r := NewBytes(100) // 128
	if r.Reserve(125, 0) != nil || r.Reserve(1<<24, 0) != nil {
		t.Error("there was room for more than there is")
	}
	if b := r.Reserve(124, 3); len(b) != 124 || cap(b) != 124 || r.Reserve(0, 0) != nil {
		t.Error("a string of all there is does not fill the queue")
	}
}

func TestBytesAreSeenAfterPublish(t *testing.T) {
	r := NewBytes(256)
	copy(r.Reserve(3, 7), "abc")
	if _, _, ok := r.Next(); ok || r.Look() {
		t.Error("a reserved string was seen before Publish")
	}
	r.Publish()
	if _, _, ok := r.Next(); ok || r.Left() {
		t.Error("a string was taken before Look")
	}
	if !r.Look() || !r.Left() {
		t.Error("a published string is not seen")
	}
	if b, tag, ok := r.Next(); !ok || string(b) != "abc" || tag != 7 {
		t.Errorf("got %q with tag %d", b, tag)
	}
	if r.Reserve(200, 0) != nil {
		t.Error("room was given back before Release")
	}
	r.Release()
	if r.Reserve(60, 0) == nil {
		t.Error("no room after Release")
	}
}

// TestBytesTwin compares random operations with a slice of strings.
func TestBytesTwin(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := NewBytes(1024)
	type record struct {
		b   []byte
		tag uint8
	}
	var staged, visible []record
	skips, seen := 0, 0
	for step := range 20000 {
		switch rnd.IntN(4) {
		case 0, 1:
			n, tag := rnd.IntN(400), uint8(rnd.Uint32())
			before := r.staged & r.mask
			b := r.Reserve(n, tag)
			if b == nil {
				break
			}
			if r.staged&r.mask < before && before+lines(n) > 1024 {
				skips++
			}
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			staged = append(staged, record{bytes.Clone(b), tag})
		case 2:
			r.Publish()
			visible, staged = append(visible, staged...), nil
		case 3:
			if rnd.IntN(2) == 0 {
				seen = len(visible)
				if r.Look() != (seen > 0) {
					t.Fatalf("seed %d, step %d: Look %v with %d there", seed, step, seen == 0, seen)
				}
			}
			for range rnd.IntN(4) {
				left := r.Left()
				b, tag, ok := r.Next()
				if ok != (seen > 0) || left != ok {
					t.Fatalf("seed %d, step %d: Next %v, Left %v with %d seen", seed, step, ok, left, seen)
				}
				if !ok {
					break
				}
				if !bytes.Equal(b, visible[0].b) || tag != visible[0].tag {
					t.Fatalf("seed %d, step %d: %d bytes with tag %d, want %d with %d", seed, step, len(b), tag, len(visible[0].b),
						visible[0].tag)
				}
				visible = visible[1:]
				seen--
			}
			r.Release()
		}
		if used := int(r.staged - r.head.Load()); used > 1024 {
			t.Fatalf("seed %d, step %d: %d bytes in use", seed, step, used)
		}
	}
	if skips == 0 {
		t.Error("no string had to begin anew")
	}
}

// TestBytesConcurrently has two goroutines pass strings whose contents follow from their number.
func TestBytesConcurrently(t *testing.T) {
	r := NewBytes(4096)
	const n = 50000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < n; {
			b := r.Reserve(i%300, uint8(i))
			if b == nil {
				runtime.Gosched()
				continue
			}
			for k := range b {
				b[k] = byte(i + k)
			}
			if i++; i%8 == 0 || i == n || r.staged-r.cachedHead > 3000 {
				r.Publish()
			}
		}
	})
	for i := 0; i < n; {
		if !r.Left() && !r.Look() {
			runtime.Gosched()
			continue
		}
		b, tag, _ := r.Next()
		if len(b) != i%300 || tag != uint8(i) {
			t.Fatalf("string %d: %d bytes, tag %d", i, len(b), tag)
		}
		for k := range b {
			if b[k] != byte(i+k) {
				t.Fatalf("string %d: byte %d is %d", i, k, b[k])
			}
		}
		i++
		r.Release()
	}
	wg.Wait()
}

// BenchmarkBytes passes a batch of the shortest frames through the queue, two copies each, in one goroutine: what handing over
// takes without another processor.
func BenchmarkBytes(b *testing.B) {
	const batch = 64
	r := NewBytes(512 << 10)
	var from, to [batch][60]byte
	b.ReportAllocs()
	for range b.N {
		for i := range from {
			copy(r.Reserve(len(from[i]), 0), from[i][:])
		}
		r.Publish()
		r.Look()
		for i := range to {
			s, _, _ := r.Next()
			copy(to[i][:], s)
		}
		r.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/frame")
}
