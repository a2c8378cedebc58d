package reassembly

import "fmt"

// check panics if the cache does not fit together.
func (c *Cache) check() {
	if err := c.verify(); err != nil {
		panic("invariant broken: reassembly: " + err.Error())
	}
}

// verify walks all of the cache and says what does not fit together. It is what the tests ask after each operation, and
// what check panics with under the build tag invariants.
func (c *Cache) verify() error {
	free := 0
	for i := c.blocks.free; i != none; i = c.blocks.chain[i] {
		free++
	}
	if free != c.blocks.left {
		return fmt.Errorf("%d blocks free, want %d", free, c.blocks.left)
	}
	used, held, users := 0, 0, make(map[int32]int32)
	for family, q := range c.age {
		older := int32(none)
		for i := q.first; i != none; i = c.data[i].newer {
			d := &c.data[i]
			if d.older != older || older != none && c.data[older].deadline > d.deadline {
				return fmt.Errorf("datagram %d is out of its queue", i)
			}
			older = i
			n, err := c.verifyDatagram(d, family)
			if err != nil {
				return fmt.Errorf("datagram %d: %w", i, err)
			}
			if d.peer != none {
				users[d.peer]++
			}
			used += n
			held++
		}
		if q.last != older {
			return fmt.Errorf("queue %d ends with %d, want %d", family, q.last, older)
		}
	}
	if used+free != len(c.blocks.chain) || held != c.held {
		return fmt.Errorf("%d blocks used and %d free of %d; %d datagrams, want %d", used, free, len(c.blocks.chain), held, c.held)
	}
	for i, n := range users {
		if c.peers.list[i].users != n {
			return fmt.Errorf("peer %d has %d datagrams, want %d", i, c.peers.list[i].users, n)
		}
	}
	return nil
}

// verifyDatagram returns the number of blocks that d has.
func (c *Cache) verifyDatagram(d *datagram, family int) (blocks int, err error) {
	i := c.index.first(d.hash)
	for i != none && i != d.self {
		i = c.data[i].chain
	}
	if i == none || (d.peer == none) != (family == 1) {
		return 0, fmt.Errorf("not in the index, or peer %d", d.peer)
	}
	var meat, end int32
	n, last := 0, int32(none)
	for i := d.first; i != none; i = c.blocks.frags[i].next {
		f := &c.blocks.frags[i]
		if f.start < end || f.end <= f.start || f.joins && f.start != end {
			return 0, fmt.Errorf("fragment from %d to %d behind %d", f.start, f.end, end)
		}
		meat += f.end - f.start
		end, last = f.end, i
		n++
		for j := i; j != none; j = c.blocks.chain[j] {
			blocks++
		}
	}
	if meat != d.meat || n != int(d.count) || last != d.last || end > d.len || d.hasFirst != (n > 0 && c.blocks.frags[d.first].start == 0) {
		return 0, fmt.Errorf("%d bytes in %d fragments up to %d, want %d in %d up to %d", meat, n, end, d.meat, d.count, d.len)
	}
	return blocks, nil
}
