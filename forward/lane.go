package forward

import (
	"time"

	"dirsw/packet"
)

// A Lane is one worker's private set of queues, one set per port, over one pool of frames. It is the boundary of the
// pipeline: AF_XDP, a capture file and a test differ only here, once per batch. All methods but Close are called by the
// worker's goroutine only; Close after it has ended.
type Lane interface {
	// Ports lists the interfaces; the index is Frame.Port. It does not change during the life of the Lane.
	Ports() []PortInfo
	// Recv fills b from its start (b.N is overwritten) and returns b.N. It never blocks. The frames now belong to the
	// caller. An error means that the lane is dead (a port has vanished) or, for a capture, that it is read to its
	// end (io.EOF).
	Recv(b *packet.Batch) (int, error)
	// Send takes every frame of b by its Port; those it could not queue it frees and counts. It returns how many were
	// queued. b.N is 0 afterwards.
	Send(b *packet.Batch) (int, error)
	// Drop gives the frames of b back to the pool. b.N is 0 afterwards.
	Drop(b *packet.Batch)
	// Alloc lends a frame of length 0 for a packet that the director makes itself; false if the pool is empty.
	Alloc() (packet.Frame, bool)
	// Wait sleeps until there may be traffic, at most d.
	Wait(d time.Duration) error
	// Counters returns what the lane itself counted since it was opened.
	Counters() LaneCounters
	// Close gives everything back. The frames still lent become invalid.
	Close() error
}

// PortInfo describes one port of a Lane.
type PortInfo struct {
	Name string
	MAC  packet.MAC
	MTU  int // bytes of the IP packet
	// Unfinished says that local senders may hand over frames whose transport checksum holds only the sum of the
	// pseudo-header (veth, virtio, tun: CHECKSUM_PARTIAL is lost on AF_XDP). The worker then finishes such checksums.
	Unfinished bool
}

// LaneCounters are frames since the Lane was opened.
type LaneCounters struct {
	Received, Sent       uint64
	SendFull, SendFailed uint64 // frames freed by Send because the ring was full, because the port is gone or down
	RxDropped            uint64 // dropped by the kernel before they reached the lane (ring full, no free frame)
	Wakeups, WakeErrors  uint64 // system calls that started a transmission, and those that failed
}
