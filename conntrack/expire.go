package conntrack

import "dirsw/clock"

// templateGrace is how long a template lives on when its time is over while connections through it live, in seconds
// (kernel: ip_vs_conn_expire). It keeps this as its timeout.
const templateGrace = 60

// Expire ends the connections whose time is over, calling gone for each while it can still be read; gone must not change
// the table. It looks at no more than budget entries, those included whose deadline has moved, and returns at how many
// it did; if that is the budget there may be more, and the rest waits for the next call. Time in which nothing is due is
// passed over at once, however long. Nothing ends early, and nothing later than a tick of 16.8 ms unless calls or budget
// are lacking.
func (t *Table) Expire(now clock.Mono, budget int, gone func(*Conn)) int {
	t.calls++
	t.check()
	w := &t.wheel
	end := int64(now >> tickShift)
	w.skipLaps(end)
	done := 0
	for done < budget && w.cursor < end {
		tick := w.nextBusy(end)
		w.cursor = tick - 1 // or an entry put back as late as the wheel reaches might come into this very bucket again
		b := uint32(tick) & wheelMask
		for w.heads[b] != 0 && done < budget {
			t.fire(&t.slab[w.heads[b]], now, gone)
			done++
		}
		if w.heads[b] != 0 {
			return done
		}
		w.cursor = tick
	}
	return done
}

// fire ends c, or puts it back if its deadline has moved.
func (t *Table) fire(c *Conn, now clock.Mono, gone func(*Conn)) {
	t.wheel.unlink(t.slab, c)
	if c.users > 0 && c.deadline <= now {
		c.timeout = templateGrace
		c.deadline = now + seconds(templateGrace)
	}
	if c.deadline > now {
		t.wheel.link(t.slab, c)
		return
	}
	if gone != nil {
		gone(c)
	}
	t.release(c)
}
