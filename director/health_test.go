package director

import (
	"errors"
	"testing"
	"time"

	"dirsw/health"
)

// TestHealthIsTriedAgain: what a check found is put in force later if the packet filter refuses for a while.
func TestHealthIsTriedAgain(t *testing.T) {
	d, w, _ := start(t)
	reals := func() int { return len(d.now.Load().model.Services[0].Reals) }
	if reals() != 2 {
		t.Fatalf("%d servers at the start", reals())
	}
	setFail := func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fail = err
	}
	setFail(errors.New("not now"))
	s := &d.now.Load().wanted.Services[0]
	d.beats.report(health.Event{Key: checkKey(s, &s.Reals[0]), Changed: true, Why: "test"})
	time.Sleep(50 * time.Millisecond)
	if reals() != 2 {
		t.Fatal("the filter has refused, and yet it is in force")
	}
	setFail(nil)
	for limit := time.Now().Add(10 * time.Second); reals() != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("a server that is down is never taken out")
		}
	}
}
