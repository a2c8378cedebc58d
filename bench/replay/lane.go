package replay

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/gopacket/layers"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/packet"
)

// Options of a Lane. The zero value works: every frame of the capture is received, on a port with no address and an MTU
// of 1500.
type Options struct {
	Name       string // of the port; empty: "capture"
	MAC        packet.MAC
	MTU        int  // bytes of the IP packet; 0: 1500
	Unfinished bool // as forward.PortInfo says
	// Wanted reports whether the director's program would take the frame; the others are left to the kernel. M is what
	// Parse learnt, zero if the frame is malformed. Nil wants all.
	Wanted func(frame []byte, m *packet.Meta) bool
}

const (
	headroom = 256
	pool     = 8 // frames: one received, the others for packets that the director makes itself
	// origin is the time of the first packet: a Mono of 0 is always in the past.
	origin = clock.Mono(time.Hour)
	// horizon bounds the time that a capture may span, so that sums of times do not overflow.
	horizon = 100 * 365 * 24 * time.Hour
)

// Lane plays a capture, a frame at a time:
//
//	for now, ok := l.Next(); ok; now, ok = l.Next() {
//		w.Step(now)
//	}
//	return l.Err()
//
// One goroutine uses it.
type Lane struct {
	o     Options
	in    source
	out   *output // nil: what is sent is forgotten
	err   error   // why reading ended; io.EOF at a proper end
	wErr  error   // of writing
	first time.Time
	at    time.Time // of the packet read last
	now   clock.Mono

	read, left int    // packets of the capture, and those of them left to the kernel
	waiting    []byte // the frame that Recv delivers next,
	ready      bool   // if there is one
	count      forward.LaneCounters
	bufs       [pool][]byte
	lent       [pool]bool
	meta       packet.Meta
}

var _ forward.Lane = (*Lane)(nil)

// Open begins to read a capture and to write another: pcap with times in nanoseconds. W may be nil. Its errors are
// ErrEmpty, *NotCaptureError and *CutError, or what reading and writing say.
func Open(r io.Reader, w io.Writer, o Options) (*Lane, error) {
	if o.Name == "" {
		o.Name = "capture"
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	in, err := open(r)
	if err != nil {
		return nil, err
	}
	l := &Lane{o: o, in: in, now: origin}
	if w != nil {
		if l.out, err = newOutput(w); err != nil {
			return nil, fmt.Errorf("write the capture: %w", err)
		}
	}
	return l, nil
}

// Next reads up to the next frame that is wanted, which Recv then delivers, and returns its time, which never goes back;
// false at the end. A frame that was not received before is skipped.
func (l *Lane) Next() (clock.Mono, bool) {
	l.ready = false
	for l.err == nil && l.wErr == nil {
		p, err := l.in.next()
		if err != nil {
			l.err = l.explain(err)
			break
		}
		l.read++
		if p.link != int(layers.LinkTypeEthernet) {
			l.err = &LinkTypeError{p.link}
			break
		}
		if len(p.bytes) < p.whole {
			l.err = &SnapError{Packet: l.read, Have: len(p.bytes), Whole: p.whole}
			break
		}
		l.moveTo(p.at)
		if l.wanted(p.bytes) {
			l.waiting, l.ready = p.bytes, true
			return l.now, true
		}
		l.left++
	}
	return l.now, false
}

func (l *Lane) wanted(frame []byte) bool {
	if l.o.Wanted == nil {
		return true
	}
	if packet.Parse(frame, &l.meta) != packet.NoDrop {
		l.meta = packet.Meta{}
	}
	return l.o.Wanted(frame, &l.meta)
}

// explain makes an error of the source one that says what to do.
func (l *Lane) explain(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &CutError{After: l.read}
	case errors.Is(err, errDamaged):
		return &FormatError{After: l.read, What: strings.TrimPrefix(err.Error(), errDamaged.Error()+": ")}
	case err == io.EOF:
		return err
	}
	return fmt.Errorf("read the capture behind packet %d: %w", l.read, err)
}

