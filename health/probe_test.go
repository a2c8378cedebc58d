package health

import (
	"testing"
	"time"

	"dirsw/clock"
)

// The traces follow what keepalived 2.2.7 did with retry 1, delay_before_retry 1, delay_loop 1 and its default warmup.
func TestProbe(t *testing.T) {
	type ask struct {
		ok      bool
		verdict Verdict
		pause   time.Duration
	}
	const loop, again = 3 * time.Second, time.Second
	base := Timing{Retry: 1, DelayBeforeRetry: again, DelayLoop: loop, Warmup: loop}
	alpha, fast, never := base, base, base
	alpha.Alpha, fast.FastRecovery, never.Retry = true, true, 0
	tests := []struct {
		name   string
		timing Timing
		steps  int
		asks   []ask
	}{
		{"the first failure is not forgiven", base, 0, []ask{{false, Failed, loop}, {false, Same, loop}, {true, Succeeded, loop}}},
		{"one retry", base, 0, []ask{{true, Succeeded, loop}, {false, Forgiven, again}, {false, Failed, loop}}},
		{"a success forgets", base, 0, []ask{{true, Succeeded, loop}, {false, Forgiven, again}, {true, Same, loop}, {false, Forgiven, again}}},
		{"no retry", never, 0, []ask{{true, Succeeded, loop}, {false, Failed, loop}, {true, Succeeded, loop}}},
		{"alpha", alpha, 0, []ask{{false, Failed, loop}, {true, Succeeded, loop}}},
		{"one url recovers in two", base, 1, []ask{{true, Succeeded, loop}, {false, Forgiven, again}, {false, Failed, loop}, {true, Advanced, loop}, {true, Succeeded, loop}}},
		{"two urls at start", base, 2, []ask{{true, Advanced, loop}, {true, Succeeded, loop}, {true, Same, loop}}},
		{"fast recovery", fast, 2, []ask{{false, Failed, loop}, {true, Advanced, 0}, {true, Advanced, 0}, {true, Succeeded, loop}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := clock.Mono(0)
			p := NewProbe(now, tt.timing, tt.steps, 0.5)
			if got, want := p.Due(), now.Add(Bootstrap+loop/2); got != want {
				t.Fatalf("first due at %d, want %d", got, want)
			}
			for i, a := range tt.asks {
				was := p.Up()
				now = p.Due()
				changed := p.Result(now, Result{OK: a.ok})
				if p.Verdict() != a.verdict || p.Due().Sub(now) != a.pause || changed != (was != p.Up()) {
					t.Fatalf("ask %d: verdict %d after %v, changed %t, want %d after %v", i, p.Verdict(), p.Due().Sub(now), changed, a.verdict, a.pause)
				}
				if a.verdict == Succeeded && !p.Up() || a.verdict == Failed && p.Up() {
					t.Fatalf("ask %d: up is %t after verdict %d", i, p.Up(), a.verdict)
				}
			}
		})
	}
}

func TestProbeWeight(t *testing.T) {
	p := NewProbe(0, Timing{DelayLoop: time.Second}, 0, 0)
	for _, s := range []struct {
		r       Result
		changed bool
		adjust  int
	}{{Result{OK: true, Adjust: 7}, true, 7}, {Result{OK: true, Adjust: 7}, false, 7}, {Result{}, true, 0}, {Result{OK: true}, true, 0}} {
		if got := p.Result(p.Due(), s.r); got != s.changed || p.Adjust() != s.adjust {
			t.Errorf("Result(%+v) = %t, adjust %d, want %t, %d", s.r, got, p.Adjust(), s.changed, s.adjust)
		}
	}
}
