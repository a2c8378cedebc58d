package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// agentMax is how much of an agent's answer is read.
const agentMax = 1024

// Agent is AGENT_CHECK, which is dirsw's own: it asks a program beside the server how the server is, by the protocol of
// HAProxy's agent-check (HAProxy configuration manual, section 5.2). The agent's words hold until it says others:
//
//	75%                     the weight, in percent of the configured one
//	drain, maint, ready     no new connections; as if down; neither
//	down, failed, stopped   down; what follows # says why
//	up                      not down
//
// An agent that does not answer, or not in these words, changes nothing, as in HAProxy, unless Required.
type Agent struct {
	Dial     Dial
	Send     string // sent after connecting (HAProxy's agent-send), may be empty
	Required bool   // an agent that does not answer is a failure
	said     agentState
}

var _ Grader = (*Agent)(nil)

// String returns all that the check asks as text: checks with the same text ask the same.
func (c *Agent) String() string {
	return fmt.Sprintf("%+v send %q required %v", c.Dial, c.Send, c.Required)
}

// Check asks the agent.
func (c *Agent) Check(ctx context.Context) error {
	_, err := c.Grade(ctx)
	return err
}

// Grade asks the agent.
func (c *Agent) Grade(ctx context.Context) (Grade, error) {
	line, err := c.ask(ctx)
	if err == nil {
		err = c.said.hear(line)
	}
	if err != nil {
		if !c.Required && !errors.Is(err, ErrLocal) {
			err = &Failure{Kind: ErrSilent, Text: "agent", Err: err}
		}
		return Grade{}, err
	}
	return c.said.grade()
}

// ask returns the agent's line.
func (c *Agent) ask(ctx context.Context) (string, error) {
	conn, err := c.Dial.dial(ctx, "tcp")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(deadline(ctx, c.Dial.timeout()))
	if c.Send != "" {
		if _, err := io.WriteString(conn, c.Send); err != nil {
			return "", failure("send", err)
		}
	}
	buf, n := make([]byte, agentMax), 0
	for n < len(buf) {
		k, err := conn.Read(buf[n:])
		n += k
		if end := strings.IndexAny(string(buf[:n]), "\r\n"); end >= 0 {
			return string(buf[:end]), nil
		}
		if errors.Is(err, io.EOF) {
			return string(buf[:n]), nil
		}
		if err != nil {
			return "", failure("receive", err)
		}
	}
	return "", &Failure{Text: fmt.Sprintf("no end of line in %d bytes", n)}
}
