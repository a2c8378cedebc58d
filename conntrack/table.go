package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// ErrFull is returned by Insert and InsertTemplate when the table holds MaxConns entries. Nothing else suffers.
var ErrFull = errors.New("connection table is full")

// DefaultMaxConns is the room of a table whose Options name none.
const DefaultMaxConns = 1 << 20

// maxConns is set by the 30 bits of a cell.
const maxConns = 1<<30 - 1

// Options of a Table. The zero value works.
type Options struct {
	MaxConns  int    // room for connections and templates; 0: DefaultMaxConns. Unused room costs address space only
	Seed      uint64 // of the hash; drawn at random once for each table, so that nobody can aim at one place of it
	Timeouts  Timeouts
	SecureTCP bool // start with SetSecureTCP(true)
}

// Table holds the connections of one worker. It has no lock and must not be shared.
type Table struct {
	index     index
	slab      []Conn // slot 0 is never used
	key       key
	free      uint32 // first slot of the free list, linked by next; 0 for none
	touched   uint32 // slots from touched on have never been used
	live      int    // connections and templates
	templates int
	expected  int // entries that wait for their client's port
	orphaned  int // entries that were removed while they control others: neither free nor live
	max       int
	timeouts  [32]clock.Mono
	machine   machine
	lines     [2 * packet.BatchSize]uint32 // scratch of Prefetch
	arenas    [][]byte

	asked   [packet.BatchSize]finding // by the last Prefetch
	askedAt uint64                    // index.changes at that time

	small       []byte     // the part of the index that lies in small pages
	enlargeFrom int        // entries from which on enlarge is called
	enlargeAt   clock.Mono // when it does something again

	ask    func(*Conn) // see AskBeforeEnd; nil for nobody
	asking bool        // ask is at work
	wheel  wheel
	shed   shedder
	teller teller
	calls  uint64 // of Expire
}

// New returns an empty table. Close gives its memory back.
func New(o Options) (*Table, error) {
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.MaxConns < 0 || o.MaxConns > maxConns {
		return nil, fmt.Errorf("connection table: room for %d connections, want 1 to %d", o.MaxConns, maxConns)
	}
	t := &Table{max: o.MaxConns, key: newKey(o.Seed), touched: 1, enlargeFrom: never}
	if err := t.allocate(); err != nil {
		return nil, fmt.Errorf("connection table for %d connections: %w", o.MaxConns, err)
	}
	for s, sec := range stateTimeouts {
		t.timeouts[s] = seconds(uint32(sec))
	}
	t.SetTimeouts(o.Timeouts)
	t.machine.build(o.SecureTCP)
	return t, nil
}

const (
	enlargeEvery = 10 * time.Millisecond
	never        = math.MaxInt
)

// indexCells returns the number of cells for n connections: 0.38 of them are used when the table is full of one-way
// connections, 0.77 when it is full of connections with two directions.
func indexCells(n int) int { return n*26/10 + 64 }

func seconds(s uint32) clock.Mono { return clock.Mono(s) * clock.Mono(time.Second) }

// Len returns the number of connections, templates not counted.
func (t *Table) Len() int { return t.live - t.templates }

// Templates returns the number of templates.
func (t *Table) Templates() int { return t.templates }

// MemoryBytes returns how much memory the table takes at most: the entries that have been used so far, all of the
// index (its pages come one by one as connections do), the wheel, and what other directors have been told.
func (t *Table) MemoryBytes() int64 {
	return int64(t.touched)*connSize + int64(t.index.n)*8 + tableSize + int64(len(t.teller.told))*heardSize
}

// matches compares without branching on each word: a tag that fits is nearly always the flow.
func (c *Conn) matches(src, dst *packet.Addr, ports uint64) bool {
	le := binary.LittleEndian
	return (le.Uint64(c.client[:8])^le.Uint64(src[:8]))|(le.Uint64(c.client[8:])^le.Uint64(src[8:]))|
		(le.Uint64(c.virtual[:8])^le.Uint64(dst[:8]))|(le.Uint64(c.virtual[8:])^le.Uint64(dst[8:]))|
		(c.ports^ports) == 0
}

