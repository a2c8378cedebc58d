package reassembly

// blockLen is the length in bytes of the blocks in which fragments are kept: two hold what an Ethernet frame of the usual
// size does, and a short fragment takes one.
const blockLen = 768

// minBytes is room for one datagram of the greatest length, whose first fragment has as many bytes of headers again.
const minBytes = (2*maxIP/blockLen + 2 + MaxFragments) * blockLen

// fragment is one that is held. Its place in blocks.frags is that of its first block.
type fragment struct {
	start, end int32  // of its data in the datagram
	next       int32  // the next by offset; none for the last
	header     uint16 // bytes of its own headers, as in packet.Part
	joins      bool   // it came right behind the one before it, which was the last then
}

const fragmentBytes = 16 // that a fragment takes in memory

// blocks is memory in pieces of one size.
type blocks struct {
	mem   []byte
	chain []int32 // the next block of the same fragment, or the next free one
	frags []fragment
	free  int32
	left  int
}

func newBlocks(bytes int) blocks {
	n := bytes / blockLen
	b := blocks{mem: make([]byte, n*blockLen), chain: make([]int32, n), frags: make([]fragment, n), left: n}
	for i := range b.chain {
		b.chain[i] = int32(i) + 1
	}
	b.chain[n-1] = none
	return b
}

func (b *blocks) bytes() int {
	return len(b.mem) + len(b.chain)*4 + len(b.frags)*fragmentBytes
}

// need returns how many blocks n bytes take. Even nothing takes one.
func need(n int) int { return max((n+blockLen-1)/blockLen, 1) }

// store copies data into free blocks, of which there are enough, and returns the first.
func (b *blocks) store(data []byte) int32 {
	first, last := int32(none), int32(none)
	for range need(len(data)) {
		i := b.free
		b.free = b.chain[i]
		b.chain[i] = none
		b.left--
		data = data[copy(b.mem[int(i)*blockLen:][:blockLen], data):]
		if first == none {
			first = i
		} else {
			b.chain[last] = i
		}
		last = i
	}
	return first
}

// load copies what was stored at first to dst, as much as that holds.
func (b *blocks) load(dst []byte, first int32) {
	for i := first; len(dst) > 0; i = b.chain[i] {
		dst = dst[copy(dst, b.mem[int(i)*blockLen:][:blockLen]):]
	}
}

// release frees the blocks that begin with first.
func (b *blocks) release(first int32) {
	last, n := first, 1
	for b.chain[last] != none {
		last = b.chain[last]
		n++
	}
	b.chain[last], b.free = b.free, first
	b.left += n
}
