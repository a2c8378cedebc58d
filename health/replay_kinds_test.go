package health

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/script"
)

// kindStage plays the servers of testdata/keepalived-kinds.txt: one service for each kind of check, by its port.
type kindStage struct {
	stage
}

// last is what was last done to the server of a port and begins with prefix.
func (s *kindStage) last(port int, prefix string) (what string) {
	for _, e := range s.tr.history {
		if rest, ok := strings.CutPrefix(e.what, fmt.Sprintf("%d %s", port, prefix)); ok && e.at <= s.now() {
			what = rest
		}
	}
	return what
}

// part is a Checker of which the wording is real and the answer is played.
type part struct {
	Checker
	play func(step int) error
}

func (a part) Check(context.Context) error { return a.play(0) }

func (a part) Up(n Names) string                       { return a.Checker.(Wording).Up(n) }
func (a part) Down(n Names, err error, try Try) string { return a.Checker.(Wording).Down(n, err, try) }
func (a part) Failed(n Names, err error, try Try) string {
	return a.Checker.(Wording).Failed(n, err, try)
}

type steppingPart struct{ part }

func (a steppingPart) Steps() int                               { return a.Checker.(Sequence).Steps() }
func (a steppingPart) CheckStep(_ context.Context, i int) error { return a.play(i) }
func (a steppingPart) StepUp(n Names, i int) string             { return a.Checker.(Sequence).StepUp(n, i) }

type gradingPart struct {
	part
	grade func() (Grade, error)
}

func (a gradingPart) Grade(context.Context) (Grade, error) { return a.grade() }

// afterwards takes a time and then says err.
func afterwards(d time.Duration, err error) error {
	time.Sleep(d)
	return err
}

const quick = 5 * time.Millisecond

// tcp is a server that is up from the start or not.
func (s *kindStage) tcp(port int, up bool) Checker {
	return part{&TCP{}, func(int) error {
		if s.accepts(port, up) {
			return afterwards(quick, nil)
		}
		return afterwards(quick, &Failure{Kind: ErrRefused, Text: "connect"})
	}}
}

// accepts is whether the server of a port was last set up.
func (s *kindStage) accepts(port int, up bool) bool {
	latest := -1.0
	for _, now := range []bool{true, false} {
		at, ok := s.tr.events[fmt.Sprint(port, pick(now, " up", " down"))]
		if ok && at <= s.now() && at > latest {
			up, latest = now, at
		}
	}
	return up
}

// udp is a server that is silent, or gone; with require one that answers, or is silent.
func (s *kindStage) udp(port int, require bool) Checker {
	return part{&UDP{}, func(int) error {
		switch l := s.last(port, ""); {
		case l == "down":
			return afterwards(quick, &Failure{Kind: ErrRefused, Text: "receive"})
		case l == "bad":
			return afterwards(time.Second, &Failure{Kind: ErrTimeout, Text: "receive"})
		case require:
			return afterwards(quick, nil)
		}
		return afterwards(time.Second, nil)
	}}
}

func (s *kindStage) ping(port int) Checker {
	return part{&Ping{}, func(int) error {
		if s.last(port, "") == "bad" {
			return afterwards(time.Second, &Failure{Kind: ErrTimeout, Text: "receive"})
		}
		return afterwards(quick, nil)
	}}
}

// web is a server with the urls /a and /b; bad says which of them fails now.
func (s *kindStage) webOf(t *testing.T, urls string, bad func(url string) string) Checker {
	o := HTTPOptions{}
	for _, u := range urls {
		o.URLs = append(o.URLs, URL{Path: "/" + string(u), Status: []StatusRange{{200, 200}}})
	}
	h, err := NewHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return steppingPart{part{h, func(i int) error {
		if text := bad(urls[i : i+1]); text != "" {
			return afterwards(quick, &Failure{Text: text})
		}
		return afterwards(quick, nil)
	}}}
}

