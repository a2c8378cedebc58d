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

func TestManualAwait(t *testing.T) {
	var c Manual
	rang := make(chan bool, 2)
	for range 2 {
		go c.AfterFunc(time.Second, func() { rang <- true })
	}
	c.Await(time.Second, 2)
	c.Advance(time.Second)
	if len(rang) != 2 {
		t.Errorf("%d of 2 timers rang", len(rang))
	}
}
