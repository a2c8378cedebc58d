package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// testFake is in the environment of processes that shall behave as a dirsw that does not do its work: "silent" never says
// that it forwards, "proxy" answers the requests itself.
const testFake = "DIRSW_LAB_TEST_FAKE"

// fake is such a dirsw.
func fake(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if args[0] != "run" {
		fmt.Println("TCP  192.168.56.200:80 rr persistent 50")
		return 0
	}
	if os.Getenv(testFake) == "silent" {
		<-ctx.Done()
		return 0
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	l, err := netlink.LinkByName(demoInterface)
	if err == nil {
		var a *netlink.Addr
		if a, err = netlink.ParseAddr("192.168.56.200/32"); err == nil {
			a.ValidLft, a.PreferedLft = 12, 12
			err = netlink.AddrAdd(l, a)
			go func() {
				for range time.Tick(3 * time.Second) {
					_ = netlink.AddrReplace(l, a) // as long as it runs
				}
			}()
		}
	}
	if err == nil {
		err = Serve(ctx, "RS1", ":80", func() { fmt.Println(readyLine + "\nEntering MASTER STATE") })
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// demoOf runs `lab demo` with the test binary as dirsw, and returns it started, with what it prints.
func demoOf(t *testing.T, kind string) (*exec.Cmd, *logBuffer) {
	t.Helper()
	testenv.NeedNetAdmin(t)
	out := newLogBuffer("In lb1: dirsw run ")
	cmd := exec.Command(self(), "lab", "demo", "dr")
	cmd.Env = append(os.Environ(), testPrefix+"="+t.Name(), testFake+"="+kind, "TMPDIR="+t.TempDir())
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	return cmd, out
}

// gone fails the test if the demo of this test has left something.
func gone(t *testing.T) {
	t.Helper()
	if left := traces(t, t.Name()); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// tidy fails the test if the demo has left files.
func tidy(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	for _, v := range cmd.Env {
		if dir, ok := strings.CutPrefix(v, "TMPDIR="); ok {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("files left behind: %v %v", left, err)
			}
		}
	}
}

func TestDemoSeesThroughAProxy(t *testing.T) {
	t.Parallel()
	cmd, out := demoOf(t, "proxy")
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("got %v, want exit status 1", err)
	}
	for _, want := range []string{
		"OK     one server answered all of them", // so far the proxy gets
		"FAILED the reason is the persistence template",
		"FAILED dirsw ipvsadm -Ln lists the service without persistence",
		"FAILED each was answered by the other server",
		"FAILED the director has none of the replies",
		"FAILED the client has them from the MACs of both real servers",
		"FAILED an XDP program is attached",
		"OK     the director's MAC answers, and no other",
		"OK     ping is answered",
		"OK     the kernel has removed 192.168.56.200 by itself",
	} {
		if !strings.Contains(out.text(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.text())
	}
	gone(t)
	tidy(t, cmd)
}

// atOnce is how many scenarios are played at the same time: they wait more than they work.
const atOnce = 5

// ciArgs are what scenarios are given here that would take too long as a whole: of the faults, those that show most.
var ciArgs = map[string][]string{"faults": {"5", "6", "10"}}

// played is a scenario that was run.
type played struct {
	cmd  *exec.Cmd
	out  []byte
	err  error
	done chan struct{}
}

// playAll starts `dirsw lab` with each of the command lines, some at a time, and returns at once.
func playAll(t *testing.T, program string, lines map[string][]string) map[string]*played {
	t.Helper()
	all := map[string]*played{}
	room := make(chan struct{}, atOnce)
	for name, args := range lines {
		p := &played{cmd: exec.Command(program, append([]string{"lab"}, args...)...), done: make(chan struct{})}
		p.cmd.Env = append(os.Environ(), testPrefix+"="+t.Name()+"/"+name, "TMPDIR="+t.TempDir(), slackEnv+"=30s")
		all[name] = p
		go func() {
			defer close(p.done)
			room <- struct{}{}
			p.out, p.err = p.cmd.CombinedOutput()
			<-room
		}()
	}
	return all
}

// buildProgram builds dirsw.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "dirsw")
	if out, err := exec.Command("go", "build", "-o", program, "dirsw/cmd/dirsw").CombinedOutput(); err != nil {
		t.Fatalf("build dirsw: %v\n%s", err, out)
	}
	return program
}

// alone is the scenario that takes every core, so that others must not be judged meanwhile.
const alone = "stress"

// The real thing: what `make demo` shows, and every other scenario.
func TestScenarios(t *testing.T) {
	testenv.NeedNetAdmin(t)
	t.Parallel()
	lines := map[string][]string{}
	for _, s := range scenarios() {
		if s.name != alone {
			lines[s.name] = append([]string{"demo", s.name}, ciArgs[s.name]...)
		}
	}
	playedWell(t, playAll(t, buildProgram(t), lines))
}

// TestStress is not parallel to any other test.
func TestStress(t *testing.T) {
	testenv.NeedNetAdmin(t)
	t.Setenv("DIRSW_LAB_STRESS", "10s")
	playedWell(t, playAll(t, buildProgram(t), map[string][]string{alone: {"demo", alone}}))
}

// playedWell waits for each and looks that all was well and nothing is left.
func playedWell(t *testing.T, all map[string]*played) {
	for name, p := range all {
		t.Run(name, func(t *testing.T) {
			<-p.done
			if p.err != nil || !strings.Contains(string(p.out), " steps OK.\n") {
				t.Errorf("%v\n%s", p.err, p.out)
			}
			gone(t)
			tidy(t, p.cmd)
		})
	}
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			cmd, out := demoOf(t, "silent")
			testenv.Await(t, "it waits for dirsw", func() bool {
				select {
				case <-out.said:
					return true
				default:
					return false
				}
			})
			must(t, cmd.Process.Signal(sig))
			if err := cmd.Wait(); err == nil {
				t.Errorf("exit status 0: %s", out.text())
			}
			if sig != unix.SIGKILL && !strings.Contains(out.text(), errInterrupted.Error()) {
				t.Errorf("it does not say that it was interrupted: %s", out.text())
			}
			deadline := time.Now().Add(testenv.Patience)
			for len(traces(t, t.Name())) > 0 && time.Now().Before(deadline) {
				time.Sleep(20 * time.Millisecond)
			}
			gone(t)
			if sig != unix.SIGKILL { // which no program outlives to tidy up
				tidy(t, cmd)
			}
		})
	}
}

