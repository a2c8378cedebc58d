package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

// bench is a Prober in a synctest bubble with all that it said.
type bubble struct {
	*Prober
	t      *testing.T
	start  time.Time
	mu     sync.Mutex
	lines  []string
	events []Event
}

// inBubble runs f with a Prober that runs, and ends it.
func inBubble(t *testing.T, f func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, start: time.Now()}
		b.Prober = NewProber(Options{
			Clock: clock.NewSystem(), Random: func() float64 { return 0 },
			Log: zap.New(lineCore{func(s string) { b.mu.Lock(); b.lines = append(b.lines, s); b.mu.Unlock() }}),
			Report: func(e Event) {
				b.mu.Lock()
				b.events = append(b.events, e)
				b.mu.Unlock()
				_ = b.States() // it may call the Prober
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.Run(ctx); close(done) }()
		f(b)
		cancel()
		<-done
	})
}

// until sleeps until so long after the start.
func (b *bubble) until(d time.Duration) {
	time.Sleep(time.Until(b.start.Add(d)))
	synctest.Wait()
}

// said returns the lines since the last call, without those about activation.
func (b *bubble) said() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.DeleteFunc(b.lines, func(s string) bool { return strings.Contains(s, "healthchecker") })
	b.lines = nil
	return out
}

// told returns the events since the last call, in short.
func (b *bubble) told() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, e := range b.events {
		s := fmt.Sprintf("%s up=%t weight=%d", e.Key, e.Up, e.Weight)
		for _, f := range []struct {
			on   bool
			name string
		}{
			{e.Changed, "changed"}, {e.Weighed, "weighed"}, {e.Unproven, "unproven"}, {e.CheckChanged, "check"},
			{e.Alarm, "alarm"}, {e.AlarmEnd, "alarm end"},
		} {
			if f.on {
				s += ", " + f.name
			}
		}
		out = append(out, s)
	}
	b.events = nil
	return out
}

// expect compares lines or events.
func (b *bubble) expect(what string, got []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Errorf("%s at %v:\n got %q\nwant %q", what, time.Since(b.start), got, want)
	}
}

// fake is a Checker that says what it is told to.
type fake struct {
	TCP
	mu    sync.Mutex
	err   error
	grade Grade
	takes time.Duration
	asked atomic.Int64
}

func (f *fake) set(err error) { f.mu.Lock(); f.err = err; f.mu.Unlock() }

func (f *fake) setGrade(g Grade) { f.mu.Lock(); f.grade = g; f.mu.Unlock() }

func (f *fake) Grade(ctx context.Context) (Grade, error) {
	f.asked.Add(1)
	if f.takes > 0 {
		wait, cancel := context.WithTimeout(ctx, f.takes)
		<-wait.Done()
		cancel()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.grade, f.err
}

var (
	errNo    = &Failure{Kind: ErrRefused, Text: "refused"}
	errNoFDs = &Failure{Kind: ErrLocal, Text: "no descriptors"}
)

// one is a target with the checkers, each once in a second with one retry.
func one(key string, checkers ...Checker) Target {
	t := Target{Key: key, Names: Names{Server: "[192.0.2.11]:tcp:80", Service: "[198.51.100.1]:tcp:80"}, Weight: 10}
	for i, c := range checkers {
		t.Checks = append(t.Checks, Check{
			Kind: KindTCP, ID: fmt.Sprint(i), Checker: c,
			Timing: Timing{Loop: time.Second, BeforeRetry: 500 * time.Millisecond, Retry: 1},
		})
	}
	return t
}

func TestProberFirstRunRetryAndRecovery(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f := &fake{}
		b.Set([]Target{one("a", f)})
		b.until(900 * time.Millisecond)
		b.expect("events before the first check", b.told())
		b.until(1100 * time.Millisecond)
		b.expect("first", b.told())
		b.expect("first", b.said(), "TCP connection to [192.0.2.11]:tcp:80 success.")
		f.set(errNo)
		b.until(2400 * time.Millisecond)
		b.expect("forgiven", b.told())
		b.until(2600 * time.Millisecond)
		b.expect("down", b.told(), "a up=false weight=10, changed, check")
		b.expect("down", b.said(), "TCP_CHECK on service [192.0.2.11]:tcp:80 failed after 1 retries.")
		f.set(nil)
		b.until(3600 * time.Millisecond)
		b.expect("back", b.told(), "a up=true weight=10, changed, check")
		if s := b.States()[0]; !s.Up || s.Checks[0].Failed != 2 || s.Checks[0].Asked != 4 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestProberLogsEachFailure(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f := &fake{}
		target := one("a", f)
		target.Checks[0].LogAll = true
		b.Set([]Target{target})
		b.until(1100 * time.Millisecond)
		b.said()
		f.set(&Failure{Kind: ErrTimeout, Text: "connect"})
		b.until(5 * time.Second)
		b.expect("each failure while up", b.said(),
			"TCP connection to [192.0.2.11]:tcp:80 timeout.",
			"TCP connection to [192.0.2.11]:tcp:80 timeout.",
			"TCP_CHECK on service [192.0.2.11]:tcp:80 failed after 1 retries.")
	})
}

