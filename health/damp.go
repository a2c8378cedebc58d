package health

import (
	"time"

	"dirsw/clock"
)

// Damp bounds how fast a check moves a server's weight, so that a server that reports its own load, and is relieved as
// soon as it does, is not emptied and filled in turn. The zero value bounds nothing.
type Damp struct {
	MaxStep     int           // by how much the weight moves at once, at most; 0 is no bound
	MinInterval time.Duration // how long the weight stays after it moved, at least
}

// damper is the memory of a Damp. Its zero value has not moved.
type damper struct {
	moved bool
	at    clock.Mono
}

// step returns the weight that follows have, on the way to want.
func (d *damper) step(now clock.Mono, b Damp, have, want int) int {
	if have == want || d.moved && now.Sub(d.at) < b.MinInterval {
		return have
	}
	if b.MaxStep > 0 {
		want = min(max(want, have-b.MaxStep), have+b.MaxStep)
	}
	d.moved, d.at = true, now
	return want
}
