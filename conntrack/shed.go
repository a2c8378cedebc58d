package conntrack

import (
	"time"

	"dirsw/clock"
)

// What the kernel's drop_entry does (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_random_dropentry and todrop_entry): each second
// it looks at as many of its hash chains as are 1/32 of them, and ends what looks abandoned.
const (
	shedShare = 32
	shedIdle  = 60 * time.Second // what was heard of since is not abandoned
	shedMost  = 8                // packets; who has sent more is somebody
)

// shedder is where Shed goes on.
type shedder struct {
	cursor uint32
	owed   uint64 // entries to look at, times shedShare
	// turns counts down, by the packets that a connection has had: of those with n packets one in n goes.
	turns [shedMost + 1]int8
}

// OweShed lets Shed look at another 1/32 of the table. It is to be called once in each second of distress; what Shed had
// not got round to is forgotten.
func (t *Table) OweShed() {
	t.shed.owed = t.shed.owed%shedShare + uint64(t.touched-1)
}

// Shed looks at no more than limit of the entries that OweShed has allowed, ends those that look abandoned, calling gone for
// each while it can still be read, and returns how many ended. gone must not change the table. Life says how long a connection
// lives that the caller gives a Limit to, 0 of others; nil: it never does.
//
// Abandoned is a half-open connection; one that is established, or of a protocol without states, in which nothing has been
// heard for a minute, by chance (one in n of those with n packets, up to eight); and a template through which nothing was
// ever established. What controls others stays. With a connection goes the template that no other uses and that is not
// assured, or the connection that announced it.
func (t *Table) Shed(now clock.Mono, limit int, life func(*Conn) time.Duration, gone func(*Conn)) (ended int) {
	s := &t.shed
	for ; limit > 0 && s.owed >= shedShare; limit-- {
		s.owed -= shedShare
		if s.cursor++; s.cursor >= t.touched {
			s.cursor = 1
		}
		if c := &t.slab[s.cursor]; c.used() && t.abandoned(c, life, now) {
			ended += t.shedChain(c, gone)
		}
	}
	return ended
}

// shedChain ends c, and what controlled it and nothing else.
func (t *Table) shedChain(c *Conn, gone func(*Conn)) (ended int) {
	for c != nil {
		p := t.Controller(c)
		if gone != nil {
			gone(c)
		}
		t.Remove(c)
		ended++
		if p != nil && (p.users > 0 || p.flags&Template != 0 && p.state == Assured) {
			break
		}
		c = p
	}
	return ended
}

func (t *Table) abandoned(c *Conn, life func(*Conn) time.Duration, now clock.Mono) bool {
	switch {
	case c.users > 0:
		return false
	case c.flags&OnePacket != 0:
		return t.stale(c, seconds(c.via), now)
	case c.flags&Template != 0:
		return c.state != Assured
	}
	switch c.state {
	case TCPSynRecv, TCPSynAck, SCTPInit1, SCTPInit:
		return true
	case TCPEstablished, SCTPEstablished, UDPNormal, None:
		timeout := t.timeouts[c.state]
		if life != nil {
			if d := life(c); d != 0 {
				timeout = clock.Mono(d)
			}
		}
		return t.stale(c, timeout, now)
	}
	return false
}

// stale reports whether it is the turn of an entry in which nothing has been heard for a while.
func (t *Table) stale(c *Conn, timeout, now clock.Mono) bool {
	if idle := timeout - (c.deadline - now); idle < clock.Mono(shedIdle) || c.Packets == 0 || c.Packets > shedMost {
		return false
	}
	turn := &t.shed.turns[c.Packets]
	if *turn--; *turn > 0 {
		return false
	}
	*turn = int8(c.Packets)
	return true
}

// Room returns how many more entries fit.
func (t *Table) Room() int { return t.max - t.live - t.orphaned }
