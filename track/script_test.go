package track

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
	"dirsw/internal/testenv"
	"dirsw/script"
)

// stage is a Runner whose programs are made of words, on a clock that the test moves. See scripts.txt for the words.
type stage struct {
	clk *clock.Manual

	mu    sync.Mutex
	plays map[string]string // by Args[0]
	on    map[string]bool   // those that wait for the clock
	runs  map[string]int
}

func (s *stage) Run(ctx context.Context, c script.Command) script.Result {
	name := c.Args[0]
	s.mu.Lock()
	s.runs[name]++
	play := s.plays[name]
	s.mu.Unlock()
	if sig, ok := strings.CutPrefix(play, "ends on "); ok {
		d, res := c.Timeout, script.Result{TimedOut: true, Signal: syscall.SIGTERM}
		over := make(chan struct{})
		s.clk.AfterFunc(d, func() { c.OnTimeout() })
		if sig == "SIGKILL" {
			d, res.Signal = d+script.Grace, syscall.SIGKILL
		}
		s.clk.AfterFunc(d, func() { s.set(name, false); close(over) })
		s.set(name, true)
		select {
		case <-over:
			return res
		case <-ctx.Done():
			return script.Result{Err: ctx.Err()}
		}
	}
	if play == "no room" {
		return script.Result{Err: fmt.Errorf("run %s: %w", name, syscall.EAGAIN)}
	}
	if n, ok := strings.CutPrefix(play, "signal "); ok {
		sig, _ := strconv.Atoi(n)
		return script.Result{Signal: syscall.Signal(sig)}
	}
	now := time.Duration(s.clk.Now()).Seconds()
	for part := range strings.SplitSeq(play, ", ") {
		status, until, limited := strings.Cut(strings.TrimPrefix(part, "then "), " until ")
		end, _ := strconv.ParseFloat(until, 64)
		if !limited || now < end {
			n, err := strconv.Atoi(status)
			if err != nil {
				panic(play)
			}
			return script.Result{Status: n}
		}
	}
	panic(play)
}

func (s *stage) set(name string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on[name] = on
}

// quiet waits until every script that runs waits for the clock, and what the others found is told.
func (s *stage) quiet(t *testing.T, tr *Tracker) {
	t.Helper()
	testenv.Await(t, "scripts to wait", func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for _, w := range tr.watchers {
			if w, ok := w.(*scriptWatcher); ok && !s.rests(w) {
				return false
			}
		}
		return true
	})
}

// rests reports whether a script waits for the clock, or has told what it found.
func (s *stage) rests(w *scriptWatcher) bool {
	w.mu.Lock()
	s.mu.Lock()
	rests := w.phase == idle || s.on[w.s.Command.Args[0]]
	s.mu.Unlock()
	found := State{Key: w.s.Key(), Known: true, Up: w.tally.up()}
	told := !w.tally.known || w.state() == found
	w.mu.Unlock()
	w.telling.Lock() // held until whoever is told has returned
	defer w.telling.Unlock()
	return rests && told
}

// bench is a Tracker on a stage, with its log and what it told.
type bench struct {
	*Tracker
	stage *stage
	clk   *clock.Manual
	logs  *observer.ObservedLogs

	mu   sync.Mutex
	told []string
}

func newBench(t *testing.T, o Options) *bench {
	b := &bench{clk: &clock.Manual{}}
	b.stage = &stage{clk: b.clk, plays: map[string]string{}, on: map[string]bool{}, runs: map[string]int{}}
	core, logs := observer.New(zap.InfoLevel)
	b.logs = logs
	o.Clock, o.Log, o.Runner = b.clk, zap.New(core), b.stage
	o.Changed = func(s State) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, s.String())
	}
	b.Tracker = New(o)
	return b
}

// run begins to watch, until the test ends.
func (b *bench) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	testenv.Await(t, "Run to begin", func() bool {
		b.Tracker.mu.Lock()
		defer b.Tracker.mu.Unlock()
		return b.ctx != nil
	})
	b.setting.Lock()
	started := len(b.States()) // Run holds setting until it has started all
	b.setting.Unlock()
	if started == 0 {
		t.Fatal("nothing to watch")
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	b.stage.quiet(t, b.Tracker)
}

// advance moves the clock in steps, each to its end.
func (b *bench) advance(t *testing.T, d time.Duration) {
	t.Helper()
	const step = 250 * time.Millisecond
	for ; d > 0; d -= step {
		b.clk.Advance(min(d, step))
		b.stage.quiet(t, b.Tracker)
	}
}

// take returns what was told since the last call.
func (b *bench) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.told
	b.told = nil
	slices.Sort(told)
	return told
}

func (b *bench) lines() []string {
	var out []string
	for _, e := range b.logs.TakeAll() {
		out = append(out, e.Message)
	}
	return out
}

