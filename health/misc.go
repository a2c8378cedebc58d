package health

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"dirsw/script"
)

// Misc is MISC_CHECK: a program's exit code says how the server is. 0 is well and 1 is not; with Dynamic, 2 to 255 are
// well with a weight of 0 to 253.
type Misc struct {
	Runner  script.Runner
	Command script.Command // misc_path, user, and misc_timeout (delay_loop if that is not given)
	Dynamic bool           // misc_dynamic
}

var (
	_ Grader  = (*Misc)(nil)
	_ Wording = (*Misc)(nil)
)

// String returns all that the check asks as text: checks with the same text ask the same.
func (c *Misc) String() string {
	return fmt.Sprintf("%q as %v env %q timeout %v dynamic %v",
		c.Command.Args, c.Command.User, c.Command.Env, c.Command.Timeout, c.Dynamic)
}

// Check runs the program.
func (c *Misc) Check(ctx context.Context) error {
	_, err := c.Grade(ctx)
	return err
}

// Grade runs the program. A program that cannot be run for want of processes or memory says nothing of the server.
func (c *Misc) Grade(ctx context.Context) (Grade, error) {
	r := c.Runner.Run(ctx, c.Command)
	switch {
	case r.OK():
		return Grade{}, nil
	case r.Err != nil && (isLocal(r.Err) || errors.Is(r.Err, syscall.EAGAIN)):
		return Grade{}, &Failure{Kind: ErrLocal, Text: r.Err.Error()}
	case r.Err != nil:
		return Grade{}, &Failure{Text: r.Err.Error()}
	case r.TimedOut:
		return Grade{}, &Failure{Kind: ErrTimeout, Text: "timed out"}
	case c.Dynamic && r.Signal == 0 && r.Status >= 2 && r.Status <= 255:
		return Grade{Kind: GradeWeight, Value: r.Status - 2}, nil
	}
	return Grade{}, &Failure{Text: r.Reason()}
}

// Up is keepalived's line.
func (c *Misc) Up(n Names) string { return c.line(n, "succeeded", "", "") }

// Down is keepalived's line.
func (c *Misc) Down(n Names, err error, try Try) string {
	if try.Retry == 0 {
		return c.failed(n, err, " with retry disabled")
	}
	return c.failed(n, err, " after "+retries(try.Retry))
}

// Failed is keepalived's line.
func (c *Misc) Failed(n Names, err error, try Try) string {
	switch {
	case try.N >= try.Retry:
		return "" // Down says it
	case try.N == 0:
		return c.failed(n, err, ", will do "+retries(try.Retry))
	}
	return c.failed(n, err, fmt.Sprintf(" on retry %d/%d", try.N, try.Retry))
}

func (c *Misc) failed(n Names, err error, after string) string {
	if errors.Is(err, ErrTimeout) {
		return c.line(n, "timed out", after, "")
	}
	return c.line(n, "failed", after, fmt.Sprintf(" (%v)", err))
}

func (c *Misc) line(n Names, how, after, reason string) string {
	return fmt.Sprintf("Misc check for [%s VS %s] by [%s] %s%s%s.", n.Server, n.Service, c.Command.Name(), how, after, reason)
}

func retries(n int) string {
	if n == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", n)
}
