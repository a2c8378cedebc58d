package packet

// BatchSize is the number of frames that travel together. Forwarding got no faster beyond it
// (docs/design/io-and-speed.md).
const BatchSize = 64

// A Frame is one packet in a buffer that exactly one worker owns at any time. The buffer belongs to the Lane that lent
// the frame; a Frame may be copied freely, but only one copy may be used.
type Frame struct {
	buf    []byte // all of the buffer, headroom and tailroom included
	off, n uint32 // where the packet starts in buf, and its length

	Port uint8  // index of the port it came from, then of the port it leaves by
	Desc uint64 // meaning known only to the Lane that lent it
}

// MakeFrame returns the frame whose packet is buf[off:off+n]. For Lanes. It panics if that is outside buf.
func MakeFrame(buf []byte, off, n int, port uint8, desc uint64) Frame {
	_ = buf[off : off+n]
	return Frame{buf: buf, off: uint32(off), n: uint32(n), Port: port, Desc: desc}
}

// Lend makes f the frame that MakeFrame returns, in place: a Frame that is made and then copied costs 4 ns more, for the
// copy waits until its parts have been stored. For Lanes. It panics as MakeFrame does.
func (f *Frame) Lend(buf []byte, off, n int, port uint8, desc uint64) {
	_ = buf[off : off+n]
	f.buf, f.off, f.n, f.Port, f.Desc = buf, uint32(off), uint32(n), port, desc
}

// Bytes returns the packet from its Ethernet header on. Valid until Prepend, Resize or the frame's end.
func (f *Frame) Bytes() []byte { return f.buf[f.off : f.off+f.n : f.off+f.n] }

// Len returns the number of bytes of the packet.
func (f *Frame) Len() int { return int(f.n) }

// Offset returns where in the lent buffer the packet starts now. For Lanes.
func (f *Frame) Offset() int { return int(f.off) }

// Prepend grows the packet by n bytes at its front and returns all of it; false if there is no such headroom, the
// frame is then unchanged. The new bytes hold anything.
func (f *Frame) Prepend(n int) ([]byte, bool) {
	if n < 0 || uint32(n) > f.off {
		return nil, false
	}
	f.off -= uint32(n)
	f.n += uint32(n)
	return f.Bytes(), true
}

// Resize sets the length of the packet, keeping its start; false if the buffer is too small. New bytes hold anything.
func (f *Frame) Resize(n int) bool {
	if n < 0 || int(f.off)+n > len(f.buf) {
		return false
	}
	f.n = uint32(n)
	return true
}

// Batch is up to BatchSize frames and what Parse learnt of each. One goroutine uses it, breath after breath.
type Batch struct {
	N      int
	Frames [BatchSize]Frame
	Metas  [BatchSize]Meta
}

// Add appends f and reports whether there was room. The Meta of its place is left as it is.
func (b *Batch) Add(f Frame) bool {
	if b.N == BatchSize {
		return false
	}
	b.Frames[b.N] = f
	b.N++
	return true
}
