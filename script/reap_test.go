package script

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// TestReap: a child of a program that ended before it is ours where we are the subreaper, and is reaped; one that
// somebody waits for is left to them.
func TestReap(t *testing.T) {
	if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children"); err != nil {
		t.Skip(err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	clk := &clock.Manual{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Reap(ctx, clk) }()

	r := run(t, sh("sleep 0.05 & echo $!"))
	orphan, err := strconv.Atoi(strings.TrimSpace(string(r.Output)))
	if err != nil {
		t.Fatal(err)
	}
	zombie := func() bool { return slices.Contains(zombies(), orphan) }
	eventually(t, "the orphan is a zombie", zombie)
	looks := 0
	advance := func() {
		looks++
		clk.Await(reapEvery, looks)
		clk.Advance(reapEvery)
		clk.Await(reapEvery, looks+1) // it has looked
	}
	advance()
	if !zombie() {
		t.Error("reaped at first sight: somebody might have waited for it")
	}
	advance()
	if zombie() {
		t.Error("it is still there")
	}
	if r := run(t, sh("exit 4")); r.Status != 4 {
		t.Errorf("a program that was waited for: %+v", r)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
