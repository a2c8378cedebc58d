package xsk

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	txBudget = 2048 // frames of one system call, where the kernel lets it be set (Linux 6.18); 32 otherwise

	busyPollMicros = 20
	busyPollBudget = 64

	bindTries = 15 // after a socket was closed the kernel needs some 20 ms before its queue can be bound again
	bindPause = 20 * time.Millisecond
)

// socket is one AF_XDP socket on one queue of one port. Its rings belong to the lane's goroutine.
type socket struct {
	fd      int
	port    uint8
	queue   uint32
	receive bool
	zc      bool

	rx, tx     ring[desc]
	fill, comp ring[uint64]

	filled      uint32 // frames in the fill and RX rings, or in the kernel's hands between them
	outstanding uint32 // frames in the TX and completion rings, or in the kernel's hands between them
	staged      bool   // the TX ring has entries that the kernel was not told of yet
	backoff     uint32 // calls of kick to leave out: the link is down
	gone        bool
}

// newSocket makes the socket with its rings. The first one of a lane registers the pool, the others share it.
func newSocket(u *umem, first *socket, entries uint32) (s *socket, err error) {
	s = &socket{fd: -1}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, explain("open an AF_XDP socket", err)
	}
	if first == nil {
		if err = u.register(s.fd); err != nil {
			return nil, explain(fmt.Sprintf("register %d KiB for frames", len(u.mem)>>10), err)
		}
	}
	for _, opt := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err = unix.SetsockoptInt(s.fd, unix.SOL_XDP, opt, int(entries)); err != nil {
			return nil, explain(fmt.Sprintf("make a ring of %d entries", entries), err)
		}
	}
	var at unix.XDPMmapOffsets
	if err = getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, &at); err != nil {
		return nil, explain("ask for the layout of the rings", err)
	}
	if s.rx, err = mapRing[desc](s.fd, at.Rx, entries, unix.XDP_PGOFF_RX_RING); err != nil {
		return nil, err
	}
	if s.tx, err = mapRing[desc](s.fd, at.Tx, entries, unix.XDP_PGOFF_TX_RING); err != nil {
		return nil, err
	}
	if s.fill, err = mapRing[uint64](s.fd, at.Fr, entries, unix.XDP_UMEM_PGOFF_FILL_RING); err != nil {
		return nil, err
	}
	s.comp, err = mapRing[uint64](s.fd, at.Cr, entries, unix.XDP_UMEM_PGOFF_COMPLETION_RING)
	return s, err
}

// bind puts the socket on its queue. Sockets that share a pool take over the flags of the first.
func (s *socket) bind(name string, index int, first *socket, flags uint16, pause func(time.Duration)) error {
	sa := unix.SockaddrXDP{Flags: flags | unix.XDP_USE_NEED_WAKEUP, Ifindex: uint32(index), QueueID: s.queue}
	if first != nil {
		sa.Flags, sa.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(first.fd)
	}
	var err error
	for range bindTries {
		if err = unix.Bind(s.fd, &sa); !errors.Is(err, unix.EBUSY) {
			break
		}
		pause(bindPause)
	}
	if err != nil {
		return explain(fmt.Sprintf("bind to queue %d of %s", s.queue, name), err)
	}
	var options uint32
	if err := getsockopt(s.fd, unix.XDP_OPTIONS, &options); err == nil {
		s.zc = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	}
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, txBudget) // older kernels: kick says the rest
	return nil
}

// busyPoll asks for polling on our calls. A driver without it accepts and ignores.
func (s *socket) busyPoll() error {
	for _, o := range [][2]int{{unix.SO_PREFER_BUSY_POLL, 1}, {unix.SO_BUSY_POLL, busyPollMicros},
		{unix.SO_BUSY_POLL_BUDGET, busyPollBudget}} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o[0], o[1]); err != nil {
			return explain("ask for busy polling", err)
		}
	}
	return nil
}

// refill gives free frames to the kernel to receive into, but leaves keep of them.
func (s *socket) refill(u *umem, keep int) {
	n := min(len(u.free)-keep, int(s.fill.room(uint32(len(s.fill.entries)))))
	if n < refillFrom {
		return
	}
	top := len(u.free) - n
	for _, a := range u.free[top:] {
		s.fill.put(a)
	}
	u.free = u.free[:top]
	s.filled += uint32(n)
	s.fill.publish()
}

// reap takes back the frames that were sent.
func (s *socket) reap(u *umem) {
	n := s.comp.available()
	if n == 0 {
		return
	}
	for range n {
		u.push(u.base(s.comp.take()))
	}
	s.comp.release()
	s.outstanding -= n
}

// kick has the kernel send what is in the TX ring. The errors are those of io-and-speed.md, trap 1 and 2: more to do, the
// peer's queue is full, the link is down, the device is gone; none is fatal to the process.
func (s *socket) kick(c *kicks) {
	if s.gone {
		return
	}
	if s.backoff > 0 {
		s.backoff--
		return
	}
	for range maxKicks {
		before := s.tx.pending()
		if before == 0 || !s.tx.needWakeup() {
			return
		}
		c.calls++
		switch e := wake(s.fd); e {
		case 0, unix.EAGAIN:
			if s.tx.pending() == before {
				return // no progress now; the next breath tries again
			}
		case unix.EBUSY, unix.ENOBUFS, unix.EINTR:
			c.errors++
			return
		case unix.ENETDOWN:
			c.errors++
			s.backoff = linkDownBackoff
			return
		default: // ENXIO, ENODEV and what else says that the socket has no device any more
			c.errors++
			s.gone = true
			return
		}
	}
}

// kicks counts system calls of one lane.
type kicks struct{ calls, errors uint64 }

const (
	refillFrom      = 32  // frames, so that the fill ring's index is not published for each
	maxKicks        = 128 // a full ring at 32 frames a call
	linkDownBackoff = 1024
)

// deleted asks whether the device is still there.
func (s *socket) deleted() bool {
	fds := [1]unix.PollFd{{Fd: int32(s.fd)}}
	if _, err := unix.Poll(fds[:], 0); err == nil && fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) == 0 {
		return s.gone
	}
	e, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	s.gone = s.gone || err != nil || e != 0
	return s.gone
}

// dropped reads how many frames the kernel could not deliver.
func (s *socket) dropped() uint64 {
	var st unix.XDPStatistics
	if err := getsockopt(s.fd, unix.XDP_STATISTICS, &st); err != nil {
		return 0
	}
	return st.Rx_dropped + st.Rx_ring_full
}

func (s *socket) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
	s.rx.close()
	s.tx.close()
	s.fill.close()
	s.comp.close()
}
