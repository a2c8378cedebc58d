package xsk

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// desc is struct xdp_desc of linux/if_xdp.h.
type desc struct {
	addr uint64 // offset in the pool of frames
	len  uint32
	_    uint32 // options: frames in several buffers, metadata
}

// ring is one of the four rings of a socket, shared with the kernel: one side writes the producer index, the other the
// consumer index; entries between them belong to the consumer. Indices run freely and are taken modulo the size.
//
// Soundness: mem is the mapping that the kernel made for this socket and stays mapped until close; the pointers lie
// within it at offsets that the kernel told (XDP_MMAP_OFFSETS), aligned to their types; entries is bounded by the mapping.
// The kernel reads and writes the indices concurrently, therefore every access to a shared one is atomic.
type ring[E uint64 | desc] struct {
	mem      []byte
	producer *uint32 // written by us for fill and TX rings, by the kernel for the others
	consumer *uint32 // the other way round
	flags    *uint32 // XDP_RING_NEED_WAKEUP
	entries  []E
	mask     uint32

	// Ours alone: our own index, which the kernel may not have been told yet, and the kernel's as last read.
	cachedOwn, cachedPeer uint32
}

// mapRing maps the ring at page offset pgoff of the socket.
func mapRing[E uint64 | desc](fd int, o unix.XDPRingOffset, n uint32, pgoff int64) (r ring[E], err error) {
	var e E
	size := int(o.Desc) + int(n)*int(unsafe.Sizeof(e))
	if r.mem, err = unix.Mmap(fd, pgoff, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return r, err
	}
	base := unsafe.Pointer(unsafe.SliceData(r.mem))
	r.producer = (*uint32)(unsafe.Add(base, o.Producer))
	r.consumer = (*uint32)(unsafe.Add(base, o.Consumer))
	r.flags = (*uint32)(unsafe.Add(base, o.Flags))
	r.entries = unsafe.Slice((*E)(unsafe.Add(base, o.Desc)), n)
	r.mask = n - 1
	return r, nil
}

func (r *ring[E]) close() error {
	if r.mem == nil {
		return nil
	}
	err := unix.Munmap(r.mem)
	*r = ring[E]{}
	return err
}

// room returns how many entries may be written, looking at the kernel's index only if fewer than want seem free.
func (r *ring[E]) room(want uint32) uint32 {
	free := uint32(len(r.entries)) - (r.cachedOwn - r.cachedPeer)
	if free < want {
		r.cachedPeer = atomic.LoadUint32(r.consumer)
		free = uint32(len(r.entries)) - (r.cachedOwn - r.cachedPeer)
	}
	return free
}

// put writes the next entry. There must be room.
func (r *ring[E]) put(e E) {
	r.entries[r.cachedOwn&r.mask] = e
	r.cachedOwn++
}

// publish gives what was put to the kernel.
func (r *ring[E]) publish() { atomic.StoreUint32(r.producer, r.cachedOwn) }

// pending returns how many of the entries we published the kernel has not consumed yet.
func (r *ring[E]) pending() uint32 { return r.cachedOwn - atomic.LoadUint32(r.consumer) }

// available returns how many entries may be read.
func (r *ring[E]) available() uint32 {
	if r.cachedPeer == r.cachedOwn {
		r.cachedPeer = atomic.LoadUint32(r.producer)
	}
	return r.cachedPeer - r.cachedOwn
}

// take reads the next entry. There must be one.
func (r *ring[E]) take() E {
	e := r.entries[r.cachedOwn&r.mask]
	r.cachedOwn++
	return e
}

// release gives what was taken back to the kernel.
func (r *ring[E]) release() { atomic.StoreUint32(r.consumer, r.cachedOwn) }

// needWakeup reports whether the kernel waits for a system call before it looks at the ring.
func (r *ring[E]) needWakeup() bool { return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0 }
