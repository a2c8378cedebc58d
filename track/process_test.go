package track

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/internal/testenv"
)

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Process
		comm string
		args string
		want bool
	}{
		{"by name", Process{Command: "nginx"}, "nginx", "", true},
		{"not a part of it", Process{Command: "ssh"}, "sshd", "", false},
		{"longer than the kernel keeps", Process{Command: "keepalived_checkers"}, "keepalived_chec", "keepalived_checkers -C", true},
		{"longer than the kernel keeps, by name", Process{Command: "keepalived_checkers"}, "keepalived_chec", "/x/keepalived_checkers", false},
		{"exact", Process{Command: "sleep", Params: []string{"1", "2"}}, "x", "sleep 1 2", true},
		{"exact, one more", Process{Command: "sleep", Params: []string{"1", "2"}}, "sleep", "sleep 1 2 3", false},
		{"exact, none", Process{Command: "sleep", Match: MatchExact}, "sleep", "sleep", true},
		{"exact, none wanted", Process{Command: "sleep", Match: MatchExact}, "sleep", "sleep 1", false},
		{"partial", Process{Command: "sleep", Params: []string{"1"}, Match: MatchPartial}, "sleep", "sleep 1 2", true},
		{"partial, other", Process{Command: "sleep", Params: []string{"1"}, Match: MatchPartial}, "sleep", "sleep 2 1", false},
		{"partial, none", Process{Command: "sleep", Match: MatchPartial}, "sleep", "sleep 1", false},
		{"partial, too few", Process{Command: "sleep", Params: []string{"1", "2"}, Match: MatchPartial}, "sleep", "sleep 1", false},
		{"initial", Process{Command: "a", Params: []string{"b", "cd"}, Match: MatchInitial}, "a", "a b cdef", true},
		{"initial, first longer", Process{Command: "a", Params: []string{"b", "cd"}, Match: MatchInitial}, "a", "a bb cd", false},
		{"initial, one more", Process{Command: "a", Params: []string{"b"}, Match: MatchInitial}, "a", "a bb c", true},
		{"initial, too few", Process{Command: "a", Params: []string{"b", "c"}, Match: MatchInitial}, "a", "a b", false},
		{"initial, none", Process{Command: "a", Match: MatchInitial}, "a", "a", true},
		{"full", Process{Command: "/usr/sbin/nginx", Full: true}, "nginx", "/usr/sbin/nginx -g x", true},
		{"full, by name", Process{Command: "nginx", Full: true}, "nginx", "/usr/sbin/nginx", false},
		{"a kernel thread", Process{Command: "kworker", Full: true}, "kworker", "", false},
	} {
		w := tc.p.watcher(New(Options{Clock: &clock.Manual{}})).(*processWatcher)
		var args []string
		if tc.args != "" {
			args = strings.Fields(tc.args)
		}
		if got := w.p.matches(tc.comm, args); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// fakeProc is a directory that looks like /proc.
type fakeProc struct {
	t   *testing.T
	dir string
}

func (f fakeProc) add(pid int, comm, state, cmdline string) {
	d := filepath.Join(f.dir, fmt.Sprint(pid))
	if err := os.MkdirAll(d, 0o755); err != nil {
		f.t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (%s) %s 1 2 3", pid, comm, state)
	for name, text := range map[string]string{"stat": stat, "cmdline": strings.ReplaceAll(cmdline, " ", "\x00")} {
		if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f fakeProc) remove(pid int) { os.RemoveAll(filepath.Join(f.dir, fmt.Sprint(pid))) }

func TestProcess(t *testing.T) {
	proc := fakeProc{t, t.TempDir()}
	proc.add(1, "init", "S", "init")
	proc.add(10, "a) b (c", "R", "x")
	proc.add(11, "web", "Z", "")
	os.WriteFile(proc.dir+"/uptime", []byte("1"), 0o644)
	os.Mkdir(proc.dir+"/12", 0o755) // ended meanwhile
	b := newBench(t, Options{Proc: proc.dir})
	err := b.Set([]Object{
		Process{Name: "odd", Command: "a) b (c"},
		Process{Name: "web", Command: "web"},
		Process{Name: "two", Command: "web", Quorum: 2, Max: 2, Limited: true},
		Process{Name: "none", Command: "web", Limited: true},
		Process{Name: "late", Command: "web", ForkDelay: 600 * time.Millisecond, TerminateDelay: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what, want string) {
		t.Helper()
		if got := fmt.Sprint(b.take()); got != want {
			t.Errorf("%s: told %v, want %v", what, got, want)
		}
	}
	const p = "vrrp_track_process "
	check("at first", "["+p+"late down "+p+"none up "+p+"odd up "+p+"two down "+p+"web down]")
	b.run(t)
	b.lines()
	proc.add(20, "web", "S", "/bin/web")
	b.clk.Advance(250 * time.Millisecond)
	check("one", "["+p+"none down "+p+"web up]")
	if got, want := b.lines()[:2], "[Process web, number of current processes changed from 0 to 1, quorum up Quorum gained for tracked process web]"; fmt.Sprint(got) != want {
		t.Errorf("log %v, want %v", got, want)
	}
	proc.add(21, "web", "S", "/bin/web")
	b.clk.Advance(250 * time.Millisecond)
	check("two", "["+p+"two up]")
	proc.add(22, "web", "S", "/bin/web")
	b.clk.Advance(250 * time.Millisecond)
	check("three", "["+p+"two down]")
	b.clk.Advance(250 * time.Millisecond)
	check("after the delay", "["+p+"late up]")
	for pid := range 3 {
		proc.remove(20 + pid)
	}
	b.clk.Advance(250 * time.Millisecond)
	check("none", "["+p+"none up "+p+"web down]")
	b.clk.Advance(500 * time.Millisecond)
	proc.add(30, "web", "S", "/bin/web")
	b.clk.Advance(250 * time.Millisecond)
	check("back before the delay was over", "["+p+"none down "+p+"web up]")
	proc.remove(30)
	b.clk.Advance(250 * time.Millisecond)
	b.take()
	b.clk.Advance(750 * time.Millisecond)
	check("delay begins anew", "[]")
	b.clk.Advance(250 * time.Millisecond)
	check("and ends", "["+p+"late down]")
	if err := b.Set([]Object{Process{Name: "web", Command: "web", Quorum: 2}}); err != nil {
		t.Fatal(err)
	}
	check("a reload that changes nothing", "[]")
	proc.add(40, "web", "S", "/bin/web")
	proc.add(41, "web", "S", "/bin/web")
	b.clk.Advance(250 * time.Millisecond)
	check("after a reload", "["+p+"web up]")
}

// TestProcessReal counts a real program of a name that nobody else has.
func TestProcessReal(t *testing.T) {
	name := fmt.Sprintf("dirswtp%d", os.Getpid()%100000)
	path := filepath.Join(t.TempDir(), name)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	data, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{})
	set := func() string {
		t.Helper()
		err := b.Set([]Object{Process{Name: "comm", Command: name}, Process{Name: "params", Command: path, Params: []string{"10"}, Match: MatchInitial}})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(b.States())
	}
	const p = "vrrp_track_process "
	if got, want := set(), "["+p+"comm down "+p+"params down]"; got != want {
		t.Errorf("before: %s, want %s", got, want)
	}
	b.run(t)
	cmd := exec.Command(path, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	b.clk.Advance(250 * time.Millisecond)
	if got, want := fmt.Sprint(b.States()), "["+p+"comm up "+p+"params up]"; got != want {
		t.Errorf("running: %s, want %s", got, want)
	}
	cmd.Process.Kill()
	testenv.Await(t, "both to be down, without any time passing on the tracker's clock", func() bool {
		return !b.States()[0].Up && !b.States()[1].Up
	})
	testenv.Await(t, "a zombie", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(stat), ") Z ")
	})
	b.clk.Advance(250 * time.Millisecond)
	if got, want := fmt.Sprint(b.States()), "["+p+"comm down "+p+"params down]"; got != want {
		t.Errorf("a zombie: %s, want %s", got, want)
	}
	cmd.Wait()
}

func BenchmarkScan(b *testing.B) {
	for _, cmdline := range []bool{false, true} {
		b.Run(fmt.Sprintf("cmdline=%v", cmdline), func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = 0
				eachProcess("/proc", cmdline, func(int, string, []string) { n++ })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/process")
		})
	}
}