// TestScriptsAsKeepalived plays the scripts of scripts.txt and compares the log with that of the real keepalived.
func TestScriptsAsKeepalived(t *testing.T) {
	f, err := os.Open("testdata/keepalived/scripts.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := newBench(t, Options{})
	var objects []Object
	want := map[int][]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		var s Script
		var interval, timeout int
		if n, _ := fmt.Sscanf(line, "script %s %d %d %d %d", &s.Name, &interval, &timeout, &s.Rise, &s.Fall); n == 5 {
			s.Interval, s.Timeout = time.Duration(interval)*time.Second, time.Duration(timeout)*time.Second
			s.Command.Args = []string{s.Name}
			b.stage.plays[s.Name] = strings.TrimSpace(strings.Join(strings.Fields(line)[6:], " "))
			objects = append(objects, s)
		} else if at, text, ok := strings.Cut(line, " "); ok && at != "#" {
			sec, err := strconv.Atoi(at)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			want[sec] = append(want[sec], text)
		}
	}
	if err := b.Set(objects); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	for sec := range 20 {
		got := b.lines()
		slices.Sort(got)
		slices.Sort(want[sec])
		if !slices.Equal(got, want[sec]) {
			t.Errorf("second %d:\n%s\nwant\n%s", sec, strings.Join(got, "\n"), strings.Join(want[sec], "\n"))
		}
		b.advance(t, time.Second)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var flips []string
	for _, s := range b.told {
		if strings.Contains(s, " flip ") {
			flips = append(flips, s)
		}
	}
	if want := []string{"vrrp_script flip up", "vrrp_script flip down", "vrrp_script flip up"}; !slices.Equal(flips, want) {
		t.Errorf("told %q, want %q", flips, want)
	}
}

func TestScriptReload(t *testing.T) {
	b := newBench(t, Options{})
	for n, p := range map[string]string{"same": "0", "slower": "1", "other": "0", "gone": "0", "other2": "ends on SIGTERM"} {
		b.stage.plays[n] = p
	}
	mk := func(name, cmd string, interval time.Duration) Script {
		return Script{Name: name, Interval: interval, Command: script.Command{Args: []string{cmd}}}
	}
	if err := b.Set([]Object{mk("same", "same", 0), mk("slower", "slower", 0), mk("other", "other", 0), mk("gone", "gone", 0)}); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	b.advance(t, time.Second)
	if got, want := fmt.Sprint(b.take()), "[vrrp_script gone up vrrp_script other up vrrp_script same up vrrp_script slower down]"; got != want {
		t.Errorf("told %v, want %v", got, want)
	}
	b.lines()
	runs := b.stage.runs["same"]
	if err := b.Set([]Object{mk("same", "same", 0), mk("slower", "slower", time.Minute), mk("other", "other2", 0)}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(b.States()), "[vrrp_script other unknown vrrp_script same up vrrp_script slower down]"; got != want {
		t.Errorf("after a reload %v, want %v", got, want)
	}
	b.stage.quiet(t, b.Tracker)
	if b.stage.runs["same"] != runs {
		t.Error("the script that did not change was disturbed")
	}
	lines := strings.Join(b.lines(), "\n")
	for _, want := range []string{"VRRP_Script(same) considered successful on reload", "VRRP_Script(slower) considered unsuccessful on reload"} {
		if !strings.Contains(lines, want) {
			t.Errorf("log %q lacks %q", lines, want)
		}
	}
	if strings.Contains(lines, "(other) considered") {
		t.Errorf("log %q keeps the result of another program", lines)
	}
	b.advance(t, 5*time.Second)
	if got, want := fmt.Sprint(b.take()), "[vrrp_script other down]"; got != want {
		t.Errorf("told %v, want %v", got, want)
	}
	if b.stage.runs["gone"] != 2 || b.stage.runs["slower"] != 3 {
		t.Errorf("runs %v: gone wants 2, slower 3", b.stage.runs)
	}
	if err := b.Set([]Object{mk("same", "same", 0), mk("same", "other", 0)}); err == nil || !strings.Contains(err.Error(), "vrrp_script same") {
		t.Errorf("the same name twice: %v", err)
	}
}

func TestScriptInitFail(t *testing.T) {
	b := newBench(t, Options{})
	b.stage.plays["p"] = "ends on SIGTERM"
	s := Script{Name: "p", InitFail: true, Interval: 10 * time.Second, Rise: 3, Command: script.Command{Args: []string{"p"}}}
	if err := b.Set([]Object{s}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(b.take()); got != "[vrrp_script p down]" {
		t.Errorf("told %v before the first run", got)
	}
	b.run(t)
	b.advance(t, 11*time.Second)
	if got := fmt.Sprint(b.take()); got != "[]" {
		t.Errorf("told %v, but nothing changed", got)
	}
}

// TestScriptNoRoom: a machine that cannot start programs for a while says nothing of what the script looks at.
func TestScriptNoRoom(t *testing.T) {
	b := newBench(t, Options{})
	b.stage.plays["p"] = "0"
	if err := b.Set([]Object{Script{Name: "p", Command: script.Command{Args: []string{"p"}}}}); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	if got := fmt.Sprint(b.take()); got != "[vrrp_script p up]" {
		t.Errorf("told %v", got)
	}
	b.stage.mu.Lock()
	b.stage.plays["p"] = "no room"
	b.stage.mu.Unlock()
	b.advance(t, 3*time.Second)
	if got := fmt.Sprint(b.take()); got != "[]" {
		t.Errorf("told %v though nothing is known", got)
	}
	if n := b.logs.FilterMessage("cannot run track script p").Len(); n != 3 {
		t.Errorf("log %v", b.logs.All())
	}
}

// TestScriptReal runs real programs on the real clock, and ends while one hangs.
func TestScriptReal(t *testing.T) {
	told := make(chan string, 100)
	tr := New(Options{Clock: clock.NewSystem(), Changed: func(s State) { told <- s.String() }})
	mk := func(name, line string) Script {
		return Script{Name: name, Interval: 20 * time.Millisecond, Timeout: time.Minute, Command: script.Command{Args: []string{"/bin/sh", "-c", line}}}
	}
	flag := t.TempDir() + "/flag"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tr.Run(ctx) }()
	if err := tr.Set([]Object{mk("flag", "test ! -e "+flag), mk("hang", "sleep 1000")}); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != "vrrp_script flag up" {
		t.Errorf("told %q", got)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != "vrrp_script flag down" {
		t.Errorf("told %q", got)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testenv.Patience):
		t.Fatal("Run did not end: a script hangs")
	}
	if err := tr.Set(nil); err != nil || len(tr.States()) != 0 {
		t.Errorf("after the end: %v, %v", err, tr.States())
	}
}

// slowTally does what tally does, by remembering results.
type slowTally struct {
	rise, fall int
	up, known  bool
	good, bad  int // in a row, towards a change
}

func (s *slowTally) add(ok bool) (news bool) {
	first := !s.known
	s.known = true
	switch {
	case ok && first:
		s.up = true
		return true
	case first:
		return true
	case ok && s.up:
		s.bad = 0
	case !ok && !s.up:
		s.good = 0
	case ok:
		if s.good++; s.good >= s.rise {
			s.up, s.good, s.bad = true, 0, 0
			return true
		}
	default:
		if s.bad++; s.bad >= s.fall {
			s.up, s.good, s.bad = false, 0, 0
			return true
		}
	}
	return false
}

func TestTallyAgainstSlow(t *testing.T) {
	for rise := 1; rise <= 4; rise++ {
		for fall := 1; fall <= 4; fall++ {
			for bits := range 1 << 12 {
				fast, slow := newTally(rise, fall), slowTally{rise: rise, fall: fall}
				for i := range 12 {
					ok := bits>>i&1 == 1
					if got, want := fast.add(ok), slow.add(ok); got != want || fast.up() != slow.up {
						t.Fatalf("rise %d fall %d results %012b, after %d: news %v up %v, want %v %v", rise, fall, bits, i+1, got, fast.up(), want, slow.up)
					}
				}
			}
		}
	}
}

// lateRunner ends at once, and leaves what it would have called when the time was over.
type lateRunner struct{ timeouts chan func() }

func (r lateRunner) Run(_ context.Context, c script.Command) script.Result {
	r.timeouts <- c.OnTimeout
	return script.Result{}
}

// TestScriptTimeoutAtTheEnd: a clock's goroutine may say that the time is over when the script has just ended. The next run
// must not be left out for that, nor those after it.
func TestScriptTimeoutAtTheEnd(t *testing.T) {
	r := lateRunner{make(chan func(), 10)}
	clk := &clock.Manual{}
	tr := New(Options{Clock: clk, Runner: r})
	if err := tr.Set([]Object{Script{Name: "chk", Command: script.Command{Args: []string{"chk"}}, Interval: time.Second}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tr.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for range 3 {
		over := <-r.timeouts
		w := tr.watchers[Key{KindScript, "chk"}].(*scriptWatcher)
		for {
			w.mu.Lock()
			ended := w.phase == idle
			w.mu.Unlock()
			if ended {
				break
			}
			time.Sleep(time.Millisecond)
		}
		over()
		clk.Advance(time.Second)
		select {
		case f := <-r.timeouts:
			r.timeouts <- f
		case <-time.After(testenv.Patience):
			t.Fatal("the script is never run again")
		}
	}
}