func TestProberAllChecksMustHold(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f, g := &fake{}, &fake{}
		b.Set([]Target{one("a", f, g)})
		b.until(1100 * time.Millisecond)
		b.told()
		f.set(errNo)
		b.until(2700 * time.Millisecond)
		b.expect("one fails", b.told(), "a up=false weight=10, changed, check")
		g.set(errNo)
		b.until(4200 * time.Millisecond)
		b.expect("both fail", b.told(), "a up=false weight=10, check")
		f.set(nil)
		b.until(5200 * time.Millisecond)
		b.expect("one is back", b.told(), "a up=false weight=10, check")
		g.set(nil)
		b.until(6200 * time.Millisecond)
		b.expect("both are back", b.told(), "a up=true weight=10, changed, check")
	})
}

func TestProberAlpha(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f := &fake{}
		f.set(errNo)
		target := one("a", f)
		target.Checks[0].Timing.Alpha = true
		b.Set([]Target{target})
		if b.States()[0].Up {
			t.Error("up before the first check")
		}
		b.until(1100 * time.Millisecond)
		b.expect("still down", b.told(), "a up=false weight=10, unproven")
		f.set(nil)
		b.until(2100 * time.Millisecond)
		b.expect("up", b.told(), "a up=true weight=10, changed, check")
	})
}

func TestProberReloadKeepsState(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f, g := &fake{}, &fake{}
		b.Set([]Target{one("a", f), one("b", g)})
		f.set(errNo)
		b.until(1500 * time.Millisecond)
		both := b.told()
		slices.Sort(both) // two checks at the same time
		b.expect("a is down", both, "a up=false weight=10, changed, check")
		asked := f.asked.Load()
		next := one("a", &fake{}) // asks the same: the old Checker stays
		next.Checks[0].Timing.Retry = 5
		next.Weight = 20
		fresh := one("c", &fake{})
		b.Set([]Target{next, fresh})
		b.expect("the weight", b.told(), "a up=false weight=20, weighed")
		if s := b.States(); len(s) != 2 || s[0].Up || !s[1].Up {
			t.Fatalf("states %+v", s)
		}
		b.until(2100 * time.Millisecond)
		if f.asked.Load() != asked+1 {
			t.Errorf("asked %d times, want %d: it keeps its schedule", f.asked.Load(), asked+1)
		}
		b.until(2450 * time.Millisecond)
		if s := b.States()[1].Checks[0]; s.Asked != 0 {
			t.Errorf("the new one was asked before its time: %+v", s)
		}
		was := g.asked.Load()
		b.until(5 * time.Second)
		if g.asked.Load() != was {
			t.Error("a server that is gone is still asked")
		}
		other := one("a", &fake{}) // asks something else: begins anew
		other.Checks[0].ID = "else"
		b.told()
		b.Set([]Target{other})
		b.expect("begins anew", b.told(), "a up=true weight=10, changed, weighed")
	})
}

func TestProberDropsTheAnswerOfAForgottenCheck(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f := &fake{takes: 3 * time.Second}
		f.set(errNo)
		b.Set([]Target{one("a", f)})
		b.until(1500 * time.Millisecond) // under way
		b.Set(nil)
		b.until(10 * time.Second)
		b.expect("events", b.told())
		if f.asked.Load() != 1 {
			t.Errorf("asked %d times, want once", f.asked.Load())
		}
	})
}

func TestProberSuspend(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f := &fake{}
		target := one("a", f)
		target.Suspended = true
		b.Set([]Target{target})
		b.until(3 * time.Second)
		if f.asked.Load() != 0 || !b.States()[0].Suspended {
			t.Errorf("asked %d times while suspended", f.asked.Load())
		}
		b.Resume("a")
		b.until(4500 * time.Millisecond)
		if n := f.asked.Load(); n != 2 {
			t.Errorf("asked %d times after Resume, want 2", n)
		}
		b.Suspend("a")
		b.Suspend("a")
		b.Suspend("nobody")
		f.set(errNo)
		b.until(9 * time.Second)
		if n := f.asked.Load(); n != 2 || !b.States()[0].Up {
			t.Errorf("asked %d times, want 2; up %t, want its last state", n, b.States()[0].Up)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.expect("lines", slices.DeleteFunc(b.lines, func(s string) bool { return !strings.Contains(s, "healthchecker") }),
			"Deactivating healthchecker for service [192.0.2.11]:tcp:80 for VS [198.51.100.1]:tcp:80",
			"Activating healthchecker for service [192.0.2.11]:tcp:80 for VS [198.51.100.1]:tcp:80",
			"Suspending healthchecker for service [192.0.2.11]:tcp:80 for VS [198.51.100.1]:tcp:80")
	})
}

