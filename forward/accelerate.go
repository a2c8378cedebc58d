package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// An Accelerator forwards packets of connections before they reach the worker, as the worker has told it (on AF_XDP: the XDP
// program). It takes those that are plain: TCP with ACK and without FIN, SYN and RST, or UDP; whole, well formed, without a
// VLAN tag, options and extension headers; with time to live left and no longer than their way allows. All others, and those
// of connections whose way is the zero Shortcut, come to the lane. It is one worker's, whose goroutine alone calls it; no call
// waits or allocates, and none enters the kernel.
type Accelerator interface {
	// Room returns how many connections the worker may put in, and how many ways there are.
	Room() (conns, ways int)
	// Sends reports whether frames may leave by a port of the lane.
	Sends(port uint8) bool
	// SetWay says what happens to packets of connections with that way. It is in force at once.
	SetWay(i uint32, to Shortcut)
	// Put hands over the connection that a tuple identifies; false if its place is taken. The place is valid until Remove.
	Put(k *packet.Tuple, way uint32) (place uint32, ok bool)
	// Read returns what has been sent since Put, and when the last of it was, if there was anything.
	Read(place uint32) (n Passed, last clock.Mono)
	// Remove ends what Put began, and returns what Read would have: the place may be another worker's at once.
	Remove(place uint32) (n Passed, last clock.Mono)
	// Beat tells that the worker lives. What has not been told so for a second takes nothing any more.
	Beat(now clock.Mono)
}

// Accelerated is a Lane with an accelerator.
type Accelerated interface {
	// Accelerator returns that of the lane; nil if it has none.
	Accelerator() Accelerator
}

// Shortcut is how packets reach a server: directly, or in IP in IP. The zero value is none.
type Shortcut struct {
	Method   Method // DR or TUN
	Port     uint8
	MTU      uint16 // bytes of the IP packet as it came
	Src, Dst packet.MAC
	// The rest iff Method == TUN.
	Outer, Server packet.Addr // source and destination outside
	MayCut        bool        // see packet.Outer
}

// Passed is a number of packets and their bytes, of which there are more in sixty-four bits than a connection has between two
// readings: the difference of two values, taken as a whole, is what passed between, up to 2^24 packets and 2^40 bytes.
type Passed uint64

const passedShift = 40

// OnePassed is a packet of n bytes.
func OnePassed(n int) Passed { return 1<<passedShift | Passed(n) }

// Packets returns the number of packets.
func (p Passed) Packets() uint64 { return uint64(p >> passedShift) }

// Bytes returns the number of bytes from the IP headers on.
func (p Passed) Bytes() uint64 { return uint64(p) & (1<<passedShift - 1) }

const (
	// quick, in the Method of a connection, says that it is with the accelerator; its App is then its place in fast.conns
	// plus one. That of a connection that replies pass by is else 0.
	quick      uint8 = 0x80
	beatEvery        = 10 * time.Millisecond
	hearEvery        = 4 * time.Millisecond
	hearAtOnce       = 4096 // or no more than so many in a breath
)

// Accelerate says how a worker uses the accelerator of its lane. The zero value works.
type Accelerate struct {
	// Every: with the first packet of its client whose number this divides a connection is handed over; if there was no place
	// for it with a later one. 0: 16, more than what asks for a page takes.
	Every uint32
	// Within is how long it takes until all connections have been read once, so how old what is counted may be. 0: a second.
	Within time.Duration
}

const (
	usualEvery  = 16
	usualWithin = time.Second
)

// fast is what a worker has for its accelerator.
type fast struct {
	to      Accelerator // nil: there is none
	ways    []Shortcut  // as told last, by DestID
	methods []Method    // by DestID, of the snapshot that the ways are of
	former  *Steer      // likewise
	conns   []quickConn
	room    int
	every   uint32
	within  time.Duration
	next    int // of conns, to be read
	heard   clock.Mono
	beat    clock.Mono
}

// quickConn is a connection that the accelerator has.
type quickConn struct {
	slot, place uint32
	passed      Passed     // as read last
	since       clock.Mono // when its last packet came that is known of, sent or seen
}

// plainEvent reports whether what a packet says cannot change the state of an established connection.
func plainEvent(e conntrack.Event) bool { return e == conntrack.TCPAck || e == conntrack.UDPAny }

