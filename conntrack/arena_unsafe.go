//go:build linux

package conntrack

import (
	"syscall"
	"unsafe"

	"dirsw/clock"
)

const (
	connSize  = int64(unsafe.Sizeof(Conn{}))
	tableSize = int64(unsafe.Sizeof(Table{}))

	smallPage    = 4 << 10
	hugePage     = 2 << 20
	madvHugePage = 14 // MADV_HUGEPAGE, the same on all architectures
	madvCollapse = 25 // MADV_COLLAPSE, since Linux 6.1
)

// allocate maps slab and index outside the heap: the garbage collector neither scans nor counts them, and pages never
// used are never there. Sound because Conn and uint64 hold no pointers into the heap, the mapping is aligned to a page,
// zeroed, as long as the slices say, and unmapped by Close only.
//
// The slab is filled from its start, so huge pages cost nothing there and spare the TLB. The index is touched at random:
// with huge pages a thousand connections in a table for ten million would take all of its 216 MB. So it begins with small
// ones and gets huge ones when most of those are there (enlarge).
func (t *Table) allocate() error {
	slots := t.max + 1
	slab, err := t.mapArena(slots*int(connSize), true)
	if err != nil {
		return err
	}
	cells := indexCells(t.max)
	x, err := t.mapArena(cells*8, false)
	if err != nil {
		_ = t.Close()
		return err
	}
	t.slab = unsafe.Slice((*Conn)(unsafe.Pointer(unsafe.SliceData(slab))), slots)
	t.index = index{cells: unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x))), cells), n: uint64(cells)}
	if t.small = x; len(x) >= hugePage {
		t.enlargeFrom = 2 * len(x) / smallPage
	}
	return nil
}

// enlarge puts the next 2 MB of the index into a huge page, once in enlargeEvery: the kernel takes 0.6 ms for that. It is
// called when there are two connections for each small page, so that six of seven of those are in use anyway. A packet of
// one of a million connections then takes 47 ns of the table instead of 53, of one of eight million 65 instead of 82
// (go run ./bench -only table).
func (t *Table) enlarge(now clock.Mono) {
	if now < t.enlargeAt {
		return
	}
	t.enlargeAt = now.Add(enlargeEvery)
	_ = syscall.Madvise(t.small[:hugePage], madvCollapse) // without huge pages it is slower, not wrong
	if t.small = t.small[hugePage:]; len(t.small) < hugePage {
		t.enlargeFrom = never
	}
}

// mapArena returns n zeroed bytes that begin at a multiple of the size of a huge page.
func (t *Table) mapArena(n int, huge bool) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n+hugePage, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	t.arenas = append(t.arenas, b)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (hugePage - 1))
	b = b[skip : skip+n : skip+n]
	if huge {
		_ = syscall.Madvise(b, madvHugePage) // without huge pages it is slower, not wrong
	}
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
	t.arenas, t.slab, t.index, t.small, t.enlargeFrom = nil, nil, index{}, nil, never
	return first
}
