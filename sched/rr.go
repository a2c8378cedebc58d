package sched

func init() { register(Kind{"rr", func(Flags) Scheduler { return &rr{} }}) }

// rr gives each connection to the next usable destination of the list (round robin; Linux
// net/netfilter/ipvs/ip_vs_rr.c). Weight matters only as zero or not. The list begins with the server added last.
//
// Choose it when servers are equal and connections cost about the same.
//
// The cursor holds ID+1 of the destination that was chosen last, 0 before the first choice.
type rr struct {
	order []uint32 // IDs of the list at the last Update
	last  int      // place of this worker's last choice: the turn is there, or a little further if others have chosen
}

// Update keeps the turn where it was: when the destination chosen last is gone, the one before it in the old list takes
// its place, so that its follower is next.
func (r *rr) Update(p *Pool, first bool) {
	if first {
		for at := p.Cursor.Load(); at != 0 && p.index(uint32(at-1)) < 0; at = p.Cursor.Load() {
			p.Cursor.Move(at, before(r.order, uint32(at-1)))
		}
	}
	r.order = r.order[:0]
	for i := range p.Dests {
		r.order = append(r.order, p.Dests[i].ID)
	}
}

// before returns the cursor that points at the destination ahead of id, 0 if there is none.
func before(order []uint32, id uint32) uint64 {
	for i, o := range order {
		if o == id && i > 0 {
			return uint64(order[i-1]) + 1
		}
	}
	return 0
}

func (r *rr) Pick(p *Pool, _ *Flow) int {
	n := len(p.Dests)
	for {
		at := p.Cursor.Load()
		next := 0
		if at != 0 {
			next = p.indexFrom(uint32(at-1), r.last) + 1
		}
		best := None
		for k := range n {
			i := next + k
			if i >= n {
				i -= n
			}
			if p.Usable(i) {
				best = i
				break
			}
		}
		if best == None {
			return None
		}
		if r.last = best; p.Cursor.Move(at, uint64(p.Dests[best].ID)+1) {
			return best
		}
	}
}
