package director

import (
	"errors"
	"strings"
	"testing"

	"dirsw/health"
	"dirsw/internal/testenv"
)

func (w *world) setFail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail, w.refusals = err, 0
}

// refused is how often the filter has refused since.
func (w *world) refused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refusals
}

// TestHealthIsTriedAgain: what a check found is put in force later if the packet filter refuses for a while.
func TestHealthIsTriedAgain(t *testing.T) {
	d, w, _ := start(t)
	reals := func() int { return len(d.now.Load().model.Services[0].Reals) }
	if reals() != 2 {
		t.Fatalf("%d servers at the start", reals())
	}
	w.setFail(errors.New("not now"))
	s := &d.now.Load().wanted.Services[0]
	d.beats.put(health.Event{Key: checkKey(s, &s.Reals[0]), Changed: true, Why: "test"})
	testenv.Await(t, "the filter refuses", func() bool { return w.refused() > 0 })
	if reals() != 2 {
		t.Fatal("the filter has refused, and yet it is in force")
	}
	w.setFail(nil)
	testenv.Await(t, "a server that is down is taken out", func() bool { return reals() == 1 })
}

// TestHealthAfterARefusedReload: a server that is down, and that a reload would have taken out which the filter then refused,
// is checked anew. Its state must be the prober's again, or nobody would hear that it answers.
func TestHealthAfterARefusedReload(t *testing.T) {
	d, w, text := start(t)
	checked := strings.Replace(directorConf, "    real_server 192.0.2.2 80 {\n        weight 1\n",
		"    real_server 192.0.2.2 80 {\n        weight 1\n        delay_loop 60\n        warmup 0\n        MISC_CHECK {\n            misc_path /bin/false\n        }\n", 1)
	*text = checked
	if _, _, err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	reals := func() int { return len(d.now.Load().model.Services[0].Reals) }
	await := func(what string, want int) {
		t.Helper()
		testenv.AwaitOr(t, func() bool { return reals() == want }, func() { t.Fatalf("%s: %d servers, want %d", what, reals(), want) })
	}
	await("after its check", 1)
	*text = directorConf[:strings.Index(directorConf, "    real_server 192.0.2.2")] + "}\n"
	w.setFail(errors.New("not now"))
	if _, _, err := d.Reload(); err == nil {
		t.Fatal("the filter has refused, and yet the reload succeeds")
	}
	w.setFail(nil)
	await("after a reload that came to nothing", 2)
}
