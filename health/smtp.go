package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SMTP greets a mail server and takes leave: SMTP_CHECK. The server is well if it says 220, answers HELO with 250, and
// answers QUIT with anything. Answers may have several lines (RFC 5321, 4.2.1), which keepalived takes for failures.
// Of a host block of keepalived.conf each is a check of its own.
type SMTP struct {
	o SMTPOptions
}

var (
	_ Checker = (*SMTP)(nil)
	_ Wording = (*SMTP)(nil)
)

// SMTPOptions are the settings of an SMTP_CHECK.
type SMTPOptions struct {
	Dial Dial
	Helo string // helo_name; "" is DefaultHelo
}

// DefaultHelo is the helo_name where the configuration gives none.
const DefaultHelo = "smtpchecker.keepalived.org"

// maxReply bounds one line of an answer, and maxReplyLines the lines.
const (
	maxReply      = 1024
	maxReplyLines = 100
)

// NewSMTP returns the check. Control characters of the name are left out: they would end the line that it is sent in.
func NewSMTP(o SMTPOptions) *SMTP {
	o.Helo = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, o.Helo)
	if o.Helo == "" {
		o.Helo = DefaultHelo
	}
	return &SMTP{o: o}
}

// String returns all that the check asks as text: checks with the same text ask the same.
func (s *SMTP) String() string { return fmt.Sprintf("%+v helo %q", s.o.Dial, s.o.Helo) }

// Check has the whole conversation.
func (s *SMTP) Check(ctx context.Context) error {
	timeout := s.o.Dial.timeout()
	ctx, cancel := context.WithTimeout(ctx, stretch*timeout)
	defer cancel()
	conn, err := s.o.Dial.dial(ctx, "tcp")
	if err != nil {
		return s.connectFailure(err)
	}
	t := &smtpTalk{leash: hold(ctx, conn), lines: bufio.NewReaderSize(conn, maxReply), timeout: timeout}
	defer t.release()
	if code, err := t.answer(); err != nil {
		return err
	} else if code != 220 {
		return &Failure{Text: "Bad greeting banner from server", Err: statusError(code)}
	}
	if code, err := t.ask("HELO " + s.o.Helo); err != nil {
		return err
	} else if code != 250 {
		return &Failure{Text: "Bad HELO response from server", Err: statusError(code)}
	}
	_, err = t.ask("QUIT")
	return err
}

// smtpTalk is one conversation.
type smtpTalk struct {
	*leash
	lines   *bufio.Reader
	timeout time.Duration
}

// ask sends a command and returns the code of the answer.
func (t *smtpTalk) ask(command string) (int, error) {
	t.step(t.timeout)
	if _, err := t.conn.Write([]byte(command + "\r\n")); err != nil {
		return 0, worded(err, "Write timeout to server", "Write failure to server")
	}
	return t.answer()
}

// answer reads all lines of an answer and returns its code, -1 if it has none.
func (t *smtpTalk) answer() (int, error) {
	for range maxReplyLines {
		t.step(t.timeout)
		line, err := t.lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return 0, &Failure{Text: "Read failure from server", Err: errTooLong("line", maxReply)}
		case err != nil:
			return 0, worded(err, "Read timeout from server", "Read failure from server")
		}
		code, more := replyCode(line)
		if !more {
			return code, nil
		}
	}
	return 0, &Failure{Text: "Read failure from server", Err: fmt.Errorf("answer of more than %d lines", maxReplyLines)}
}

// replyCode is the code that a line of an answer begins with, -1 if it has none, and whether another line follows.
func replyCode(line []byte) (code int, more bool) {
	if len(line) < 4 {
		return -1, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return -1, false
		}
		code = code*10 + int(c-'0')
	}
	switch line[3] {
	case '-':
		return code, true
	case ' ', '\r', '\n':
		return code, false
	}
	return -1, false
}

// connectFailure words an error of dial as keepalived does for a mail server.
func (s *SMTP) connectFailure(err error) error {
	f := &Failure{Text: "Could not connect to server", Err: err}
	switch {
	case errors.Is(err, ErrTimeout):
		f.Text = "Connection timeout to server"
	case errors.Is(err, ErrUnreach):
		f.Text = "Network unreachable for server"
	case errors.Is(err, ErrLocal):
		f.Text = "socket bind failed. Rescheduling."
	}
	return f
}

// Up is the line for a conversation without fault.
func (s *SMTP) Up(n Names) string {
	return fmt.Sprintf("Remote SMTP server %s succeed on service.", n.Server)
}

// Down is the line for the failure that took the check down.
func (s *SMTP) Down(n Names, err error, try Try) string { return s.Failed(n, err, try) }

// Failed is the line for one failure. It names the address that was asked, which may be another than the server's.
func (s *SMTP) Failed(_ Names, err error, _ Try) string {
	a := s.o.Dial.Addr
	pair := fmt.Sprintf("[%s]:%d", a.Addr().WithZone(""), a.Port())
	switch {
	case errors.Is(err, ErrLocal):
		return "SMTP_CHECK " + textOf(err)
	case errors.Is(err, ErrUnreach):
		return fmt.Sprintf("SMTP_CHECK %s %s - real server %s", textOf(err), a.Addr(), pair)
	}
	return fmt.Sprintf("SMTP_CHECK %s %s", textOf(err), pair)
}
