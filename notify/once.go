package notify

import (
	"context"
	"errors"
	"fmt"

	"dirsw/script"
)

// ErrOnce says that a startup or shutdown script did not succeed.
var ErrOnce = errors.New("script did not succeed")

// Once runs a program and waits for its end: the startup_script and the shutdown_script, which what says ("startup").
// Its Timeout should be set. The log lines are keepalived's.
func (n *Notifier) Once(ctx context.Context, what string, c script.Command) error {
	n.Log.Info(fmt.Sprintf("Running %s script %s", what, c.Name()))
	c.Output = script.MaxOutput
	res := n.Runner.Run(ctx, c)
	says := ""
	if l := res.FirstLine(); l != "" {
		says = ": " + l
	}
	switch {
	case res.OK():
		n.Log.Info(fmt.Sprintf("%s script script succeeded", what))
		return nil
	case res.Err != nil:
		n.Log.Warn(fmt.Sprintf("Call of %s script %s failed", what, c.Name()))
		return fmt.Errorf("%s script: %w", what, res.Err)
	case res.TimedOut:
		n.Log.Warn(fmt.Sprintf("%s script script failed, timed out%s", what, says))
		return fmt.Errorf("%s script %s: %w: timed out after %v", what, c.Name(), ErrOnce, c.Timeout)
	case res.Signal != 0:
		n.Log.Warn(fmt.Sprintf("%s script script failed, signal %d%s", what, int(res.Signal), says))
	default:
		n.Log.Warn(fmt.Sprintf("%s script script failed, status %d%s", what, res.Status, says))
	}
	return fmt.Errorf("%s script %s: %w: %s", what, c.Name(), ErrOnce, res.Reason())
}
