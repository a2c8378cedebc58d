package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// process sorts the frames of w.in into w.out and w.dropped. Two passes: the first reads every packet and asks memory for
// the entries that the second will decide by, which at a million connections halves the cost
// (docs/design/io-and-speed.md).
func (w *Worker) process(now clock.Mono) {
	n := w.in.N
	for i := range n {
		m := &w.in.Metas[i]
		w.reasons[i] = packet.Parse(w.in.Frames[i].Bytes(), m)
		w.hashes[i] = w.table.Hash(&m.Tuple)
	}
	if n >= prefetchFrom && w.table.Len() >= prefetchTable {
		w.table.Prefetch(w.hashes[:n])
	}
	for i := range n {
		f, m := &w.in.Frames[i], &w.in.Metas[i]
		v := Verdict{Service: NoService, Drop: w.reasons[i]}
		if v.Drop == packet.NoDrop {
			v = w.decide(m, conntrack.EventOf(f.Bytes(), m), w.hashes[i], now)
		}
		if v.Drop == packet.NoDrop {
			v.Drop = w.rewrite(f, m, &w.snap.Dests[v.Dest])
		}
		if w.o.Observer != nil {
			w.o.Observer(f, m, v)
		}
		if v.Drop == packet.NoDrop {
			w.out.Add(*f)
		} else {
			w.plain.Drops[v.Drop]++
			w.dropped.Add(*f)
		}
	}
}

// decide says where a well-formed packet goes, and moves its connection on.
func (w *Worker) decide(m *packet.Meta, ev conntrack.Event, h uint64, now clock.Mono) Verdict {
	if m.Flags&(packet.ICMPError|packet.LaterFragment) != 0 {
		return w.decideRelated(m, now)
	}
	c, dir := w.table.Lookup(&m.Tuple, h)
	if c != nil && c.Reuses(ev, conntrack.ReuseClosed) {
		w.gone(c)
		w.table.Remove(c)
		c = nil
	}
	if c == nil {
		return w.schedule(m, ev, h, now)
	}
	v := Verdict{Why: WhyConnection, Service: ServiceID(c.Service), Dest: c.Dest}
	if w.snap.Dests[c.Dest].Gone {
		v.Drop = packet.DropServerGone
		return v
	}
	was, is := w.table.Advance(c, dir, ev, now)
	if was != is && was.Active() != is.Active() {
		d := int32(1)
		if was.Active() {
			d = -1
		}
		w.snap.Dests[c.Dest].Load.Add(w.id, d, -d, 0)
	}
	w.acc.packet(uint32(c.Dest), int(m.End-m.L3))
	if m.Flags&packet.Fragment != 0 {
		w.fragments.note(m, c.Dest, now)
	}
	if w.o.Observer != nil {
		v.State, v.Left = c.State(), c.Left(now)
	}
	return v
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
		v = Verdict{Why: WhyRelated, Service: ServiceID(c.Service), Dest: c.Dest, State: c.State(), Left: c.Left(now)}
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
