package health

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dirsw/clock"
	"dirsw/script"
)

// transcript is what keepalived logged, by line: when it logged it, in seconds, and what was done to its servers.
type transcript struct {
	lines   map[string][]float64
	events  map[string]float64
	history []event // in order; what may be done more than once
}

type event struct {
	what string
	at   float64
}

func readTranscript(t *testing.T, name string) transcript {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := transcript{lines: map[string][]float64{}, events: map[string]float64{}}
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		when, line, _ := strings.Cut(s.Text(), " ")
		at, err := strconv.ParseFloat(when, 64)
		if err != nil {
			t.Fatal(err)
		}
		if what, ok := strings.CutPrefix(line, "# "); ok {
			tr.events[what] = at
			tr.history = append(tr.history, event{what, at})
			continue
		}
		tr.lines[line] = append(tr.lines[line], at)
	}
	return tr
}

// stage is the servers of the transcript as its events left them.
type stage struct {
	tr    transcript
	start time.Time
}

func (s *stage) now() float64 { return time.Since(s.start).Seconds() }

// after reports whether what happened has happened.
func (s *stage) after(what string) bool {
	at, ok := s.tr.events[what]
	if !ok {
		panic("no event " + what)
	}
	return s.now() >= at
}

// open is whether server rs accepts connections.
func (s *stage) open(rs int) bool {
	switch rs {
	case 1:
		return !s.after("rs1 down") || s.after("rs1 up")
	case 2:
		return !s.after("rs2 down (nobody left)")
	default:
		return s.after("rs3 up")
	}
}

// web is whether it answers as its check wants.
func (s *stage) web(rs int) bool {
	switch rs {
	case 1:
		return s.open(1) && (!s.after("rs1 answers 503") || s.after("misc check fails; rs1 200"))
	case 2:
		return s.open(2) && (!s.after("rs2 body changed (digest fails, TCP ok)") || s.after("rs2 body as before"))
	default:
		return s.open(3)
	}
}

// Actors: the wording of the real checkers with servers of the stage.
type (
	actTCP struct {
		*TCP
		ok func() bool
	}
	actHTTP struct {
		*HTTP
		ok func() bool
	}
	actMisc struct {
		*Misc
		ok func() bool
	}
)

// act takes as long as the machine of the transcript took for a check.
func act(ok func() bool) error {
	time.Sleep(2 * time.Millisecond)
	if !ok() {
		time.Sleep(28 * time.Millisecond)
		return &Failure{Text: "exited with status 1"}
	}
	return nil
}

func (a actTCP) Check(context.Context) error           { return act(a.ok) }
func (a actHTTP) CheckStep(context.Context, int) error { return act(a.ok) }

func (a actMisc) Grade(context.Context) (Grade, error) { return Grade{}, act(a.ok) }

// play returns the targets of the transcript's configuration, and the random numbers that make each first check begin
// when keepalived's did.
func (s *stage) play(t *testing.T) (targets []Target, random []float64) {
	second := Timing{Loop: time.Second, BeforeRetry: time.Second, Warmup: time.Second, Retry: 1}
	add := func(vs string, rs int, server string, first float64, kind Kind, c Checker, timing Timing) {
		targets = append(targets, Target{
			Key:   fmt.Sprint(vs, rs),
			Names: Names{Server: fmt.Sprintf("[10.0.0.1%d]:%s", rs, server), Service: vs},
			Checks: []Check{{
				Kind: kind, ID: "c", Timing: timing, Checker: c,
			}},
		})
		random = append(random, first-0.46-Bootstrap.Seconds())
	}
	tcp := func(rs int) Checker { return actTCP{&TCP{}, func() bool { return s.open(rs) }} }
	web := func(rs int) Checker {
		u := URL{Path: "/"}
		if rs == 2 {
			u.Digest = new([16]byte)
		}
		h, err := NewHTTP(HTTPOptions{URLs: []URL{u}})
		if err != nil {
			t.Fatal(err)
		}
		return actHTTP{h, func() bool { return s.web(rs) }}
	}
	misc := actMisc{
		&Misc{Command: script.Command{Args: []string{"/usr/bin/test", "-e", "misc-ok"}}},
		func() bool { return !s.after("misc check fails; rs1 200") },
	}
	alpha, once := second, second
	alpha.Alpha, once.Retry = true, 0
	alphaOnce := alpha
	alphaOnce.Retry = 0
	for i, at := range []float64{1.72, 2.01, 1.57} {
		add("[10.0.0.200]:tcp:80", i+1, "tcp:80", at, KindTCP, tcp(i+1), second)
	}
	for i, at := range []float64{2.18, 2.38, 2.25} {
		add("[10.0.0.201]:tcp:80", i+1, "tcp:80", at, KindHTTP, web(i+1), second)
	}
	for i, at := range []float64{2.18, 2.44} {
		add("FWM 7", i+1, "none:0", at, KindTCP, tcp(i+1), second)
	}
	add("[G]:0", 1, "tcp:80", 2.04, KindTCP, tcp(1), alpha)
	add("[G]:0", 2, "tcp:80", 2.33, KindMisc, misc, alphaOnce)
	add("[10.0.0.206]:udp:53", 1, "udp:53", 1.80, KindMisc, misc, once)
	return targets, random
}

