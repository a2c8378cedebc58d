package conntrack

// prefetchGroup is how many cells are read before the entries that they point at are asked for: early enough to keep
// memory busy, seldom enough to be cheap.
const prefetchGroup = 8

// Prefetch asks memory for what Lookup will touch for these hashes: first the lines of the index, then the entries
// that the tags there point at. Worth it from some ten thousand connections on; see BenchmarkLookup. At most
// packet.BatchSize hashes are looked at.
func (t *Table) Prefetch(h []uint64) {
	h = h[:min(len(h), len(t.lines)/2)]
	for i, h := range h {
		t.lines[i] = t.index.line(tagOf(h))
	}
	t.prefetchIndex(t.lines[:len(h)])
	for len(h) > 0 {
		part := h[:min(len(h), prefetchGroup)]
		h = h[len(part):]
		n := 0
		for _, h := range part {
			cell := t.candidate(tagOf(h))
			t.lines[n] = uint32(cell&cellSlot) * 2
			n++
			if cell&cellServer != 0 {
				t.lines[n] = uint32(cell&cellSlot)*2 + 1
				n++
			}
		}
		t.prefetchSlab(t.lines[:n])
	}
}

// candidate returns the first cell with that tag; 0 if there is none.
func (t *Table) candidate(tag uint32) uint64 {
	for i := t.index.home(tag); ; {
		cell := t.index.cells[i]
		if uint32(cell>>32) == tag || cell == 0 {
			return cell
		}
		if i++; i == t.index.n {
			i = 0
		}
	}
}
