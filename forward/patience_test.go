package forward

import "testing"

// TestPatience lets frames come after some empty breaths, or not before the worker sleeps, and counts the breaths before that.
func TestPatience(t *testing.T) {
	p := newPatience()
	// until counts the empty breaths before p is lost, at most limit, and has frames come then.
	until := func(limit int) (n int) {
		for n < limit && !p.lost() {
			n++
		}
		if n < limit && !p.lost() { // asleep, it sleeps on
			t.Error("after a sleep without frames it is awake")
		}
		p.paid()
		return n
	}
	for i, tt := range []struct{ frames, want int }{
		{1000, 64}, {1000, 32}, {1000, 16}, {1000, 8}, {1000, 4}, {1000, 2}, {1000, 2}, // nothing comes while it waits
		{0, 0}, {1000, 2}, // frames in every breath say nothing
		{1, 1}, {1000, 4}, {1000, 2}, // it has waited for one
		{2, 2}, {3, 3}, {4, 4}, {15, 15}, {30, 30}, {60, 60}, {1000, 64}, // each time twice as long
	} {
		if got := until(tt.frames); got != tt.want {
			t.Errorf("row %d: %d empty breaths, want %d", i, got, tt.want)
		}
	}
}
