package xsk

import (
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/internal/testenv"
)

// TestWake ends the sleep that follows, the one under way, and no other; after Close it does nothing.
func TestWake(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm()})
	l, c := s.Lane(0), clock.NewSystem()
	wait := func(d time.Duration) time.Duration {
		t.Helper()
		begin := c.Now()
		if err := l.Wait(d); err != nil {
			t.Fatal(err)
		}
		return c.Now().Sub(begin)
	}
	const long, short = 2 * testenv.Patience, 50 * time.Millisecond
	slept := time.Duration(0)
	for range 3 { // a signal to the process may end a sleep, but not each time
		l.(forward.Waker).Wake()
		l.(forward.Waker).Wake()
		if took := wait(long); took > long/2 {
			t.Errorf("a wake before the sleep ended it after %v", took)
		}
		slept = max(slept, wait(short))
	}
	if slept < short {
		t.Fatal("one wake ended two sleeps")
	}
	go l.(forward.Waker).Wake()
	if took := wait(long); took > long/2 {
		t.Errorf("a wake ended the sleep after %v", took)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l.(forward.Waker).Wake()
}
