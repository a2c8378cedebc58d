package conntrack

import (
	"time"

	"dirsw/clock"
)

// Where packets of connections pass without the table being told of each (an accelerator in front of it), their owner is asked
// before one ends, and says afterwards what there was.

// AskBeforeEnd has ask called by Expire for each connection whose time seems to be over. ask may call Heard for it, and must
// not change the table otherwise.
func (t *Table) AskBeforeEnd(ask func(*Conn)) { t.ask = ask }

// Heard tells connection c of packets from its client that passed by the table and changed nothing in its state, the last of
// them at the time at, after all that the table was told of: it lives on from then, for life or, if that is 0, as long as its
// state says.
func (t *Table) Heard(c *Conn, packets uint32, at clock.Mono, life time.Duration) {
	c.Packets += packets
	if c.deadline = at.Add(life); life == 0 {
		c.deadline = at + t.timeouts[c.state&31]
	}
	if !t.asking && int32(ceilTick(c.deadline)-c.armed) < 0 { // Expire has taken what it asks about out of the wheel
		t.rearm(c)
	}
}
