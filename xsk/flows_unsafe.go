package xsk

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// flow, way and beat are what the maps of the accelerator hold, as bpf/flows.bpf.h lays them out.
type flow struct {
	src, dst [16]byte
	ports    uint32 // as they stand in a packet
	state    atomic.Uint32
	way      uint32
	reach    atomic.Uint32
	count    atomic.Uint64 // forward.Passed
	seen     atomic.Uint64 // nanoseconds of CLOCK_MONOTONIC
}

type way struct {
	to, from [6]byte
	serial   atomic.Uint32
	how      uint8
	port     uint8
	mtu      uint16
	outer    [32]byte
	_        [12]byte
}

type beat struct{ at atomic.Uint64 }

// shared is a map of the kernel whose entries lie in memory that the program and we have in common.
type shared[E flow | way | beat] struct {
	kernel  *ebpf.Map
	mem     []byte
	entries []E
}

// newShared makes a map of n entries from spec, and maps its memory.
//
// Soundness: the memory of an array that may be mapped (BPF_F_MMAPABLE) is its entries one after the other, from the start of
// a page on, each as long as its value, which newShared compares with E; the mapping is n of them long and stays until
// close. Programs read and write it concurrently: the fields that both sides use are atomic, and the others are written by
// us alone while state or serial keep programs from believing them.
func newShared[E flow | way | beat](spec *ebpf.MapSpec, n int) (s shared[E], err error) {
	var e E
	if int(spec.ValueSize) != int(unsafe.Sizeof(e)) {
		return s, fmt.Errorf("entries of %s are %d bytes long, want %d", spec.Name, spec.ValueSize, unsafe.Sizeof(e))
	}
	spec.MaxEntries = uint32(n)
	if s.kernel, err = ebpf.NewMap(spec); err != nil {
		return s, err
	}
	if s.mem, err = unix.Mmap(s.kernel.FD(), 0, n*int(unsafe.Sizeof(e)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		_ = s.kernel.Close()
		return shared[E]{}, err
	}
	s.entries = unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(s.mem))), n)
	return s, nil
}

func (s *shared[E]) close() error {
	if s.kernel == nil {
		return nil
	}
	err := unix.Munmap(s.mem)
	if e := s.kernel.Close(); err == nil {
		err = e
	}
	*s = shared[E]{}
	return err
}
