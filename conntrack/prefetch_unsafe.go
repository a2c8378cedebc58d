//go:build amd64

package conntrack

import "unsafe"

// prefetchLines asks the processor to fetch the lines of 64 bytes at these positions behind base into its first cache.
// The address is only a hint to the processor: nothing is read or written, and no address faults.
//
//go:noescape
func prefetchLines(base unsafe.Pointer, lines []uint32)

// prefetchIndex fetches lines of the index.
func (t *Table) prefetchIndex(lines []uint32) {
	prefetchLines(unsafe.Pointer(unsafe.SliceData(t.index.cells)), lines)
}

// prefetchSlab fetches lines of the slab, two to an entry.
func (t *Table) prefetchSlab(lines []uint32) {
	prefetchLines(unsafe.Pointer(unsafe.SliceData(t.slab)), lines)
}

// prefetchEntry fetches both lines of the entry in slot.
func (t *Table) prefetchEntry(slot uint32) {
	lines := [2]uint32{slot * 2, slot*2 + 1}
	t.prefetchSlab(lines[:])
}
