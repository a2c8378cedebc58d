package mail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
	"dirsw/internal/testenv"
)

// relay is a small SMTP server. Each session follows the next script, the last one for ever.
type relay struct {
	t  *testing.T
	ln net.Listener

	mu       sync.Mutex
	scripts  []map[string]string // by command (GREETING and BODY too): the answer; "hang", "close" and "drip" are acts
	sessions int
	mails    []string // what came between DATA and the dot, with the envelope before it
	helos    []string
	busy     sync.WaitGroup
}

func newRelay(t *testing.T, scripts ...map[string]string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, ln: ln, scripts: append(scripts, map[string]string{})}
	r.busy.Add(1)
	go func() {
		defer r.busy.Done()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			script := r.scripts[min(r.sessions, len(r.scripts)-1)]
			r.sessions++
			r.mu.Unlock()
			r.busy.Add(1)
			go r.serve(c, script)
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		r.busy.Wait()
	})
	return r
}

func (r *relay) serve(c net.Conn, script map[string]string) {
	defer r.busy.Done()
	defer c.Close()
	in := bufio.NewReader(c)
	// say answers a command and reports whether the session goes on.
	say := func(what, otherwise string) bool {
		a := script[what]
		switch a {
		case "":
			a = otherwise
		case "hang":
			in.ReadString('\n') // until the other side gives up
			return false
		case "close":
			return false
		case "drip":
			for {
				if _, err := c.Write([]byte("2")); err != nil {
					return false
				}
				time.Sleep(time.Millisecond)
			}
		case "flood":
			for {
				if _, err := c.Write([]byte(strings.Repeat("250-x\r\n", 1000))); err != nil {
					return false
				}
			}
		}
		fmt.Fprintf(c, "%s\r\n", a)
		return true
	}
	if !say("GREETING", "220 relay.example.org") {
		return
	}
	envelope := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		verb := strings.ToUpper(strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == ':' })[0])
		switch verb {
		case "HELO":
			r.mu.Lock()
			r.helos = append(r.helos, line)
			r.mu.Unlock()
		case "MAIL", "RCPT":
			envelope += line + "\n"
		case "DATA":
			if !say("DATA", "354 go on") {
				return
			}
			text, err := body(in)
			if err != nil {
				return
			}
			if !say("BODY", "250 2.0.0 queued") {
				return
			}
			if script["BODY"] == "" {
				r.mu.Lock()
				r.mails = append(r.mails, envelope+text)
				r.mu.Unlock()
			}
			envelope = ""
			continue
		}
		if key := line; script[key] != "" { // an answer to this very line
			if !say(key, "") {
				return
			}
		} else if !say(verb, "250-more\r\n250 ok") || verb == "QUIT" {
			return
		}
	}
}

// body reads to the line with the dot, and returns the lines as they came.
func body(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(line)
	}
}

func (r *relay) config() Config {
	a := r.ln.Addr().(*net.TCPAddr)
	return Config{Server: a.IP.String(), Port: uint16(a.Port), From: "lb@example.org", RouterID: "lb1", Timeout: 7 * time.Second,
		To: []string{"ops@example.org", "Op Two <two@example.org>"}}
}

func (r *relay) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mails)
}

// desk is a Sender with its clock, log and end.
type desk struct {
	*Sender
	clk  *clock.Manual
	logs *observer.ObservedLogs
	stop func()
}

func newDesk(t *testing.T, o Options) *desk {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	clk := &clock.Manual{}
	o.Clock, o.Log = clk, zap.New(core)
	d := &desk{Sender: New(o), clk: clk, logs: logs}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(testenv.Patience):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(d.stop)
	return d
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testenv.Await(t, what, ok)
}

func (d *desk) logged(text string) bool {
	return slices.ContainsFunc(d.logs.All(), func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, text) })
}

