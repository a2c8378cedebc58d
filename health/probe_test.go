package health

import (
	"errors"
	"testing"
	"time"

	"dirsw/clock"
)

// The traces are keepalived 2.2.7's: its transcript with retry 1, delay_before_retry 1 and delay_loop 1, and its
// epilogues (check_tcp.c, check_http.c, check_smtp.c, check_misc.c).
func TestProbe(t *testing.T) {
	type ask struct {
		ok    bool
		want  Outcome
		pause time.Duration
	}
	const loop, again = 3 * time.Second, time.Second
	base := Timing{Retry: 1, BeforeRetry: again, Loop: loop, Warmup: loop}
	with := func(f func(*Timing)) Timing { t := base; f(&t); return t }
	alpha := with(func(t *Timing) { t.Alpha = true })
	fast := with(func(t *Timing) { t.FastRecovery = true })
	never := with(func(t *Timing) { t.Retry = 0 })
	twice := with(func(t *Timing) { t.Retry = 2 })
	slow := with(func(t *Timing) { t.BeforeRetry = 9 * time.Second })
	tests := []struct {
		name   string
		count  Counting
		timing Timing
		steps  int
		asks   []ask
	}{
		{"first failure is not forgiven", CountPlain, base, 1, []ask{{false, Down, loop}, {false, Same, loop}, {true, Up, loop}}},
		{"one retry", CountPlain, base, 1, []ask{{true, Up, loop}, {true, Same, loop}, {false, Forgiven, again}, {false, Down, loop}, {false, Same, loop}}},
		{"two retries", CountPlain, twice, 1, []ask{{true, Up, loop}, {false, Forgiven, again}, {false, Forgiven, again}, {false, Down, loop}}},
		{"a success forgets", CountPlain, base, 1, []ask{{true, Up, loop}, {false, Forgiven, again}, {true, Same, loop}, {false, Forgiven, again}}},
		{"retries anew after recovery", CountPlain, base, 1, []ask{{false, Down, loop}, {true, Up, loop}, {false, Forgiven, again}, {false, Down, loop}}},
		{"no retry", CountPlain, never, 1, []ask{{true, Up, loop}, {false, Down, loop}, {true, Up, loop}}},
		{"alpha", CountPlain, alpha, 1, []ask{{false, Down, loop}, {false, Same, loop}, {true, Up, loop}}},
		{"alpha, well at once", CountPlain, alpha, 1, []ask{{true, Up, loop}}},
		{"smtp forgives the first run", CountEach, base, 1, []ask{{false, Forgiven, again}, {false, Down, loop}}},
		{"smtp retries while down", CountEach, base, 1, []ask{{false, Forgiven, again}, {false, Down, loop}, {false, Same, again}, {false, Same, loop}, {true, Up, loop}}},
		{"url: first failure is not forgiven", CountURLs, base, 1, []ask{{false, Down, loop}, {true, StepUp, loop}, {true, Up, loop}}},
		{"url: recovers in two", CountURLs, base, 1, []ask{{true, Up, loop}, {false, Forgiven, again}, {false, Down, loop}, {false, Same, loop}, {true, StepUp, loop}, {true, Up, loop}}},
		{"urls at start", CountURLs, base, 2, []ask{{true, StepUp, loop}, {true, Up, loop}, {true, Same, loop}, {true, Same, loop}}},
		{"urls: the second fails on the first run", CountURLs, base, 2, []ask{{true, StepUp, loop}, {false, Down, loop}, {true, StepUp, loop}, {true, StepUp, loop}, {true, Up, loop}}},
		{"urls: each has its retries", CountURLs, base, 2, []ask{{true, StepUp, loop}, {true, Up, loop}, {false, Forgiven, again}, {true, Same, loop}, {false, Forgiven, again}, {true, Same, loop}}},
		{"urls: a failure on the way up does not start over", CountURLs, base, 2, []ask{{false, Down, loop}, {true, StepUp, loop}, {true, StepUp, loop}, {false, Same, again}, {true, Up, loop}}},
		{"urls: the longer delay while one has failed", CountURLs, slow, 1, []ask{{false, Down, 9 * time.Second}, {false, Same, 9 * time.Second}, {true, StepUp, loop}}},
		{"urls: fast recovery", CountURLs, fast, 2, []ask{{false, Down, loop}, {true, StepUp, 0}, {true, StepUp, 0}, {true, Up, loop}, {true, Same, loop}}},
		{"urls: alpha says nothing of the first failure", CountURLs, alpha, 1, []ask{{false, Same, loop}, {true, StepUp, loop}, {true, Up, loop}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewProbe(0, tt.count, tt.timing, tt.steps, 0.5)
			if got, want := p.Due(), clock.Mono(Bootstrap+loop/2); got != want {
				t.Fatalf("first due at %d, want %d", got, want)
			}
			for i, a := range tt.asks {
				var err error
				if !a.ok {
					err = errors.New("no")
				}
				start := p.Due()
				end := start.Add(250 * time.Millisecond)
				got := p.Result(start, end, err)
				if pause := p.Due().Sub(end); got != a.want || pause != a.pause {
					t.Fatalf("ask %d: %v and %v, want %v and %v", i, got, pause, a.want, a.pause)
				}
				if got == Up && !p.Up() || got == Down && p.Up() {
					t.Fatalf("ask %d: %v but Up is %t", i, got, p.Up())
				}
			}
		})
	}
}

