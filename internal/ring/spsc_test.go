package ring

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"dirsw/internal/invariants"
)

func TestNewRoundsUp(t *testing.T) {
	for _, tt := range []struct{ n, want int }{{1, 1}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}} {
		if got := New[int](tt.n).Cap(); got != tt.want {
			t.Errorf("New(%d).Cap() = %d, want %d", tt.n, got, tt.want)
		}
	}
	for _, n := range []int{0, -1, 1<<30 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) did not panic", n)
				}
			}()
			New[struct{}](n)
		}()
	}
}

func TestFullAndEmpty(t *testing.T) {
	r := New[int](2)
	if _, ok := r.Pop(); ok {
		t.Error("Pop from an empty queue succeeded")
	}
	for i := range 2 {
		if !r.Push(i) {
			t.Fatalf("Push(%d) found no room", i)
		}
	}
	if r.Push(2) {
		t.Error("Push into a full queue succeeded")
	}
	if v, ok := r.Pop(); !ok || v != 0 {
		t.Errorf("Pop = %d, %v, want 0, true", v, ok)
	}
	if !r.Push(3) {
		t.Error("Push found no room after a Pop")
	}
	if r.Len() != 2 {
		t.Errorf("Len = %d, want 2", r.Len())
	}
}

func TestTake(t *testing.T) {
	r, got := New[int](4), make([]int, 2)
	if n := r.Take(got); n != 0 {
		t.Errorf("%d of an empty ring", n)
	}
	for i := range 3 {
		r.Push(i)
	}
	if n := r.Take(got); n != 2 || got[0] != 0 || got[1] != 1 || r.Len() != 1 {
		t.Errorf("took %d: %v, %d left", n, got, r.Len())
	}
	if n := r.Take(got); n != 1 || got[0] != 2 || r.Len() != 0 {
		t.Errorf("took %d: %v, %d left", n, got, r.Len())
	}
}

func TestNothingIsSeenBeforePublish(t *testing.T) {
	r := New[int](4)
	*r.Reserve(), *r.Reserve() = 7, 8
	if r.Next() != nil || r.Len() != 0 {
		t.Error("a reserved slot was seen before Publish")
	}
	r.Publish()
	a, b := r.Next(), r.Next()
	if a == nil || b == nil || *a != 7 || *b != 8 {
		t.Fatal("after Publish: want 7 and 8")
	}
	if r.Next() != nil {
		t.Error("Next returned a third value of two")
	}
	r.Reserve()
	r.Reserve()
	if r.Reserve() != nil {
		t.Error("Reserve returned a slot that was not released")
	}
	r.Release()
	if r.Reserve() == nil {
		t.Error("Reserve found no room after Release")
	}
}

func TestPopClearsTheSlot(t *testing.T) {
	r := New[*int](1)
	r.Push(new(int))
	r.Pop()
	if r.buf[0] != nil {
		t.Error("the slot still holds the pointer")
	}
}

// slow is the twin: a slice that does what SPSC promises in the plainest way.
type slow struct {
	cap                    int
	reserved, queued, held []int
}

func (s *slow) reserve(v int) bool {
	if len(s.reserved)+len(s.queued)+len(s.held) == s.cap {
		return false
	}
	s.reserved = append(s.reserved, v)
	return true
}

func (s *slow) publish() { s.queued, s.reserved = append(s.queued, s.reserved...), nil }

func (s *slow) next() (int, bool) {
	if len(s.queued) == 0 {
		return 0, false
	}
	v := s.queued[0]
	s.queued, s.held = s.queued[1:], append(s.held, v)
	return v, true
}

func (s *slow) release() { s.held = nil }

