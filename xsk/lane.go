package xsk

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/internal/invariants"
	"dirsw/packet"
)

const (
	// lookEvery is the number of breaths after which one socket is looked at, in turn: two system calls.
	lookEvery = 1024
	// pendingWait bounds Wait while frames are still to be sent that the kernel could not send at once.
	pendingWait = 50 * time.Microsecond
	// shortWait is the longest sleep that the scheduler of Go is not told of: it takes a processor (P) away from a thread in a
	// system call that lasts, and while that happens often its monitor wakes up all 20 us to look. With HTTP by NAT that was
	// a seventh of the processor time of the whole director (docs/performance.md). Longer ones are of a lane without traffic,
	// and the collector of garbage must not wait for who sleeps on a processor that another program has; who sleeps for
	// less can be woken by its signal.
	shortWait = 4 * time.Millisecond
)

// lane is one worker's sockets over one pool of frames.
type lane struct {
	ports     []forward.PortInfo
	umem      *umem
	sockets   []*socket // all; what follows are parts of it
	receivers []*socket
	senders   []*socket
	send      []*socket // by port: where its frames leave; nil for the tap
	tap       *tap      // nil without
	bell      *bell
	quick     *quickLane    // nil without accelerator
	poll      []unix.PollFd // of the bell, the receivers, and the tap
	timeout   unix.Timespec
	busy      bool // the driver was asked to poll on our calls

	next   int // receiver that Recv begins with
	breath uint
	looked int // socket that was looked at last

	inHand int    // frames that the worker has
	lent   []bool // with invariants: which ones, by number
	counts forward.LaneCounters
	wakes  wakeups
	dead   error // a *PortGoneError: it stays with the lane
	closed bool
}

// start fills the receive side. The sockets are complete and bound.
func (l *lane) start() {
	if invariants.Enabled {
		l.lent = make([]bool, l.umem.total)
	}
	for _, s := range l.receivers {
		s.refill(l.umem)
	}
}

// Accelerator returns that of the lane; nil if it has none.
func (l *lane) Accelerator() forward.Accelerator {
	if l.quick == nil {
		return nil
	}
	return l.quick
}

// Ports lists the ports.
func (l *lane) Ports() []forward.PortInfo { return l.ports }

// Recv takes frames from the sockets in turn, takes back what was sent, and sees to it that the kernel has frames to
// receive into. The error is a *PortGoneError; there are no frames with it.
func (l *lane) Recv(b *packet.Batch) (int, error) {
	b.N = 0
	if err := l.tidy(); err != nil {
		return 0, err
	}
	for k := range l.receivers {
		at := l.next + k
		if at >= len(l.receivers) {
			at -= len(l.receivers)
		}
		s := l.receivers[at]
		s.take(l.umem, b)
		s.refill(l.umem)
		if s.fill.needWakeup() || s.polls && b.N == 0 {
			l.wakes.calls++
			wakeRx(s.fd)
		}
	}
	if l.next++; l.next >= len(l.receivers) {
		l.next = 0
	}
	if l.tap != nil {
		l.tap.take(l.umem, b)
	}
	l.inHand += b.N
	l.counts.Received += uint64(b.N)
	if invariants.Enabled {
		l.lend(b)
		l.mustAudit()
	}
	return b.N, nil
}

// tidy takes back what was sent, goes on with what could not be sent, and looks at a socket now and then.
func (l *lane) tidy() error {
	if l.dead != nil {
		return l.dead
	}
	for _, s := range l.senders {
		if s.outstanding > 0 {
			s.reap(l.umem)
			s.kick(&l.wakes)
			if s.gone {
				return l.end(s)
			}
		}
	}
	if l.tap != nil && l.tap.gone {
		l.dead = &PortGoneError{l.tap.name}
		return l.dead
	}
	if l.breath++; l.breath%lookEvery == 0 {
		return l.look()
	}
	return nil
}

// look looks at the next socket: whether its interface is there, and what was lost.
func (l *lane) look() error {
	if len(l.sockets) == 0 {
		return nil
	}
	if l.looked++; l.looked >= len(l.sockets) {
		l.looked = 0
	}
	s := l.sockets[l.looked]
	s.look(l.busy)
	if s.gone {
		return l.end(s)
	}
	return nil
}

// end notes that the lane is of no use without the interface of s.
func (l *lane) end(s *socket) error {
	l.dead = &PortGoneError{s.name}
	return l.dead
}