func TestProbeCountsFromTheStartOfAScript(t *testing.T) {
	p := NewProbe(0, CountStarts, Timing{Loop: 5 * time.Second, BeforeRetry: time.Second, Retry: 1}, 1, 0)
	at := func(s float64) clock.Mono { return clock.Mono(s * float64(time.Second)) }
	for _, s := range []struct {
		start, end float64
		err        error
		due        float64
	}{
		{1, 3, nil, 6},
		{6, 6.5, errors.New("exit 1"), 7},
		{7, 7.1, nil, 12},
		{12, 20, nil, 20}, // slower than its period: at once
	} {
		p.Result(at(s.start), at(s.end), s.err)
		if p.Due() != at(s.due) {
			t.Errorf("ran %v to %v: due %v, want %v", s.start, s.end, time.Duration(p.Due()), time.Duration(at(s.due)))
		}
	}
}

func TestProbeSkipKeepsTheState(t *testing.T) {
	p := NewProbe(0, CountPlain, Timing{Loop: time.Second, Retry: 1}, 1, 0)
	p.Result(0, 0, nil)
	if o := p.Skip(clock.Mono(time.Second)); o != Unknown || !p.Up() || p.Due() != clock.Mono(2*time.Second) {
		t.Errorf("Skip: %v, up %t, due %v", o, p.Up(), p.Due())
	}
}

func TestProbeAdopt(t *testing.T) {
	run := func(timing Timing, results ...bool) *Probe {
		p := NewProbe(0, CountPlain, timing, 1, 0)
		for _, ok := range results {
			var err error
			if !ok {
				err = errors.New("no")
			}
			p.Result(0, 7, err)
		}
		return p
	}
	three, one, none := Timing{Retry: 3, Loop: 9}, Timing{Retry: 1, Loop: 9}, Timing{Loop: 9}
	for _, tt := range []struct {
		name string
		old  *Probe
		now  Timing
		up   bool
		more int // failures until it is down
	}{
		{"down stays down", run(none, false), three, false, 0},
		{"forgiven failures count on", run(three, true, false, false), three, true, 2},
		{"one more failure is enough", run(three, true, false, false, false), one, true, 2},
		{"no retry any more", run(three, true, false), none, true, 1},
		{"never asked", run(three), one, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewProbe(99, CountPlain, tt.now, 1, 0)
			p.Adopt(tt.old)
			if p.Up() != tt.up || p.Due() != tt.old.Due() {
				t.Fatalf("up %t due %d, want %t and %d", p.Up(), p.Due(), tt.up, tt.old.Due())
			}
			n := 0
			for p.Up() {
				n++
				p.Result(0, 0, errors.New("no"))
			}
			if n != tt.more {
				t.Errorf("down after %d failures, want %d", n, tt.more)
			}
		})
	}
}
