// Package clock says what time it is, and lets a test say it.
//
// The data plane and the state machines take a Mono as an argument; only runners hold a Clock. System is the real
// one, Manual the one of tests and of captures played back.
package clock

import "time"

// Mono is a time in nanoseconds on a monotonic clock with an arbitrary start. Only differences mean anything.
type Mono int64

// Add returns the time d after m.
func (m Mono) Add(d time.Duration) Mono { return m + Mono(d) }

// Sub returns how long m is after o.
func (m Mono) Sub(o Mono) time.Duration { return time.Duration(m - o) }

// Clock tells the time and calls back. All methods may be called from any goroutine.
type Clock interface {
	// Now returns the current time.
	Now() Mono
	// AfterFunc calls f on a goroutine of its own once d has passed, unless the timer is stopped before.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending call of AfterFunc.
type Timer interface {
	// Stop prevents the call and reports whether it came in time to do so.
	Stop() bool
}
