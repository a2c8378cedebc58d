package health

import (
	"context"
	"errors"
	"fmt"
)

// TCP is TCP_CHECK: the server is well if it accepts a connection.
type TCP struct{ Dial Dial }

var (
	_ Checker = (*TCP)(nil)
	_ Wording = (*TCP)(nil)
)

// String returns all that the check asks as text: checks with the same text ask the same.
func (c *TCP) String() string { return fmt.Sprintf("%+v", c.Dial) }

// Check connects and closes.
func (c *TCP) Check(ctx context.Context) error {
	return c.Dial.connect(ctx)
}

// Up is keepalived's line.
func (c *TCP) Up(n Names) string { return fmt.Sprintf("TCP connection to %s success.", n.Server) }

// Down is keepalived's line.
func (c *TCP) Down(n Names, _ error, try Try) string {
	return fmt.Sprintf("TCP_CHECK on service %s failed%s.", n.Server, try.Retries())
}

// Failed is keepalived's line.
func (c *TCP) Failed(n Names, err error, _ Try) string {
	if errors.Is(err, ErrTimeout) {
		return fmt.Sprintf("TCP connection to %s timeout.", n.Server)
	}
	return fmt.Sprintf("TCP connection to %s failed.", n.Server)
}
