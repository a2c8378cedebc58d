package xsk

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	busyPollMicros = 20
	busyPollBudget = 64

	bindTries = 20 // after a socket was closed the kernel needs some 20 ms before its queue can be bound again
	bindPause = 10 // milliseconds
)

// socket is one AF_XDP socket on one queue of one port. It belongs to the lane's goroutine.
type socket struct {
	seat
	name     string // of the port
	fd       int
	zeroCopy bool
	gone     bool // the kernel has unbound it: its interface was deleted
	polls    bool // the driver works on our calls only

	rx   ring[desc]   // if it receives
	tx   ring[desc]   // if it sends
	fill ring[uint64] // every socket must have the last two
	comp ring[uint64]

	share       int  // frames that it may hold to receive into
	filled      int  // frames in the fill and RX rings, or in the kernel's hands between them
	outstanding int  // frames in the TX and completion rings, or in the kernel's hands between them
	staged      bool // the TX ring has entries that were not published yet
	holdOff     int  // kicks to leave out: the link is down

	lost   uint64 // frames that the kernel could not deliver, as of the last look
	missed uint64 // frames that the filter dropped before there was a socket

	taken   uint64        // frames out of the RX ring
	woke    atomic.Uint64 // how often frames on it ended a sleep
	arrived atomic.Uint64 // taken, by then; for a coalescer
}

// newSocket makes the socket with its rings. The first one of a lane registers the pool, the others share it.
func newSocket(u *umem, first *socket, at seat, entries uint32, share int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, explain("open an AF_XDP socket", err, nil)
	}
	s := &socket{seat: at, fd: fd, share: share}
	if first == nil {
		err = explain(fmt.Sprintf("register %d KiB of memory for frames", len(u.mem)>>10), u.register(fd), nil)
	}
	if err == nil {
		err = explain(fmt.Sprintf("make rings of %d entries", entries), s.makeRings(entries), nil)
	}
	if err != nil {
		_ = s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) makeRings(n uint32) error {
	sizes := []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING}
	if s.receive {
		sizes = append(sizes, unix.XDP_RX_RING)
	}
	if s.send {
		sizes = append(sizes, unix.XDP_TX_RING)
	}
	for _, opt := range sizes {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, opt, int(n)); err != nil {
			return err
		}
	}
	var at unix.XDPMmapOffsets
	err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, &at)
	if err == nil {
		s.fill, err = mapRing[uint64](s.fd, at.Fr, n, unix.XDP_UMEM_PGOFF_FILL_RING)
	}
	if err == nil {
		s.comp, err = mapRing[uint64](s.fd, at.Cr, n, unix.XDP_UMEM_PGOFF_COMPLETION_RING)
	}
	if err == nil && s.receive {
		s.rx, err = mapRing[desc](s.fd, at.Rx, n, unix.XDP_PGOFF_RX_RING)
	}
	if err == nil && s.send {
		s.tx, err = mapRing[desc](s.fd, at.Tx, n, unix.XDP_PGOFF_TX_RING)
	}
	return err
}

// bind puts the socket on its queue. Sockets that share a pool take over the flags of the first.
func (s *socket) bind(p *port, first *socket, flags uint16) error {
	s.name = p.Name
	sa := unix.SockaddrXDP{Flags: flags | unix.XDP_USE_NEED_WAKEUP, Ifindex: uint32(p.Index), QueueID: s.queue}
	if first != s {
		sa.Flags, sa.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(first.fd)
	}
	var err error
	for range bindTries {
		if err = unix.Bind(s.fd, &sa); !errors.Is(err, unix.EBUSY) {
			break
		}
		_, _ = unix.Poll(nil, bindPause)
	}
	if err != nil {
		return explain(fmt.Sprintf("bind to queue %d of %s", s.queue, p.Name), err, map[unix.Errno]string{
			unix.EBUSY:      "another process has an AF_XDP socket on it; stop that process",
			unix.EOPNOTSUPP: "its driver has no zero copy; set zero_copy auto",
			unix.EINVAL:     "the interface has no such queue, or its driver no AF_XDP",
			unix.ENODEV:     "the interface has vanished",
			unix.ENETDOWN:   "set the interface up",
		})
	}
	var options uint32
	if err := getsockopt(s.fd, unix.XDP_OPTIONS, &options); err == nil {
		s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	}
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, txBudget) // unknown before 6.18: kick goes on
	return nil
}

// busyPoll asks for polling on our calls. A driver without it accepts and ignores.
func (s *socket) busyPoll() error {
	for _, o := range [][2]int{{unix.SO_PREFER_BUSY_POLL, 1}, {unix.SO_BUSY_POLL, busyPollMicros},
		{unix.SO_BUSY_POLL_BUDGET, busyPollBudget}} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o[0], o[1]); err != nil {
			return explain("ask for busy polling on "+s.name, err, map[unix.Errno]string{unix.ENOPROTOOPT: hintOld})
		}
	}
	return nil
}

// look asks the kernel whether the socket still has its interface, and how many frames it could not deliver. If busy
// polling was asked for it also asks whether there is anything to poll: a driver without it says yes to all and then has no
// NAPI instance for the socket, once frames have come.
func (s *socket) look(busy bool) {
	switch wakeRx(s.fd) {
	case unix.ENXIO, unix.ENODEV, unix.EBADF:
		s.gone = true
	}
	if !s.receive {
		return
	}
	var st unix.XDPStatistics
	if err := getsockopt(s.fd, unix.XDP_STATISTICS, &st); err == nil {
		s.lost = st.Rx_dropped + st.Rx_ring_full // a dry fill ring counts among the dropped
	}
	if busy {
		id, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID)
		s.polls = err == nil && id != 0
	}
}

func (s *socket) close() error {
	var err error
	if s.fd >= 0 {
		err = unix.Close(s.fd)
		s.fd = -1
	}
	return errors.Join(err, s.rx.close(), s.tx.close(), s.fill.close(), s.comp.close())
}
