package forwardtest

import (
	"fmt"

	"dirsw/packet"
)

// pool lends buffers. A frame's Desc is the slot of its buffer. It tells of every frame that comes back more often than
// it was lent, or that is not of this pool.
type pool struct {
	mem  []byte
	made []packet.Frame // by slot, with all of the buffer behind the headroom
	free []uint32       // a stack: the buffer used last is the warmest
	lent []bool         // by slot
}

func newPool(frames int) pool {
	if frames == 0 {
		frames = DefaultFrames
	}
	p := pool{mem: make([]byte, frames*BufferLen), free: make([]uint32, 0, frames), lent: make([]bool, frames)}
	for i := range frames {
		p.made = append(p.made, packet.MakeFrame(p.buffer(uint32(i)), Headroom, BufferLen-Headroom, 0, uint64(i)))
		p.free = append(p.free, uint32(frames-1-i))
	}
	return p
}

// outstanding returns the number of frames that are lent.
func (p *pool) outstanding() int { return len(p.lent) - len(p.free) }

// lend sets f to a frame of n bytes that hold anything; false if all are lent. It copies a frame made before and changes
// two fields in place: one put together here and then copied costs 10 ns more, for the copy waits for the narrow stores.
func (p *pool) lend(f *packet.Frame, n int, port uint8) bool {
	last := len(p.free) - 1
	if last < 0 {
		return false
	}
	slot := p.free[last]
	p.free = p.free[:last]
	p.lent[slot] = true
	*f = p.made[slot]
	f.Port = port
	return f.Resize(n)
}

func (p *pool) buffer(slot uint32) []byte {
	at := int(slot) * BufferLen
	return p.mem[at : at+BufferLen : at+BufferLen]
}

// takeBack frees a frame and reports whether it was lent.
func (p *pool) takeBack(f *packet.Frame) bool {
	if f.Desc >= uint64(len(p.lent)) || !p.lent[f.Desc] {
		return false
	}
	p.lent[f.Desc] = false
	p.free = append(p.free, uint32(f.Desc))
	return true
}

// fault says what is wrong with a frame that is given back; empty if nothing is.
func (p *pool) fault(f *packet.Frame) string {
	switch {
	case f.Desc >= uint64(len(p.lent)):
		return fmt.Sprintf("frame with Desc %d is not of this lane", f.Desc)
	case !p.lent[f.Desc]:
		return fmt.Sprintf("frame %d was given back twice", f.Desc)
	case f.Len() > 0 && &f.Bytes()[0] != &p.buffer(uint32(f.Desc))[f.Offset()]:
		return fmt.Sprintf("frame %d comes back with another buffer", f.Desc)
	}
	return ""
}
