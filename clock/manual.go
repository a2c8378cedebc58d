package clock

import (
	"slices"
	"sync"
	"time"
)

// Manual is a clock that a test moves. Its zero value stands at 0. Calls that fall due run inside Advance, one after
// the other in the order of their times, on the caller's goroutine.
type Manual struct {
	mu      sync.Mutex
	now     Mono
	pending []*manualTimer        // by time, then by order of creation
	asked   map[time.Duration]int // how often AfterFunc was called with this
	news    *sync.Cond            // of asked; nil until somebody awaits it
}

type manualTimer struct {
	c  *Manual
	at Mono
	f  func()
}

var _ Clock = (*Manual)(nil)

// Now returns the time that Advance last set.
func (c *Manual) Now() Mono {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc queues f for the Advance that reaches now+d.
func (c *Manual) AfterFunc(d time.Duration, f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &manualTimer{c: c, at: c.now.Add(d), f: f}
	i := len(c.pending)
	for i > 0 && c.pending[i-1].at > t.at {
		i--
	}
	c.pending = slices.Insert(c.pending, i, t)
	if c.asked == nil {
		c.asked = make(map[time.Duration]int)
	}
	c.asked[d]++
	if c.news != nil {
		c.news.Broadcast()
	}
	return t
}

// Await returns as soon as AfterFunc has been called n times with d, by other goroutines: then Advance finds their timers.
func (c *Manual) Await(d time.Duration, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.news == nil {
		c.news = sync.NewCond(&c.mu)
	}
	for c.asked[d] < n {
		c.news.Wait()
	}
}

// Advance moves the clock by d and runs what fell due, each at its own time. What the calls queue runs too if due.
func (c *Manual) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for len(c.pending) > 0 && c.pending[0].at <= end {
		t := c.pending[0]
		c.pending = c.pending[1:]
		c.now = max(c.now, t.at)
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// Stop takes the call out of the queue.
func (t *manualTimer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	i := slices.Index(t.c.pending, t)
	if i < 0 {
		return false
	}
	t.c.pending = slices.Delete(t.c.pending, i, i+1)
	return true
}