// moveTo sets the time to that of a packet, unless that has none or is older than the one before.
func (l *Lane) moveTo(at time.Time) {
	if at.IsZero() {
		return
	}
	if l.first.IsZero() {
		l.first = at
	}
	l.at = at
	l.now = max(l.now, origin.Add(min(max(at.Sub(l.first), 0), horizon)))
}

// Err returns why Next ended: nil at the proper end of the capture, else *CutError, *SnapError, *LinkTypeError,
// *FormatError, or an error of reading or writing.
func (l *Lane) Err() error {
	if l.wErr != nil {
		return fmt.Errorf("write the capture: %w", l.wErr)
	}
	if l.err == io.EOF {
		return nil
	}
	return l.err
}

// Number returns the place in the capture of the packet that Next found last, counted from 1.
func (l *Lane) Number() int { return l.read }

// Time returns the time of that packet as the capture has it.
func (l *Lane) Time() time.Time { return l.at }

// LeftToKernel returns how many packets were not wanted.
func (l *Lane) LeftToKernel() int { return l.left }

// Ports returns the only port.
func (l *Lane) Ports() []forward.PortInfo {
	return []forward.PortInfo{{Name: l.o.Name, MAC: l.o.MAC, MTU: l.o.MTU, Unfinished: l.o.Unfinished}}
}

// Recv delivers the frame that Next found, once. The error is io.EOF when Next has returned false.
func (l *Lane) Recv(b *packet.Batch) (int, error) {
	b.N = 0
	if !l.ready {
		if l.err != nil || l.wErr != nil {
			return 0, io.EOF
		}
		return 0, nil
	}
	l.ready = false
	f, ok := l.lend(len(l.waiting))
	if !ok {
		l.count.RxDropped++
		return 0, nil
	}
	copy(f.Bytes(), l.waiting)
	b.Add(f)
	l.count.Received++
	return 1, nil
}

// Send writes the frames with the time of the packet that Next found last. It reports an error of writing once, and Err
// keeps it.
func (l *Lane) Send(b *packet.Batch) (int, error) {
	n := 0
	var err error
	for i := range b.N {
		f := &b.Frames[i]
		if err == nil {
			err = l.write(f.Bytes())
		}
		if err == nil {
			n++
		}
		l.lent[f.Desc] = false
	}
	l.count.Sent += uint64(n)
	l.count.SendFailed += uint64(b.N - n)
	b.N = 0
	return n, err
}

func (l *Lane) write(frame []byte) error {
	if l.out == nil || l.wErr != nil {
		return l.wErr
	}
	l.wErr = l.out.write(l.at, frame)
	return l.wErr
}

// Drop frees the frames.
func (l *Lane) Drop(b *packet.Batch) {
	for i := range b.N {
		l.lent[b.Frames[i].Desc] = false
	}
	b.N = 0
}

// Alloc lends a frame with headroom.
func (l *Lane) Alloc() (packet.Frame, bool) { return l.lend(0) }

// lend returns a frame of n bytes; false if all are lent.
func (l *Lane) lend(n int) (packet.Frame, bool) {
	for i := range l.lent {
		if l.lent[i] {
			continue
		}
		if len(l.bufs[i]) < headroom+max(n, maxAlloc) {
			l.bufs[i] = make([]byte, headroom+max(n, maxAlloc))
		}
		l.lent[i] = true
		return packet.MakeFrame(l.bufs[i], headroom, n, 0, uint64(i)), true
	}
	return packet.Frame{}, false
}

// maxAlloc is the room behind the headroom of every frame.
const maxAlloc = 2048 - headroom

// Wait returns at once: time is the capture's.
func (l *Lane) Wait(time.Duration) error { return nil }

// Counters returns what was received and sent.
func (l *Lane) Counters() forward.LaneCounters { return l.count }

// Close does nothing: reader and writer are the caller's.
func (l *Lane) Close() error { return nil }
