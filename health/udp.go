package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// udpMaxReply is the longest reply where the configuration gives no max_reply_length.
const udpMaxReply = 255

// UDP is UDP_CHECK: a datagram is sent, and the server is well unless an ICMP error comes back within the timeout. With
// Require it has to answer.
type UDP struct {
	Dial    Dial
	Payload []byte // payload; empty: 32 bytes that mean nothing
	Require bool   // require_reply
	// Reply is what the reply begins with, as far as both go; Mask has a 1 for each bit that does not matter (the x of
	// require_reply), and is as long or empty.
	Reply, Mask []byte
	// Min and Max are min_reply_length and max_reply_length (0 is 255). They hold only beside Reply, whatever
	// keepalived's manual page says of them: keepalived 2.2.7 takes any answer where it has nothing to compare.
	Min, Max int
}

var (
	_ Checker = (*UDP)(nil)
	_ Wording = (*UDP)(nil)
)

var errMismatch = errors.New("reply data mismatch")

// String returns all that the check asks as text: checks with the same text ask the same.
func (c *UDP) String() string {
	return fmt.Sprintf("%+v send %x require %v %x/%x %d-%d", c.Dial, c.Payload, c.Require, c.Reply, c.Mask, c.Min, c.Max)
}

// Check sends and waits. Without Require a silent server takes the whole timeout and is well.
func (c *UDP) Check(ctx context.Context) error {
	conn, err := c.Dial.dialWith(ctx, "udp", c.Dial.hearICMP)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	payload := c.Payload
	if len(payload) == 0 {
		payload = []byte("dirsw health check, please ignore")[:32]
	}
	_ = conn.SetDeadline(deadline(ctx, c.Dial.timeout()))
	if _, err := conn.Write(payload); err != nil {
		return failure("send", err)
	}
	buf := make([]byte, max(c.Max, udpMaxReply, len(c.Reply))+1)
	n, err := read(conn, buf)
	switch {
	case err == nil && c.Require:
		return c.judge(buf[:n])
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return failure("receive", err)
	case ctx.Err() != nil:
		return failure("receive", ctx.Err())
	case c.Require:
		return failure("receive", err)
	}
	return nil
}

// judge reports what is wrong with a reply.
func (c *UDP) judge(reply []byte) error {
	if len(c.Reply) == 0 {
		return nil
	}
	most := c.Max
	if most == 0 {
		most = udpMaxReply
	}
	if len(reply) < c.Min || len(reply) > most {
		return &Failure{Text: fmt.Sprintf("reply of %d bytes", len(reply)), Err: errMismatch}
	}
	for i := range min(len(reply), len(c.Reply)) {
		diff := reply[i] ^ c.Reply[i]
		if i < len(c.Mask) {
			diff &^= c.Mask[i]
		}
		if diff != 0 {
			return &Failure{Text: fmt.Sprintf("byte %d of the reply", i), Err: errMismatch}
		}
	}
	return nil
}

// read reads one datagram. An ICMP error that belongs to nothing of ours does not end it (EINTR aside, there is none on
// a connected socket).
func read(conn net.Conn, buf []byte) (int, error) {
	for {
		n, err := conn.Read(buf)
		if err != nil && errors.Is(err, syscall.EINTR) {
			continue
		}
		return n, err
	}
}

// Up is keepalived's line.
func (c *UDP) Up(n Names) string { return fmt.Sprintf("UDP connection to %s success.", n.Server) }

// Down is keepalived's line.
func (c *UDP) Down(n Names, _ error, try Try) string {
	return fmt.Sprintf("UDP_CHECK on service %s failed%s.", n.Server, try.Retries())
}

// Failed is keepalived's line.
func (c *UDP) Failed(n Names, err error, _ Try) string {
	if errors.Is(err, errMismatch) {
		return fmt.Sprintf("UDP check to %s reply data mismatch.", n.Server)
	}
	return fmt.Sprintf("UDP connection to %s failed.", n.Server)
}
