package forwardtest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"dirsw/forward"
	"dirsw/packet"
)

// line is the unit in bytes in which a Loop copies.
const line = 64

// LoopOptions of a Loop. Frames must be set.
type LoopOptions struct {
	Ports []forward.PortInfo // none: DefaultPorts
	// Frames yields what is delivered, each of at least one byte and of the same number of 64-byte lines for the best
	// speed: each takes as many as the longest. A frame may be overwritten after the yield.
	Frames iter.Seq[[]byte]
	Port   uint8 // port on which they arrive
	// Shuffle delivers them in an order drawn from Seed instead of as they come.
	Shuffle bool
	Seed    uint64
	Buffers int // in the pool; 0: DefaultFrames
}

// Loop delivers the same frames in the same order again and again, each time from its first state, and forgets what is
// sent and dropped. The frames lie one behind the other in the order of delivery, as a NIC that writes to the cache
// leaves them: receiving costs a copy and no cache miss, so that what a benchmark sees is the pipeline. It allocates
// nothing after NewLoop. One goroutine uses it.
type Loop struct {
	ports  []forward.PortInfo
	pool   pool
	mem    []byte   // the frames, stride bytes each
	lens   []uint16 // of the frames
	stride int
	next   int // frame to deliver next
	port   uint8
	count  forward.LaneCounters
	drops  uint64
	faults int // frames given back that were not lent
}

var _ forward.Lane = (*Loop)(nil)

// NewLoop lays the frames out. It returns an error if there are none, or one does not fit a buffer.
func NewLoop(o LoopOptions) (*Loop, error) {
	if len(o.Ports) == 0 {
		o.Ports = DefaultPorts()
	}
	l := &Loop{ports: slices.Clone(o.Ports), pool: newPool(o.Buffers), port: o.Port}
	var all records
	for f := range o.Frames {
		if len(f) == 0 || len(f) > BufferLen-Headroom {
			return nil, fmt.Errorf("frame %d of the loop: %d bytes, want 1 to %d", len(l.lens), len(f), BufferLen-Headroom)
		}
		all.push(0, f)
		l.lens = append(l.lens, uint16(len(f)))
	}
	if len(l.lens) == 0 {
		return nil, fmt.Errorf("no frames for the loop")
	}
	l.stride = (int(slices.Max(l.lens)) + line - 1) / line * line
	l.mem = make([]byte, len(l.lens)*l.stride)
	at := make([]int, len(l.lens))
	for i := range at {
		at[i] = i
	}
	if o.Shuffle {
		rnd := rand.New(rand.NewPCG(o.Seed, 0))
		rnd.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	}
	for i := range at {
		b, _, _ := all.peek()
		copy(l.mem[at[i]*l.stride:], b)
		l.lens[at[i]] = uint16(len(b))
		all.skip()
	}
	return l, nil
}

// Len returns the number of frames of one round.
func (l *Loop) Len() int { return len(l.lens) }

// Ports returns the ports of the options.
func (l *Loop) Ports() []forward.PortInfo { return l.ports }

// Recv delivers a full batch, or as many frames as there are free buffers.
func (l *Loop) Recv(b *packet.Batch) (int, error) {
	b.N = 0
	for b.N < packet.BatchSize {
		f := &b.Frames[b.N]
		if !l.pool.lend(f, int(l.lens[l.next]), l.port) {
			break
		}
		at := l.next * l.stride
		src, dst := l.mem[at:at+l.stride], l.pool.buffer(uint32(f.Desc))[Headroom:]
		for len(src) >= line && len(dst) >= line {
			*(*[line]byte)(dst) = *(*[line]byte)(src)
			src, dst = src[line:], dst[line:]
		}
		b.N++
		if l.next++; l.next == len(l.lens) {
			l.next = 0
		}
	}
	l.count.Received += uint64(b.N)
	return b.N, nil
}

// Skip passes over n frames: they are lost on the way to the worker.
func (l *Loop) Skip(n int) {
	l.next = (l.next + n) % len(l.lens)
	l.count.RxDropped += uint64(n)
}

// Send counts the frames and frees them.
func (l *Loop) Send(b *packet.Batch) (int, error) {
	n := b.N
	l.count.Sent += uint64(n)
	l.takeBack(b)
	return n, nil
}

// Drop counts the frames and frees them.
func (l *Loop) Drop(b *packet.Batch) {
	l.drops += uint64(b.N)
	l.takeBack(b)
}

func (l *Loop) takeBack(b *packet.Batch) {
	for i := range b.N {
		if !l.pool.takeBack(&b.Frames[i]) {
			l.faults++
		}
	}
	b.N = 0
}

// Alloc lends a frame of length 0 with all the headroom.
func (l *Loop) Alloc() (f packet.Frame, ok bool) {
	ok = l.pool.lend(&f, 0, 0)
	return f, ok
}

// Wait returns at once: there is always traffic.
func (l *Loop) Wait(time.Duration) error { return nil }

// Counters returns what was received and sent since NewLoop.
func (l *Loop) Counters() forward.LaneCounters { return l.count }

// Dropped returns how many frames were given to Drop.
func (l *Loop) Dropped() uint64 { return l.drops }

// Check returns an error if a frame was given back that was not lent, or if not all have come back.
func (l *Loop) Check() error {
	if l.faults != 0 || l.pool.outstanding() != 0 {
		return fmt.Errorf("loop: %d frames were given back that were not lent, %d are missing", l.faults,
			l.pool.outstanding())
	}
	return nil
}

// Close does nothing.
func (l *Loop) Close() error { return nil }
