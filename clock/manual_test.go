package clock

import (
	"slices"
	"testing"
	"time"
)

func TestManualRunsInOrder(t *testing.T) {
	var c Manual
	var got []int
	at := func(n int) func() { return func() { got = append(got, n) } }
	c.AfterFunc(3*time.Second, at(3))
	c.AfterFunc(time.Second, func() { at(1)(); c.AfterFunc(time.Second, at(2)) })
	stopped := c.AfterFunc(2*time.Second, at(99))
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop: want true once, then false")
	}
	c.Advance(3 * time.Second)
	if want := []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
	if c.Now() != Mono(3*time.Second) {
		t.Errorf("Now %v, want 3s", c.Now())
	}
}

func TestSystemStartsInTheFuture(t *testing.T) {
	if s := NewSystem(); s.Now() < Mono(time.Second) {
		t.Errorf("Now %d, want at least 1 s", s.Now())
	}
}
