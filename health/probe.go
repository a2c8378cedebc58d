package health

import (
	"time"

	"dirsw/clock"
)

// Bootstrap is what passes before any first check, beside a random part of the warmup (keepalived's BOOTSTRAP_DELAY).
const Bootstrap = time.Second

// Counting is how a kind of check counts its failures and measures its delays. keepalived's kinds differ.
type Counting uint8

// The ways of counting.
const (
	// CountPlain forgives Retry failures while the check is up, and none on the first run. Delays count from the end of
	// a check (TCP, UDP, PING, DNS, and what keepalived has not).
	CountPlain Counting = iota
	// CountURLs is for a Sequence: each step has its own retries, a check is well when all steps were, and after a
	// failure the step that failed has to succeed before all are asked again (HTTP_GET, SSL_GET).
	CountURLs
	// CountEach forgives Retry failures on the first run too, and retries as well while the check is down (SMTP_CHECK).
	CountEach
	// CountStarts is CountPlain with delays from the start of a check (MISC_CHECK): a slow script runs no less often.
	CountStarts
)

// Timing is when a check is made, and how often it may fail.
type Timing struct {
	Loop         time.Duration // delay_loop
	BeforeRetry  time.Duration // delay_before_retry
	Warmup       time.Duration // warmup: a random part of it passes before the first check
	Retry        int           // retry
	Alpha        bool          // alpha: counts as down until it first succeeds
	FastRecovery bool          // fast_recovery: no delay between the steps on the way up
}

// Outcome is what a result means to a Probe, and so which line is logged for it.
type Outcome uint8

// The outcomes.
const (
	Same     Outcome = iota // up as before, or down as before
	Up                      // up now, or known to be up for the first time
	Down                    // down now, or known to be down for the first time
	Forgiven                // failed while up, and will be tried again
	StepUp                  // a step succeeded on the way up
	Unknown                 // there was no answer to take in; asked again after delay_loop
)

// String returns the name of the outcome.
func (o Outcome) String() string {
	return [...]string{"same", "up", "down", "forgiven", "step up", "unknown"}[o]
}

// Probe is the memory of one check: retries, steps, and when it is due. It does no I/O and asks no clock. It is made
// by NewProbe and has one owner.
type Probe struct {
	timing   Timing
	counting Counting
	steps    int

	up      bool
	ran     bool // had an outcome
	retries int  // failures in a row that were forgiven
	step    int
	redo    bool // step has failed, and has to succeed before all are asked again
	due     clock.Mono
}

// NewProbe returns the memory of a check of so many steps (1 if it is no Sequence), which is due first after Bootstrap
// and the part random, in [0, 1), of Warmup.
func NewProbe(now clock.Mono, c Counting, t Timing, steps int, random float64) *Probe {
	first := Bootstrap + time.Duration(random*float64(max(t.Warmup, 0)))
	p := &Probe{timing: t, counting: c, steps: max(steps, 1), up: !t.Alpha, due: now.Add(first)}
	if c != CountEach {
		p.retries = t.Retry // the first failure is not forgiven
	}
	return p
}

// Up reports whether the check holds: it did last, or it has not been made yet and is not Alpha.
func (p *Probe) Up() bool { return p.up }

// Ran reports whether the check has had an outcome.
func (p *Probe) Ran() bool { return p.ran }

// Due returns when the check is to be made next.
func (p *Probe) Due() clock.Mono { return p.due }

// Step returns which step is to be made next, 0 if the check is no Sequence.
func (p *Probe) Step() int { return p.step }

// Try returns where in its retries a failure stands that is taken in next.
func (p *Probe) Try() Try {
	first := !p.ran
	if p.counting == CountURLs || p.counting == CountEach {
		first = false // keepalived counts the first run of these like any other
	}
	return Try{N: min(p.retries, p.timing.Retry), Retry: p.timing.Retry, First: first}
}

// Adopt takes over the state of old, the same check with other settings, and keeps its schedule.
func (p *Probe) Adopt(old *Probe) {
	p.due = old.due
	if !old.ran {
		return
	}
	p.up, p.ran = old.up, true
	p.retries = old.retries
	if old.retries >= p.timing.Retry { // one more failure is enough
		p.retries = max(p.timing.Retry-1, 0)
	}
	if p.steps == old.steps {
		p.step, p.redo = old.step, old.redo
	}
}

// Result takes in what a check found that ran from start to now; err is nil if the server is well. It returns what that
// means, and moves Due.
func (p *Probe) Result(start, now clock.Mono, err error) Outcome {
	var o Outcome
	var pause time.Duration
	switch {
	case p.counting == CountURLs && err == nil:
		o, pause = p.urlUp()
	case p.counting == CountURLs:
		o, pause = p.urlDown()
	case err == nil:
		o, pause = p.succeed(), p.timing.Loop
	default:
		o, pause = p.fail()
	}
	p.ran = p.ran || o != StepUp
	p.due = now.Add(pause)
	if p.counting == CountStarts {
		p.due = max(start.Add(pause), now)
	}
	return o
}

// Skip is Result for a check that could not be made, for want of a socket, or whose answer says nothing.
func (p *Probe) Skip(now clock.Mono) Outcome {
	p.due = now.Add(p.timing.Loop)
	return Unknown
}

// Force sets the state without retries, for checks whose state is given from outside (BFD_CHECK, FILE_CHECK).
func (p *Probe) Force(up bool) Outcome {
	was := p.up
	p.up, p.ran, p.retries = up, true, 0
	switch {
	case was == up:
		return Same
	case up:
		return Up
	default:
		return Down
	}
}

// succeed takes in a success of a check without steps.
func (p *Probe) succeed() Outcome {
	p.retries = 0
	if p.up && p.ran {
		return Same
	}
	p.up = true
	return Up
}

// fail takes in a failure of a check without steps.
func (p *Probe) fail() (Outcome, time.Duration) {
	known := p.ran && !p.up
	if p.retries < p.timing.Retry && (!known || p.counting == CountEach) {
		p.retries++
		if known {
			return Same, p.timing.BeforeRetry
		}
		return Forgiven, p.timing.BeforeRetry
	}
	p.retries = 0
	if known {
		return Same, p.timing.Loop
	}
	p.up = false
	return Down, p.timing.Loop
}

// urlUp takes in a success of a step.
func (p *Probe) urlUp() (Outcome, time.Duration) {
	p.retries = 0
	known := p.up && p.ran
	last := p.step == p.steps-1 && !p.redo
	if p.redo || last {
		p.step, p.redo = 0, false
	} else {
		p.step++
	}
	if !last {
		pause := p.timing.Loop
		if known {
			return Same, pause
		}
		if !p.ran {
			p.retries = p.timing.Retry
		}
		if p.timing.FastRecovery {
			pause = 0
		}
		return StepUp, pause
	}
	if known {
		return Same, p.timing.Loop
	}
	p.up = true
	return Up, p.timing.Loop
}

// urlDown takes in a failure of a step. On the way up it does not send back to the first step, as in keepalived.
func (p *Probe) urlDown() (Outcome, time.Duration) {
	if p.ran && !p.up {
		if p.redo {
			return Same, max(p.timing.BeforeRetry, p.timing.Loop)
		}
		return Same, p.timing.BeforeRetry
	}
	if p.retries < p.timing.Retry {
		p.retries++
		return Forgiven, p.timing.BeforeRetry
	}
	o := Down
	if !p.up {
		o = Same // alpha: it was down, and nothing is said
	}
	p.up, p.redo, p.retries = false, true, 0
	return o, max(p.timing.BeforeRetry, p.timing.Loop)
}
