package sched

func init() { register(Kind{"wrr", func(Flags) Scheduler { return &wrr{} }}) }

// wrr gives each connection to the next destination whose weight reaches the current level; the level starts at the
// highest weight and falls by the greatest common divisor of the weights at each end of the list (weighted round robin,
// interleaved; Linux net/netfilter/ipvs/ip_vs_wrr.c).
//
// Choose it when servers differ in strength and connections cost about the same.
//
// The cursor holds the level in its low half and ID+1 of the destination chosen last in its high half, 0 standing for
// the head of the list.
type wrr struct {
	max, step int32  // level to start from, and what it falls by
	prev      []Dest // the list at the last Update
	started   bool
	last      int // place of this worker's last choice: the turn is there, or a little further if others have chosen
}

// Update plays the changes one at a time, as the kernel learns of them: each puts the turn back to the head of the list
// and fits the level to the new weights. Servers added one after the other therefore do not start at the level of the
// heaviest, but at that of the first. A scheduler that takes over a list starts at its heaviest.
func (w *wrr) Update(p *Pool, first bool) {
	if !w.started {
		w.started = true
		w.prev = append(w.prev, p.Dests...)
		w.measure(w.prev)
		if first {
			p.Cursor.Move(p.Cursor.Load(), turn(0, max(w.max, 0)))
		}
		return
	}
	list := append([]Dest(nil), w.prev...)
	changed := func() {
		w.measure(list)
		if first {
			w.fit(p.Cursor)
		}
	}
	for i := 0; i < len(list); {
		if p.index(list[i].ID) >= 0 {
			i++
			continue
		}
		list = append(list[:i], list[i+1:]...)
		changed()
	}
	now := Pool{Dests: list}
	for i := len(p.Dests) - 1; i >= 0; i-- { // from the one added first
		d := p.Dests[i]
		k := now.index(d.ID)
		if k >= 0 && (list[k].Weight != d.Weight || list[k].Edits != d.Edits) {
			list[k] = d
			changed()
		}
		if k < 0 {
			list = append([]Dest{d}, list...)
			now.Dests = list
			changed()
		}
	}
	w.prev = append(w.prev[:0], p.Dests...)
	w.measure(w.prev)
}

func (w *wrr) measure(list []Dest) {
	var g, heaviest int32
	for i := range list {
		if v := list[i].Weight; v > 0 {
			g, heaviest = gcd(v, g), max(heaviest, v)
		}
	}
	w.step = max(g, 1)
	w.max = heaviest - (w.step - 1)
}

func (w *wrr) fit(c *Cursor) {
	for {
		at := c.Load()
		level := int32(uint32(at))
		if level > w.max || level == 0 {
			level = w.max
		} else if w.step > 1 {
			level = level/w.step*w.step + 1
		}
		if c.Move(at, turn(0, level)) {
			return
		}
	}
}

func turn(id uint64, level int32) uint64 { return id<<32 | uint64(uint32(level)) }

func (w *wrr) Pick(p *Pool, _ *Flow) int {
	for {
		at := p.Cursor.Load()
		best, level := w.walk(p, at)
		if best == None {
			return None
		}
		if w.last = best; p.Cursor.Move(at, turn(uint64(p.Dests[best].ID)+1, level)) {
			return best
		}
	}
}

// walk follows the list from the cursor on, level by level, at most once through all levels.
func (w *wrr) walk(p *Pool, at uint64) (best int, level int32) {
	level = int32(uint32(at))
	from := 0
	if id := at >> 32; id != 0 {
		from = p.indexFrom(uint32(id-1), w.last) + 1
	}
	if w.max <= 0 {
		return None, level
	}
	for again := true; ; {
		for i := from; i < len(p.Dests); i++ {
			if p.Dests[i].Weight >= level && p.Usable(i) {
				return i, level
			}
		}
		from = 0
		if level -= w.step; level <= 0 {
			level, again = w.max, true
		}
		if again && !p.anyUsable() { // asked when the list has ended, and then once for all levels, as it looks at all
			return None, int32(uint32(at))
		}
		again = false
	}
}

func gcd(a, b int32) int32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