// Send queues every frame on its port and has the kernel send them. It gives no error: a port that is gone is Recv's to
// tell.
func (l *lane) Send(b *packet.Batch) (int, error) {
	if invariants.Enabled {
		l.takeBack(b)
	}
	sent := 0
	for i := range b.N {
		f := &b.Frames[i]
		s := l.send[f.Port]
		if s == nil {
			sent += l.local(f)
			continue
		}
		if s.gone || f.Len() < packet.EthernetLen { // the kernel never gives back what it does not take for a frame
			l.counts.SendFailed++
			l.umem.push(f.Desc)
			continue
		}
		if s.tx.room(1) == 0 && !l.makeRoom(s) {
			l.refuse(s)
			l.umem.push(f.Desc)
			continue
		}
		s.tx.put(desc{addr: f.Desc + uint64(f.Offset()), len: uint32(f.Len())})
		s.outstanding++
		s.staged = true
		sent++
	}
	l.inHand -= b.N
	b.N = 0
	for _, s := range l.senders {
		if s.staged {
			s.staged = false
			s.tx.publish()
			s.kick(&l.wakes)
		}
	}
	l.counts.Sent += uint64(sent)
	return sent, nil
}

// local gives a frame of the tap to the kernel's own network stack, and returns how many it took: none of an absent port.
func (l *lane) local(f *packet.Frame) int {
	took := l.tap != nil && f.Port == l.tap.port && f.Len() >= packet.EthernetLen && l.tap.give(f)
	l.umem.push(f.Desc)
	if !took {
		l.counts.SendFailed++
		return 0
	}
	return 1
}

// makeRoom lets the kernel send what fills the TX ring.
func (l *lane) makeRoom(s *socket) bool {
	s.tx.publish()
	s.kick(&l.wakes)
	s.reap(l.umem)
	return s.tx.room(1) > 0
}

// refuse counts a frame that found no room.
func (l *lane) refuse(s *socket) {
	if s.gone || s.holdOff > 0 {
		l.counts.SendFailed++
	} else {
		l.counts.SendFull++
	}
}

// Drop frees the frames.
func (l *lane) Drop(b *packet.Batch) {
	if invariants.Enabled {
		l.takeBack(b)
	}
	for i := range b.N {
		l.umem.push(b.Frames[i].Desc)
	}
	l.inHand -= b.N
	b.N = 0
}

// Alloc lends a free frame. It has as much room before the packet as a received one.
func (l *lane) Alloc() (packet.Frame, bool) {
	base, ok := l.umem.pop()
	if !ok {
		return packet.Frame{}, false
	}
	l.inHand++
	if invariants.Enabled {
		l.lendOne(base)
	}
	return packet.MakeFrame(l.umem.buf(base), headroom, 0, 0, base), true
}

// Wait has the kernel send what is left to be sent, and sleeps until there is something to receive, at most d.
func (l *lane) Wait(d time.Duration) error {
	for _, s := range l.senders {
		if s.outstanding > 0 {
			s.holdOff = 0 // time passes here
			s.reap(l.umem)
			s.kick(&l.wakes)
			if s.tx.pending() > 0 && s.holdOff == 0 {
				d = min(d, pendingWait)
			}
		}
	}
	l.timeout = unix.NsecToTimespec(max(int64(d), 0))
	n, err := l.sleep(d)
	if err != nil || n == 0 { // EINTR, or nothing came
		return l.look()
	}
	if l.poll[0].Revents != 0 {
		l.bell.hush()
	}
	for i, s := range l.receivers {
		if l.poll[1+i].Revents != 0 {
			s.woke.Add(1)
			s.arrived.Store(s.taken)
		}
	}
	if l.tap != nil && l.tap.reads && l.poll[len(l.poll)-1].Revents != 0 {
		l.tap.wake()
	}
	return nil
}

// sleep is what of Wait the kernel does; the timeout is d.
func (l *lane) sleep(d time.Duration) (n int, err error) {
	if d <= shortWait {
		return rawPoll(l.poll, &l.timeout)
	}
	return unix.Ppoll(l.poll, &l.timeout, nil)
}

// Counters returns what was counted. What the kernel lost is as of the last look.
func (l *lane) Counters() forward.LaneCounters {
	c := l.counts
	c.Wakeups, c.WakeErrors = l.wakes.calls, l.wakes.errors
	for _, s := range l.receivers {
		c.RxDropped += s.lost + s.missed
	}
	return c
}

// Close gives sockets and frames back. The Set calls it too; a second call does nothing.
func (l *lane) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, l.bell.close(), l.umem.close())...)
}
