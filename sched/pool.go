package sched

import (
	"sync/atomic"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// None is what Pick returns when no destination can take the connection.
const None = -1

// A Scheduler serves one service on one worker. Pick runs once for each new connection and must not allocate. Update
// runs on the same worker when the pool has changed, before the next Pick and never during one; it may allocate.
type Scheduler interface {
	// Update is told of a changed pool. The first call is with what the service had when it was given this scheduler,
	// which for a new service is no destination at all: some schedulers remember in what order servers came. First is true on the first worker that learns of this generation of it: that
	// one moves the shared Cursor, if it must move at all. The Pool stays valid until the next Update.
	Update(p *Pool, first bool)
	// Pick returns an index in p.Dests, or None.
	Pick(p *Pool, f *Flow) int
}

// Flow is the connection to place.
type Flow struct {
	packet.Tuple // as the client sent it
	Now          clock.Mono
}

// Dest is a real server as a scheduler sees it.
type Dest struct {
	ID           uint32 // stable as long as the server is known, even while it is removed; the Cursor refers to it
	Addr         packet.Addr
	Port         uint16
	Weight       int32
	Last         int32  // while Weight is 0: what it was edited from; 0 if the server was added so. Only mh asks
	Edits        uint64 // another number each time that a command has edited the server, even to what it was; only wrr asks
	Upper, Lower uint32 // connection thresholds; 0: none
	Load         *Load
}

// After returns d as it follows old in the list: the same server, edited (kernel: last_weight in __ip_vs_update_dest).
func (d Dest) After(old *Dest) Dest {
	if d.Last = 0; d.Weight == 0 {
		d.Last = max(old.Weight, old.Last)
	}
	return d
}

// Pool is the destinations of one service, in the kernel's list order: the one added last stands first
// (ip_vs_ctl.c adds at the head of the list).
type Pool struct {
	Dests  []Dest
	Cursor *Cursor
	Family uint8         // of the service's clients, as in packet.Tuple; 0: as each server's address
	Expire time.Duration // of lblc and lblcr (net.ipv4.vs.lblc_expiration, lblcr_expiration); 0: the kernel's day
}

// Active returns the active connections of destination i, summed over workers.
func (p *Pool) Active(i int) int { return p.Dests[i].Load.Active() }

// Inactive returns the inactive connections of destination i, summed over workers.
func (p *Pool) Inactive(i int) int { return p.Dests[i].Load.Inactive() }

// Usable reports whether destination i takes new connections: its weight is not 0 and it is not over its threshold.
func (p *Pool) Usable(i int) bool {
	d := &p.Dests[i]
	return d.Weight > 0 && !d.Load.Overloaded()
}

// anyUsable reports whether any destination takes new connections.
func (p *Pool) anyUsable() bool {
	for i := range p.Dests {
		if p.Usable(i) {
			return true
		}
	}
	return false
}

// index returns the place of the destination with that ID, or -1.
func (p *Pool) index(id uint32) int {
	for i := range p.Dests {
		if p.Dests[i].ID == id {
			return i
		}
	}
	return -1
}

// indexFrom is index, beginning the search at a place where the destination probably is.
func (p *Pool) indexFrom(id uint32, place int) int {
	if place >= len(p.Dests) {
		place = 0
	}
	for i := place; i < len(p.Dests); i++ {
		if p.Dests[i].ID == id {
			return i
		}
	}
	for i := range place {
		if p.Dests[i].ID == id {
			return i
		}
	}
	return -1
}

// Cursor is whose turn it was last, for all workers of a service. It is moved once for each new connection, by
// compare-and-swap: with a plain counter a skipped destination's turn would go to its neighbour, which the kernel does
// not do. What the 64 bits mean is the scheduler's own affair; 0 is the start.
type Cursor struct {
	at  atomic.Uint64
	gen atomic.Uint64 // generation of the pool that the cursor was last fitted to

	log   atomic.Pointer[journal] // of loads that changed; nil while no scheduler follows them
	trial bool                    // never changes
}

// changes returns the journal of the service, which that many workers serve.
func (c *Cursor) changes(workers int) *journal {
	if j := c.log.Load(); j != nil {
		return j
	}
	c.log.CompareAndSwap(nil, &journal{solo: workers == 1})
	return c.log.Load()
}

// Load reads the cursor.
func (c *Cursor) Load() uint64 { return c.at.Load() }

// Move sets the cursor to new if it still is old. On false, read it again and choose again.
func (c *Cursor) Move(old, new uint64) bool { return c.at.CompareAndSwap(old, new) }

// Fit claims generation gen of the pool and reports whether the caller is the first to do so.
func (c *Cursor) Fit(gen uint64) bool {
	old := c.gen.Load()
	return old < gen && c.gen.CompareAndSwap(old, gen)
}

// Copy returns a cursor of its own that stands where c stands, to ask a scheduler without moving the turn.
func (c *Cursor) Copy() *Cursor {
	n := &Cursor{trial: true}
	n.at.Store(c.at.Load())
	return n
}

// Trial reports whether c is a Copy: then Pick is asked what it would do, and remembers nothing of it.
func (c *Cursor) Trial() bool { return c.trial }
