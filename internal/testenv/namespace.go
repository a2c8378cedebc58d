package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Namespace is a network namespace of a test. It has no name: it ends with the test, or with the process.
type Namespace struct {
	// Links speaks rtnetlink inside the namespace, from any thread.
	Links *netlink.Handle

	handle netns.NsHandle
}

// NewNamespace makes a network namespace, empty but for its loopback, which is up. It is closed when t ends.
func NewNamespace(t testing.TB) *Namespace {
	t.Helper()
	NeedNetAdmin(t)
	handle, err := makeNamespace()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	links, err := netlink.NewHandleAt(handle)
	if err != nil {
		handle.Close()
		t.Fatalf("open rtnetlink in the namespace: %v", err)
	}
	n := &Namespace{Links: links, handle: handle}
	t.Cleanup(func() {
		links.Close()
		handle.Close()
	})
	lo, err := links.LinkByName("lo")
	if err == nil {
		err = links.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatalf("set the loopback up: %v", err)
	}
	return n
}

// makeNamespace makes a namespace on a thread of its own, which ends in the namespace it made.
func makeNamespace() (handle netns.NsHandle, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		handle, err = netns.New()
	}()
	<-done
	return handle, err
}

// Do runs f inside the namespace, on the goroutine and thread of the caller. Goroutines that f starts are not inside;
// processes that it starts are. f may end the test.
func (n *Namespace) Do(t testing.TB, f func()) {
	t.Helper()
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		t.Fatalf("remember the namespace of the thread: %v", err)
	}
	defer here.Close()
	if err := netns.Set(n.handle); err != nil {
		runtime.UnlockOSThread()
		t.Fatalf("enter the namespace: %v", err)
	}
	defer func() {
		if err := netns.Set(here); err != nil {
			panic(fmt.Sprintf("leave the namespace: %v", err)) // the thread is of no use to other tests
		}
		runtime.UnlockOSThread()
	}()
	f()
}

// Sysctl sets a value below /proc/sys/net, such as "ipv4.ip_forward", in the namespace. Names of interfaces must not
// have dots.
func (n *Namespace) Sysctl(t testing.TB, name, value string) {
	t.Helper()
	path := []rune(name)
	for i, r := range path {
		if r == '.' {
			path[i] = '/'
		}
	}
	n.Do(t, func() {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", string(path)), []byte(value), 0o644); err != nil {
			t.Fatalf("set net.%s: %v", name, err)
		}
	})
}
