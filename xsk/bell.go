package xsk

import (
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"dirsw/forward"
)

var _ forward.Waker = (*lane)(nil)

// bell ends the sleep of a lane's worker: an eventfd that is polled with the sockets. Nobody rings for one that is awake.
type bell struct {
	mu sync.Mutex // of fd, against a late ring
	fd int        // -1: closed
}

func newBell() (*bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	return &bell{fd: fd}, nil
}

// ring has the present or the next poll return. Any goroutine.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd >= 0 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(b.fd, one[:]) // EAGAIN: it has been rung very often and not been heard yet
	}
}

// hush makes it silent again. The lane's goroutine only.
func (b *bell) hush() {
	var count [8]byte
	_, _ = unix.Read(b.fd, count[:]) // EAGAIN: silent already
}

func (b *bell) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd < 0 {
		return nil
	}
	err := unix.Close(b.fd)
	b.fd = -1
	return err
}

// Wake lets the present or the next Wait return at once. Any goroutine, also after Close.
func (l *lane) Wake() { l.bell.ring() }
