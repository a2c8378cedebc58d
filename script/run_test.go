package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/internal/testenv"
)

func sh(line string) Command {
	return Command{Args: []string{"/bin/sh", "-c", line}, Output: MaxOutput}
}

func run(t *testing.T, c Command) Result {
	t.Helper()
	return Runner{clock.NewSystem()}.Run(context.Background(), c)
}

func TestRunHowItEnds(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		cmd    Command
		want   Result
		reason string
	}{
		{"success", sh("exit 0"), Result{}, ""},
		{"status", sh("exit 3"), Result{Status: 3}, "exited with status 3"},
		{"signal", sh("kill -SEGV $$"), Result{Signal: syscall.SIGSEGV}, "due to signal 11"},
		{"output", sh("echo one; echo two >&2"), Result{Output: []byte("one\ntwo\n")}, ""},
		{"no shell", Command{Args: []string{"/bin/echo", "$HOME;", "*", "a b", ""}, Output: 100}, Result{Output: []byte("$HOME; * a b \n")}, ""},
		{"found in PATH", Command{Args: []string{"true"}}, Result{}, ""},
		{"missing", Command{Args: []string{"/nonexistent/x"}}, Result{Err: syscall.ENOENT}, "run /nonexistent/x: no such file or directory"},
		{"missing in PATH", Command{Args: []string{"dirsw-nonexistent"}}, Result{Err: exec.ErrNotFound}, "run dirsw-nonexistent: executable file not found in $PATH"},
		{"not executable", Command{Args: []string{plain}}, Result{Err: syscall.EACCES}, "run " + plain + ": permission denied"},
		{"nothing", Command{}, Result{Err: ErrEmpty}, ErrEmpty.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, tc.cmd)
			if !errors.Is(got.Err, tc.want.Err) || got.Status != tc.want.Status || got.Signal != tc.want.Signal ||
				got.TimedOut || !bytes.Equal(got.Output, tc.want.Output) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if got.Reason() != tc.reason {
				t.Errorf("reason %q, want %q", got.Reason(), tc.reason)
			}
			if got.OK() != (tc.reason == "") {
				t.Errorf("OK %v, reason %q", got.OK(), tc.reason)
			}
		})
	}
}

func TestRunEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	t.Setenv("SCRIPT_TEST", "outer")
	c := sh("echo $NOTIFY_SOCKET $SCRIPT_TEST $MORE; readlink /proc/self/fd/0; cut -d' ' -f5 /proc/$$/stat; echo $$")
	c.Env = []string{"MORE=inner"}
	lines := strings.Split(string(run(t, c).Output), "\n")
	if len(lines) < 4 || lines[0] != "outer inner" || lines[1] != "/dev/null" || lines[2] != lines[3] {
		t.Errorf("environment, standard input, group, process: %q", lines)
	}
}

// TestRunTimeout lets each program run into its timeout; the clock is the test's, so only the signals take time.
func TestRunTimeout(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name string
		line string
		want syscall.Signal
	}{
		{"ends on SIGTERM", "touch up; exec sleep 100", syscall.SIGTERM},
		{"ignores SIGTERM", "trap '' TERM; touch up; exec sleep 100", syscall.SIGKILL},
		{"exits on SIGTERM", "trap 'exit 0' TERM; touch up; sleep 100 & wait", 0},
		{"has children", "sleep 100 & touch up; sleep 100", syscall.SIGTERM},
		{"has a child that ignores SIGTERM", "sh -c \"trap '' TERM; touch up; exec sleep 100\" & sleep 100", syscall.SIGTERM},
		{"prints for ever", "touch up; exec yes", syscall.SIGTERM},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := filepath.Join(dir, "up")
			os.Remove(up)
			clk := &clock.Manual{}
			c := sh("cd " + dir + "; echo $$; " + tc.line)
			c.Timeout = 5 * time.Second
			told := 0
			c.OnTimeout = func() { told++ }
			done := make(chan Result)
			go func() { done <- Runner{clk}.Run(context.Background(), c) }()
			eventually(t, "the program is up", func() bool { _, err := os.Stat(up); return err == nil })
			clk.Await(c.Timeout, 1)
			clk.Advance(4999 * time.Millisecond)
			select {
			case r := <-done:
				t.Fatalf("ended before its time: %+v", r)
			case <-time.After(20 * time.Millisecond):
			}
			clk.Advance(time.Millisecond)
			if tc.want == syscall.SIGKILL {
				clk.Advance(Grace)
			}
			r := <-done
			if !r.TimedOut || r.Signal != tc.want || r.OK() || r.Reason() != "" || told != 1 {
				t.Errorf("got %+v, reason %q, told %d times; want timed out by signal %d", r, r.Reason(), told, tc.want)
			}
			noGroup(t, r.Output)
		})
	}
}