func TestSend(t *testing.T) {
	r := newRelay(t)
	at := time.Date(2026, 11, 21, 15, 21, 29, 0, time.UTC)
	d := newDesk(t, Options{Host: "lb1.example.org", Now: func() time.Time { return at }})
	if d.Send(Message{"lost", "nobody to write to"}) {
		t.Error("Send without a configuration")
	}
	d.Configure(r.config())
	m, _ := Instance("VI_2", Master)
	if !d.Send(m) {
		t.Error("Send says that nothing is sent")
	}
	eventually(t, "one mail", func() bool { return len(r.got()) == 1 })
	// as keepalived sent it, but for X-Mailer, and the brackets that it puts around those of the second recipient
	want := "MAIL FROM:<lb@example.org>\nRCPT TO:<ops@example.org>\nRCPT TO:<two@example.org>\n" +
		"Date: Sat, 21 Nov 2026 15:21:29 +0000\r\nFrom: lb@example.org\r\n" +
		"Subject: [lb1] VRRP Instance VI_2 - Entering MASTER state\r\nX-Mailer: dirsw\r\n" +
		"To: ops@example.org, Op Two <two@example.org>\r\n\r\n=> VRRP Instance is now owning VRRP VIPs <=\r\n\r\n"
	if got := r.got()[0]; got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	d.Send(Message{"evil\r\nBcc: x@example.org", ".\r\n.\nQUIT"})
	eventually(t, "two mails", func() bool { return len(r.got()) == 2 })
	if got := r.got()[1]; !strings.Contains(got, "Subject: [lb1] evil  Bcc: x@example.org\r\n") || !strings.HasSuffix(got, "\r\n\r\n..  . QUIT\r\n\r\n") {
		t.Errorf("got %q", got)
	}
	if r.helos[0] != "HELO lb1.example.org" {
		t.Errorf("%q", r.helos[0])
	}
	if !d.logged("SMTP alert successfully sent.") {
		t.Errorf("log %v", d.logs.All())
	}
	if st := d.Stats(); st != (Stats{Sent: 2}) {
		t.Errorf("stats %+v", st)
	}
}

func TestSendTrouble(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script map[string]string
		log    string
		sent   bool // at the second attempt, or in spite of it
		steps  int  // how many are timed until one hangs, with connecting
		retry  bool
	}{
		{"greeting refused for now", map[string]string{"GREETING": "421 busy"}, "Error processing (E)SMTP cmd on SMTP server S. SMTP status code = 421", true, 0, true},
		{"refused for good", map[string]string{"GREETING": "554 no"}, "Error processing (E)SMTP cmd on SMTP server S. SMTP status code = 554 The alert is lost.", false, 0, false},
		{"no greeting", map[string]string{"GREETING": "hang"}, "Timeout reading data to remote SMTP server S.", true, 2, true},
		{"drips", map[string]string{"HELO": "drip"}, "Timeout reading data to remote SMTP server S.", true, 3, true},
		{"floods", map[string]string{"HELO": "flood"}, "Remote SMTP server S has closed the connection.", true, 0, true},
		{"not SMTP", map[string]string{"GREETING": "HTTP/1.1 400 Bad Request"}, "Error reading data from remote SMTP server S.", true, 0, true},
		{"closes", map[string]string{"MAIL": "close"}, "Remote SMTP server S has closed the connection.", true, 0, true},
		{"sender refused", map[string]string{"MAIL": "550 no"}, "Error processing MAIL cmd on SMTP server S. SMTP status code = 550 The alert is lost.", false, 0, false},
		{"one recipient refused", map[string]string{"RCPT TO:<ops@example.org>": "550 unknown"}, "SMTP alert successfully sent.", true, 0, false},
		{"all recipients refused", map[string]string{"RCPT": "550 unknown"}, "Error processing RCPT cmd on SMTP server S. SMTP status code = 550 The alert is lost.", false, 0, false},
		{"greylisted", map[string]string{"RCPT": "451 later"}, "Error processing RCPT cmd on SMTP server S. SMTP status code = 451", true, 0, true},
		{"body hangs", map[string]string{"BODY": "hang"}, "Timeout reading data to remote SMTP server S.", true, 8, true},
		{"quit hangs", map[string]string{"QUIT": "hang"}, "SMTP alert successfully sent.", true, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRelay(t, tc.script)
			d := newDesk(t, Options{})
			c := r.config()
			d.Configure(c)
			d.Send(Message{"s", "b"})
			eventually(t, "the first session", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.sessions == 1 })
			if tc.steps > 0 {
				d.clk.Await(c.Timeout, tc.steps)
				d.clk.Advance(c.Timeout - 1)
				time.Sleep(10 * time.Millisecond)
				if d.logs.Len() != 0 {
					t.Errorf("before the timeout: %v", d.logs.All())
				}
				d.clk.Advance(1)
			}
			log := strings.ReplaceAll(tc.log, "server S", "server "+c.name())
			eventually(t, log, func() bool { return d.logged(log) })
			if tc.retry {
				if st := d.Stats(); st.Queued != 1 {
					t.Errorf("stats %+v, want it queued", st)
				}
				d.clk.Await(firstRetry, 1)
				d.clk.Advance(firstRetry)
			}
			if tc.sent {
				eventually(t, "the mail", func() bool { return len(r.got()) == 1 })
				eventually(t, "sent", func() bool { return d.Stats() == Stats{Sent: 1} })
			} else if st := d.Stats(); st != (Stats{Failed: 1}) {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestGivesUp(t *testing.T) {
	tries := make(chan struct{}, 100)
	d := newDesk(t, Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		tries <- struct{}{}
		return nil, errors.New("no route")
	}})
	d.Configure(Config{Server: "192.0.2.25", To: []string{"a@example.org"}})
	d.Send(Message{"s", "b"})
	for i := range attempts {
		<-tries
		eventually(t, "it is logged", func() bool { return d.logs.Len() == i+1 })
		if wait := min(firstRetry<<i, lastRetry); i < attempts-1 {
			d.clk.Await(wait, max(1, i-3)) // the fifth and later ones are all lastRetry
			d.clk.Advance(wait)
		}
	}
	last := d.logs.All()[attempts-1].Message
	if want := "SMTP connection ERROR to [192.0.2.25]:25. The alert is lost."; last != want {
		t.Errorf("log %q, want %q", last, want)
	}
	if st := d.Stats(); st != (Stats{Failed: 1}) {
		t.Errorf("stats %+v", st)
	}
	if len(tries) != 0 {
		t.Error("more attempts than it should")
	}
}

