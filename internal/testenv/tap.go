package testenv

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tap is an AF_PACKET socket on one end: it sends frames as they are, and sees what the kernel of that end receives. A
// frame that an XDP program takes is not seen.
type Tap struct {
	fd  int
	buf []byte
}

// OpenTap opens a tap on e. It is closed when t ends.
func OpenTap(t testing.TB, e *End) *Tap {
	t.Helper()
	tap := &Tap{buf: make([]byte, 1<<16)}
	e.In.Do(t, func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("open a packet socket: %v", err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		tap.fd = fd
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) // else bursts are lost, and seen so
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			t.Fatalf("ignore what is sent: %v", err)
		}
		all := uint16(unix.ETH_P_ALL)
		addr := unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: e.Link(t).Attrs().Index}
		if err := unix.Bind(fd, &addr); err != nil {
			t.Fatalf("bind the packet socket to %s: %v", e.Name, err)
		}
	})
	return tap
}

// Send sends a frame, whose length and contents may be anything that the kernel lets through. While the link is down or
// its queue is full the frame is lost, as on a wire.
func (p *Tap) Send(t testing.TB, frame []byte) {
	t.Helper()
	_, err := unix.Write(p.fd, frame)
	if err != nil && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ENXIO) {
		t.Fatalf("send a frame of %d bytes: %v", len(frame), err)
	}
}

// Recv returns the next frame that ok accepts, with its length not changed, or nil if none came within d. It is valid
// until the next call. Tags that the kernel takes off are not in it.
func (p *Tap) Recv(t testing.TB, d time.Duration, ok func([]byte) bool) []byte {
	t.Helper()
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		fds := [1]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds[:], int(max(left.Milliseconds(), 0))); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatalf("wait for a frame: %v", err)
		}
		n, _, err := unix.Recvfrom(p.fd, p.buf, unix.MSG_DONTWAIT)
		switch {
		case err == nil && ok(p.buf[:n]):
			return p.buf[:n]
		case err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.EINTR):
			t.Fatalf("receive a frame: %v", err)
		case left <= 0 && err != nil:
			return nil
		}
	}
}
