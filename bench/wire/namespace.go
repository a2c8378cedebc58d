package wire

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name, and the thread that lives in it. It has a mount namespace too, whose
// /sys shows its interfaces. It ends with its thread, its handle and the processes inside, however this process ends.
type namespace struct {
	calls  chan func()
	handle netns.NsHandle
}

// newNamespace makes a namespace with nothing but a loopback that is down.
func newNamespace() (*namespace, error) {
	n := &namespace{calls: make(chan func())}
	started := make(chan error)
	go n.live(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return n, nil
}

// live is the thread. It is never unlocked, so it ends with the goroutine.
func (n *namespace) live(started chan<- error) {
	runtime.LockOSThread()
	err := n.enter()
	started <- err
	if err != nil {
		return
	}
	for f := range n.calls {
		f()
	}
}

func (n *namespace) enter() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys of a network namespace: %w", err)
	}
	n.handle, err = netns.Get()
	return err
}

// do runs f on the thread.
func (n *namespace) do(f func() error) error {
	done := make(chan error)
	n.calls <- func() { done <- f() }
	return <-done
}

// start starts a process inside, which is killed when the namespace is closed or this process ends.
func (n *namespace) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // of the thread, which lives until close
	return n.do(cmd.Start)
}

// run runs a program inside and returns what it wrote with its error.
func (n *namespace) run(name string, args ...string) error {
	var out []byte
	err := n.do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, firstLine(out))
	}
	return nil
}

// set writes a file of /proc/sys or /sys as the namespace has it.
func (n *namespace) set(path, value string) error {
	return n.do(func() error { return os.WriteFile(path, []byte(value), 0o644) })
}

// close ends the thread.
func (n *namespace) close() error {
	close(n.calls)
	return n.handle.Close()
}

// firstLine returns the first line of what a program wrote, for an error.
func firstLine(b []byte) error {
	for i, c := range b {
		if c == '\n' {
			return errors.New(string(b[:i]))
		}
	}
	return errors.New(string(b))
}