// matchesReply compares with the flow from the real server to the client.
func (c *Conn) matchesReply(k *packet.Tuple) bool {
	le := binary.LittleEndian
	return (le.Uint64(c.client[:8])^le.Uint64(k.Dst[:8]))|(le.Uint64(c.client[8:])^le.Uint64(k.Dst[8:]))|
		(le.Uint64(c.real[:8])^le.Uint64(k.Src[:8]))|(le.Uint64(c.real[8:])^le.Uint64(k.Src[8:]))|
		uint64(c.realPort^k.SrcPort)|uint64(c.ClientPort()^k.DstPort)|uint64(c.Proto()^k.Proto)|uint64(c.Family()^k.Family) == 0
}

// Lookup returns the connection that a packet belongs to, and the packet's direction; nil if there is none. h is Hash(k).
func (t *Table) Lookup(k *packet.Tuple, h uint64) (c *Conn, d Dir) { return t.LookupAsked(k, h, 0) }

// LookupAsked is Lookup, which begins where the last Prefetch has found something for its hash in place n, if that was h.
func (t *Table) LookupAsked(k *packet.Tuple, h uint64, n int) (c *Conn, d Dir) {
	tag := tagOf(h)
	i := t.index.home(tag)
	if f := &t.asked[n%packet.BatchSize]; f.tag == tag && t.askedAt == t.index.changes {
		i = uint64(f.at)
	}
	for {
		cell := t.index.cells[i]
		if uint32(cell>>32) == tag {
			c = &t.slab[cell&cellSlot]
			if cell&cellServer == 0 {
				if c.matches(&k.Src, &k.Dst, portsKey(k, spaceConn)) {
					return c, FromClient
				}
			} else if c.matchesReply(k) {
				return c, FromServer
			}
		}
		if cell == 0 {
			return nil, FromClient
		}
		if i++; i == t.index.n {
			i = 0
		}
	}
}

// At returns the entry in a slot (Conn.Slot); nil if the slot is free.
func (t *Table) At(slot uint32) *Conn {
	if slot == 0 || slot >= t.touched || !t.slab[slot].used() {
		return nil
	}
	return &t.slab[slot]
}

func (c *Conn) used() bool { return c.ports>>48 != 0 }

// Insert enters a connection that Lookup did not find, h being Hash(&s.Tuple). Its first state is what s.Event leads to
// from None, as by Advance with a packet from the client. It returns ErrFull if there is no room.
func (t *Table) Insert(s *Spec, h uint64, now clock.Mono) (*Conn, error) {
	t.checkNew(s, h)
	var reply uint32
	if s.Flags&OneWay == 0 {
		reply = tagOf(t.replyHash(s))
		t.lines[0] = t.index.line(reply)
		t.prefetchIndex(t.lines[:1])
	}
	c := t.take(s, spaceConn, now)
	if c == nil {
		return nil, ErrFull
	}
	c.flags = s.Flags & (OneWay | Synced)
	c.Packets = 1
	c.state = s.State
	if s.State == None {
		c.state = t.machine[c.flags&OneWay][s.Event&31][None]
	}
	c.deadline = now + t.timeouts[c.state&31]
	if s.Life != 0 {
		c.deadline = now.Add(s.Life)
	}
	t.enter(c, h, now)
	if c.flags&OneWay == 0 {
		t.enterReply(c, reply)
	}
	return c, nil
}

// enterReply puts the direction from the server into the index, under its tag. Connections of one client that differ in
// the virtual address or port alone have it in common: then the newest is found, and when that is gone the one before it
// (as in the kernel, whose chains grow at the head).
func (t *Table) enterReply(c *Conn, tag uint32) {
	c.tags[1] = tag
	k := packet.Tuple{Src: c.real, Dst: c.client, SrcPort: c.realPort, DstPort: c.ClientPort(), Proto: c.Proto(),
		Family: c.Family()}
	low := c.self | cellServer
	for i := t.index.home(tag); t.index.cells[i] != 0; {
		cell := t.index.cells[i]
		if uint32(cell>>32) == tag && cell&cellServer != 0 && t.slab[cell&cellSlot].matchesReply(&k) {
			t.index.cells[i] = uint64(tag)<<32 | uint64(low)
			low = uint32(cell)
		}
		if i++; i == t.index.n {
			i = 0
		}
	}
	t.index.add(tag, low)
}

