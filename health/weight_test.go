package health

import (
	"math"
	"testing"
	"time"

	"dirsw/clock"
)

func TestGradeOf(t *testing.T) {
	for _, tt := range []struct {
		g          Grade
		configured int
		want       int
	}{
		{Grade{}, 7, 7},
		{Grade{Kind: GradeWeight, Value: 253}, 7, 253},
		{Grade{Kind: GradePercent, Value: 75}, 100, 75},
		{Grade{Kind: GradePercent, Value: 1}, 10, 1}, // not drained by rounding
		{Grade{Kind: GradePercent, Value: 0}, 10, 0},
		{Grade{Kind: GradePercent, Value: 1000}, maxWeight, maxWeight},
		{Grade{Kind: GradeDelta, Value: -9}, 7, 0},
		{Grade{Kind: GradeDelta, Value: 5}, 7, 12},
	} {
		if got := tt.g.Of(tt.configured); got != tt.want {
			t.Errorf("%+v of %d is %d, want %d", tt.g, tt.configured, got, tt.want)
		}
	}
}

// The states of process_update_checker_track_file_status in keepalived's track_file.c.
func TestScaleOf(t *testing.T) {
	for _, tt := range []struct {
		s     Scale
		value int64
		up    bool
		delta int
	}{
		{Scale{}, 0, true, 0},
		{Scale{}, 1, false, 0},
		{Scale{}, -1, false, 0},
		{Scale{Reverse: true}, 0, false, 0},
		{Scale{Reverse: true}, 5, true, 0},
		{Scale{Weight: 2}, 3, true, 6},
		{Scale{Weight: 2, Reverse: true}, 3, true, -6},
		{Scale{Weight: -2}, 3, true, -6},
		{Scale{Weight: 1}, math.MinInt32, false, 0},
		{Scale{Weight: 1}, math.MinInt32 + 1, true, math.MinInt32 + 1},
		{Scale{Weight: 1 << 30}, 1 << 30, true, math.MaxInt32},
		{Scale{Weight: math.MinInt32}, math.MaxInt64, false, 0},
		{Scale{Weight: 1, Reverse: true}, 1 << 31, false, 0},
	} {
		if up, delta := tt.s.Of(tt.value); up != tt.up || delta != tt.delta {
			t.Errorf("%+v of %d: %t %d, want %t %d", tt.s, tt.value, up, delta, tt.up, tt.delta)
		}
	}
}

func TestDamperBoundsStepAndRate(t *testing.T) {
	b := Damp{MaxStep: 10, MinInterval: 5 * time.Second}
	var d damper
	have := 100
	for _, s := range []struct {
		at   float64
		want int
		now  int
	}{
		{0, 100, 100},
		{1, 20, 90},
		{2, 20, 90}, // too soon
		{5.9, 20, 90},
		{6, 20, 80},
		{11, 200, 90},
		{16, 93, 93},
		{17, 93, 93},
		{21, 90, 90},
	} {
		have = d.step(clock.Mono(s.at*float64(time.Second)), b, have, s.want)
		if have != s.now {
			t.Fatalf("at %v towards %d: %d, want %d", s.at, s.want, have, s.now)
		}
	}
	var free damper
	if got := free.step(0, Damp{}, 100, 3); got != 3 {
		t.Errorf("without bounds: %d, want 3", got)
	}
}

// TestDampedFeedbackDoesNotOscillate closes the loop: of two servers each reports what it has left, and is so given more
// when it was idle, so that without bounds both are filled and emptied in turn for ever.
func TestDampedFeedbackDoesNotOscillate(t *testing.T) {
	swing := func(b Damp) (most int) {
		w := [2]int{100, 60}
		var d [2]damper
		for i := range 300 {
			now := clock.Mono(i) * clock.Mono(time.Second)
			sum := w[0] + w[1]
			before := w
			for s := range w {
				load := 200 * float64(before[s]) / float64(max(sum, 1)) // 100 % if the other has as much
				idle := Grade{Kind: GradePercent, Value: max(0, int(200-load*1.5))}
				w[s] = d[s].step(now, b, before[s], idle.Of(100))
			}
			if i >= 200 {
				most = max(most, w[0]-before[0], before[0]-w[0])
			}
		}
		return most
	}
	free, damped := swing(Damp{}), swing(Damp{MaxStep: 5, MinInterval: 2 * time.Second})
	if free < 40 {
		t.Fatalf("without bounds the weight moves by %d: this is no test", free)
	}
	if damped > 5 {
		t.Errorf("with bounds the weight moves by %d at once, want at most 5", damped)
	}
	t.Logf("moves by %d without bounds, %d with", free, damped)
}
