package sched

import "testing"

// TestWrrBeginsAnewAfterEdits: an edit puts the turn back to the head of the list and leaves the level, even one that
// changes nothing, as a kernel showed.
func TestWrrBeginsAnewAfterEdits(t *testing.T) {
	p := pool(1, 3, 1) // the last one stands at the tail
	w := made(t, "wrr", p)
	for i, want := range []int{1, 1, 0} {
		if got := w.Pick(p, &Flow{}); got != want {
			t.Fatalf("pick %d: %d, want %d", i, got, want)
		}
	}
	same := *p
	same.Dests = append([]Dest(nil), p.Dests...)
	w.Update(&same, true)
	before := p.Cursor.Load()
	edited := same
	edited.Dests = append([]Dest(nil), p.Dests...)
	edited.Dests[2].Edits = 7
	w.Update(&edited, true)
	if got := p.Cursor.Load(); got == before || got>>32 != 0 || uint32(got) != uint32(before) {
		t.Errorf("cursor %#x after the edit, %#x before: want the head of the list at the same level", got, before)
	}
	if got := w.Pick(&edited, &Flow{}); got != 0 {
		t.Errorf("picked %d after the edit, want 0", got)
	}
	w.Update(&edited, true)
	if got := w.Pick(&edited, &Flow{}); got != 1 {
		t.Errorf("picked %d after an update without an edit, want 1", got)
	}
}
