package clock

import "time"

// System is the clock of this machine. Its zero value is not usable: call NewSystem.
type System struct{ start time.Time }

var _ Clock = System{}

// NewSystem returns a clock that starts at 1 s, so that a zero Mono is always in the past.
func NewSystem() System { return System{time.Now().Add(-time.Second)} }

// Now reads CLOCK_MONOTONIC.
func (s System) Now() Mono { return Mono(time.Since(s.start)) }

// AfterFunc is time.AfterFunc.
func (s System) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
