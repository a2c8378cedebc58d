package health

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// mailServer is a talk that greets, answers each line by its first word, and remembers what it heard.
func mailServer(greeting string, answers map[string]string, heard *[]string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(greeting))
		for s := bufio.NewScanner(c); s.Scan(); {
			if heard != nil {
				*heard = append(*heard, s.Text())
			}
			word, _, _ := strings.Cut(s.Text(), " ")
			_, _ = c.Write([]byte(answers[word]))
		}
	}
}

func TestSMTP(t *testing.T) {
	const timeout = 500 * time.Millisecond
	fine := map[string]string{"HELO": "250 hello\r\n", "QUIT": "221 bye\r\n"}
	for _, tt := range []struct {
		name string
		talk func(net.Conn)
		want string
	}{
		{"fine", mailServer("220 mx.example.org ESMTP\r\n", fine, nil), ""},
		{"several lines", mailServer("220-mx\r\n220-is\r\n220 here\r\n", map[string]string{
			"HELO": "250-hello\r\n250 there\r\n", "QUIT": "221 bye\r\n"}, nil), ""},
		{"codes only", mailServer("220\r\n", map[string]string{"HELO": "250\r\n", "QUIT": "221\r\n"}, nil), ""},
		{"bare newlines", mailServer("220 mx\n", map[string]string{"HELO": "250 hello\n", "QUIT": "221 bye\n"}, nil), ""},
		{"any answer to QUIT", mailServer("220 mx\r\n", map[string]string{"HELO": "250 hello\r\n", "QUIT": "500 what\r\n"}, nil), ""},
		{"no service", mailServer("554 no service\r\n", fine, nil), "Bad greeting banner from server"},
		{"no code", mailServer("hello\r\n", fine, nil), "Bad greeting banner from server"},
		{"code of four digits", mailServer("2200 mx\r\n", fine, nil), "Bad greeting banner from server"},
		{"HELO refused", mailServer("220 mx\r\n", map[string]string{"HELO": "501 who\r\n"}, nil), "Bad HELO response from server"},
		{"closes after the greeting", func(c net.Conn) { _, _ = c.Write([]byte("220 mx\r\n")); hear(c) }, "Read failure from server"},
		{"says nothing", silent, "Read timeout from server"},
		{"no end of line", func(c net.Conn) { _, _ = c.Write([]byte("220 mx")); silent(c) }, "Read timeout from server"},
		{"drips", dripping("2", 20*time.Millisecond), "Read timeout from server"},
		{"drips lines", dripping("220-more\r\n", 20*time.Millisecond), "Read timeout from server"},
		{"endless line", dripping(strings.Repeat("220", 1000), 0), "Read failure from server"},
		{"endless lines", dripping(strings.Repeat("220-more\r\n", 100), 0), "Read failure from server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkText(t, NewSMTP(SMTPOptions{Dial: Dial{Addr: serve(t, tt.talk), Timeout: patient(timeout, tt.want)}}), tt.want)
		})
	}
	t.Run("refused", func(t *testing.T) {
		checkText(t, NewSMTP(SMTPOptions{Dial: Dial{Addr: refusing(t), Timeout: testenv.Patience}}), "Could not connect to server")
	})
}

// TestSMTPSays hears what the check says.
func TestSMTPSays(t *testing.T) {
	for helo, want := range map[string]string{"": "HELO smtpchecker.keepalived.org", "lb.example.org": "HELO lb.example.org", "a\r\nQUIT": "HELO aQUIT"} {
		var heard []string
		done := make(chan bool, 1)
		talk := mailServer("220 mx\r\n", map[string]string{"HELO": "250 hello\r\n", "QUIT": "221 bye\r\n"}, &heard)
		addr := serve(t, func(c net.Conn) { talk(c); done <- true })
		checkText(t, NewSMTP(SMTPOptions{Dial: Dial{Addr: addr}, Helo: helo}), "")
		<-done
		if got := strings.Join(heard, "|"); got != want+"|QUIT" {
			t.Errorf("heard %q, want %q and QUIT", got, want)
		}
	}
}

func TestSMTPLines(t *testing.T) {
	s := NewSMTP(SMTPOptions{Dial: Dial{Addr: netip.MustParseAddrPort("192.0.2.25:25")}})
	n := Names{Server: "[192.0.2.11]:tcp:25"}
	for _, tt := range []struct{ got, want string }{
		{s.Up(n), "Remote SMTP server [192.0.2.11]:tcp:25 succeed on service."},
		{s.Down(n, &Failure{Text: "Bad greeting banner from server"}, Try{N: 3, Retry: 3}), "SMTP_CHECK Bad greeting banner from server [192.0.2.25]:25"},
		{s.Down(n, s.connectFailure(&Failure{Kind: ErrTimeout}), Try{}), "SMTP_CHECK Connection timeout to server [192.0.2.25]:25"},
		{s.Down(n, s.connectFailure(&Failure{Kind: ErrUnreach}), Try{}), "SMTP_CHECK Network unreachable for server 192.0.2.25 - real server [192.0.2.25]:25"},
		{s.Failed(n, s.connectFailure(&Failure{Kind: ErrLocal}), Try{}), "SMTP_CHECK socket bind failed. Rescheduling."},
		{s.Failed(n, errors.New("something"), Try{}), "SMTP_CHECK something [192.0.2.25]:25"},
	} {
		if tt.got != tt.want {
			t.Errorf("line\n%s, want\n%s", tt.got, tt.want)
		}
	}
}

// FuzzReplyCode reads any line: no panic, and a code of three digits or none.
func FuzzReplyCode(f *testing.F) {
	f.Add([]byte("220 mx\r\n"))
	f.Add([]byte("220-"))
	f.Fuzz(func(t *testing.T, line []byte) {
		code, more := replyCode(line)
		if code < -1 || code > 999 || code < 0 && more {
			t.Errorf("%q: %d, %v", line, code, more)
		}
	})
}