// TestReplayOfKeepalived plays the servers of a transcript of keepalived 2.2.7 and compares what is logged, and when. The
// transcript is of a slow machine, which stood still for half a second now and then.
func TestReplayOfKeepalived(t *testing.T) {
	tr := readTranscript(t, "keepalived-checkers.txt")
	synctest.Test(t, func(t *testing.T) {
		s := &stage{tr: tr, start: time.Now()}
		got := map[string][]float64{}
		log := func(line string) { got[line] = append(got[line], s.now()) }
		targets, random := s.play(t)
		p := NewProber(Options{
			Clock: clock.NewSystem(),
			Log:   zap.New(lineCore{log}),
			Report: func(e Event) {
				if e.Changed {
					inhibit := e.Key == "[10.0.0.201]:tcp:803" // inhibit_on_failure
					log(lineServer(e.Names, e.Up, inhibit))
				}
			},
			Random: func() float64 {
				r := random[0]
				random = random[1:]
				return r
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		go p.Run(ctx)
		time.Sleep(460 * time.Millisecond)
		p.Set(targets)
		time.Sleep(40140*time.Millisecond - 460*time.Millisecond)
		p.Set(slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.Key == "[10.0.0.200]:tcp:802" }))
		time.Sleep(6 * time.Second)
		cancel()
		synctest.Wait()
		compareTranscripts(t, got, tr.lines)
	})
}

// lineServer is what keepalived logs where a server enters or leaves the table (ipwrapper.c).
func lineServer(n Names, up, inhibit bool) string {
	how := "Removing service %s from VS %s"
	switch {
	case up && inhibit:
		how = "Enabling service %s of VS %s"
	case inhibit:
		how = "Disabling service %s of VS %s"
	case up:
		how = "Adding service %s to VS %s"
	}
	return fmt.Sprintf(how, n.Server, n.Service)
}

// compareTranscripts demands the same lines as often, each within one delay_loop of its time: what
// happens to a server just before its check here may have happened just after it there.
func compareTranscripts(t *testing.T, got, want map[string][]float64) {
	t.Helper()
	if len(want) < 20 {
		t.Fatalf("only %d lines to compare", len(want))
	}
	for line, at := range want {
		if !slices.EqualFunc(got[line], at, func(a, b float64) bool { return math.Abs(a-b) <= 1.05 }) {
			t.Errorf("%s\n  at %.2f\nwant %.2f", line, got[line], at)
		}
	}
	for line, at := range got {
		if want[line] == nil {
			t.Errorf("%s\n  at %.2f, want never", line, at)
		}
	}
}

// lineCore is a log that gives each message to a func.
type lineCore struct{ line func(string) }

func (c lineCore) Enabled(zapcore.Level) bool        { return true }
func (c lineCore) With([]zapcore.Field) zapcore.Core { return c }
func (c lineCore) Sync() error                       { return nil }

func (c lineCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, c)
}

func (c lineCore) Write(e zapcore.Entry, _ []zapcore.Field) error {
	c.line(e.Message)
	return nil
}
