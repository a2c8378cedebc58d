//go:build linux

package conntrack

import (
	"syscall"
	"unsafe"
)

const (
	connSize  = int64(unsafe.Sizeof(Conn{}))
	tableSize = int64(unsafe.Sizeof(Table{}))

	hugePage     = 2 << 20
	madvHugePage = 14 // MADV_HUGEPAGE, the same on all architectures
)

// allocate maps slab and index outside the heap: the garbage collector neither scans nor counts them, pages never used
// are never there, and huge pages spare the TLB. Sound because Conn and uint64 hold no pointers into the heap, the
// mapping is aligned to a page, zeroed, as long as the slices say, and unmapped by Close only.
func (t *Table) allocate() error {
	slots := t.max + 1
	slab, err := t.mapArena(slots * int(connSize))
	if err != nil {
		return err
	}
	cells := indexCells(t.max)
	x, err := t.mapArena(cells * 8)
	if err != nil {
		_ = t.Close()
		return err
	}
	t.slab = unsafe.Slice((*Conn)(unsafe.Pointer(unsafe.SliceData(slab))), slots)
	t.index = index{cells: unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x))), cells), n: uint64(cells)}
	return nil
}

// mapArena returns n zeroed bytes that begin at a multiple of the size of a huge page.
func (t *Table) mapArena(n int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n+hugePage, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	t.arenas = append(t.arenas, b)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (hugePage - 1))
	b = b[skip : skip+n : skip+n]
	_ = syscall.Madvise(b, madvHugePage) // without huge pages it is slower, not wrong
	return b, nil
}

// Close gives the memory back. The table and every *Conn of it are invalid afterwards.
func (t *Table) Close() error {
	var first error
	for _, b := range t.arenas {
		if err := syscall.Munmap(b); err != nil && first == nil {
			first = err
		}
	}
	t.arenas, t.slab, t.index = nil, nil, index{}
	return first
}
