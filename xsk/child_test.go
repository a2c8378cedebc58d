package xsk

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// childEnv makes TestChild do what it names; otherwise it is skipped.
const childEnv = "DIRSW_XSK_CHILD"

// TestChild is what the other tests run as a process of their own. It writes the error of Open, or "open", and forwards
// until it is killed.
func TestChild(t *testing.T) {
	what := os.Getenv(childEnv)
	runtime.LockOSThread()
	switch what {
	case "":
		t.Skip("for other tests to run")
	case "forward":
	case "nobody":
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
	case "locked memory":
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		dropCapabilities(t, unix.CAP_IPC_LOCK, unix.CAP_SYS_RESOURCE)
	}
	s, err := Open(Options{Ports: twoArms()})
	if err == nil {
		err = s.SetFilter(services)
	}
	if err != nil {
		fmt.Printf("error: %v\n", err)
		return
	}
	fmt.Println("open")
	stop := forwarder(s.Lane(0), 0)
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or the parent is gone
	_ = stop()
	_ = s.Close()
}

// dropCapabilities takes capabilities from the thread for good.
func dropCapabilities(t *testing.T, caps ...int) {
	t.Helper()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	for _, c := range caps {
		data[c/32].Effective &^= 1 << (c % 32)
		data[c/32].Permitted &^= 1 << (c % 32)
	}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// child runs TestChild in the director's namespace and returns its first line.
func (r *rig) child(t *testing.T, what string) (cmd *exec.Cmd, line string) {
	t.Helper()
	cmd = exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lb0.In.Do(t, func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, _ = bufio.NewReader(out).ReadString('\n')
	return cmd, strings.TrimSpace(line)
}

// TestKilled kills a process that forwards with SIGKILL: the interfaces work as if it had never been, also for the address
// of the service, and can be opened by the next one.
func TestKilled(t *testing.T) {
	r := newRig(t, nil)
	cl, kernel := testenv.OpenTap(t, &r.cl0), testenv.OpenTap(t, &r.lb0)
	cmd, line := r.child(t, "forward")
	if line != "open" {
		t.Fatalf("the process says %q", line)
	}
	testenv.Await(t, "the process forwards", func() bool { return comesBack(t, cl, 1) })
	r.checkKernel(t)
	quit, flowing := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(flowing)
		for {
			select {
			case <-quit:
				return
			default:
				cl.Send(t, request(1, 100))
			}
		}
	}()
	time.Sleep(10 * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	close(quit)
	<-flowing
	testenv.Await(t, "the filter is gone", func() bool {
		a, err := r.programs(t, &r.lb0)
		b, err2 := r.programs(t, &r.lb1)
		return err == nil && err2 == nil && len(a)+len(b) == 0
	})
	for kernel.Recv(t, 0, mine) != nil {
	}
	after := request(2, 100)
	cl.Send(t, after)
	if kernel.Recv(t, testenv.Patience, func(f []byte) bool { return bytes.Equal(f, after) }) == nil {
		t.Error("a frame to the service has not passed to the kernel")
	}
	r.checkKernel(t)
	defer forwarder(r.open(t, Options{Ports: twoArms()}).Lane(0), 0)()
	testenv.Await(t, "the next one forwards", func() bool { return comesBack(t, cl, 3) })
}

// TestRights opens without the rights that it takes: one sentence that says what to do, and nothing is left behind.
func TestRights(t *testing.T) {
	r := newRig(t, nil)
	for _, tt := range []struct{ child, want string }{
		{"nobody", "operation not permitted; " + hintRoot},
		{"locked memory", "no buffer space available; " + hintLock},
	} {
		t.Run(tt.child, func(t *testing.T) {
			_, line := r.child(t, tt.child)
			if !strings.HasPrefix(line, "error: ") || !strings.HasSuffix(line, tt.want) {
				t.Errorf("Open says\n\t%s, want\n\t… %s", line, tt.want)
			}
			r.wantNoPrograms(t)
		})
	}
}

// wantNoPrograms fails the test if something is left on the interfaces.
func (r *rig) wantNoPrograms(t *testing.T) {
	t.Helper()
	for _, e := range []*testenv.End{&r.lb0, &r.lb1} {
		if progs, err := r.programs(t, e); err != nil || len(progs) != 0 {
			t.Errorf("%s has the programs %v (%v), want none", e.Name, progs, err)
		}
	}
}