func TestProberLackOfItsOwnSaysNothingOfServers(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var targets []Target
		var fakes []*fake
		for i := range 50 {
			f := &fake{}
			fakes = append(fakes, f)
			targets = append(targets, one(fmt.Sprint(i), f))
		}
		b.Set(targets)
		b.until(1500 * time.Millisecond)
		b.told()
		b.said()
		for _, f := range fakes {
			f.set(errNoFDs)
		}
		b.until(8 * time.Second)
		b.expect("events", b.told())
		lines := b.said()
		if len(lines) != 1 || !strings.Contains(lines[0], "no descriptors. Rescheduling.") {
			t.Errorf("lines %q, want one about the lack", lines)
		}
	})
}

func TestProberSilenceOfAnAgent(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f := &fake{}
		target := one("a", f)
		target.Checks[0].Kind = KindAgent
		f.setGrade(Grade{Kind: GradePercent, Value: 50})
		b.Set([]Target{target})
		b.until(1100 * time.Millisecond)
		b.expect("its weight", b.told(), "a up=true weight=5, weighed")
		b.said()
		f.set(&Failure{Kind: ErrSilent, Text: "agent"})
		b.until(5 * time.Second)
		b.expect("what it said holds", b.told())
		f.set(nil)
		b.until(7 * time.Second)
		b.expect("lines", b.said(),
			"AGENT_CHECK on service [192.0.2.11]:tcp:80 for VS [198.51.100.1]:tcp:80 has no answer, what it last said holds: agent",
			"AGENT_CHECK on service [192.0.2.11]:tcp:80 for VS [198.51.100.1]:tcp:80 has an answer again")
	})
}

func TestProberChecksMoreOftenAfterAReload(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f, g := &fake{}, &fake{}
		slow := []Target{one("a", f), one("b", g)}
		for i := range slow {
			slow[i].Checks[0].Timing.Loop = time.Hour
		}
		b.Set(slow)
		b.until(10 * time.Second)
		b.Set([]Target{one("a", f), slow[1]})
		b.until(12500 * time.Millisecond)
		if n := f.asked.Load(); n != 4 {
			t.Errorf("asked %d times, want 4", n)
		}
		if n := g.asked.Load(); n != 1 {
			t.Errorf("the other was asked %d times, want 1", n)
		}
	})
}

func TestProberWeights(t *testing.T) {
	inBubble(t, func(b *bubble) {
		f, g := &fake{}, &fake{}
		target := one("a", f, g)
		target.Checks[1].Damp = Damp{MaxStep: 3}
		b.Set([]Target{target})
		b.until(1100 * time.Millisecond)
		b.told()
		f.setGrade(Grade{Kind: GradeWeight, Value: 4})
		b.until(2100 * time.Millisecond)
		b.expect("misc_dynamic", b.told(), "a up=true weight=4, weighed")
		g.setGrade(Grade{Kind: GradePercent, Value: 150})
		b.until(3100 * time.Millisecond)
		b.expect("damped", b.told(), "a up=true weight=7, weighed")
		b.until(6100 * time.Millisecond)
		b.expect("to its end", b.told(), "a up=true weight=9, weighed") // 10 - 6 + 5
		g.setGrade(Grade{Kind: GradePercent, AtOnce: true})
		b.until(7100 * time.Millisecond)
		b.expect("drained at once, and not below 0", b.told(), "a up=true weight=0, weighed")
		f.set(errNo)
		g.setGrade(Grade{})
		b.until(11 * time.Second)
		events := b.told()
		b.expect("a failed check adds nothing", events[len(events)-1:], "a up=false weight=10, weighed")
	})
}