// setAccelerator makes that of the lane the worker's. If it is another one than before, what was with the one before goes the worker's way.
func (w *Worker) setAccelerator(lane Lane) {
	l, ok := lane.(Accelerated)
	if ok && w.fast.to != nil && l.Accelerator() == w.fast.to { // the lane was opened anew
		w.setWays()
		return
	}
	for _, q := range w.fast.conns {
		if c := w.table.At(q.slot); c != nil {
			c.Method, c.App = c.Method&^quick, 0
		}
	}
	w.fast = fast{every: w.o.Accelerate.Every, within: w.o.Accelerate.Within}
	if w.fast.every == 0 {
		w.fast.every = usualEvery
	}
	if w.fast.within == 0 {
		w.fast.within = usualWithin
	}
	w.plain.Quick, w.uncommitted = 0, true
	if ok {
		w.fast.to = l.Accelerator()
	}
	if w.fast.to == nil {
		w.table.AskBeforeEnd(nil)
		return
	}
	conns, ways := w.fast.to.Room()
	w.fast.room, w.fast.conns, w.fast.ways = conns, make([]quickConn, 0, conns), make([]Shortcut, ways)
	w.fast.methods = make([]Method, ways)
	w.table.AskBeforeEnd(func(c *conntrack.Conn) {
		if c.Method&quick != 0 {
			w.hear(c)
		}
	})
	w.setWays()
}

// setWays tells the accelerator of what has changed in a snapshot. Connections whose server is reached by another method than
// their own are taken back before.
func (w *Worker) setWays() {
	if w.fast.to == nil {
		return
	}
	n := min(len(w.snap.Dests), len(w.fast.ways))
	changed := false
	for i := range n {
		was, is := w.fast.methods[i], w.snap.Dests[i].Method
		changed = changed || was != 0 && was != is
		w.fast.methods[i] = is
	}
	if steer := w.snap.Steer.Former; changed || steer != w.fast.former {
		w.fast.former = steer
		w.takeBack(func(c *conntrack.Conn) bool {
			k := c.Tuple()
			return Method(c.Method&^quick) != w.snap.Dests[c.Dest].Method || !w.owns(&k.Src, k.SrcPort)
		})
	}
	for i := range n {
		w.setWay(conntrack.DestID(i))
	}
}

// owns reports whether packets of a client come to w: what they are of may be a connection of another worker's then, or a new one,
// though this one has an old one of the same client (Steer.Former).
func (w *Worker) owns(client *packet.Addr, port uint16) bool {
	s := &w.snap.Steer
	return s.Workers <= 1 || s.Owner(client, port) == w.id
}

// takeBack takes those connections back from the accelerator that are not for it any more.
func (w *Worker) takeBack(over func(*conntrack.Conn) bool) {
	for i := len(w.fast.conns) - 1; i >= 0; i-- {
		if c := w.table.At(w.fast.conns[i].slot); over(c) {
			w.slowDown(c)
		}
	}
}

// setWay tells the accelerator how packets reach a destination, if that has changed.
func (w *Worker) setWay(id conntrack.DestID) {
	if int(id) >= len(w.fast.ways) || int(id) >= len(w.snap.Dests) {
		return
	}
	if is := w.shortcut(id, &w.snap.Dests[id]); is != w.fast.ways[id] {
		w.fast.ways[id] = is
		w.fast.to.SetWay(uint32(id), is)
	}
}

// shortcut is how plain packets reach d as rewrite would send them; the zero Shortcut where the worker has to look at each.
func (w *Worker) shortcut(id conntrack.DestID, d *Dest) (to Shortcut) {
	hop := &d.Hop
	if d.Gone || w.sync.aside || !hop.OK || hop.Local || !w.fast.to.Sends(hop.Port) {
		return Shortcut{}
	}
	to = Shortcut{Method: d.Method, Port: hop.Port, MTU: hop.MTU, Src: hop.Src, Dst: hop.Dst}
	switch d.Method {
	case DR:
		return to
	case TUN:
		n, least := uint16(d.Tunnel.Len(&d.Addr)), uint16(leastMTU6)
		if d.Addr.Is4() {
			least = leastMTU4
		}
		if d.Tunnel.Type != packet.IPIP || hop.Own == (packet.Addr{}) || hop.MTU < least+n || w.paths[id].mtu != 0 {
			return Shortcut{} // with a path MTU that was learnt, too: it is forgotten when a packet comes
		}
		to.MTU, to.Outer, to.Server, to.MayCut = hop.MTU-n, hop.Own, d.Addr, !w.snap.Settings.PMTUDisc
		return to
	}
	return Shortcut{}
}

