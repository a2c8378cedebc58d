package xsk

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/internal/invariants"
	"dirsw/packet"
)

// reserve is the number of free frames that are not given away to receive into: for packets that the director makes.
const reserve = 2 * packet.BatchSize

// statsEvery is how many calls of Counters share one look at the kernel's statistics, which costs a system call for each
// socket.
const statsEvery = 1024

// lane is one worker's sockets over one pool of frames.
type lane struct {
	ports   []forward.PortInfo
	umem    *umem
	sockets []*socket
	send    []*socket // by port: where its frames leave
	next    int       // socket that Recv looks at first
	inHand  int       // frames that the worker has
	poll    []unix.PollFd
	polled  []*socket // of poll
	state   []bool    // with invariants: which frames the worker has

	counters forward.LaneCounters
	kicks    kicks
	asked    int // calls of Counters since the kernel's statistics were read
}

// start fills the receive side. The sockets are complete and bound.
func (l *lane) start() {
	for _, s := range l.sockets {
		if s.receive {
			l.poll = append(l.poll, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
			l.polled = append(l.polled, s)
			s.refill(l.umem, reserve)
		}
	}
	if invariants.Enabled {
		l.state = make([]bool, l.umem.total)
	}
}

// Ports lists the ports.
func (l *lane) Ports() []forward.PortInfo { return l.ports }

// Recv takes frames from the sockets in turn, takes back what was sent, and sees to it that the kernel has frames to
// receive into. The error is a *PortGoneError.
func (l *lane) Recv(b *packet.Batch) (int, error) {
	b.N = 0
	for _, s := range l.sockets {
		if s.outstanding > 0 {
			s.reap(l.umem)
			if s.tx.pending() > 0 {
				s.kick(&l.kicks)
			}
		}
		if s.gone {
			return 0, &PortGoneError{l.ports[s.port].Name}
		}
	}
	n := len(l.sockets)
	for k := range n {
		s := l.sockets[(l.next+k)%n]
		if !s.receive {
			continue
		}
		l.recv(s, b)
		s.refill(l.umem, reserve)
		if s.fill.needWakeup() {
			l.kicks.calls++
			wakeRx(s.fd)
		}
	}
	l.next = (l.next + 1) % n
	l.inHand += b.N
	l.counters.Received += uint64(b.N)
	if invariants.Enabled {
		for i := range b.N {
			l.lend(b.Frames[i].Desc)
		}
		l.audit()
	}
	return b.N, nil
}

func (l *lane) recv(s *socket, b *packet.Batch) {
	n := min(int(s.rx.available()), packet.BatchSize-b.N)
	if n == 0 {
		return
	}
	u := l.umem
	for range n {
		d := s.rx.take()
		base := u.base(d.addr)
		b.Frames[b.N] = packet.MakeFrame(u.buf(base), int(d.addr-base), int(d.len), s.port, base)
		b.N++
	}
	s.rx.release()
	s.filled -= uint32(n)
}

// Send queues every frame on its port and has the kernel send them.
func (l *lane) Send(b *packet.Batch) (int, error) {
	sent := 0
	for i := range b.N {
		f := &b.Frames[i]
		if invariants.Enabled {
			l.giveBack(f.Desc)
		}
		s := l.send[f.Port]
		if s.gone {
			l.counters.SendFailed++
			l.umem.push(f.Desc)
			continue
		}
		if s.tx.room(1) == 0 && !l.makeRoom(s) {
			if s.backoff > 0 {
				l.counters.SendFailed++
			} else {
				l.counters.SendFull++
			}
			l.umem.push(f.Desc)
			continue
		}
		s.tx.put(desc{addr: f.Desc + uint64(f.Offset()), len: uint32(f.Len())})
		s.outstanding++
		s.staged = true
		sent++
	}
	for _, s := range l.sockets {
		if s.staged {
			s.staged = false
			s.tx.publish()
			s.kick(&l.kicks)
		}
	}
	l.inHand -= b.N
	b.N = 0
	l.counters.Sent += uint64(sent)
	return sent, nil
}

// makeRoom lets the kernel send what fills the TX ring.
func (l *lane) makeRoom(s *socket) bool {
	s.tx.publish()
	s.kick(&l.kicks)
	s.reap(l.umem)
	return s.tx.room(1) > 0
}

// Drop frees the frames.
func (l *lane) Drop(b *packet.Batch) {
	for i := range b.N {
		if invariants.Enabled {
			l.giveBack(b.Frames[i].Desc)
		}
		l.umem.push(b.Frames[i].Desc)
	}
	l.inHand -= b.N
	b.N = 0
}

// headroom is where in its frame a packet starts that the director makes, as XDP leaves it for received ones
// (XDP_PACKET_HEADROOM).
const headroom = 256

// Alloc lends a free frame.
func (l *lane) Alloc() (packet.Frame, bool) {
	u := l.umem
	n := len(u.free)
	if n == 0 {
		return packet.Frame{}, false
	}
	base := u.free[n-1]
	u.free = u.free[:n-1]
	l.inHand++
	if invariants.Enabled {
		l.lend(base)
	}
	return packet.MakeFrame(u.buf(base), headroom, 0, 0, base), true
}

// Wait sleeps in poll(2).
func (l *lane) Wait(d time.Duration) error {
	n, err := unix.Poll(l.poll, int(max(d/time.Millisecond, 1)))
	if err != nil || n == 0 {
		return nil // a signal, or nothing came
	}
	for i := range l.poll {
		if l.poll[i].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 && l.polled[i].deleted() {
			return &PortGoneError{l.ports[l.polled[i].port].Name}
		}
	}
	return nil
}

// Counters returns what was counted. What the kernel dropped is as of some calls ago.
func (l *lane) Counters() forward.LaneCounters {
	l.counters.Wakeups, l.counters.WakeErrors = l.kicks.calls, l.kicks.errors
	if l.asked%statsEvery == 0 {
		l.counters.RxDropped = 0
		for _, s := range l.sockets {
			if s.receive {
				l.counters.RxDropped += s.dropped()
			}
			s.deleted() // a worker that never waits learns of it here
		}
	}
	l.asked++
	return l.counters
}

// Close gives sockets and frames back. The Set calls it too; a second call does nothing.
func (l *lane) Close() error {
	for _, s := range l.sockets {
		s.close()
	}
	l.sockets, l.poll, l.polled = nil, nil, nil
	l.umem.close()
	return nil
}

// audit panics unless every frame is accounted for: free, with the kernel, or with the worker.
func (l *lane) audit() {
	n := len(l.umem.free) + l.inHand
	for _, s := range l.sockets {
		n += int(s.filled) + int(s.outstanding)
	}
	if n != l.umem.total {
		panic(fmt.Sprintf("xsk: %d frames accounted for, there are %d", n, l.umem.total))
	}
}

func (l *lane) lend(base uint64) {
	i := base / l.umem.chunk
	if l.state[i] {
		panic(fmt.Sprintf("xsk: frame %#x is lent twice", base))
	}
	l.state[i] = true
}

func (l *lane) giveBack(base uint64) {
	i := base / l.umem.chunk
	if !l.state[i] {
		panic(fmt.Sprintf("xsk: frame %#x comes back but was not lent", base))
	}
	l.state[i] = false
}
