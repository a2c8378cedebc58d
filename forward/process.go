package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// process leaves in w.in the frames that go on, in their order, and moves the others to w.dropped. Two passes: the first
// reads every packet and asks memory for the entries that the second will decide by, which at a million connections
// halves the cost (docs/design/io-and-speed.md). The hashes have a loop of their own, because a processor that reads a
// tuple in words right after Parse has written it in smaller pieces has to wait for those.
// Parsed is how many frames, from the first on, have been parsed already; fresh is how many may be another worker's.
func (w *Worker) process(now clock.Mono, parsed, fresh int) {
	n := w.in.N
	for i := parsed; i < n; i++ {
		w.reasons[i] = packet.Parse(w.in.Frames[i].Bytes(), &w.in.Metas[i])
	}
	if w.overload.share > 0 {
		fresh = w.unload(fresh)
		n = w.in.N
	}
	for i := range n {
		w.hashes[i] = w.table.Hash(&w.in.Metas[i].Tuple)
	}
	if n >= prefetchFrom {
		w.table.Prefetch(w.hashes[:n])
	}
	kept := 0
	for i := range n {
		f, m := &w.in.Frames[i], &w.in.Metas[i]
		if w.reasons[i] != packet.NoDrop || !m.Plain() {
			if !w.longWay(f, m, i, fresh, now) {
				continue
			}
		} else if c, dir := w.table.LookupAsked(&m.Tuple, w.hashes[i], i); c == nil || !w.sail(f, m, c, dir, now) {
			v := Verdict{Service: NoService, fresh: i < fresh}
			w.settle(&v, f, m, conntrack.EventOf(f.Bytes(), m), w.hashes[i], c, dir, now)
			if !w.leaves(&v, f, m, now) {
				continue
			}
		}
		if kept != i {
			w.in.Frames[kept] = *f
		}
		kept++
	}
	w.in.N = kept
	w.delivered()
}

// longWay does what is to be done with the frame in place i that is not plain, and reports whether it leaves as it is now.
func (w *Worker) longWay(f *packet.Frame, m *packet.Meta, i, fresh int, now clock.Mono) bool {
	v := Verdict{Service: NoService, Drop: w.reasons[i], fresh: i < fresh}
	if v.Drop == packet.NoDrop && (!v.fresh || ordinary(m) || !w.passOn(&v, f, m)) {
		if m.Flags&(packet.Fragment|packet.IPOptions) != 0 && !w.unusual(f, m, now) {
			w.dropped.Add(*f)
			return false
		}
		w.decide(&v, f, m, conntrack.EventOf(f.Bytes(), m), w.hashes[i], now)
	}
	return w.leaves(&v, f, m, now)
}

// leaves makes the frame of which v has been decided one that leaves, and reports whether it does; else it goes to w.dropped.
func (w *Worker) leaves(v *Verdict, f *packet.Frame, m *packet.Meta, now clock.Mono) bool {
	if v.Drop == packet.NoDrop {
		v.Drop = w.rewrite(f, m, v)
		if m.Flags&packet.IPOptions != 0 && v.Drop == packet.NoDrop {
			w.leave(f, m, v)
		}
	}
	if w.o.Observer != nil && v.Drop != handed {
		w.o.Observer(f, m, *v)
	}
	if v.Drop != packet.NoDrop || v.pieces != 0 {
		w.replace(f, m, v, now)
		w.dropped.Add(*f)
		return false
	}
	return true
}

// datagram does to a packet in the worker's own memory, which was reassembled, what process does to a frame of the lane.
// Whole is the length of its longest fragment.
func (w *Worker) datagram(f *packet.Frame, m *packet.Meta, whole uint16, now clock.Mono) {
	v := Verdict{Service: NoService, whole: whole, pieces: anyLength}
	w.decide(&v, f, m, conntrack.EventOf(f.Bytes(), m), w.table.Hash(&m.Tuple), now)
	v.way = 0
	if v.Drop == packet.NoDrop {
		v.Drop = w.rewrite(f, m, &v)
	}
	if m.Flags&packet.IPOptions != 0 && v.Drop == packet.NoDrop {
		w.leave(f, m, &v)
	}
	if w.o.Observer != nil {
		w.o.Observer(f, m, v)
	}
	w.replace(f, m, &v, now)
}

// replace sends what leaves instead of a frame that does not: an answer to its sender, or the pieces it is cut into.
func (w *Worker) replace(f *packet.Frame, m *packet.Meta, v *Verdict, now clock.Mono) {
	switch v.Drop {
	case packet.NoDrop:
		w.cut(f, m, v)
	case handed:
	case packet.DropHandover: // under a flood: nobody is told
		w.plain.Drops[v.Drop]++
	default:
		w.plain.Drops[v.Drop]++
		w.answer(f, m, v, now)
	}
}

