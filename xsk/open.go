package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/packet"
)

const (
	smallChunk = 2048
	largeChunk = 4096                     // the largest there is without hugepages and multi-buffer frames
	headroom   = unix.XDP_PACKET_HEADROOM // bytes in a chunk before a packet that was received
	linkHeader = packet.EthernetLen + 4   // with a tag

	// maxMTU is the longest packet that fits. Longer ones would come in several frames, if at all: XDP_USE_SG is not used.
	maxMTU = largeChunk - headroom - linkHeader

	// reserve is the number of free frames that are not given away to receive into: for what the director sends itself.
	reserve = 2 * packet.BatchSize
	// least is the number of frames that a socket needs in either direction to carry traffic at all.
	least = packet.BatchSize
)

// seat is a queue of a port that a lane serves.
type seat struct {
	port          int
	queue         uint32
	receive, send bool
}

// seats lists those of a worker: its share of the receive queues of every port, and one of each port to send by.
func seats(ports []port, worker, workers int) (out []seat) {
	for i := range ports {
		if ports[i].Tap || ports[i].Absent {
			continue
		}
		out = append(out, seat{port: i, queue: uint32(worker), receive: ports[i].Receive, send: true})
		for q := worker + workers; q < ports[i].queues; q += workers {
			out = append(out, seat{port: i, queue: uint32(q), receive: true})
		}
	}
	return out
}

// ringSize returns the number of descriptors in each ring of a lane with n sockets: bursts of a few thousand frames where
// that costs little memory.
func ringSize(n int) int {
	switch {
	case n <= 4:
		return 2048
	case n <= 16:
		return 1024
	}
	return 512
}

// frames returns how many frames a lane gets, and how many of them each receiving socket may hold: enough to fill both its
// RX ring and its fill ring. With less, a worker that cannot keep up leaves the fill ring nearly empty, and kernel and
// worker pass its cache lines to and fro for every frame: two-armed on veth that took a quarter of the rate (0.74 of the
// forwarder in C instead of 0.95; go run ./bench -only wire).
func frames(all []seat, ring int, o *Options) (total, share int, err error) {
	receiving, sending := 0, 0
	for _, s := range all {
		if s.receive {
			receiving++
		}
		if s.send {
			sending++
		}
	}
	if o.Frames == 0 {
		return receiving*2*ring + sending*ring + reserve, 2 * ring, nil
	}
	if want := (receiving+sending)*least + reserve; o.Frames < want {
		return 0, 0, fmt.Errorf("%d frames are too few for %d queues; set at least %d", o.Frames, len(all), want)
	}
	return o.Frames, (o.Frames - reserve - sending*least) / max(receiving, 1), nil
}

// openLane opens the sockets of a worker. If the drivers do not agree on zero copy, it is done without.
func openLane(ports []port, worker int, o *Options) (*lane, error) {
	flags := uint16(0) // the first driver's choice
	switch {
	case o.ZeroCopy == ZeroCopyOn:
		flags = unix.XDP_ZEROCOPY
	case o.ZeroCopy == ZeroCopyOff || anyGeneric(ports):
		flags = unix.XDP_COPY
	}
	l, zeroCopy, err := tryLane(ports, worker, o, flags)
	if err != nil && zeroCopy && flags == 0 {
		l, _, err = tryLane(ports, worker, o, unix.XDP_COPY)
	}
	return l, err
}

func anyGeneric(ports []port) bool {
	for i := range ports {
		if g := ports[i].gate; g != nil && g.mode == "generic" {
			return true
		}
	}
	return false
}

// tryLane opens the sockets with the flags of bind(2). It says whether the first socket, which the others must follow, got
// zero copy; also on an error, when nothing is left open.
func tryLane(ports []port, worker int, o *Options, flags uint16) (_ *lane, zeroCopy bool, err error) {
	all := seats(ports, worker, o.Workers)
	ring := ringSize(len(all))
	total, share, err := frames(all, ring, o)
	if err != nil {
		return nil, false, err
	}
	u, err := newUmem(total, chunkSize(ports))
	if err != nil {
		return nil, false, err
	}
	l := newLane(ports, u, worker, o.BusyPoll)
	if l.bell, err = newBell(); err != nil {
		_ = u.close()
		return nil, false, err
	}
	l.poll = append(l.poll, unix.PollFd{Fd: int32(l.bell.fd), Events: unix.POLLIN})
	for _, at := range all {
		if err = l.open(at, &ports[at.port], uint32(ring), share, flags); err != nil {
			break
		}
	}
	if first := l.first(); first != nil {
		zeroCopy = first.zeroCopy
	}
	if err != nil {
		_ = l.Close()
		return nil, zeroCopy, err
	}
	if l.tap != nil && l.tap.reads {
		l.poll = append(l.poll, unix.PollFd{Fd: int32(l.tap.fd), Events: unix.POLLIN})
	}
	l.start()
	return l, zeroCopy, nil
}

// open opens a socket and puts it on its queue.
func (l *lane) open(at seat, p *port, ring uint32, share int, flags uint16) error {
	s, err := newSocket(l.umem, l.first(), at, ring, share)
	if err != nil {
		return err
	}
	l.add(s)
	if err := s.bind(p, l.first(), flags); err != nil {
		return err
	}
	if l.busy {
		return s.busyPoll()
	}
	return nil
}

// chunkSize returns the bytes of a frame: as many as the longest packet of any port takes, if that can be.
func chunkSize(ports []port) int {
	for i := range ports {
		if ports[i].MTU+linkHeader+headroom > smallChunk {
			return largeChunk
		}
	}
	return smallChunk
}

func newLane(ports []port, u *umem, worker int, busy bool) *lane {
	l := &lane{umem: u, send: make([]*socket, len(ports)), busy: busy, tap: newTap(ports, worker)}
	for i := range ports {
		p := &ports[i]
		l.ports = append(l.ports, forward.PortInfo{Name: p.Name, MAC: p.MAC, MTU: min(p.MTU, int(u.chunk)-headroom-linkHeader),
			Unfinished: p.Unfinished})
	}
	return l
}

// first returns the socket whose pool the others share, nil if there is none yet.
func (l *lane) first() *socket {
	if len(l.sockets) == 0 {
		return nil
	}
	return l.sockets[0]
}

func (l *lane) add(s *socket) {
	l.sockets = append(l.sockets, s)
	if s.receive {
		l.receivers = append(l.receivers, s)
		l.poll = append(l.poll, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	if s.send {
		l.senders = append(l.senders, s)
		l.send[s.port] = s
	}
}
