package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap/zapcore"
)

// Grace is how long a program has after SIGTERM before it is killed, as in keepalived.
const Grace = 2 * time.Second

// MaxOutput is how many bytes of a program's output are worth keeping for a message about it.
const MaxOutput = 4096

// Command is a program that an operator asked for, and how to run it. It is never changed by this package, and may be
// used by many runs at the same time.
type Command struct {
	// Args are the program and its arguments. No shell sees them: what looks like a variable, a glob or a pipe is passed
	// as it is. A program without a slash is looked for in PATH, as Check says.
	Args []string
	// User is who runs it; nil is whoever this process is.
	User *User
	// Env is added to this process's environment, as "name=value".
	Env []string
	// Timeout is how long it may take before it is asked to end; 0 is for ever.
	Timeout time.Duration
	// Output is how many bytes of its standard output and error are kept, at most MaxOutput. The rest is read and
	// forgotten, so that a program is never stopped by what it prints. With 0 both are /dev/null, which is what a program
	// needs that starts others which outlive it: nobody reads for those.
	Output int
	// OnTimeout, if not nil, is called when the time is over and SIGTERM has been sent, from a goroutine of the clock.
	OnTimeout func()
}

// With returns a copy of c with further arguments at the end.
func (c Command) With(args ...string) Command {
	c.Args = append(slices.Clip(slices.Clone(c.Args)), args...)
	return c
}

// Name is the program as the operator wrote it, for messages.
func (c Command) Name() string {
	if len(c.Args) == 0 {
		return ""
	}
	return c.Args[0]
}

// String is the command line, with quotes where words would not be told apart otherwise.
func (c Command) String() string {
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		if words[i] = a; a == "" || strings.ContainsAny(a, " \t\n'\"\\") {
			words[i] = strconv.Quote(a)
		}
	}
	return strings.Join(words, " ")
}

// Result is how a run ended. The zero value is a success.
type Result struct {
	// Err says why the program did not run at all, or that ctx ended it (ctx.Err()); the rest is then valid as far as it
	// came.
	Err error
	// Status is the exit status, valid if Signal is 0 and Err nil.
	Status int
	// Signal is what killed it, 0 if it ended by itself.
	Signal syscall.Signal
	// TimedOut reports that it was told to end because its time was over. The status is then of no use.
	TimedOut bool
	// Output is the beginning of what it printed, at most Command.Output bytes.
	Output []byte
	// Elapsed is how long it ran.
	Elapsed time.Duration
}

// OK reports whether the program ran, ended in time, and with status 0.
func (r Result) OK() bool { return r.Err == nil && !r.TimedOut && r.Signal == 0 && r.Status == 0 }

// Reason says in keepalived's words why a run failed: "exited with status 1", "due to signal 9". It is empty for a
// success and for one that timed out.
func (r Result) Reason() string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.TimedOut:
		return ""
	case r.Signal != 0:
		return fmt.Sprintf("due to signal %d", int(r.Signal))
	case r.Status != 0:
		return fmt.Sprintf("exited with status %d", r.Status)
	}
	return ""
}

// FirstLine is the first line of the output that is not empty, for a log line.
func (r Result) FirstLine() string {
	for l := range strings.Lines(string(r.Output)) {
		if l = strings.TrimSpace(l); l != "" {
			return strings.ToValidUTF8(l, "?")
		}
	}
	return ""
}

// MarshalLogObject writes how the run ended into a log entry.
func (r Result) MarshalLogObject(e zapcore.ObjectEncoder) error {
	switch {
	case r.Err != nil:
		e.AddString("error", r.Err.Error())
	case r.TimedOut:
		e.AddBool("timed out", true)
	case r.Signal != 0:
		e.AddString("signal", r.Signal.String())
	default:
		e.AddInt("status", r.Status)
	}
	if l := r.FirstLine(); l != "" {
		e.AddString("says", l)
	}
	e.AddDuration("took", r.Elapsed)
	return nil
}
