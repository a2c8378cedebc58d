package health

import (
	"time"

	"dirsw/clock"
)

// Bootstrap is what passes before any first check, beside a random part of Warmup (keepalived's BOOTSTRAP_DELAY).
const Bootstrap = time.Second

// Timing is when a check is made, and how often it may fail.
type Timing struct {
	Retry            int           // failures that are forgiven once the check has succeeded
	DelayBeforeRetry time.Duration // from such a failure to the next try
	DelayLoop        time.Duration // from any other end of a check to the next
	Warmup           time.Duration // a random part of it passes before the first check
	Alpha            bool          // counts as failed until it first succeeds
	FastRecovery     bool          // no DelayLoop between the steps on the way up
}

// Result is what one check found out.
type Result struct {
	OK     bool
	Adjust int    // to be added to the weight of the server; only if OK
	Reason string // in words, why it failed
}

// Verdict is what a result means to a Probe.
type Verdict uint8

// The verdicts.
const (
	Same      Verdict = iota // as before
	Succeeded                // it counts as up now, or is known to be so
	Failed                   // it counts as down now, or is known to be so
	Forgiven                 // failed, and will be tried again
	Advanced                 // one of several steps to being up
)

// Probe is the state of one check of one server: retries, steps, and when it is due. It does no I/O and asks no clock.
// Make one with NewProbe.
type Probe struct {
	timing Timing
	steps  int
	up     bool
	ran    bool // a verdict has been reached
	tries  int
	step   int
	redo   bool // the step that failed has to succeed before all are asked again
	adjust int
	due    clock.Mono
	last   Verdict
}

// NewProbe returns the state of a check that has so many steps (the url blocks of HTTP_GET and SSL_GET; 0: the check is
// one question) and is due first after Bootstrap and the part random, in [0, 1), of Warmup.
func NewProbe(now clock.Mono, t Timing, steps int, random float64) *Probe {
	first := Bootstrap + time.Duration(random*float64(max(t.Warmup, 0)))
	return &Probe{timing: t, steps: steps, up: !t.Alpha, due: now.Add(first)}
}

// Up reports whether the check holds: it did last, or has not been made yet and is not Alpha.
func (p *Probe) Up() bool { return p.up }

// Due returns when the check is to be made next.
func (p *Probe) Due() clock.Mono { return p.due }

// Step returns which of its steps is to be made next.
func (p *Probe) Step() int { return p.step }

// Adjust returns what the check adds to the weight of the server.
func (p *Probe) Adjust() int { return p.adjust }

// Verdict returns what the last result meant.
func (p *Probe) Verdict() Verdict { return p.last }

// Result takes in what the check of Step found, at its end. It returns whether Up or Adjust changed.
func (p *Probe) Result(now clock.Mono, r Result) (changed bool) {
	up, adjust := p.up, p.adjust
	var pause time.Duration
	if r.OK {
		pause = p.succeed(r)
	} else {
		pause = p.fail()
	}
	p.due = now.Add(pause)
	return p.up != up || p.adjust != adjust
}

// succeed moves to the next step. A check that is down is up when all steps succeeded, after the one that failed did.
func (p *Probe) succeed(r Result) time.Duration {
	p.tries = 0
	p.adjust = r.Adjust
	pause := p.timing.DelayLoop
	known := p.up && p.ran
	if !known && p.timing.FastRecovery {
		pause = 0
	}
	p.last = Advanced
	if known {
		p.last = Same
	}
	if p.redo {
		p.redo, p.step = false, 0
		return pause
	}
	p.step++
	if p.step < p.steps {
		return pause
	}
	p.step = 0
	if !known {
		p.up, p.ran, p.last = true, true, Succeeded
	}
	return p.timing.DelayLoop
}

// fail forgives Retry failures in a row of a check that has succeeded before.
func (p *Probe) fail() time.Duration {
	known := p.ran
	switch {
	case p.ran && p.up && p.tries < p.timing.Retry:
		p.tries++
		p.last = Forgiven
		return p.timing.DelayBeforeRetry
	case known && !p.up:
		p.last = Same
	default:
		p.last = Failed
	}
	p.up, p.ran, p.tries = false, true, 0
	p.redo, p.adjust = p.steps > 0, 0
	return p.timing.DelayLoop
}
