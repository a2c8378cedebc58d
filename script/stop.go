package script

import (
	"sync"
	"syscall"
	"time"

	"dirsw/clock"
)

// stopper ends one process group. Signals are sent under mu, and only before dead: the group exists until then.
type stopper struct {
	clock clock.Clock
	pid   int // of the leader, and of the group

	mu       sync.Mutex
	timers   []clock.Timer
	forced   bool // SIGTERM was sent
	timedOut bool // because the time was over
	ended    bool
}

func newStopper(c clock.Clock, pid int) *stopper { return &stopper{clock: c, pid: pid} }

// after asks the group to end once d has passed, and calls told then.
func (s *stopper) after(d time.Duration, told func()) {
	s.add(d, func() {
		if s.terminate(true) && told != nil {
			told()
		}
	})
}

// cancel asks the group to end now.
func (s *stopper) cancel() { s.terminate(false) }

// terminate sends SIGTERM, and SIGKILL after Grace. It reports whether it was the first to do so.
func (s *stopper) terminate(timedOut bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.forced {
		return false
	}
	s.forced, s.timedOut = true, timedOut
	s.signal(syscall.SIGTERM)
	s.addLocked(Grace, s.kill)
	return true
}

// kill sends SIGKILL.
func (s *stopper) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.signal(syscall.SIGKILL)
	}
}

// dead says that the leader has ended, though it was not reaped yet. If the group was told to end, the rest of it is
// killed. It reports whether it was told, and whether because the time was over.
func (s *stopper) dead() (forced, timedOut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, t := range s.timers {
		t.Stop()
	}
	if s.forced {
		s.signal(syscall.SIGKILL)
	}
	return s.forced, s.timedOut
}

// signal tells the whole group. That nobody is left to tell, or that they are another user's by now, is no error.
func (s *stopper) signal(sig syscall.Signal) { _ = syscall.Kill(-s.pid, sig) }

func (s *stopper) add(d time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(d, f)
}

func (s *stopper) addLocked(d time.Duration, f func()) {
	s.timers = append(s.timers, s.clock.AfterFunc(d, f))
}
