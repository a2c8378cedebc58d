package forwardtest

import "slices"

// records is a queue of frames, kept one behind the other in memory that is used again.
type records struct {
	bytes []byte
	ends  []int // in bytes, of each frame
	ports []uint8
	next  int // first frame not yet taken
}

func (r *records) push(port uint8, b []byte) {
	if r.empty() {
		r.reset()
	}
	r.bytes = append(r.bytes, b...)
	r.ends = append(r.ends, len(r.bytes))
	r.ports = append(r.ports, port)
}

func (r *records) empty() bool { return r.next == len(r.ends) }

func (r *records) reset() {
	r.bytes, r.ends, r.ports, r.next = r.bytes[:0], r.ends[:0], r.ports[:0], 0
}

// peek returns the first frame, valid until the next push.
func (r *records) peek() (b []byte, port uint8, ok bool) {
	if r.empty() {
		return nil, 0, false
	}
	start := 0
	if r.next > 0 {
		start = r.ends[r.next-1]
	}
	return r.bytes[start:r.ends[r.next]], r.ports[r.next], true
}

// skip takes the frame that peek returned.
func (r *records) skip() { r.next++ }

// drain takes all frames and returns copies of them.
func (r *records) drain() [][]byte {
	var all [][]byte
	for b, _, ok := r.peek(); ok; b, _, ok = r.peek() {
		all = append(all, slices.Clone(b))
		r.skip()
	}
	r.reset()
	return all
}
