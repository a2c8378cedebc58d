package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dirsw/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// upAnonymous builds a cluster that ends with the test.
func upAnonymous(t *testing.T) *Cluster {
	t.Helper()
	testenv.NeedNetAdmin(t)
	c, err := Up(DefaultSpec(), Options{})
	must(t, err)
	t.Cleanup(func() {
		if err := c.Down(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestEveryServerSaysWhichItIs(t *testing.T) {
	c := upAnonymous(t)
	for addr, want := range map[string]string{"192.168.56.103": "RS1", "192.168.56.104": "RS2"} {
		for _, from := range []string{"client", "lb1"} {
			got, err := Fetch(t.Context(), c.HTTPClient(from), "http://"+addr+"/")
			if err != nil || got != want {
				t.Errorf("%s from %s: got %q, %v; want %q", addr, from, got, err, want)
			}
		}
	}
	if _, err := Fetch(t.Context(), c.HTTPClient("nobody"), "http://192.168.56.103/"); err == nil {
		t.Error("a client of a node that does not exist got a page")
	}
}

func TestRealServersAreSilentAboutTheVIP(t *testing.T) {
	c := upAnonymous(t)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if conn, err := c.Dial(ctx, "client", "tcp", "192.168.56.200:80"); err == nil {
		conn.Close()
		t.Fatal("somebody answered for the VIP without a director")
	}
	h, err := c.Netlink("client")
	must(t, err)
	defer h.Close()
	all, err := h.NeighList(0, netlink.FAMILY_V4)
	must(t, err)
	for _, n := range all {
		if n.IP.String() == "192.168.56.200" && len(n.HardwareAddr) > 0 {
			t.Errorf("ARP for the VIP was answered by %v", n.HardwareAddr)
		}
	}
}

func TestDoAndCommandsAreInsideTheNode(t *testing.T) {
	c := upAnonymous(t)
	here, err := os.Readlink("/proc/thread-self/ns/net")
	must(t, err)
	var inside string
	must(t, c.Do("rs1", func() (err error) {
		inside, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}))
	if inside == here {
		t.Fatal("Do did not change the namespace")
	}
	out, err := c.Command(t.Context(), "rs1", "readlink", "/proc/self/ns/net").Output()
	must(t, err)
	if got := strings.TrimSpace(string(out)); got != inside {
		t.Errorf("a command in rs1 is in %s, Do in %s", got, inside)
	}
	if after, _ := os.Readlink("/proc/thread-self/ns/net"); after != here {
		t.Errorf("the test is in %s afterwards, it was in %s", after, here)
	}
	if err := c.Do("rs1", func() error { return os.ErrExist }); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want the function's own error", err)
	}
	if err := c.Do("rs1", func() error { runtime.Goexit(); return nil }); !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
	if err := c.Command(t.Context(), "rs9", "true").Run(); err == nil || !strings.Contains(err.Error(), "rs9") {
		t.Errorf("got %v, want that there is no rs9", err)
	}
	err = c.Command(t.Context(), "rs1", "false").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
}

func TestCommandOutlivesTheThreadsOfOthers(t *testing.T) {
	c := upAnonymous(t)
	cmd := c.Command(t.Context(), "rs1", "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	for range 50 { // threads that end with their goroutines must not be the one that sleep depends on
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked
		}()
		<-done
	}
	time.Sleep(100 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the command ended with another thread: %v", err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// lab runs `lab …` as a process of its own.
func lab(t *testing.T, prefix string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(self(), append([]string{"lab"}, args...)...)
	cmd.Env = append(os.Environ(), testPrefix+"="+prefix)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// traces lists what a lab with that prefix has left on the machine.
func traces(t *testing.T, prefix string) []string {
	t.Helper()
	var found []string
	names, err := filepath.Glob(filepath.Join(namesDir, prefix+"-*"))
	must(t, err)
	found = append(found, names...)
	if _, err := os.Stat(stateDir(prefix)); err == nil {
		found = append(found, stateDir(prefix))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, prefix) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	dirs, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, d := range dirs {
		if b, _ := os.ReadFile(d); bytes.Contains(b, []byte(testPrefix+"="+prefix+"\x00")) {
			found = append(found, filepath.Dir(d))
		}
	}
	return found
}

func TestKeptLab(t *testing.T) {
	testenv.NeedNetAdmin(t)
	prefix := ownPrefix(t)
	t.Cleanup(func() { _, _ = Remove(Options{Prefix: prefix}) })
	before := hostLinks(t)

	if _, stderr, status := lab(t, prefix, "status"); status != exitFailed || !strings.Contains(stderr, "dirsw lab up") {
		t.Errorf("status of nothing: %d %s", status, stderr)
	}
	if stdout, _, status := lab(t, prefix, "down"); status != exitOK || !strings.Contains(stdout, "not up") {
		t.Errorf("down of nothing: %d %s", status, stdout)
	}
	if stdout, stderr, status := lab(t, prefix, "up"); status != exitOK || !strings.Contains(stdout, "RS1 listens") {
		t.Fatalf("up: %d %s%s", status, stdout, stderr)
	}
	if after := hostLinks(t); after != before {
		t.Errorf("the links of this namespace changed:\nfrom %s\nto   %s", before, after)
	}
	if stdout, _, status := lab(t, prefix, "up"); status != exitOK || !strings.Contains(stdout, "up already") {
		t.Errorf("up again: %d %s", status, stdout)
	}
	if stdout, stderr, status := lab(t, prefix, "exec", "client", "--", "curl", "-s", "--max-time", "30", "http://192.168.56.103/"); status != exitOK || !strings.HasPrefix(stdout, "RS1\nclient 192.168.56.1:") {
		t.Errorf("curl: %d %q %s", status, stdout, stderr)
	}
	if _, _, status := lab(t, prefix, "exec", "rs1", "--", "sh", "-c", "exit 7"); status != 7 {
		t.Errorf("exec passes status %d on, want 7", status)
	}
	if out, err := exec.Command("ip", "netns", "exec", prefix+"-lb1", "ip", "-br", "addr", "show", "enp0s8").CombinedOutput(); err != nil || !strings.Contains(string(out), "192.168.56.101/24") {
		t.Errorf("ip netns exec: %v %s", err, out)
	}
	c, err := Open(Options{Prefix: prefix})
	must(t, err)
	if got, err := Fetch(t.Context(), c.HTTPClient("client"), "http://192.168.56.104/"); err != nil || got != "RS2" {
		t.Errorf("through Open: %q, %v", got, err)
	}
	must(t, c.Close())
	if stdout, stderr, status := lab(t, prefix, "down"); status != exitOK || !strings.Contains(stdout, "5 namespaces, 2 servers") {
		t.Errorf("down: %d %s%s", status, stdout, stderr)
	}
	if left := traces(t, prefix); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestDownAfterAnInterruptedUp(t *testing.T) {
	testenv.NeedNetAdmin(t)
	prefix := ownPrefix(t)
	t.Cleanup(func() { _, _ = Remove(Options{Prefix: prefix}) })
	for _, after := range []time.Duration{5, 40, 80, 120, 200} {
		cmd := exec.Command(self(), "lab", "up")
		cmd.Env = append(os.Environ(), testPrefix+"="+prefix)
		must(t, cmd.Start())
		time.Sleep(after * time.Millisecond)
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if _, err := os.Stat(stateDir(prefix)); err == nil {
			if s, err := loadState(prefix); err == nil && !s.Complete {
				if _, stderr, status := lab(t, prefix, "up"); status != exitFailed || !strings.Contains(stderr, "dirsw lab down") {
					t.Errorf("up on leftovers: %d %s", status, stderr)
				}
			}
		}
		if _, stderr, status := lab(t, prefix, "down"); status != exitOK {
			t.Errorf("down after %d ms: %s", after, stderr)
		}
		// A server that had not been written down ends by itself when it finds its starter gone.
		deadline := time.Now().Add(testenv.Patience)
		for len(traces(t, prefix)) > 0 && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		if left := traces(t, prefix); len(left) > 0 {
			t.Errorf("left behind by an up of %d ms: %q", after, left)
		}
	}
}

func TestDownSparesWhatIsNotItsOwn(t *testing.T) {
	testenv.NeedNetAdmin(t)
	prefix := ownPrefix(t)
	t.Cleanup(func() { _, _ = Remove(Options{Prefix: prefix}) })
	if _, stderr, status := lab(t, prefix, "up"); status != exitOK {
		t.Fatal(stderr)
	}
	// The state of a server whose pid now belongs to another process: this one.
	s, err := loadState(prefix)
	must(t, err)
	servers := s.Servers
	start, err := startTime(os.Getpid())
	must(t, err)
	s.Servers = append(s.Servers, server{Node: "rs1", PID: os.Getpid(), Start: start - 1})
	must(t, s.save())
	sleeper := exec.Command("nsenter", "--net="+filepath.Join(namesDir, prefix+"-client"), "sleep", "60")
	must(t, sleeper.Start())
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	testenv.Await(t, "nsenter has become sleep", func() bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", sleeper.Process.Pid))
		return err == nil && bytes.HasPrefix(line, []byte("sleep\x00"))
	})

	stdout, stderr, status := lab(t, prefix, "down")
	if status != exitOK || !strings.Contains(stdout, "Left running in client, now without a network: "+strconv.Itoa(sleeper.Process.Pid)+" sleep 60") {
		t.Errorf("down: %d %s%s", status, stdout, stderr)
	}
	for _, p := range servers {
		if alive(p.PID, p.Start) {
			t.Errorf("server %d is still there", p.PID)
		}
	}
	if left := traces(t, prefix); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUpSparesANamespaceOfThatName(t *testing.T) {
	testenv.NeedNetAdmin(t)
	prefix := ownPrefix(t)
	if out, err := exec.Command("ip", "netns", "add", prefix+"-rs1").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	defer func() { _ = exec.Command("ip", "netns", "del", prefix+"-rs1").Run() }()
	if _, stderr, status := lab(t, prefix, "up"); status != exitFailed || !strings.Contains(stderr, prefix+"-rs1") {
		t.Errorf("up: %d %s", status, stderr)
	}
	if out, err := exec.Command("ip", "netns", "exec", prefix+"-rs1", "true").CombinedOutput(); err != nil {
		t.Errorf("the other's namespace is gone: %v %s", err, out)
	}
	must(t, exec.Command("ip", "netns", "del", prefix+"-rs1").Run())
	if left := traces(t, prefix); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// hostLinks is a picture of the links of the test's own namespace.
func hostLinks(t *testing.T) string {
	t.Helper()
	all, err := netlink.LinkList()
	must(t, err)
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "%d:%s ", l.Attrs().Index, l.Attrs().Name)
	}
	return b.String()
}

func TestMistakesOfTheCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{}, {"sideways"}, {"up", "now"}, {"exec"}, {"exec", "client"}, {"exec", "client", "--"}, {"exec", "--", "true"}, {"serve"}, {"serve", "--name"},
	} {
		var out, errs bytes.Buffer
		if got := Main(t.Context(), args, &out, &errs, MainOptions{}); got != exitUsage || !strings.Contains(errs.String(), "usage: dirsw lab") {
			t.Errorf("%q: got status %d and %q, want the usage and 2", args, got, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if got := Main(t.Context(), []string{"up", "--help"}, &out, &errs, MainOptions{}); got != exitOK || !strings.HasPrefix(out.String(), "usage: dirsw lab") {
		t.Errorf("--help: got %d %q", got, out.String())
	}
}

func TestSpecIsChecked(t *testing.T) {
	addr := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
	for name, n := range map[string]NodeSpec{
		"name of the switch": {Name: "switch", Interface: "eth0"},
		"path as a name":     {Name: "a/b", Interface: "eth0"},
		"no interface":       {Name: "a"},
		"interface too long": {Name: "a", Interface: "abcdefghijklmnop"},
		"page without port":  {Name: "a", Interface: "eth0", Page: "A"},
		"no address":         {Name: "a", Interface: "eth0", Addrs: []netip.Prefix{{}}},
	} {
		if err := (Spec{Nodes: []NodeSpec{n}}).validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	twice := NodeSpec{Name: "a", Interface: "eth0", Addrs: addr}
	if err := (Spec{Nodes: []NodeSpec{twice, twice}}).validate(); err == nil {
		t.Error("the same name twice: accepted")
	}
	if err := DefaultSpec().validate(); err != nil {
		t.Error(err)
	}
}

func TestSpecSurvivesTheState(t *testing.T) {
	b, err := json.Marshal(DefaultSpec())
	must(t, err)
	var got Spec
	must(t, json.Unmarshal(b, &got))
	if fmt.Sprint(got) != fmt.Sprint(DefaultSpec()) {
		t.Errorf("got %v, want %v", got, DefaultSpec())
	}
}
