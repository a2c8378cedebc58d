//go:build !amd64

package conntrack

// prefetchIndex does nothing: Prefetch reads the index itself right after, and reads do not wait for one another.
func (t *Table) prefetchIndex([]uint32) {}

// prefetchSlab reads a word of each line, two lines to an entry.
func (t *Table) prefetchSlab(lines []uint32) {
	var sum uint32
	for _, l := range lines {
		if c := &t.slab[l/2]; l&1 == 0 {
			sum += c.armed
		} else {
			sum += c.self
		}
	}
	t.lines[0] = sum // so that the reads are not left out
}

// prefetchEntry does nothing: a read that has to be waited for is no gain.
func (t *Table) prefetchEntry(uint32) {}
