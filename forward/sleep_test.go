package forward_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// drowsy is a lane without traffic that notes how its worker sleeps.
type drowsy struct {
	*forwardtest.Lane
	naps   []time.Duration
	asleep func(nap int)
	woken  int
}

func (l *drowsy) Wait(d time.Duration) error {
	l.naps = append(l.naps, d)
	l.asleep(len(l.naps))
	return nil
}

func (l *drowsy) Wake() { l.woken++ }

// TestSleepsLongerAndIsWoken has nothing happen, then a snapshot, then a command.
func TestSleepsLongerAndIsWoken(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	l := &drowsy{Lane: forwardtest.New(t, forwardtest.Options{})}
	w, err := forward.NewWorker(0, l, forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	done := make(chan struct{}, 1)
	l.asleep = func(nap int) {
		switch nap {
		case 7:
			w.Publish(compiled(t, 1))
			w.Publish(compiled(t, 1)) // it is awake by now
		case 8:
			if w.Adopted() != 1 || l.woken != 1 {
				t.Errorf("after a snapshot: generation %d, woken %d times", w.Adopted(), l.woken)
			}
			w.Post(forward.Command{List: &forward.Listing{}, Done: done})
		case 9:
			if len(done) != 1 || l.woken != 2 {
				t.Errorf("after a command: %d answers, woken %d times", len(done), l.woken)
			}
			stop()
		}
	}
	if err := w.Run(ctx, &clock.Manual{}); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if !slices.Equal(l.naps, want) {
		t.Errorf("slept for %v, want %v", l.naps, want)
	}
}

// TestSleepsForConnections: while there is a connection, which may end, no sleep is longer than its end is precise.
func TestSleepsForConnections(t *testing.T) {
	b := newBench(t, forward.Options{}, oneServer...)
	l := &drowsy{Lane: b.lane}
	b.w.SetLane(l)
	if got := b.tcp(client(1), vip, packet.SYN); got == "" {
		t.Fatal("no connection")
	}
	ctx, stop := context.WithCancel(context.Background())
	l.asleep = func(nap int) {
		if nap == 10 {
			stop()
		}
	}
	var c clock.Manual
	c.Advance(time.Duration(b.now))
	if err := b.w.Run(ctx, &c); err != nil {
		t.Fatal(err)
	}
	if longest := slices.Max(l.naps); longest != 16*time.Millisecond {
		t.Errorf("slept for %v", l.naps)
	}
}