// TestNeverBlocks: with a relay that does not answer, thousands of alerts are taken at once, and the latest are kept.
func TestNeverBlocks(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	d := newDesk(t, Options{Queue: 10, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-hang:
		case <-ctx.Done():
		}
		return nil, errors.New("no")
	}})
	d.Configure(Config{Server: "192.0.2.25", To: []string{"a@example.org"}})
	for i := range 5000 {
		d.Send(Message{fmt.Sprint(i), ""})
	}
	if st := d.Stats(); st.Queued != 10 || st.Dropped < 4989 {
		t.Errorf("stats %+v", st)
	}
	d.mu.Lock()
	last := d.queue[9].Subject
	d.mu.Unlock()
	if last != "4999" {
		t.Errorf("the last one is %s", last)
	}
	if n := d.logs.FilterMessageSnippet("more alerts").Len(); n != 1 {
		t.Errorf("said %d times that alerts are lost", n)
	}
}

// TestFarewell: what is queued when Run ends is delivered, but not waited for longer than farewell.
func TestFarewell(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("delivered", func(t *testing.T) {
		r := newRelay(t)
		s := New(Options{Clock: &clock.Manual{}})
		s.Configure(r.config())
		m, _ := Instance("VI_1", Stop)
		s.Send(m)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		if len(r.got()) != 1 {
			t.Errorf("%d mails", len(r.got()))
		}
	})
	t.Run("hangs", func(t *testing.T) {
		r := newRelay(t, map[string]string{"HELO": "hang"})
		d := newDesk(t, Options{})
		d.Configure(r.config())
		d.Send(Message{"s", "b"})
		eventually(t, "hello", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.helos) == 1 })
		ended := make(chan struct{})
		var pass sync.WaitGroup
		pass.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(5 * time.Millisecond):
					d.clk.Advance(100 * time.Millisecond)
				}
			}
		})
		d.stop()
		close(ended)
		pass.Wait()
		if st := d.Stats(); st.Sent+st.Dropped+st.Failed != 1 || st.Queued != 0 {
			t.Errorf("stats %+v", st)
		}
	})
	eventually(t, "no goroutines are left", func() bool { return runtime.NumGoroutine() <= before+1 })
}

// TestReconfigureMeanwhile changes the relay while an alert is on its way: those that wait go to the new one.
func TestReconfigureMeanwhile(t *testing.T) {
	r1, r2 := newRelay(t), newRelay(t)
	var d *desk
	meanwhile := sync.OnceFunc(func() {
		d.Configure(r2.config())
		d.Send(Message{"two", ""})
	})
	begin := make(chan struct{})
	d = newDesk(t, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		<-begin
		meanwhile()
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	d.Configure(r1.config())
	d.Send(Message{"one", ""})
	close(begin)
	eventually(t, "both to be sent", func() bool { return d.Stats().Sent == 2 })
	for i, r := range []*relay{r1, r2} {
		if got, want := r.got(), "Subject: [lb1] "+[]string{"one", "two"}[i]; len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("relay %d has %q, want one mail with %q", i+1, got, want)
		}
	}
}

func TestReconfigure(t *testing.T) {
	r1, r2 := newRelay(t), newRelay(t)
	d := newDesk(t, Options{})
	d.Configure(r1.config())
	d.Send(Message{"one", ""})
	eventually(t, "one", func() bool { return len(r1.got()) == 1 })
	d.Configure(r2.config())
	d.Send(Message{"two", ""})
	eventually(t, "two", func() bool { return len(r2.got()) == 1 })
	d.Configure(Config{})
	if d.Send(Message{"three", ""}) {
		t.Error("Send after it was switched off")
	}
}
