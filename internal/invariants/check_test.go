package invariants

import "testing"

func TestCheck(t *testing.T) {
	panicked := func(ok bool) (msg any) {
		defer func() { msg = recover() }()
		Check(ok, "pool has %d frames, want %d", 3, 4)
		return nil
	}
	if got := panicked(true); got != nil {
		t.Errorf("Check(true) panicked: %v", got)
	}
	got := panicked(false)
	if !Enabled {
		if got != nil {
			t.Errorf("Check(false) panicked without the tag: %v", got)
		}
		return
	}
	if want := "invariant broken: pool has 3 frames, want 4"; got != want {
		t.Errorf("Check(false) panicked with %v, want %q", got, want)
	}
}
