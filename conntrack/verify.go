package conntrack

import "fmt"

// verify walks all of the table and says what does not fit together. It is what the tests ask after random operations,
// and what check panics with under the build tag invariants.
func (t *Table) verify() error {
	free, err := t.verifyFree()
	if err != nil {
		return err
	}
	if used := int(t.touched) - 1 - free; used != t.live+t.orphaned {
		return fmt.Errorf("%d slots used, want %d and %d orphaned", used, t.live, t.orphaned)
	}
	cells, templates, expected := 0, 0, 0
	users := make(map[uint32]int)
	for s := uint32(1); s < t.touched; s++ {
		c := &t.slab[s]
		if !c.used() {
			continue
		}
		if c.self != s {
			return fmt.Errorf("slot %d believes to be %d", s, c.self)
		}
		if c.IsTemplate() {
			templates++
		}
		if c.flags&Expected != 0 {
			expected++
		}
		if c.flags&Template == 0 && c.via != 0 {
			users[c.via]++
		}
		n, err := t.verifyCells(c)
		if err != nil {
			return err
		}
		cells += n
	}
	if cells != t.index.used || templates != t.templates || expected != t.expected {
		return fmt.Errorf("%d cells, %d templates and %d expected counted, want %d, %d and %d", t.index.used, t.templates,
			t.expected, cells, templates, expected)
	}
	if err := t.verifyUsers(users); err != nil {
		return err
	}
	if err := t.verifyIndex(); err != nil {
		return err
	}
	return t.verifyWheel()
}

// verifyUsers compares what entries that control others have counted with users, by slot.
func (t *Table) verifyUsers(users map[uint32]int) error {
	orphaned := 0
	for s := uint32(1); s < t.touched; s++ {
		c := &t.slab[s]
		if !c.used() && users[s] > 0 {
			orphaned++
		}
		if (c.used() || users[s] > 0) && c.Users() != users[s] {
			return fmt.Errorf("slot %d counts %d entries that it controls, want %d", s, c.Users(), users[s])
		}
	}
	if orphaned != t.orphaned {
		return fmt.Errorf("%d orphaned entries counted, want %d", t.orphaned, orphaned)
	}
	return nil
}

func (t *Table) verifyFree() (n int, err error) {
	for s := t.free; s != 0; s = t.slab[s].next {
		if s >= t.touched || t.slab[s].used() {
			return 0, fmt.Errorf("slot %d is in the free list", s)
		}
		if n++; n >= int(t.touched) {
			return 0, fmt.Errorf("the free list runs in a circle")
		}
	}
	return n, nil
}

// verifyCells looks for the cells that c owns and returns how many those are.
func (t *Table) verifyCells(c *Conn) (n int, err error) {
	want := func(tag, low uint32) error {
		for i, seen := t.index.home(tag), uint64(0); seen <= t.index.n; seen++ {
			switch t.index.cells[i] {
			case uint64(tag)<<32 | uint64(low):
				n++
				return nil
			case 0:
				return fmt.Errorf("slot %d: cell %#x not found from its tag %#x", c.self, low, tag)
			}
			i = (i + 1) % t.index.n
		}
		return fmt.Errorf("the index has no empty cell")
	}
	space := spaceConn
	if c.IsTemplate() {
		space = spaceTemplate
	} else if c.flags&Expected != 0 {
		space = spaceExpected
	}
	if c.flags&(Retired|Unkeyed) == 0 {
		k := c.Tuple()
		if tag := tagOf(t.key.hash(&c.client, &c.virtual, portsKey(&k, space))); tag != c.tags[0] {
			return 0, fmt.Errorf("slot %d: tag %#x, want %#x", c.self, c.tags[0], tag)
		}
		if err := want(c.tags[0], c.cell()); err != nil {
			return 0, err
		}
	}
	if c.flags&(Template|OneWay|Expected) == 0 {
		if tag := tagOf(t.replyHash(&Spec{Tuple: c.Tuple(), Real: c.real, RealPort: c.realPort})); tag != c.tags[1] {
			return 0, fmt.Errorf("slot %d: tag of replies %#x, want %#x", c.self, c.tags[1], tag)
		}
		err = want(c.tags[1], c.self|cellServer)
	}
	return n, err
}

// verifyIndex counts the cells.
func (t *Table) verifyIndex() error {
	n := 0
	for _, cell := range t.index.cells {
		if cell != 0 {
			n++
		}
	}
	if n != t.index.used {
		return fmt.Errorf("%d cells are not empty, want %d", n, t.index.used)
	}
	return nil
}

// verifyWheel walks all buckets: every living entry is in one, the right one, and not after its deadline.
func (t *Table) verifyWheel() error {
	w := &t.wheel
	n := 0
	for b := range w.heads {
		busy := w.busy[b/64]>>(b%64)&1 != 0
		if busy != (w.heads[b] != 0) {
			return fmt.Errorf("bucket %d: marked busy %v, first slot %d", b, busy, w.heads[b])
		}
		if marked := w.groups[b/4096]>>(b/64%64)&1 != 0; marked != (w.busy[b/64] != 0) {
			return fmt.Errorf("bucket %d: its group is marked busy %v", b, marked)
		}
		prev := uint32(0)
		for s := w.heads[b]; s != 0; s = t.slab[s].next {
			c := &t.slab[s]
			if !c.used() || c.prev != prev || c.armed&wheelMask != uint32(b) || int32(ceilTick(c.deadline)-c.armed) < 0 &&
				int64(c.deadline>>tickShift) > w.cursor {
				return fmt.Errorf("bucket %d: slot %d used %v, prev %d want %d, armed %d, deadline tick %d, cursor %d", b, s,
					c.used(), c.prev, prev, c.armed, ceilTick(c.deadline), w.cursor)
			}
			if d := int32(c.armed - uint32(w.cursor)); d >= wheelSize {
				return fmt.Errorf("bucket %d: slot %d armed %d ticks ahead", b, s, d)
			}
			prev = s
			n++
		}
	}
	if n != t.live || uint32(n) != w.linked {
		return fmt.Errorf("%d entries in the wheel, counted %d, want %d", n, w.linked, t.live)
	}
	return nil
}