func TestPastedIsAsItWasPublished(t *testing.T) {
	for _, want := range []string{persistence, "\u3000", "retry 3", "router_id LVS_MASTER", "interface " + demoInterface, "192.168.56.103 80"} {
		if !strings.Contains(Pasted, want) {
			t.Errorf("it does not hold %q", want)
		}
	}
}

func TestReportSaysWhatFailed(t *testing.T) {
	var b strings.Builder
	r := report{w: &b}
	r.begin("First.")
	r.did("this")
	r.saw("two\nlines")
	r.check(true, "so")
	r.check(false, "not %s", "so")
	if err := r.result(); err == nil {
		t.Error("no error")
	}
	want := `
1. First.
   did    this
   saw    two
          lines
   OK     so
   FAILED not so

FAILED: 1 of 2 checks
   1: not so
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestSlack: what is later than the limit is told, and fails unless there is slack.
func TestSlack(t *testing.T) {
	for _, c := range []struct {
		slack  string
		took   time.Duration
		fails  int
		saying string
	}{
		{"", 200 * time.Millisecond, 0, "OK     within 0.20 s"},
		{"", 201 * time.Millisecond, 1, "FAILED within 0.20 s"},
		{"1s", 200 * time.Millisecond, 0, "OK     within 0.20 s"},
		{"1s", 1200 * time.Millisecond, 0, "saw    1.00 s later than it should be"},
		{"1s", 1201 * time.Millisecond, 1, "FAILED within 0.20 s"},
	} {
		var b strings.Builder
		slack, err := slackOf(c.slack)
		must(t, err)
		r := report{w: &b, slack: slack}
		r.within(c.took, 200*time.Millisecond, "within %.2f s", 0.2)
		if len(r.failed) != c.fails || !strings.Contains(b.String(), c.saying) {
			t.Errorf("slack %q, %v: %q, want %q", c.slack, c.took, b.String(), c.saying)
		}
	}
	for _, value := range []string{"1", "-1s", "soon"} {
		if _, err := slackOf(value); err == nil {
			t.Errorf("%q is taken", value)
		}
	}
}

func TestSegments(t *testing.T) {
	frame := []byte("\x08\x00\x27\x00\x00\x01\x08\x00\x27\x00\x01\x03\x08\x00" +
		"\x46\x00\x00\x2c\x00\x00\x40\x00\x40\x06\x00\x00\xc0\xa8\x38\xc8\xc0\xa8\x38\x01\x01\x01\x01\x01\x00\x50\x9c\x40")
	s, ok := tcpSegment(frame)
	if !ok || s.src.String() != "192.168.56.200:80" || s.dst.String() != "192.168.56.1:40000" || s.srcMAC.String() != "08:00:27:00:01:03" {
		t.Errorf("got %v %v", s, ok)
	}
	for n := range frame {
		if _, ok := tcpSegment(frame[:n]); ok {
			t.Errorf("%d bytes of it pass for a segment", n)
		}
	}
}
