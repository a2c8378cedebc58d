package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namesDir is where iproute2 looks for names of network namespaces: each is a file with the namespace mounted on it.
const namesDir = "/run/netns"

// errGone is what a node's function leaves that ended its goroutine instead of returning (as testing.T.Fatal does).
var errGone = errors.New("the function did not return")

// newNamespace makes a network namespace. It ends with its last reference: descriptor, process, socket or name.
func newNamespace() (netns.NsHandle, error) {
	ns := netns.None()
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		ns, err = netns.Get()
		return err
	})
	return ns, err
}

// inside runs f on a thread in the namespace ns. Goroutines that f starts, and connections that a resolver makes for
// it, are outside.
func inside(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a goroutine with a thread of its own and puts the thread's namespace back when f is done, so that the
// thread can serve others; if that does not succeed the thread ends.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := errGone
		defer func() { result <- err }()
		runtime.LockOSThread()
		here, failed := netns.Get()
		if failed != nil {
			err = failed
			runtime.UnlockOSThread()
			return
		}
		defer func() {
			if netns.Set(here) == nil {
				runtime.UnlockOSThread()
			}
			here.Close()
		}()
		err = f()
	}()
	return <-result
}

// nameNamespace makes ns known as name; prepareNames comes first.
func nameNamespace(ns netns.NsHandle, name string) error {
	path := filepath.Join(namesDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("name a network namespace: %w", err)
	}
	f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", int(ns)), path, "none", unix.MS_BIND, ""); err != nil {
		os.Remove(path)
		return fmt.Errorf("mount a network namespace on %s: %w", path, err)
	}
	return nil
}

// prepareNames makes namesDir a shared mount, as iproute2 does and for its sake: a later `ip netns add` would otherwise
// mount it over itself and hide the names in it. It reports whether it had to make a mount.
func prepareNames() (made bool, err error) {
	if err := os.MkdirAll(namesDir, 0o755); err != nil {
		return false, err
	}
	share := func() error { return unix.Mount("", namesDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err := share(); err == nil {
		return false, nil
	} else if !errors.Is(err, unix.EINVAL) { // EINVAL: it is not a mount point
		return false, fmt.Errorf("share %s: %w", namesDir, err)
	}
	if err := unix.Mount(namesDir, namesDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return false, fmt.Errorf("make %s a mount point: %w", namesDir, err)
	}
	return true, share()
}

// restoreNames undoes a prepareNames that made the mount, if nobody else has come to use it.
func restoreNames() error {
	left, err := os.ReadDir(namesDir)
	if err != nil || len(left) > 0 {
		return nil // in use, or not there to be tidied
	}
	if err := unix.Unmount(namesDir, 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("unmount %s: %w", namesDir, err)
	}
	return nil
}

// unname removes a name. That it is gone, or that only its file is left, is no error.
func unname(name string) error {
	path := filepath.Join(namesDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// inode identifies a namespace as the links in /proc do.
func inode(ns netns.NsHandle) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(ns), &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// errForeign is the error for a name that is not, or not any more, that of our namespace.
var errForeign = errors.New("another namespace has this name")

// openNamespace opens a named namespace that has that inode; errForeign if it has another. The file alone, as it is left
// by a restart of the machine, gives fs.ErrInvalid.
func openNamespace(name string, ino uint64) (netns.NsHandle, error) {
	path := filepath.Join(namesDir, name)
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return netns.None(), fmt.Errorf("%s: %w", path, err)
	}
	if st.Type != unix.NSFS_MAGIC {
		return netns.None(), fmt.Errorf("%s is not a namespace: %w", path, fs.ErrInvalid)
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return netns.None(), fmt.Errorf("%s: %w", path, err)
	}
	if is, err := inode(ns); err != nil || is != ino {
		ns.Close()
		return netns.None(), fmt.Errorf("%s: %w", path, errors.Join(errForeign, err))
	}
	return ns, nil
}