// speedUp hands a connection of which a packet has come to the accelerator, if it is one for it.
func (w *Worker) speedUp(c *conntrack.Conn, m *packet.Meta, d *Dest) {
	s := c.State()
	if c.Method&quick != 0 || s != conntrack.TCPEstablished && s != conntrack.UDPNormal || !ordinary(m) || m.VLAN != 0 ||
		Method(c.Method) != d.Method || !w.owns(&m.Src, m.SrcPort) || len(w.fast.conns) == w.fast.room || int(c.Dest) >= len(w.fast.ways) ||
		w.fast.ways[c.Dest].Method == 0 {
		return
	}
	place, ok := w.fast.to.Put(&m.Tuple, uint32(c.Dest))
	if !ok {
		return
	}
	w.fast.conns = append(w.fast.conns, quickConn{slot: c.Slot(), place: place, since: w.now})
	c.Method |= quick
	c.App = uint32(len(w.fast.conns))
	w.plain.Quick = uint64(len(w.fast.conns))
}

// slowDown takes c, which may be a copy of what was in the table, back from the accelerator.
func (w *Worker) slowDown(c *conntrack.Conn) {
	i := int(c.App) - 1
	q := &w.fast.conns[i]
	is, last := w.fast.to.Remove(q.place)
	w.learnt(c, q, is, last)
	c.Method, c.App = c.Method&^quick, 0
	end := len(w.fast.conns) - 1
	if i != end {
		*q = w.fast.conns[end]
		w.table.At(q.slot).App = uint32(i) + 1
	}
	w.fast.conns = w.fast.conns[:end]
	w.plain.Quick = uint64(end)
}

// meanwhile does for c, of which a packet has come, what decide would have done for what the accelerator has sent before it.
func (w *Worker) meanwhile(c *conntrack.Conn, ev conntrack.Event, now clock.Mono) {
	if !plainEvent(ev) {
		w.slowDown(c)
		return
	}
	w.hear(c)
	w.fast.conns[c.App-1].since = now
}

// hear does for c what decide would have done for what the accelerator has sent of it.
func (w *Worker) hear(c *conntrack.Conn) {
	q := &w.fast.conns[c.App-1]
	is, last := w.fast.to.Read(q.place)
	w.learnt(c, q, is, last)
}

// learnt does it, where that is what has been sent since the connection was handed over, the last of it at a time.
func (w *Worker) learnt(c *conntrack.Conn, q *quickConn, is Passed, last clock.Mono) {
	new := is - q.passed
	if new == 0 {
		return
	}
	q.passed = is
	q.since = max(q.since, last) // the clock of the accelerator may stand still for some milliseconds
	before, n := c.Packets, new.Packets()
	w.table.Heard(c, uint32(n), q.since, time.Duration(w.snap.Dests[c.Dest].Established)*time.Second)
	w.acc.passed(uint32(c.Dest), n, new.Bytes())
	w.plain.Accelerated += n
	w.uncommitted = true
	if w.sync.telling {
		w.informAfter(c, before)
	}
}

// informAfter is inform for the packets of c since it had had that many.
func (w *Worker) informAfter(c *conntrack.Conn, before uint32) {
	is, s := c.Packets, &w.snap.Sync
	if s.Period > 0 {
		if c.Packets -= (is - s.Threshold) % s.Period; c.Packets-before > is-before || c.Packets == before { // none of them is its turn
			c.Packets = is
			return
		}
	}
	w.inform(c, w.now)
	c.Packets = is
}

// tend is the accelerator's part of a breath.
func (w *Worker) tend(now clock.Mono) {
	a := &w.fast
	if now.Sub(a.beat) >= beatEvery || a.beat == 0 {
		a.beat = now
		a.to.Beat(now)
	}
	since := now.Sub(a.heard)
	if since < min(hearEvery, a.within) {
		return
	}
	a.heard = now
	n := len(a.conns)
	if since < a.within {
		n = int(int64(n)*int64(since)/int64(a.within)) + 1
	}
	for range min(n, len(a.conns), hearAtOnce) {
		if a.next >= len(a.conns) {
			a.next = 0
		}
		w.hear(w.table.At(a.conns[a.next].slot))
		a.next++
	}
}
