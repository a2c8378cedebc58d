package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// umem is the pool of frames of one lane: one mapping, cut into chunks of equal size, and the stack of those that are
// free: the frame that was freed last is the one whose memory is in the caches. Only the lane's goroutine uses it.
type umem struct {
	whole []byte   // the mapping
	mem   []byte   // the frames in it, from the start of a huge page on
	chunk uint64   // bytes of a frame, a power of two
	free  []uint64 // offsets of free frames; its capacity is all frames
	total int
}

func newUmem(frames, chunk int) (*umem, error) {
	whole, err := unix.Mmap(-1, 0, frames*chunk+hugePage, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("%d KiB of memory for frames: %w; set fewer frames, or fewer queues", frames*chunk>>10, err)
	}
	mem := aligned(whole, frames*chunk)
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // a frame then costs no miss of the TLB; without it is slower, not wrong
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 0 // all of it is used in turn: make the pages now
	}
	u := &umem{whole: whole, mem: mem, chunk: uint64(chunk), free: make([]uint64, 0, frames), total: frames}
	for i := frames - 1; i >= 0; i-- {
		u.free = append(u.free, uint64(i*chunk))
	}
	return u, nil
}

func (u *umem) close() error {
	if u.mem == nil {
		return nil
	}
	err := unix.Munmap(u.whole)
	u.whole, u.mem = nil, nil
	return err
}

// base returns the frame that addr lies in.
func (u *umem) base(addr uint64) uint64 { return addr &^ (u.chunk - 1) }

// buf returns the whole buffer of a frame.
func (u *umem) buf(base uint64) []byte { return u.mem[base : base+u.chunk : base+u.chunk] }

func (u *umem) push(base uint64) { u.free = append(u.free, base) }

// pop takes a free frame; false if there is none.
func (u *umem) pop() (base uint64, ok bool) {
	n := len(u.free)
	if n == 0 {
		return 0, false
	}
	base = u.free[n-1]
	u.free = u.free[:n-1]
	return base, true
}