func (s *kindStage) smtp(port int) Checker {
	c := NewSMTP(SMTPOptions{Dial: Dial{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.11"), uint16(port))}})
	return part{c, func(int) error {
		switch l := s.last(port, ""); {
		case l == "bad":
			return afterwards(quick, &Failure{Text: "Bad greeting banner from server"})
		case l == "" && port == 1008:
			return afterwards(quick, c.connectFailure(&Failure{Kind: ErrRefused, Text: "connect"}))
		}
		return afterwards(quick, nil)
	}}
}

func (s *kindStage) dns(t *testing.T, port int) Checker {
	c, err := NewDNS(DNSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return part{c, func(int) error {
		switch s.last(port, "") {
		case "bad":
			return afterwards(quick, &Failure{Text: "read error occurred. (rcode = 2)"})
		case "down":
			gone := &net.OpError{Op: "read", Err: os.NewSyscallError("recvfrom", syscall.ECONNREFUSED)}
			return afterwards(quick, readFailure(gone))
		}
		return afterwards(quick, nil)
	}}
}

// misc is a script that ends as it was last told.
func (s *kindStage) misc(port int, prefix string, dynamic bool) Checker {
	c := &Misc{Command: script.Command{Args: []string{"/etc/keepalived/misc"}}, Dynamic: dynamic}
	return gradingPart{part{c, nil}, func() (Grade, error) {
		code := s.last(port, prefix)
		if code == "hang" {
			return Grade{}, afterwards(2*time.Second, &Failure{Kind: ErrTimeout, Text: "timed out"})
		}
		n, _ := strconv.Atoi(code)
		switch {
		case n == 0:
			return Grade{}, afterwards(50*time.Millisecond, nil)
		case dynamic && n >= 2:
			return Grade{Kind: GradeWeight, Value: n - 2}, afterwards(50*time.Millisecond, nil)
		}
		return Grade{}, afterwards(50*time.Millisecond, &Failure{Text: fmt.Sprintf("exited with status %d", n)})
	}}
}

// targets returns the services of the transcript's configuration.
func (s *kindStage) targets(t *testing.T) (out []Target) {
	add := func(port int, proto string, alpha bool, checks ...Check) {
		server := "10.0.0.11"
		if checks[0].Kind == KindPing {
			server = "10.0.0.12"
		}
		for i := range checks {
			c := &checks[i]
			c.ID, c.LogAll = fmt.Sprint(i), true
			c.Timing.Loop, c.Timing.BeforeRetry, c.Timing.Alpha = time.Second, 500*time.Millisecond, alpha
		}
		out = append(out, Target{
			Key: fmt.Sprint(port), Weight: 10, Checks: checks,
			Names: Names{Server: fmt.Sprintf("[%s]:%s:%d", server, proto, port), Service: fmt.Sprintf("[10.0.0.200]:%s:%d", proto, port)},
		})
	}
	check := func(k Kind, retry int, c Checker) Check {
		return Check{Kind: k, Timing: Timing{Retry: retry}, Checker: c}
	}
	bad := func(port int) func(string) string {
		return func(url string) string {
			for _, w := range strings.Split(s.last(port, ""), ", ") {
				if w == "/"+url+" bad" {
					return "HTTP status code error to"
				}
			}
			return ""
		}
	}
	add(1001, "tcp", false, check(KindTCP, 3, s.tcp(1001, true)))
	add(1002, "tcp", true, check(KindTCP, 1, s.tcp(1002, false)))
	add(1003, "udp", false, check(KindUDP, 1, s.udp(1003, false)))
	add(1004, "udp", false, check(KindUDP, 1, s.udp(1004, true)))
	add(1012, "tcp", false, check(KindPing, 2, s.ping(1012)))
	fast := check(KindHTTP, 1, s.webOf(t, "ab", bad(1005)))
	fast.Timing.FastRecovery = true
	add(1005, "tcp", false, fast)
	add(1006, "tcp", false, check(KindHTTP, 2, s.webOf(t, "ab", bad(1006))))
	add(1007, "tcp", true, check(KindHTTP, 1, s.webOf(t, "a", func(string) string {
		switch s.last(1007, "") {
		case "":
			return "Connection failed"
		case "bad":
			return "HTTP status code error to"
		}
		return ""
	})))
	add(1008, "tcp", false, check(KindSMTP, 2, s.smtp(1008)))
	add(1009, "tcp", false, check(KindSMTP, 1, s.smtp(1009)))
	add(1010, "udp", false, check(KindDNS, 1, s.dns(t, 1010)))
	add(1011, "tcp", false, check(KindMisc, 2, s.misc(1011, "", false)))
	add(1013, "tcp", false, check(KindMisc, 0, s.misc(1013, "", true)))
	add(1014, "tcp", false, check(KindTCP, 0, s.tcp(1014, true)), check(KindMisc, 1, s.misc(1014, "misc ", false)))
	add(1015, "tcp", false, Check{Kind: KindFile, Feed: "f1"})
	add(1016, "tcp", false, Check{Kind: KindFile, Feed: "f2", Scale: Scale{Weight: 2}}, check(KindMisc, 0, s.misc(1016, "misc ", true)))
	add(1017, "tcp", false, check(KindMisc, 1, s.misc(1017, "", false)))
	return out
}

// feeds gives the values of the tracked files at their times.
func (s *kindStage) feeds(p *Prober) {
	names := map[string]string{"1015": "f1", "1016": "f2"}
	for _, e := range s.tr.history {
		port, what, _ := strings.Cut(e.what, " ")
		value, err := strconv.ParseInt(what, 10, 64)
		if names[port] == "" || err != nil {
			continue
		}
		time.Sleep(time.Until(s.start.Add(time.Duration(e.at * float64(time.Second)))))
		p.Feed(KindFile, names[port], value)
	}
}

// TestReplayOfEachKind plays a transcript of keepalived 2.2.7 in which each kind of check fails and recovers in its own way,
// and compares what is logged, and when.
func TestReplayOfEachKind(t *testing.T) {
	tr := readTranscript(t, "keepalived-kinds.txt")
	synctest.Test(t, func(t *testing.T) {
		s := &kindStage{stage{tr: tr, start: time.Now()}}
		got := map[string][]float64{}
		log := func(line string) {
			if !strings.Contains(line, "healthchecker") {
				got[line] = append(got[line], s.now())
			}
		}
		weights := map[string]int{}
		p := NewProber(Options{
			Clock: clock.NewSystem(), Log: zap.New(lineCore{log}), Random: func() float64 { return 0 },
			Report: func(e Event) {
				switch {
				case e.Changed:
					log(lineServer(e.Names, e.Up, false))
				case e.Weighed:
					log(fmt.Sprintf("Changing weight from %d to %d for %sactive service %s of VS %s",
						weights[e.Key], e.Weight, pick(e.Up, "", "in"), e.Names.Server, e.Names.Service))
				}
				weights[e.Key] = e.Weight
			},
		})
		p.Feed(KindFile, "f1", 0)
		p.Feed(KindFile, "f2", 3)
		time.Sleep(140 * time.Millisecond)
		p.Set(s.targets(t))
		for _, st := range p.States() {
			weights[st.Key] = st.Weight
		}
		ctx, cancel := context.WithCancel(t.Context())
		go p.Run(ctx)
		s.feeds(p)
		time.Sleep(time.Until(s.start.Add(26 * time.Second)))
		cancel()
		synctest.Wait()
		compareTranscripts(t, got, tr.lines)
	})
}
