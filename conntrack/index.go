package conntrack

import "math/bits"

// index finds slots by hash: open addressing over cells of 8 bytes. The upper half of a cell is the tag, the upper half
// of the hash with its lowest bit set, so that an empty cell (0) matches no tag; then a bit for the direction, one for
// connections with two of them, then the slot. The place where a search begins is the tag scaled to the number of cells: it needs no power of two, so the
// index is as large as MaxConns needs and no larger, and a cell says itself where it belongs, so that removal can move
// the followers back without looking at their connections.
type index struct {
	cells []uint64
	n     uint64 // len(cells)
	used  int
	// changes counts the calls of add and remove.
	changes uint64
}

const (
	cellServer = 1 << 31 // the cell finds the direction from the server
	cellTwoWay = 1 << 30 // the cell finds that from the client, and there is the other one: both lines will be touched
	cellSlot   = cellTwoWay - 1
)

// cell is the lower half of the cell that finds c by its own key.
func (c *Conn) cell() uint32 {
	if c.flags&(Template|OneWay) == 0 {
		return c.self | cellTwoWay
	}
	return c.self
}

func tagOf(h uint64) uint32 { return uint32(h>>32) | 1 }

func (x *index) home(tag uint32) uint64 {
	return uint64(tag) * x.n >> 32
}

// line returns the line of 64 bytes in which a search for tag begins.
func (x *index) line(tag uint32) uint32 { return uint32(x.home(tag) / 8) }

// add enters a cell. The caller sees to it that there is room.
func (x *index) add(tag uint32, low uint32) {
	i := x.home(tag)
	for x.cells[i] != 0 {
		if i++; i == x.n {
			i = 0
		}
	}
	x.cells[i] = uint64(tag)<<32 | uint64(low)
	x.used++
	x.changes++
}

// remove takes a cell out and moves the cells behind it back, so that no marks of removed cells are needed.
func (x *index) remove(tag uint32, low uint32) {
	cell := uint64(tag)<<32 | uint64(low)
	i := x.home(tag)
	for x.cells[i] != cell {
		if i++; i == x.n {
			i = 0
		}
	}
	x.used--
	x.changes++
	for j := i; ; {
		if j++; j == x.n {
			j = 0
		}
		next := x.cells[j]
		if next == 0 {
			break
		}
		if x.behind(x.home(uint32(next>>32)), j) >= x.behind(i, j) {
			x.cells[i] = next
			i = j
		}
	}
	x.cells[i] = 0
}

// behind returns how many cells j lies behind i, around the end.
func (x *index) behind(i, j uint64) uint64 {
	d, borrow := bits.Sub64(j, i, 0)
	return d + x.n&-borrow
}
