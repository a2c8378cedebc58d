package health

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// stretch is how many timeouts a whole check may take. keepalived gives every wait its own connect_timeout and the sum no
// bound, so that a server which sends a byte now and then is never found out; here each wait has its own too, and all of
// them together this many.
const stretch = 4

// leash holds a connection to the time that each step of a conversation and the whole of it may take.
type leash struct {
	ctx  context.Context // of the whole check
	conn net.Conn
	stop func() bool
}

// hold ties conn to ctx: when it ends, whatever waits on conn returns. The caller calls release.
func hold(ctx context.Context, conn net.Conn) *leash {
	l := &leash{ctx: ctx, conn: conn}
	l.stop = context.AfterFunc(ctx, l.cut)
	return l
}

// step gives what follows d from now, less if the whole check's time ends before.
func (l *leash) step(d time.Duration) {
	ctx, cancel := context.WithTimeout(l.ctx, d)
	defer cancel()
	end, _ := ctx.Deadline()
	_ = l.conn.SetDeadline(end) // fails only on a closed connection, whose next use says so
	if l.ctx.Err() != nil {
		l.cut() // it ended before the deadline was set: that must not undo it
	}
}

func (l *leash) cut() { _ = l.conn.SetDeadline(time.Unix(1, 0)) }

// release lets go of the connection and closes it.
func (l *leash) release() {
	l.stop()
	l.conn.Close()
}

// late reports whether err says that time was up.
func late(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
