package health

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

// moody is a Checker that says something else each time, and finds out if it is asked twice at a time.
type moody struct {
	busy  atomic.Bool
	twice *atomic.Int64
}

func (m *moody) Grade(ctx context.Context) (Grade, error) {
	if m.busy.Swap(true) {
		m.twice.Add(1)
	}
	defer m.busy.Store(false)
	wait, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
	<-wait.Done()
	cancel()
	switch rand.IntN(5) {
	case 0:
		return Grade{}, errNo
	case 1:
		return Grade{}, errNoFDs
	case 2:
		return Grade{}, &Failure{Kind: ErrSilent, Text: "agent"}
	}
	return Grade{Kind: GradeKind(rand.IntN(4)), Value: rand.IntN(200)}, nil
}

func (m *moody) Check(ctx context.Context) error {
	_, err := m.Grade(ctx)
	return err
}

// TestProberUnderChurn changes targets, suspends and feeds from several goroutines while checks run, and then looks
// whether each check is in exactly one place, and what was reported adds up to what is.
func TestProberUnderChurn(t *testing.T) {
	var mu sync.Mutex
	var twice atomic.Int64
	up := map[string]bool{} // as reported
	p := NewProber(Options{Clock: clock.NewSystem(), Log: zap.NewNop(), Report: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Changed && up[e.Key] == e.Up {
			t.Errorf("%s is told to be up=%t again", e.Key, e.Up)
		}
		if e.Changed {
			up[e.Key] = e.Up
		}
	}})
	const keys = 20
	targets := func() (out []Target) {
		for i := range keys {
			target := Target{Key: fmt.Sprint(i), Weight: rand.IntN(100)}
			for k := range 1 + rand.IntN(3) {
				target.Checks = append(target.Checks, Check{
					Kind: []Kind{KindTCP, KindHTTP, KindSMTP, KindMisc}[k], ID: fmt.Sprint(rand.IntN(2)), Checker: &moody{twice: &twice}, LogAll: true,
					Timing: Timing{
						Loop: time.Duration(1+rand.IntN(5)) * time.Millisecond, BeforeRetry: time.Millisecond, Retry: rand.IntN(3),
						FastRecovery: rand.IntN(2) == 0,
					},
					Damp: Damp{MaxStep: rand.IntN(10)}, Advisory: k == 2,
				})
			}
			target.Checks = append(target.Checks, Check{Kind: KindFile, Feed: "f", Scale: Scale{Weight: 1}})
			out = append(out, target)
		}
		return out
	}
	p.Set(targets())
	for _, s := range p.States() {
		up[s.Key] = s.Up
	}
	hurry(p)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				key := fmt.Sprint(rand.IntN(keys))
				switch rand.IntN(6) {
				case 0:
					p.Set(targets())
					hurry(p)
				case 1:
					p.Suspend(key)
				case 2, 3:
					p.Resume(key)
				case 4:
					p.Feed(KindFile, "f", int64(rand.IntN(50)))
				default:
					p.States()
				}
				wait, done := context.WithTimeout(ctx, time.Millisecond)
				<-wait.Done()
				done()
			}
		})
	}
	p.Run(ctx)
	all.Wait()
	p.due(p.opt.Clock.Now()) // the last answers
	p.tell()
	if n := twice.Load(); n != 0 {
		t.Errorf("%d times a check was asked twice at a time", n)
	}
	places(t, p)
	mu.Lock()
	defer mu.Unlock()
	for _, s := range p.States() {
		if up[s.Key] != s.Up {
			t.Errorf("%s is up=%t, told %t", s.Key, s.Up, up[s.Key])
		}
	}
}

// hurry makes all checks due: a start takes a second otherwise.
func hurry(p *Prober) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.order {
		for _, it := range u.items {
			if it.place != 0 {
				it.probe.due = min(it.probe.due, p.opt.Clock.Now())
				p.queue.add(it)
			}
		}
	}
}

// places looks whether each check is queued, under way or suspended, and nothing else is.
func places(t *testing.T, p *Prober) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var asked uint64
	queued := 0
	for _, u := range p.order {
		for _, it := range u.items {
			asked += it.asked
			if it.unit != u {
				t.Errorf("a check of %s believes in another", u.target.Key)
			}
			if it.place != 0 {
				queued++
				if p.queue[it.place-1].it != it {
					t.Errorf("a check of %s is not where it believes", u.target.Key)
				}
			}
			// the end of Run leaves those under way as they are
			if it.check.Checker != nil && it.place == 0 && !it.running && !u.suspended {
				t.Errorf("a check of %s is nowhere", u.target.Key)
			}
			if it.place != 0 && (it.running || u.suspended) {
				t.Errorf("a check of %s waits, and is running (%t) or suspended (%t)", u.target.Key, it.running, u.suspended)
			}
		}
		if u.up != u.isUp() || u.weight != u.weigh() {
			t.Errorf("%s: up=%t weight=%d, its checks say %t and %d", u.target.Key, u.up, u.weight, u.isUp(), u.weigh())
		}
	}
	if queued != len(p.queue) {
		t.Errorf("%d checks in the queue, want %d", len(p.queue), queued)
	}
	if asked < 100 {
		t.Errorf("only %d checks were made: this is no test", asked)
	}
}
