package mail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dirsw/clock"
)

// maxAnswers is how much a relay may say in one session before we stop listening.
const maxAnswers = 256 << 10

// stepError says which step of a session failed.
type stepError struct {
	step string // as keepalived calls it: CONNECT, (E)SMTP, HELO, MAIL, RCPT, DATA, BODY
	late bool   // it took too long
	err  error  // a *textproto.Error if the relay refused
}

func (e *stepError) Error() string {
	if e.late {
		return e.step + ": timeout"
	}
	return fmt.Sprintf("%s: %v", e.step, e.err)
}

func (e *stepError) Unwrap() error { return e.err }

// code is what the relay answered, 0 if it did not.
func (e *stepError) code() int {
	var t *textproto.Error
	if errors.As(e.err, &t) {
		return t.Code
	}
	return 0
}

// permanent reports whether there is no use in trying again (RFC 5321 section 4.2.1: codes of 500 and more).
func permanent(err error) bool {
	var e *stepError
	return errors.As(err, &e) && e.code() >= 500
}

// complaint words an error as keepalived does.
func (s *Sender) complaint(c Config, err error) string {
	var e *stepError
	switch {
	case !errors.As(err, &e):
		return fmt.Sprintf("SMTP connection ERROR to %s.", c.name())
	case e.late && e.step == "CONNECT":
		return fmt.Sprintf("Timeout connecting SMTP server %s.", c.name())
	case e.late:
		return fmt.Sprintf("Timeout reading data to remote SMTP server %s.", c.name())
	case e.step == "CONNECT":
		return fmt.Sprintf("SMTP connection ERROR to %s.", c.name())
	case e.code() != 0:
		return fmt.Sprintf("Error processing %s cmd on SMTP server %s. SMTP status code = %d", e.step, c.name(), e.code())
	case errors.Is(e.err, io.EOF):
		return fmt.Sprintf("Remote SMTP server %s has closed the connection.", c.name())
	}
	return fmt.Sprintf("Error reading data from remote SMTP server %s.", c.name())
}

// session is a connection to a relay that said hello.
type session struct {
	clock   clock.Clock
	timeout time.Duration
	conn    net.Conn
	r       *textproto.Reader
	w       *textproto.Writer
	late    atomic.Bool // the connection was closed because a step took too long
	forget  func() bool // stops closing it at the end of its context
}

// open connects and says hello.
func (s *Sender) open(ctx context.Context, c Config) (*session, error) {
	dial, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := s.Clock.AfterFunc(c.Timeout, cancel)
	conn, err := s.Dial(dial, "tcp", net.JoinHostPort(c.Server, strconv.Itoa(int(c.Port))))
	inTime := timer.Stop()
	if err != nil {
		return nil, &stepError{"CONNECT", !inTime && ctx.Err() == nil, err}
	}
	o := &session{clock: s.Clock, timeout: c.Timeout, conn: conn}
	o.forget = context.AfterFunc(ctx, func() { conn.Close() })
	o.r = textproto.NewReader(bufio.NewReader(io.LimitReader(conn, maxAnswers)))
	o.w = textproto.NewWriter(bufio.NewWriter(conn))
	s.Log.Debug(fmt.Sprintf("Remote SMTP server %s connected.", c.name()))
	if err = o.step("(E)SMTP", 220, nil); err == nil {
		err = o.command("HELO", 250, "HELO %s", oneLine(c.Helo))
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// send delivers one alert. A recipient that is refused does not keep it from the others.
func (o *session) send(c Config, l letter) error {
	if err := o.command("MAIL", 250, "MAIL FROM:<%s>", address(c.From)); err != nil {
		return err
	}
	taken, refused := 0, error(nil)
	for _, to := range c.To {
		err := o.command("RCPT", 25, "RCPT TO:<%s>", address(to))
		switch {
		case err == nil:
			taken++
		case !permanent(err):
			return err
		default:
			refused = err
		}
	}
	if taken == 0 {
		return refused
	}
	if err := o.command("DATA", 354, "DATA"); err != nil {
		return err
	}
	return o.step("BODY", 250, func() error {
		d := o.w.DotWriter()
		if _, err := io.WriteString(d, compose(c, l)); err != nil {
			return err
		}
		return d.Close()
	})
}

// compose writes headers and body, with plain newlines.
func compose(c Config, l letter) string {
	var b strings.Builder
	if !l.at.IsZero() {
		fmt.Fprintf(&b, "Date: %s\n", l.at.Format(time.RFC1123Z))
	}
	to := make([]string, len(c.To))
	for i := range to {
		to[i] = oneLine(c.To[i])
	}
	fmt.Fprintf(&b, "From: %s\nSubject: [%s] %s\nX-Mailer: dirsw\nTo: %s\n\n%s\n\n", oneLine(c.From), oneLine(c.RouterID),
		oneLine(l.Subject), strings.Join(to, ", "), oneLine(l.Body))
	return b.String()
}

// address is what stands between the arrows of a recipient that has some.
func address(to string) string {
	to = oneLine(to)
	if _, inner, ok := strings.Cut(to, "<"); ok {
		to, _, _ = strings.Cut(inner, ">")
	}
	return strings.TrimSpace(to)
}

func (o *session) command(step string, want int, format string, args ...any) error {
	return o.step(step, want, func() error { return o.w.PrintfLine(format, args...) })
}

// step writes what it is told to, and waits for an answer of the code, or of codes that begin with it. Both together
// are bounded by the timeout.
func (o *session) step(name string, want int, write func() error) error {
	timer := o.clock.AfterFunc(o.timeout, func() {
		o.late.Store(true)
		o.conn.Close()
	})
	defer timer.Stop()
	var err error
	if write != nil {
		err = write()
	}
	if err == nil {
		_, _, err = o.r.ReadResponse(want)
	}
	if err != nil {
		return &stepError{name, o.late.Load(), err}
	}
	return nil
}

// quit says goodbye and closes the connection.
func (o *session) quit() {
	_ = o.command("QUIT", 221, "QUIT") // the alerts are delivered whatever it answers
	o.close()
}

func (o *session) close() {
	o.forget()
	o.conn.Close()
}
