package conntrack

import (
	"math/bits"

	"dirsw/clock"
)

// A wheel of 2^16 buckets of 2^24 ns (16.8 ms) reaches 18.3 minutes ahead, which is more than any default timeout, so
// that nothing is sorted down from coarser wheels. What ends later is looked at once in 18 minutes.
const (
	tickShift   = 24
	wheelBits   = 16
	wheelSize   = 1 << wheelBits
	wheelMask   = wheelSize - 1
	wheelGroups = wheelSize / 64
)

// wheel holds the slots by the tick at which to look at them. A slot is looked at when its tick is over, so never before
// its deadline and less than a tick after it.
type wheel struct {
	cursor int64               // last tick that is wholly done
	heads  [wheelSize]uint32   // first slot of the list; 0 for none
	busy   [wheelGroups]uint64 // bit for each bucket that is not empty
	groups [wheelGroups / 64]uint64
	linked uint32
	recent [wheelBits + 1]ring // by the length in bits of the distance from the cursor
}

// ring holds the slots that were linked last at about one distance.
type ring struct {
	slots [lookAhead]uint32
	turn  uint32
}

// lookAhead is how many entries before its turn one is asked of memory. Must be a power of two.
const lookAhead = 8

// ceilTick returns the low bits of the first tick that is over when d has come.
func ceilTick(d clock.Mono) uint32 { return uint32((d + (1<<tickShift - 1)) >> tickShift) }

// link puts c under the tick of its deadline, or as late as the wheel reaches.
func (w *wheel) link(slab []Conn, c *Conn) {
	tick := int64((c.deadline + (1<<tickShift - 1)) >> tickShift)
	tick = min(max(tick, w.cursor+1), w.cursor+wheelSize-1)
	c.armed = uint32(tick)
	b := uint32(tick) & wheelMask
	head := w.heads[b]
	c.prev, c.next = 0, head
	// What was linked eight entries ago at this distance mostly stands eight entries behind this one when both are due.
	r := &w.recent[bits.Len32(uint32(tick-w.cursor)&wheelMask)]
	c.ahead = r.slots[r.turn%lookAhead]
	r.slots[r.turn%lookAhead] = c.self
	r.turn++
	if head != 0 {
		slab[head].prev = c.self
	} else {
		w.busy[b/64] |= 1 << (b % 64)
		w.groups[b/4096] |= 1 << (b / 64 % 64)
	}
	w.heads[b] = c.self
	w.linked++
}

// unlink takes c out.
func (w *wheel) unlink(slab []Conn, c *Conn) {
	if c.next != 0 {
		slab[c.next].prev = c.prev
	}
	w.linked--
	if c.prev != 0 {
		slab[c.prev].next = c.next
		return
	}
	b := c.armed & wheelMask
	w.heads[b] = c.next
	if c.next == 0 {
		w.emptied(b)
	}
}

// emptied clears the marks of bucket b.
func (w *wheel) emptied(b uint32) {
	w.busy[b/64] &^= 1 << (b % 64)
	if w.busy[b/64] == 0 {
		w.groups[b/4096] &^= 1 << (b / 64 % 64)
	}
}

// skipTurns leaves out all but the last turn of the wheel after a long time without calls: everything linked was to be
// looked at in the first of them, so it will be in the last as well, and what ends later is not put back for each turn.
func (w *wheel) skipTurns(end int64) { w.cursor = max(w.cursor, end-wheelSize) }

// nextBusy returns the first tick after the cursor whose bucket is not empty, up to end; end if there is none. It looks
// at no more than 19 words however far that is.
func (w *wheel) nextBusy(end int64) int64 {
	if w.linked == 0 || end <= w.cursor {
		return max(end, w.cursor)
	}
	from := uint32(w.cursor+1) & wheelMask
	b := w.find(from)
	return min(end, w.cursor+1+int64((b-from)&wheelMask))
}

// find returns the first busy bucket from b on, around the end. There must be one.
func (w *wheel) find(b uint32) uint32 {
	if rest := w.busy[b/64] >> (b % 64); rest != 0 {
		return b + uint32(bits.TrailingZeros64(rest))
	}
	g := (b/64 + 1) % wheelGroups
	if rest := w.groups[g/64] >> (g % 64); rest != 0 {
		g += uint32(bits.TrailingZeros64(rest))
		return g*64 + uint32(bits.TrailingZeros64(w.busy[g]))
	}
	for i := range uint32(len(w.groups)) {
		s := (g/64 + 1 + i) % uint32(len(w.groups))
		if w.groups[s] != 0 {
			g = s*64 + uint32(bits.TrailingZeros64(w.groups[s]))
			return g*64 + uint32(bits.TrailingZeros64(w.busy[g]))
		}
	}
	return b
}