func TestAgainstSlowTwin(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, size := range []int{1, 2, 8, 64} {
		r, s := New[int](size), &slow{cap: size}
		for i := range 20000 {
			switch op := rnd.IntN(6); op {
			case 0: // in place
				p, ok := r.Reserve(), s.reserve(i)
				if (p != nil) != ok {
					t.Fatalf("seed %d size %d step %d: Reserve gave a slot: %v, want %v", seed, size, i, p != nil, ok)
				}
				if p != nil {
					*p = i
				}
			case 1:
				got, want := r.Push(i), s.reserve(i)
				if got != want {
					t.Fatalf("seed %d size %d step %d: Push %v, want %v", seed, size, i, got, want)
				}
				if want {
					s.publish()
				}
			case 2:
				r.Publish()
				s.publish()
			case 3:
				p := r.Next()
				if want, ok := s.next(); (p != nil) != ok || ok && *p != want {
					t.Fatalf("seed %d size %d step %d: Next %v, want %v %v", seed, size, i, p, want, ok)
				}
			case 4:
				got, ok := r.Pop()
				want, wantOK := s.next()
				if ok {
					s.release()
				}
				if got != want || ok != wantOK {
					t.Fatalf("seed %d size %d step %d: Pop %d %v, want %d %v", seed, size, i, got, ok, want, wantOK)
				}
			case 5:
				r.Release()
				s.release()
			}
			if got, want := r.Len(), len(s.queued)+len(s.held); got != want {
				t.Fatalf("seed %d size %d step %d: Len %d, want %d", seed, size, i, got, want)
			}
		}
	}
}

// TestTwoGoroutines sends numbers through a small queue; under -race it also shows that the elements are handed over.
func TestTwoGoroutines(t *testing.T) {
	const total = 200_000
	type pair struct{ a, b int }
	r := New[pair](64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < total; {
			if i%3 == 0 {
				if r.Push(pair{i, -i}) {
					i++
					continue
				}
			} else if p := r.Reserve(); p != nil {
				*p = pair{i, -i}
				if i++; i%5 == 0 {
					r.Publish()
				}
				continue
			}
			r.Publish()
			runtime.Gosched()
		}
		r.Publish()
	})
	for want := 0; want < total; {
		if n := r.Len(); n < 0 || n > r.Cap() {
			t.Fatalf("Len %d, capacity %d", n, r.Cap())
		}
		p := r.Next()
		if p == nil {
			r.Release()
			runtime.Gosched()
			continue
		}
		if *p != (pair{want, -want}) {
			t.Fatalf("got %v, want %d", *p, want)
		}
		if want++; want%7 == 0 {
			r.Release()
		}
	}
	wg.Wait()
}

func TestNoAllocation(t *testing.T) {
	r := New[[4]uint64](8)
	if n := testing.AllocsPerRun(1000, func() {
		r.Push([4]uint64{1})
		r.Pop()
		r.Reserve()
		r.Publish()
		r.Next()
		r.Release()
	}); n != 0 {
		t.Errorf("%v allocations for each round, want none", n)
	}
}

func TestSharedIndicesHaveLinesOfTheirOwn(t *testing.T) {
	var r SPSC[int]
	fields := []struct {
		name string
		off  uintptr
	}{
		{"mask", unsafe.Offsetof(r.mask)}, {"tail", unsafe.Offsetof(r.tail)}, {"staged", unsafe.Offsetof(r.staged)},
		{"head", unsafe.Offsetof(r.head)}, {"taken", unsafe.Offsetof(r.taken)},
	}
	for i := 1; i < len(fields); i++ {
		if d := fields[i].off - fields[i-1].off; d < cacheLine {
			t.Errorf("%s is %d bytes behind %s, want at least %d", fields[i].name, d, fields[i-1].name, cacheLine)
		}
	}
}

func TestSecondProducerIsFound(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("needs -tags invariants")
	}
	r := New[int](2)
	r.producing.enter("produce") // as if another goroutine were inside Push
	defer func() {
		if recover() == nil {
			t.Error("a second producer was not found")
		}
	}()
	r.Push(1)
}

func BenchmarkPushPop(b *testing.B) {
	r := New[uint64](64)
	b.ReportAllocs()
	for i := range b.N {
		r.Push(uint64(i))
		r.Pop()
	}
}

func BenchmarkStaged64(b *testing.B) {
	r := New[uint64](64)
	b.ReportAllocs()
	for range b.N {
		for i := range uint64(64) {
			*r.Reserve() = i
		}
		r.Publish()
		for range 64 {
			r.Next()
		}
		r.Release()
	}
}