// replyHash is Hash of the flow from the real server to the client.
func (t *Table) replyHash(s *Spec) uint64 {
	k := packet.Tuple{SrcPort: s.RealPort, DstPort: s.SrcPort, Proto: s.Proto, Family: s.Family}
	return t.key.hash(&s.Real, &s.Src, portsKey(&k, spaceConn))
}

// take fetches a free slot and fills it from s; nil if there is none.
func (t *Table) take(s *Spec, space uint8, now clock.Mono) *Conn {
	if t.live+t.orphaned == t.max {
		return nil
	}
	slot := t.free
	if slot == 0 {
		slot = t.touched
		t.touched++
	}
	c := &t.slab[slot]
	t.free = c.next
	t.live++
	c.self = slot
	c.client, c.virtual, c.ports = s.Src, s.Dst, portsKey(&s.Tuple, space)
	c.real, c.realPort = s.Real, s.RealPort
	c.Dest, c.Service = s.Dest, s.Service
	c.via, c.users, c.App, c.Method = 0, 0, 0, 0
	c.hopPort, c.hopMAC = 0, packet.MAC{}
	if t.teller.told != nil { // as if it had been told of that it ends now (kernel: ip_vs_conn_new)
		t.teller.told[slot] = heard{until: now}
	}
	return c
}

// enter puts c, which has its deadline, into wheel and index.
func (t *Table) enter(c *Conn, h uint64, now clock.Mono) {
	t.arm(c, now)
	c.tags[0] = tagOf(h)
	t.index.add(c.tags[0], c.cell())
}

// Remove ends a connection or a template now. c is not valid afterwards; what it controlled lives on, and keeps its slot
// from being used again.
func (t *Table) Remove(c *Conn) {
	t.wheel.unlink(t.slab, c)
	t.release(c)
}

// arm puts c, which has its deadline, into the wheel.
func (t *Table) arm(c *Conn, now clock.Mono) {
	if t.wheel.linked == 0 {
		t.wheel.cursor = int64(now >> tickShift)
	}
	t.wheel.link(t.slab, c)
}

// release takes c, which is not in the wheel, out of everything else.
func (t *Table) release(c *Conn) {
	if c.flags&(Retired|Unkeyed) == 0 {
		t.index.remove(c.tags[0], c.cell())
	}
	if c.flags&Template != 0 {
		t.templates--
	} else {
		if c.flags&Expected != 0 {
			t.expected--
		} else if c.flags&OneWay == 0 {
			t.index.remove(c.tags[1], c.self|cellServer)
		}
		t.letGo(c)
	}
	c.ports = 0
	t.live--
	if c.users > 0 {
		t.orphaned++
		return
	}
	t.put(c)
}

// put gives the slot of c, which is in nothing any more, to the free list.
func (t *Table) put(c *Conn) {
	c.next = t.free
	t.free = c.self
}

// Scan calls yield for the entries from slot from on, templates included, and looks at no more than limit slots. It
// returns where to go on, and whether the end was reached. It ends early after an entry for which yield returns false.
// Start with 0. yield may Remove the entry it is given. An entry that lives all through a series of calls is seen once;
// one that comes or goes meanwhile may be seen or not.
func (t *Table) Scan(from uint32, limit int, yield func(*Conn) bool) (next uint32, done bool) {
	from = max(from, 1)
	for ; from < t.touched && limit > 0; limit-- {
		c := &t.slab[from]
		from++
		if c.used() && !yield(c) {
			break
		}
	}
	return from, from >= t.touched
}
