package health

import (
	"os"

	"dirsw/clock"
)

// connects are the checks of TCP_CHECK that are under way, of the goroutine of Run alone.
type connects struct {
	under []connecting
	found []answer // not taken in yet
}

// connecting is one of them.
type connecting struct {
	attempt
	it               *item
	start, look, end clock.Mono // end: connect_timeout is over
}

// begin begins to connect as t says.
func (cs *connects) begin(it *item, t *TCP, now clock.Mono) {
	a, err := t.Dial.socket()
	if err != nil {
		cs.found = append(cs.found, answer{it: it, start: now, end: now, err: err})
		return
	}
	c := connecting{a, it, now, now, now.Add(t.Dial.timeout())}
	if !cs.ended(&c, now) {
		c.look = now // when all have begun: some answer at once
		cs.under = append(cs.under, c)
	}
}

// next returns when to look again; ok is false if nothing is under way.
func (cs *connects) next() (at clock.Mono, ok bool) {
	for i, c := range cs.under {
		if i == 0 || c.look < at {
			at, ok = c.look, true
		}
	}
	return at, ok
}

// close ends all that is under way, without an answer.
func (cs *connects) close() {
	for _, c := range cs.under {
		c.close()
	}
	cs.under = nil
}

// look finds out what has become of those whose time it is.
func (cs *connects) look(now clock.Mono) {
	left := cs.under[:0]
	for _, c := range cs.under {
		if c.look > now || !cs.ended(&c, now) {
			left = append(left, c)
		}
	}
	clear(cs.under[len(left):])
	cs.under = left
}

// ended looks at one, and reports whether it is over.
func (cs *connects) ended(c *connecting, now clock.Mono) bool {
	known, err := c.established()
	if !known && now < c.end {
		c.look = min(c.end, now.Add(patience(now.Sub(c.start))))
		return false
	}
	if !known {
		err = failure("connect", os.ErrDeadlineExceeded)
	}
	c.close()
	cs.found = append(cs.found, answer{it: c.it, start: c.start, end: now, err: err})
	return true
}
