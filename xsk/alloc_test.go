package xsk

import (
	"testing"
	"time"

	"dirsw/internal/invariants"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// TestNoAllocations runs breaths with traffic and without on a real veth: receiving, sending by both ports, dropping,
// making frames, sleeping and counting allocate nothing.
func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the checks allocate")
	}
	r := newRig(t, nil)
	l := r.open(t, Options{Ports: twoArms()}).Lane(0)
	cl := testenv.OpenTap(t, &r.cl0)
	frame := request(1, 100)
	var b packet.Batch
	frames := 0
	breath := func() {
		for range 4 {
			cl.Send(t, frame)
		}
		n, err := l.Recv(&b)
		if err != nil {
			t.Fatal(err)
		}
		frames += n
		for i := range n {
			b.Frames[i].Port = uint8(i % 2)
		}
		if frames%8 == 0 {
			l.Drop(&b)
		}
		if f, ok := l.Alloc(); ok && b.Add(f) {
			b.Frames[b.N-1].Resize(60)
		}
		l.Send(&b)
		if err := l.Wait(10 * time.Microsecond); err != nil {
			t.Fatal(err)
		}
		if l.Counters().Received == 0 && frames > 0 {
			t.Fatal("nothing is counted")
		}
	}
	for range lookEvery {
		breath()
	}
	if got := testing.AllocsPerRun(2*lookEvery, breath); got != 0 {
		t.Errorf("a breath allocates %v times, want never", got)
	}
	if frames < lookEvery {
		t.Errorf("only %d frames came", frames)
	}
	audit(t, l)
}
