package forwardtest

import (
	"bytes"
	"slices"
	"testing"

	"dirsw/packet"
)

// lengths yields frames of these lengths, each filled with its index.
func lengths(n ...int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i, n := range n {
			if !yield(frame(n, byte(i))) {
				return
			}
		}
	}
}

func TestLoopDeliversPristineFramesAgainAndAgain(t *testing.T) {
	l, err := NewLoop(LoopOptions{Frames: lengths(60, 64, 65, 1500, 1), Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := []int{60, 64, 65, 1500, 1}
	var b packet.Batch
	at := 0
	for range 5 {
		if n, err := l.Recv(&b); n != packet.BatchSize || err != nil {
			t.Fatalf("Recv: %d, %v, want a full batch", n, err)
		}
		for i := range b.N {
			f := &b.Frames[i]
			if !bytes.Equal(f.Bytes(), frame(want[at%5], byte(at%5))) || f.Port != 1 || f.Offset() != Headroom {
				t.Fatalf("frame %d: %d bytes on port %d at %d", at, f.Len(), f.Port, f.Offset())
			}
			clear(f.Bytes())
			f.Prepend(20)
			at++
		}
		l.Send(&b)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if c := l.Counters(); c.Received != 320 || c.Sent != 320 || l.Dropped() != 0 {
		t.Errorf("counters %+v, dropped %d", c, l.Dropped())
	}
}

func TestLoopShuffles(t *testing.T) {
	order := func(seed uint64) (got []byte) {
		l, err := NewLoop(LoopOptions{Frames: lengths(slices.Repeat([]int{60}, 64)...), Shuffle: true, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		var b packet.Batch
		l.Recv(&b)
		for i := range b.N {
			got = append(got, b.Frames[i].Bytes()[0])
		}
		l.Drop(&b)
		return got
	}
	one, again, two := order(1), order(1), order(2)
	if !bytes.Equal(one, again) || bytes.Equal(one, two) || slices.IsSorted(one) {
		t.Errorf("orders %v, %v, %v", one, again, two)
	}
	slices.Sort(one)
	if len(slices.Compact(one)) != 64 {
		t.Errorf("frames delivered in a round: %v, want each once", one)
	}
}

func TestLoopTellsOfLostFrames(t *testing.T) {
	l, _ := NewLoop(LoopOptions{Frames: lengths(60)})
	var b packet.Batch
	l.Recv(&b)
	again := b
	b.N--
	l.Send(&b)
	if l.Check() == nil {
		t.Error("a frame is missing: no error")
	}
	l.Drop(&again) // the last one comes back, the others do so for the second time
	if l.Check() == nil || l.faults != packet.BatchSize-1 {
		t.Errorf("%d frames given back twice, want %d", l.faults, packet.BatchSize-1)
	}
}

func TestLoopRefuses(t *testing.T) {
	for name, n := range map[string][]int{"nothing": nil, "an empty frame": {0}, "a frame too long": {BufferLen}} {
		if _, err := NewLoop(LoopOptions{Frames: lengths(n...)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLoopAllocatesNothing(t *testing.T) {
	l, _ := NewLoop(LoopOptions{Frames: lengths(60, 60)})
	var b packet.Batch
	if n := testing.AllocsPerRun(100, func() { l.Recv(&b); l.Send(&b); l.Recv(&b); l.Drop(&b) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkLoop(b *testing.B) {
	l, _ := NewLoop(LoopOptions{Frames: lengths(slices.Repeat([]int{60}, 1000)...)})
	var batch packet.Batch
	b.ReportAllocs()
	for n := 0; n < b.N; n += packet.BatchSize {
		l.Recv(&batch)
		l.Send(&batch)
	}
}
