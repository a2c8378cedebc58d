package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// process leaves in w.in the frames that go on, in their order, and moves the others to w.dropped. Two passes: the first
// reads every packet and asks memory for the entries that the second will decide by, which at a million connections
// halves the cost (docs/design/io-and-speed.md). The hashes have a loop of their own, because a processor that reads a
// tuple in words right after Parse has written it in smaller pieces has to wait for those.
func (w *Worker) process(now clock.Mono) {
	n := w.in.N
	for i := range n {
		w.reasons[i] = packet.Parse(w.in.Frames[i].Bytes(), &w.in.Metas[i])
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
		v := Verdict{Service: NoService, Drop: w.reasons[i]}
		if v.Drop == packet.NoDrop {
			w.decide(&v, m, conntrack.EventOf(f.Bytes(), m), w.hashes[i], now)
		}
		if v.Drop == packet.NoDrop {
			v.Drop = w.rewrite(f, m, &w.snap.Dests[v.Dest])
		}
		if w.o.Observer != nil {
			w.o.Observer(f, m, v)
		}
		if v.Drop != packet.NoDrop {
			w.plain.Drops[v.Drop]++
			w.answer(f, m, &v, now)
			w.dropped.Add(*f)
			continue
		}
		if kept != i {
			w.in.Frames[kept] = *f
		}
		kept++
	}
	w.in.N = kept
}

// decide sets v, which says no more than NoDrop, to where a well-formed packet goes, and moves its connection on. It
// writes v in place: a Verdict that is returned is copied in words right after it was written in smaller pieces, which
// costs 7 ns.
func (w *Worker) decide(v *Verdict, m *packet.Meta, ev conntrack.Event, h uint64, now clock.Mono) {
	if m.Flags&(packet.ICMPError|packet.LaterFragment) != 0 {
		*v = w.decideRelated(m, now)
		return
	}
	c, dir := w.table.Lookup(&m.Tuple, h)
	if c != nil && c.Reuses(ev, conntrack.ReuseClosed) {
		w.gone(c)
		w.table.Remove(c)
		c = nil
	}
	if c == nil {
		*v = w.schedule(m, ev, h, now)
		return
	}
	d := &w.snap.Dests[c.Dest] // not c.Service: that is in the entry's second line, which is not in the cache
	v.Why, v.Service, v.Dest = WhyConnection, d.Service, c.Dest
	if d.Gone {
		v.Drop = packet.DropServerGone
		return
	}
	was, is := w.table.Advance(c, dir, ev, now)
	if was != is && was.Active() != is.Active() {
		n := int32(1)
		if was.Active() {
			n = -1
		}
		d.Load.Add(w.id, n, -n, 0)
	}
	w.acc.packet(uint32(c.Dest), int(m.End-m.L3))
	if m.Flags&packet.Fragment != 0 {
		w.fragments.note(m, c.Dest, now)
	}
	if w.o.Observer != nil {
		v.State, v.Left = c.State(), c.Left(now)
	}
}

// decideRelated handles what carries no ports of its own: a later fragment follows its first one, an ICMP error follows
// the connection of the packet it quotes.
func (w *Worker) decideRelated(m *packet.Meta, now clock.Mono) Verdict {
	var v Verdict
	if m.Flags&packet.ICMPError != 0 {
		back := m.Tuple.Reverse() // the quoted packet went from the service to the client
		c, _ := w.table.Lookup(&back, w.table.Hash(&back))
		if c == nil {
			return Verdict{Service: NoService, Drop: packet.DropICMP}
		}
		v = Verdict{Why: WhyRelated, Service: w.snap.Dests[c.Dest].Service, Dest: c.Dest, State: c.State(), Left: c.Left(now)}
	} else {
		dest, ok := w.fragments.find(m, now)
		if !ok {
			return Verdict{Service: NoService, Drop: packet.DropFragment}
		}
		v = Verdict{Why: WhyFragment, Service: w.snap.Dests[dest].Service, Dest: dest}
	}
	if w.snap.Dests[v.Dest].Gone {
		v.Drop = packet.DropServerGone
		return v
	}
	w.acc.packet(uint32(v.Dest), int(m.End-m.L3))
	return v
}
