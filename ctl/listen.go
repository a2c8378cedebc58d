package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

const socketMode = 0o600

// listen makes the socket at path, with mode 0600 from the first instant. The socket of a director that has ended is
// replaced, that of a living one is not; two that start at once are put in order by a lock on the directory.
func listen(path string) (*net.UnixListener, os.FileInfo, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make the directory of the control socket: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if err := removeDead(path); err != nil {
		return nil, nil, err
	}
	// The mode of the socket's inode before bind is the mode that bind gives the file, less the umask.
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var chmodErr error
		err := raw.Control(func(fd uintptr) { chmodErr = syscall.Fchmod(int(fd), socketMode) })
		return errors.Join(err, chmodErr)
	}}
	nl, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	l := nl.(*net.UnixListener)
	l.SetUnlinkOnClose(false) // by name; another may own the name by then
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	return l, info, nil
}

// lockDir waits for the lock of a directory.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the directory of the control socket: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock the directory of the control socket: %w", err)
	}
	return func() { d.Close() }, nil
}

// removeDead removes the socket of a director that has ended. The directory is locked.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for an old control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: remove it, or name another place with -socket", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("another director is running at %s: stop it, or name another place with -socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the control socket of a director that has ended: %w", err)
	}
	return nil
}

// unlink removes the socket if it is still the one that listen made.
func unlink(path string, own os.FileInfo) {
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return // the directory is gone, and the socket with it
	}
	defer unlock()
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, own) {
		os.Remove(path)
	}
}
