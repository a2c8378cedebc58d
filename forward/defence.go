package forward

import (
	"math"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
)

const (
	defenceEvery = time.Second // between two looks at the room in the table (kernel: DEFENSE_TIMER_PERIOD)
	shedABreath  = 64          // entries that drop_entry looks at
	sweepABreath = 256         // entries that are looked at after a server was removed
)

// defence is what a worker does about floods now, as drop_entry, drop_packet and secure_tcp say (kernel:
// update_defense_level in net/netfilter/ipvs/ip_vs_ctl.c). The kernel goes by free memory, which does not tell a director
// with a table of a fixed size anything; here it is the room in the table.
type defence struct {
	next    clock.Mono // when to look again
	entries bool       // drop_entry is at work
	secure  bool       // secure_tcp is
	rate    int64      // drop_packet: one new connection in so many is dropped; 0: none
	left    int64      // until then
}

// works reports whether a defence is at work; short says that there is little room.
func (d Defence) works(short bool) bool { return d == Always || d == Automatic && short }

// defend looks once a second at what is to be done, and does a breath's part of it.
func (w *Worker) defend(now clock.Mono) {
	d := &w.defence
	if now >= d.next {
		d.next = now.Add(defenceEvery)
		w.weigh()
		if d.entries {
			w.table.OweShed()
		}
	}
	if d.entries {
		w.plain.Shed += uint64(w.table.Shed(now, shedABreath, w.life, w.gone))
	}
	if w.sweeping {
		w.sweep()
	}
}

// weigh compares the room in the table with amemthresh.
func (w *Worker) weigh() {
	d, s := &w.defence, &w.snap.Settings
	thresh, room := int64(s.AMemThresh), int64(min(w.table.Room(), math.MaxUint32))
	short := room < thresh
	d.entries = s.DropEntry.works(short)
	if secure := s.SecureTCP.works(short); secure != d.secure {
		d.secure = secure
		w.table.SetSecureTCP(secure)
	}
	switch {
	case s.DropPacket == Always:
		d.rate = int64(s.AMDropRate)
	case s.DropPacket.works(short):
		d.rate = thresh / (thresh - room)
		d.left = d.rate
	default:
		d.rate = 0
	}
}

// turnsAway reports whether it is a new connection's turn to be dropped (kernel: ip_vs_todrop).
func (d *defence) turnsAway() bool {
	if d.rate == 0 {
		return false
	}
	if d.left--; d.left > 0 {
		return false
	}
	d.left = d.rate
	return true
}

// life is how long a connection lives after a packet, where its service says it; 0 elsewhere.
func (w *Worker) life(c *conntrack.Conn) time.Duration {
	if !limited(c.State()) {
		return 0
	}
	return time.Duration(w.snap.Dests[c.Dest].Established) * time.Second
}

// lost notes whether s has lost servers whose connections end with them (expire_nodest_conn; kernel:
// ip_vs_expire_nodest_conn_flush), or has some whose connections end from now on.
func (w *Worker) lost(s *Snapshot) {
	for i := range min(len(s.Dests), len(w.snap.Dests)) {
		d, was := &s.Dests[i], &w.snap.Dests[i]
		if d.Ends && !was.Ends || s.Settings.ExpireNodest && d.Gone && !was.Gone {
			w.sweeping, w.sweepAt = true, 0
			return
		}
	}
}

// ends reports whether the connections of a server end before their time.
func (s *Snapshot) ends(d *Dest) bool { return d.Ends || d.Gone && s.Settings.ExpireNodest }

// sweep ends some of the connections whose server is gone, and the templates that no other connection uses.
func (w *Worker) sweep() {
	w.nap = shortNap
	next, done := w.table.Scan(w.sweepAt, sweepABreath, func(c *conntrack.Conn) bool {
		for c != nil && c.Users() == 0 && w.snap.ends(&w.snap.Dests[c.Dest]) {
			p := w.table.Controller(c)
			w.end(c)
			c = p
		}
		return true
	})
	w.sweepAt, w.sweeping = next, !done
}
