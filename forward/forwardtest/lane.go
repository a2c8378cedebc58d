package forwardtest

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/packet"
)

// TB is what a Lane needs of testing.TB.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(func())
}

// Options of a Lane. The zero value works.
type Options struct {
	Ports  []forward.PortInfo // none: DefaultPorts
	Frames int                // buffers in the pool; 0: DefaultFrames
	// Accelerate, if not nil, says what time it is, and gives the lane an accelerator.
	Accelerate func() clock.Mono
	// Beside, if not nil, is the accelerated lane of another worker of the same director. Both are for one goroutine.
	Beside *Lane
}

// Lane keeps in memory what a test injects and what the worker sends and drops. It fails the test if a frame is given
// back twice, if it is not the lane's, if it leaves by a port that does not exist, and if at the end of the test frames
// have not come back. A buffer that came back is overwritten, so that later use of it shows.
//
// All methods may be called from any goroutine, so that a test can inject while Worker.Run runs. Once its queues have
// grown to their largest, Recv, Send and Drop allocate nothing.
type Lane struct {
	tb    TB
	ports []forward.PortInfo

	mu     sync.Mutex
	pool   pool
	quick  *Accelerator // nil without
	queue  records      // injected, not yet received
	out    []port
	count  forward.LaneCounters
	end    error // of Recv when queue is empty
	closed bool
}

// port is what a test sees and sets of one port.
type port struct {
	sent, dropped records
	room          int // frames that Send still takes; negative: any number
	down          bool
}

var _ forward.Lane = (*Lane)(nil)

// New returns a lane of the test tb with nothing in it.
func New(tb TB, o Options) *Lane {
	if len(o.Ports) == 0 {
		o.Ports = DefaultPorts()
	}
	l := &Lane{tb: tb, ports: slices.Clone(o.Ports), pool: newPool(o.Frames), out: make([]port, len(o.Ports))}
	for i := range l.out {
		l.out[i].room = -1
	}
	switch {
	case o.Beside != nil:
		l.quick = o.Beside.quick.Beside()
	case o.Accelerate != nil:
		l.quick = NewAccelerator(l.ports, acceleratorRoom, o.Accelerate)
	}
	tb.Cleanup(func() {
		if n := l.Outstanding(); n != 0 {
			tb.Errorf("forwardtest: %d frames were received or allocated and never sent or dropped", n)
		}
	})
	return l
}

// acceleratorRoom is how many connections the accelerator of a lane takes.
const acceleratorRoom = 1024

// Accelerator returns that of the lane; nil if it has none.
func (l *Lane) Accelerator() forward.Accelerator {
	if l.quick == nil {
		return nil
	}
	return l.quick
}

// Inject queues copies of frames as received on a port. A frame that a buffer cannot hold behind its headroom counts in
// RxDropped, as AF_XDP does it.
func (l *Lane) Inject(port int, frames ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if port < 0 || port >= len(l.ports) {
		l.tb.Helper()
		l.tb.Errorf("forwardtest: Inject on port %d of %d", port, len(l.ports))
		return
	}
	for _, f := range frames {
		if len(f) > BufferLen-Headroom {
			l.count.RxDropped++
			continue
		}
		l.queue.push(uint8(port), f)
	}
}

// Sent returns what left by a port since the last call.
func (l *Lane) Sent(port int) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out[port].sent.drain()
}

// Dropped returns what was received on a port and given to Drop since the last call, and the allocated frames among it.
func (l *Lane) Dropped(port int) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out[port].dropped.drain()
}

// Outstanding returns how many frames are in the worker's hands: 0 between two breaths.
func (l *Lane) Outstanding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pool.outstanding()
}

// SetRoom lets Send queue n more frames on a port, and count the rest in SendFull. A negative n lifts the limit.
func (l *Lane) SetRoom(port, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out[port].room = n
}

// SetDown takes the link of a port down or up. While it is down, Send counts its frames in SendFailed.
func (l *Lane) SetDown(port int, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out[port].down = down
}

// Fail lets Recv return err once all that was injected has been received: io.EOF, or a port that vanished. Nil lifts it.
func (l *Lane) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = err
}

// Ports returns the ports of the options.
func (l *Lane) Ports() []forward.PortInfo { return l.ports }

// Recv delivers what was injected, in that order, as long as there are free buffers.
func (l *Lane) Recv(b *packet.Batch) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.N = 0
	for b.N < packet.BatchSize {
		bytes, port, ok := l.queue.peek()
		if !ok {
			break
		}
		f := &b.Frames[b.N]
		if !l.pool.lend(f, len(bytes), port) {
			break
		}
		copy(f.Bytes(), bytes)
		l.queue.skip()
		if l.quick != nil && l.quick.Send(f) {
			l.out[f.Port].sent.push(f.Port, f.Bytes())
			l.takeBack(f)
			continue
		}
		b.N++
	}
	l.count.Received += uint64(b.N)
	if b.N == 0 && l.queue.empty() {
		return 0, l.end
	}
	return b.N, nil
}

// Send keeps copies of the frames for Sent.
func (l *Lane) Send(b *packet.Batch) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tb.Helper()
	n := 0
	for i := range b.N {
		f := &b.Frames[i]
		if !l.wellReturned("sent", f) {
			continue
		}
		p := &l.out[f.Port]
		switch {
		case p.down:
			l.count.SendFailed++
		case p.room == 0:
			l.count.SendFull++
		default:
			p.room = max(p.room-1, -1)
			p.sent.push(f.Port, f.Bytes())
			n++
		}
		l.takeBack(f)
	}
	l.count.Sent += uint64(n)
	b.N = 0
	return n, nil
}

// Drop keeps copies of the frames for Dropped.
func (l *Lane) Drop(b *packet.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tb.Helper()
	for i := range b.N {
		f := &b.Frames[i]
		if !l.wellReturned("dropped", f) {
			continue
		}
		l.out[f.Port].dropped.push(f.Port, f.Bytes())
		l.takeBack(f)
	}
	b.N = 0
}

// wellReturned fails the test if f must not be given back.
func (l *Lane) wellReturned(how string, f *packet.Frame) bool {
	l.tb.Helper()
	if s := l.pool.fault(f); s != "" {
		l.tb.Errorf("forwardtest: %s: %s", how, s)
		return false
	}
	if int(f.Port) >= len(l.ports) {
		l.tb.Errorf("forwardtest: frame %d is %s on port %d of %d", f.Desc, how, f.Port, len(l.ports))
		l.takeBack(f)
		return false
	}
	return true
}

// takeBack frees f and spoils its buffer.
func (l *Lane) takeBack(f *packet.Frame) {
	buf := l.pool.buffer(uint32(f.Desc))
	for i := range buf {
		buf[i] = 0xdb
	}
	l.pool.takeBack(f)
}

// Alloc lends a frame of length 0 with all the headroom.
func (l *Lane) Alloc() (f packet.Frame, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok = l.pool.lend(&f, 0, 0)
	return f, ok
}

// Wait only lets other goroutines run: a test's time does not pass by itself.
func (l *Lane) Wait(time.Duration) error {
	runtime.Gosched()
	return nil
}

// Counters returns what the lane counted.
func (l *Lane) Counters() forward.LaneCounters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Close may be called once.
func (l *Lane) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("lane is closed already")
	}
	l.closed = true
	return nil
}