// decide sets v, which says no more than NoDrop, to where a well-formed packet goes, and moves its connection on. It
// writes v in place: a Verdict that is returned is copied in words right after it was written in smaller pieces, which
// costs 7 ns.
func (w *Worker) decide(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event, h uint64, now clock.Mono) {
	if m.Flags&packet.ICMPError != 0 {
		if !w.tunnelError(v, f, m) {
			w.related(v, f, m, now)
		}
		return
	}
	c, dir := w.table.Lookup(&m.Tuple, h)
	w.settle(v, f, m, ev, h, c, dir, now)
}

// settle is decide for a packet that is no ICMP error, of connection c; nil if it has none.
func (w *Worker) settle(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event, h uint64, c *conntrack.Conn,
	dir conntrack.Dir, now clock.Mono) {
	if w.sync.aside && dir == conntrack.FromClient {
		w.stray(v, packet.DropNoService)
		return
	}
	if c == nil {
		if v.fresh && w.passOn(v, f, m) {
			return
		}
		if c, dir = w.kin(m, h); c == nil {
			if !w.former(v, f, m, ev) {
				w.schedule(v, f, m, ev, h, now)
			}
			return
		}
	}
	if c.Method&quick != 0 {
		w.meanwhile(c, ev, now)
	}
	d := &w.snap.Dests[c.Dest] // not c.Service: that is in the entry's second line, which is not in the cache
	v.Why, v.Service, v.Dest, v.Dir, v.conn, v.way = WhyConnection, d.Service, c.Dest, dir, c, Method(c.Method&^quick)
	if (d.Gone || ev.Starts()) && dir == conntrack.FromClient {
		if w.outlived(c, d, ev) {
			w.old = *c
			w.table.Remove(c)
			*v = Verdict{Service: NoService, whole: v.whole, pieces: v.pieces}
			w.schedule(v, f, m, ev, h, now)
			w.gone(&w.old) // only now: the kernel ends it by a timer, so that its server counts it meanwhile
			return
		}
		if d.Gone {
			v.Drop = packet.DropServerGone
			return
		}
	}
	oneWay := c.Flags()&conntrack.OneWay != 0
	if !oneWay {
		v.way = 0 // it depends on the direction
		if !w.twoWay(v, f, m, d) {
			return
		}
	}
	was, is := w.table.Advance(c, dir, ev, now)
	if d.Established != 0 {
		w.limit(c, d, is, now)
	}
	if was != is && was.Active() != is.Active() {
		n := int32(1)
		if was.Active() {
			n = -1
		}
		d.Load.Add(w.id, n, -n, 0)
	}
	if oneWay || dir == conntrack.FromClient {
		w.acc.packet(uint32(c.Dest), m.Len())
	} else {
		w.acc.reply(uint32(c.Dest), m.Len())
	}
	if w.o.Observer != nil {
		v.State, v.Left = c.State(), c.Left(now)
	}
	if !oneWay && c.App != 0 {
		v.Drop = w.help(f, m, c, dir, now)
	}
	if w.sync.telling && dir == conntrack.FromClient {
		w.inform(c, now)
	}
	if oneWay && w.fast.to != nil && c.Packets%w.fast.every == 0 {
		w.speedUp(c, m, d)
	}
}

// kin returns the connection of a packet that has none of its own: of ESP and AH that of their ISAKMP, or one that was
// expected.
func (w *Worker) kin(m *packet.Meta, h uint64) (*conntrack.Conn, conntrack.Dir) {
	if c, dir := w.isakmp(&m.Tuple); c != nil {
		return c, dir
	}
	return w.claim(m, h), conntrack.FromClient
}

// outlived reports whether a packet of the client is the first of a new connection in the place of c, as conn_reuse_mode
// and expire_nodest_conn say.
func (w *Worker) outlived(c *conntrack.Conn, d *Dest, ev conntrack.Event) bool {
	s := &w.snap.Settings
	if s.ExpireNodest && (d.Gone || d.Weight == 0 && ev.Starts()) || d.Ends && ev.Starts() {
		return true
	}
	return c.Reuses(ev, s.ReuseMode)
}

// limit gives a connection the time to live that its service has for those that are established.
func (w *Worker) limit(c *conntrack.Conn, d *Dest, is conntrack.State, now clock.Mono) {
	if limited(is) {
		w.table.Limit(c, time.Duration(d.Established)*time.Second, now)
	}
}

// limited reports whether Dest.Established is about connections in a state.
func limited(s conntrack.State) bool {
	return s == conntrack.TCPEstablished || s == conntrack.SCTPEstablished || s == conntrack.UDPNormal
}

// end removes a connection before its time.
func (w *Worker) end(c *conntrack.Conn) {
	w.gone(c)
	w.table.Remove(c)
}
