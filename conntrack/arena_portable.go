//go:build !linux

package conntrack

import "dirsw/clock"

const (
	connSize  = 128
	tableSize = 1 << 19
)

// allocate takes slab and index from the heap, as memory without pointers.
func (t *Table) allocate() error {
	n := indexCells(t.max)
	t.slab = make([]Conn, t.max+1)
	t.index = index{cells: make([]uint64, n), n: uint64(n)}
	return nil
}

// enlarge does nothing.
func (t *Table) enlarge(clock.Mono) { t.enlargeFrom = never }

// Close gives the memory back. The table and every *Conn of it are invalid afterwards.
func (t *Table) Close() error {
	t.slab, t.index = nil, index{}
	return nil
}