func TestProberFeeds(t *testing.T) {
	inBubble(t, func(b *bubble) {
		target := one("a")
		target.Checks = []Check{
			{Kind: KindFile, Feed: "load", Scale: Scale{Weight: 2}},
			{Kind: KindBFD, Feed: "peer"},
		}
		b.Feed(KindFile, "load", 3)
		b.Set([]Target{target})
		if s := b.States()[0]; !s.Up || s.Weight != 16 {
			t.Fatalf("state %+v, want weight 16 of a value fed before", s)
		}
		b.Feed(KindBFD, "peer", 1)
		b.expect("first state", b.told())
		b.Feed(KindBFD, "peer", 0)
		b.expect("session down", b.told(), "a up=false weight=16, changed, check")
		b.expect("session down", b.said(), "BFD check of [peer] RS([192.0.2.11]:tcp:80) is DOWN")
		b.Feed(KindFile, "load", -4)
		b.expect("value", b.told(), "a up=false weight=2, weighed")
		b.Feed(KindBFD, "peer", 1)
		b.expect("session up", b.told(), "a up=true weight=2, changed, check")
		b.Feed(KindFile, "load", -1<<31)
		b.expect("fault", b.told(), "a up=false weight=10, changed, weighed, check")
		b.Feed(KindFile, "load", 0)
		b.expect("leaves fault", b.told(), "a up=true weight=10, changed, check")
		lines := b.said()
		b.expect("fault", lines[len(lines)-2:], "([192.0.2.11]:tcp:80): tracked file load now FAULT state",
			"([192.0.2.11]:tcp:80): tracked file load leaving FAULT state")
		b.Feed(KindFile, "nobody", 1)
		b.expect("a feed of nobody", b.told())
		other := one("b")
		other.Checks = []Check{{Kind: KindFile, Feed: "load"}}
		b.Set([]Target{target, other})
		b.Set([]Target{other})
		b.Feed(KindFile, "load", 1)
		b.expect("the feed of the one that is left", b.told(), "b up=false weight=10, changed, check")
		b.Set(nil)
		b.Feed(KindFile, "load", 0)
		b.expect("nobody is left", b.told())
		if n := len(b.feeds); n != 0 {
			t.Errorf("%d feeds are followed, want none", n)
		}
	})
}

func TestProberAlarm(t *testing.T) {
	inBubble(t, func(b *bubble) {
		plain, path := &fake{}, &fake{}
		target := one("a", plain, path)
		target.Checks[1].Kind, target.Checks[1].Advisory = KindPath, true
		b.Set([]Target{target})
		b.until(2 * time.Second)
		b.told()
		b.said()
		path.set(errNo)
		b.until(5 * time.Second)
		b.expect("not at once, and the server stays", b.told())
		b.until(13 * time.Second)
		b.mu.Lock()
		why := b.events[0].Why
		b.mu.Unlock()
		b.expect("alarm", b.told(), "a up=true weight=10, alarm")
		if want := "service [192.0.2.11]:tcp:80 answers its checks, but clients of VS [198.51.100.1]:tcp:80 do not reach it (check_path: refused)"; why != want {
			t.Errorf("why %q, want %q", why, want)
		}
		path.set(nil)
		b.until(15 * time.Second)
		b.expect("end of the alarm", b.told(), "a up=true weight=10, alarm end")
		plain.set(errNo) // both fail, one after the other: no alarm
		b.until(17 * time.Second)
		path.set(errNo)
		b.until(40 * time.Second)
		b.expect("agreement", b.told(), "a up=false weight=10, changed, check")
	})
}

func TestProberSpreadsABurst(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var most atomic.Int64
		var now atomic.Int64
		var targets []Target
		for i := range 1000 {
			targets = append(targets, one(fmt.Sprint(i), counter{&now, &most}))
		}
		b.Set(targets) // all due at the same time
		b.until(1500 * time.Millisecond)
		if n := now.Load(); n != 1000 {
			t.Errorf("%d checks made, want 1000", n)
		}
		if m := most.Load(); m > turnChecks {
			t.Errorf("%d checks begun at once, want at most %d", m, turnChecks)
		}
	})
}

// counter counts its calls, and the most of them within a millisecond.
type counter struct{ calls, most *atomic.Int64 }

func (c counter) Check(ctx context.Context) error {
	before := c.calls.Add(1)
	wait, cancel := context.WithTimeout(ctx, time.Millisecond)
	<-wait.Done()
	cancel()
	if n := c.calls.Load() - before + 1; n > c.most.Load() {
		c.most.Store(n)
	}
	return nil
}

func TestProberEndsWithItsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Hour}
		p := NewProber(Options{Clock: clock.NewSystem(), Log: zap.NewNop(), Random: func() float64 { return 0 }})
		p.Set([]Target{one("a", f)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.Run(ctx); close(done) }()
		time.Sleep(2 * time.Second)
		cancel()
		<-done
		if f.asked.Load() != 1 {
			t.Errorf("asked %d times, want 1", f.asked.Load())
		}
		if s := p.States()[0]; !s.Up {
			t.Error("the end of the prober took the server down")
		}
	})
}
