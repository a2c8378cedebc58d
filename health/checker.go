package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Checker asks one server once. The Prober never asks one Checker twice at a time. The Checkers of this package are
// fmt.Stringers of all that they ask.
type Checker interface {
	// Check returns nil if the server is well, else what was wrong. It returns soon after ctx ends, and bounds itself
	// by its own timeout: a server that answers one byte a second does not hold it for longer.
	Check(ctx context.Context) error
}

// Sequence is a Checker of several steps that are asked one after another with delays between them (the urls of
// HTTP_GET). The Probe remembers which is next.
type Sequence interface {
	Checker
	// Steps is the number of steps, at least 1.
	Steps() int
	// CheckStep asks step i (0 <= i < Steps), as Check does. Check itself asks all of them without delay.
	CheckStep(ctx context.Context, i int) error
	// StepUp is the line for a step that succeeded while the check is down ("MD5 digest success to … url(/)").
	StepUp(n Names, i int) string
}

// Grader is a Checker whose answer may carry a weight besides.
type Grader interface {
	Checker
	// Grade asks as Check does.
	Grade(ctx context.Context) (Grade, error)
}

// Wording gives a Checker's log lines, which are keepalived's of that kind. Each line is whole; "" is not logged.
type Wording interface {
	// Up is the line for the check's first success, or for a success after it was down.
	Up(n Names) string
	// Down is the line for the failure that took the check down.
	Down(n Names, err error, try Try) string
	// Failed is the line for each failure of a check that is up, written with log_all_failures, and before Down where
	// it is the last one (try.N == try.Retry).
	Failed(n Names, err error, try Try) string
}

// Remarker is a Checker that may have something to say of an answer, whatever that made of the check.
type Remarker interface {
	Checker
	// Remark returns the line, and forgets it; "" is none. It is called after each Check.
	Remark(n Names) string
}

// Try says which failure in a row this is.
type Try struct {
	N     int  // retries made before this failure, 0..Retry
	Retry int  // the check's retry
	First bool // the check had no outcome before
}

// Retries is keepalived's ending of a Down line: " after 2 retries", or nothing on the first run and without retry.
func (t Try) Retries() string {
	if t.First || t.Retry == 0 {
		return ""
	}
	return fmt.Sprintf(" after %d retries", t.Retry)
}

// Names are a target's names as keepalived's lines print them.
type Names struct {
	Server  string // "[192.0.2.11]:tcp:80"
	Service string // "[198.51.100.1]:tcp:80", "FWM 7", "[GROUP]:0"
}

// The ways in which a connection fails, for callers that word them differently. An error of a Checker matches at most
// one of them with errors.Is.
var (
	ErrTimeout = errors.New("timeout")        // no answer in time
	ErrRefused = errors.New("refused")        // reset, or ICMP port unreachable
	ErrUnreach = errors.New("unreachable")    // ICMP unreachable, or no route
	ErrLocal   = errors.New("local resource") // the director's own fault: no socket, port or buffer; says nothing of the server
	ErrSilent  = errors.New("no verdict")     // the check's own means is not there (an agent), which says nothing of the server
)

// DefaultTimeout is connect_timeout where the configuration gives none.
const DefaultTimeout = 5 * time.Second

// Failure is an error with the kind of failure and the words for a log.
type Failure struct {
	Kind error  // one of the sentinels of this package, or nil
	Text string // what happened, without the server's name
	Err  error  // the cause, may be nil
}

// Error returns the text and the cause.
func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Text
	}
	return fmt.Sprintf("%s: %v", f.Text, f.Err)
}

// Unwrap returns kind and cause.
func (f *Failure) Unwrap() []error {
	var out []error
	for _, e := range []error{f.Kind, f.Err} {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}