// noGroup waits until nobody is left of the process group whose number the program printed first.
func noGroup(t *testing.T, output []byte) {
	t.Helper()
	first, _, _ := strings.Cut(string(output), "\n")
	pgid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatalf("output %q: %v", output, err)
	}
	eventually(t, fmt.Sprintf("the group %d is gone", pgid), func() bool { return alive(t, pgid) == 0 })
}

// alive counts the processes of a group that are no zombies: those belong to whoever is process 1 here.
func alive(t *testing.T, pgid int) int {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	n := 0
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if fields[2] == strconv.Itoa(pgid) && fields[0] != "Z" && fields[0] != "X" {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testenv.Await(t, what, ok)
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	c := sh("echo $$; touch " + dir + "/up; sleep 100 & wait")
	done := make(chan Result)
	go func() { done <- Runner{clock.NewSystem()}.Run(ctx, c) }()
	eventually(t, "the program is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	cancel()
	r := <-done
	if !errors.Is(r.Err, context.Canceled) || r.Signal != syscall.SIGTERM || r.TimedOut {
		t.Errorf("got %+v, want canceled by SIGTERM", r)
	}
	noGroup(t, r.Output)
	if err := os.Remove(dir + "/up"); err != nil {
		t.Fatal(err)
	}
	r = (Runner{clock.NewSystem()}).Run(ctx, c)
	if _, err := os.Stat(dir + "/up"); !errors.Is(r.Err, context.Canceled) || err == nil {
		t.Errorf("with a context that is done: %+v", r)
	}
}

// TestRunOutputBounded: a program that prints megabytes ends as soon as one that prints a line, and only the beginning
// is kept.
func TestRunOutputBounded(t *testing.T) {
	c := sh("head -c 20000000 /dev/zero | tr '\\0' x; echo end >&2")
	r := run(t, c)
	if !r.OK() || len(r.Output) != MaxOutput || strings.Trim(string(r.Output), "x") != "" {
		t.Errorf("ok %v, %d bytes kept, want %d", r.OK(), len(r.Output), MaxOutput)
	}
	c.Output = 1 << 30
	if r := run(t, c); len(r.Output) != MaxOutput {
		t.Errorf("%d bytes kept, want at most %d whatever is asked for", len(r.Output), MaxOutput)
	}
	c.Output = 0
	if r := run(t, c); !r.OK() || r.Output != nil {
		t.Errorf("without output: %+v", r)
	}
}

// TestRunLeavesBackgroundAlone: what a program starts and leaves behind lives on, and holds nobody up, though it has
// its standard output open.
func TestRunLeavesBackgroundAlone(t *testing.T) {
	r := run(t, sh("sleep 300 & echo $!"))
	pid, err := strconv.Atoi(strings.TrimSpace(string(r.Output)))
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	if r.Elapsed > testenv.Patience {
		t.Errorf("took %v", r.Elapsed)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("what it started: %v", err)
	}
}

// TestRunLeavesNothing: after many runs of every kind there are neither more goroutines nor open files nor zombies.
func TestRunLeavesNothing(t *testing.T) {
	run(t, sh("true")) // what the first run sets up once
	before, files := runtime.NumGoroutine(), openFiles(t)
	for i := range 20 {
		c := sh([]string{"true", "exit 1", "kill -9 $$", "echo x"}[i%4])
		c.Output = i % 3 * 100
		run(t, c)
		run(t, Command{Args: []string{"/nonexistent"}, Output: 10})
		c = sh("sleep 100")
		c.Timeout = time.Millisecond
		if r := run(t, c); !r.TimedOut {
			t.Fatalf("%+v, want timed out", r)
		}
	}
	eventually(t, "no more goroutines", func() bool { return runtime.NumGoroutine() <= before })
	if n := openFiles(t); n > files {
		t.Errorf("%d files open, before %d", n, files)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err == nil && len(bytes.TrimSpace(children)) != 0 {
		t.Errorf("children left: %s", children)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

func TestRunAtOnce(t *testing.T) {
	const n = 50
	done := make(chan Result)
	for i := range n {
		go func() { done <- run(t, sh(fmt.Sprintf("exit %d", i))) }()
	}
	seen := map[int]bool{}
	for range n {
		r := <-done
		seen[r.Status] = true
	}
	if len(seen) != n {
		t.Errorf("%d different exit statuses, want %d", len(seen), n)
	}
}

func TestCommandString(t *testing.T) {
	c := Command{Args: []string{"/bin/a", "b c", "", `d"e`}}
	if got, want := c.String(), `/bin/a "b c" "" "d\"e"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d := c.With("x", "y")
	if len(c.Args) != 4 || len(d.Args) != 6 || d.Name() != "/bin/a" {
		t.Errorf("With: %v, %v", c.Args, d.Args)
	}
}

func TestFirstLine(t *testing.T) {
	r := Result{Output: []byte("\n  \n  what it says \xff\nmore")}
	if got := r.FirstLine(); got != "what it says ?" {
		t.Errorf("got %q", got)
	}
}
