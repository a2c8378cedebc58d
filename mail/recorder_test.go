package mail

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"dirsw/clock"
)

// recorder is a clock that a test moves, and that remembers who asked it to be called.
type recorder struct {
	clock.Manual

	mu    sync.Mutex
	asked map[time.Duration]int
}

func (r *recorder) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := r.Manual.AfterFunc(d, f)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == nil {
		r.asked = make(map[time.Duration]int)
	}
	r.asked[d]++
	return t
}

// wait waits until somebody has asked n times to be called after d.
func (r *recorder) wait(t *testing.T, d time.Duration, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d timers of %v", n, d), func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.asked[d] >= n })
}
