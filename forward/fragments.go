package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
	"dirsw/reassembly"
)

// Fragments are gathered before anything is decided: what the kernel's IPVS sees are whole datagrams, for their fragments
// have been put together before it, and they leave in pieces again (docs/adr/0010-fragments-are-reassembled.md).

const giveUpABreath = 16 // datagrams whose time is over

// gathered is the datagram that was put together last, and how it is cut again.
type gathered struct {
	cache *reassembly.Cache
	lost  uint64 // fragments that the cache gave up, as far as they are counted
	meta  packet.Meta
	whole *reassembly.Datagram // of the one being decided on; nil between
	plan  packet.Plan
	cut   packet.Cut
	cuts  uint32 // IPv6 packets that were cut
}

// fragment takes in a part of a datagram; the caller gives the frame back to the lane. A datagram that is whole goes on.
func (w *Worker) fragment(f *packet.Frame, m *packet.Meta, now clock.Mono) {
	g := &w.gathered
	v := Verdict{Service: NoService}
	if m.Family == packet.IPv4Family && !w.isLocal(&m.Dst) && ttl(f, m) <= 1 { // the kernel routes these before it gathers them
		v.Drop, v.Dir = packet.DropTTL, conntrack.FromServer
		if w.o.Observer != nil {
			w.o.Observer(f, m, v)
		}
		w.replace(f, m, &v, now)
		return
	}
	from := reassembly.Origin{Port: f.Port}
	if m.Flags&packet.IPOptions != 0 && m.Family == packet.IPv4Family {
		from.Options = w.seen
	}
	o := g.cache.Add(f.Bytes(), m, from, now)
	switch o {
	case reassembly.Held, reassembly.Whole:
		v.Why = WhyFragment
	case reassembly.Duplicate:
		v.Drop = packet.DropDuplicate
	case reassembly.Overlap:
		v.Drop = packet.DropOverlap
	default:
		v.Drop = packet.DropBadFragment
	}
	w.countLost()
	if w.o.Observer != nil && o != reassembly.Whole {
		w.o.Observer(f, m, v)
	}
	switch {
	case o == reassembly.Whole:
		w.whole(now)
	case o == reassembly.Uneven:
		w.plain.Drops[v.Drop]++
		w.tellLength(f, m, now)
	case v.Drop != packet.NoDrop:
		w.plain.Drops[v.Drop]++
	}
}

// countLost counts the fragments that the cache has given up since the last call.
func (w *Worker) countLost() {
	if n := w.gathered.cache.Lost(); n != w.gathered.lost {
		w.plain.Drops[packet.DropFragment] += n - w.gathered.lost
		w.gathered.lost = n
	}
}

// whole decides on the datagram that has just become whole.
func (w *Worker) whole(now clock.Mono) {
	g := &w.gathered
	w.plain.Joined++
	g.whole = g.cache.Datagram()
	f, m := &g.whole.Frame, &g.meta
	v := Verdict{Service: NoService, Drop: packet.Parse(f.Bytes(), m)}
	if v.Drop == packet.NoDrop && m.Flags&packet.Fragment != 0 {
		v.Drop = packet.DropBadFragment // a fragment of fragments
	}
	w.seen, w.visitor = g.whole.Options, w.router(m, f.Port, now)
	if v.Drop == packet.NoDrop {
		w.datagram(f, m, uint16(g.whole.Largest), now)
	} else {
		if w.o.Observer != nil {
			w.o.Observer(f, m, v)
		}
		w.plain.Drops[v.Drop]++
	}
	g.whole = nil
}

// anyLength is v.pieces of a datagram that was reassembled, until a way with an MTU is found for it.
const anyLength = 0xffff

// cut sends the packet of f, from m.L3 to m.End as it will leave, in pieces of at most v.pieces bytes. They go to w.extra.
// In a tunnel m.Family is that of the packet inside.
func (w *Worker) cut(f *packet.Frame, m *packet.Meta, v *Verdict) {
	g := &w.gathered
	p := &g.plan
	b := f.Bytes()[:m.End]
	six := b[m.L3]>>4 == 6
	*p = packet.Plan{MTU: int(v.pieces)}
	limit := p.MTU // what is no longer leaves as it is
	if v.whole != 0 {
		if m.Family == packet.IPv4Family && v.Dir == conntrack.FromClient {
			g.whole.Coalesce()
		}
		p.Parts, p.DF = g.whole.Parts, g.whole.DF
		if six == (m.Family == packet.IPv6Family) { // if not, the kernel has forgotten how long they were
			p.Largest = int(v.whole)
			limit = min(limit, p.Largest)
		}
	}
	if len(b)-int(m.L3) > limit {
		if six {
			p.ID = w.fragmentID(m)
		}
		n := w.sendPieces(b, f.Port, int(m.L3))
		if v.Why == WhyKernel && n > 1 { // the first one is counted
			w.plain.GivenBack += uint64(n - 1)
		}
		return
	}
	out, ok := w.lane.Alloc()
	if !ok || !out.Resize(len(b)) {
		w.spare(out, ok)
		w.plain.Drops[packet.DropNoFrame]++
		return
	}
	copy(out.Bytes(), b)
	out.Port = f.Port
	w.emit(out)
}

// sendPieces cuts b by w.gathered.plan, and returns how many pieces left.
func (w *Worker) sendPieces(b []byte, port uint8, l3 int) (sent int) {
	c, p := &w.gathered.cut, &w.gathered.plan
	for ; sent == 0 || !c.Done(); sent++ {
		out, ok := w.lane.Alloc()
		if !ok {
			w.plain.Drops[packet.DropNoFrame]++
			return sent
		}
		if sent == 0 {
			p.MTU = min(p.MTU, out.Room()-l3)
			if !c.Start(b, l3, p) {
				w.spare(out, ok)
				w.plain.Drops[packet.DropTooBig]++
				return 0
			}
			w.plain.Cut++
		}
		c.Next(&out)
		out.Port = port
		w.emit(out)
	}
	return sent
}

// spare gives a frame back that was not needed.
func (w *Worker) spare(f packet.Frame, ok bool) {
	if ok {
		w.unused.Add(f)
		w.lane.Drop(&w.unused)
	}
}

// fragmentID returns an identification for the pieces of an IPv6 packet that nobody can guess (RFC 7739).
func (w *Worker) fragmentID(m *packet.Meta) uint32 {
	g := &w.gathered
	g.cuts++
	t := m.Tuple
	t.SrcPort, t.DstPort = uint16(g.cuts), uint16(g.cuts>>16)
	return max(uint32(w.table.Hash(&t)>>16), 1)
}

// emit queues a frame of lane.Alloc that is ready to leave.
func (w *Worker) emit(f packet.Frame) {
	if w.extra.N == packet.BatchSize {
		w.plain.Forwarded += uint64(w.extra.N)
		w.lane.Send(&w.extra)
	}
	w.extra.Add(f)
}

// giveUp ends the waiting for datagrams whose time is over, and tells their senders if the first fragment has come.
func (w *Worker) giveUp(now clock.Mono) {
	for range giveUpABreath {
		e, ok := w.gathered.cache.Expire(now)
		if !ok {
			break
		}
		w.plain.Drops[packet.DropFragment] += uint64(e.Fragments)
		if e.First.Len() > 0 {
			w.tellTime(&e, now)
		}
	}
	if w.answers.N > 0 {
		w.lane.Send(&w.answers)
	}
}

// tellTime tells the sender of a first fragment that the others did not come in time (RFC 792; RFC 4443, section 3.3). What
// the director would have routed on has been on its way already, which shows in the time to live of IPv4.
func (w *Worker) tellTime(e *reassembly.Expired, now clock.Mono) {
	f, m := &e.First, &w.gathered.meta
	if !parseFilled(f.Bytes(), e.L3, m) {
		return
	}
	w.seen, w.visitor = e.Options, w.router(m, f.Port, now)
	s, ok := w.errorTo(f, m, now)
	if !ok {
		return
	}
	s.ICMPType, s.ICMPCode = icmpTimeExceeded, 1
	if m.Family == packet.IPv6Family {
		s.ICMPType = icmp6TimeExceeded
	} else if !w.isLocal(&m.Dst) {
		packet.DecrementTTL(f, m)
	}
	w.sendAnswer(&s, f.Port)
}

// parseFilled is Parse for a packet whose IPv4 options were filled in since its header checksum was right; that stays as
// it is.
func parseFilled(frame []byte, l3 int, m *packet.Meta) bool {
	h := packet.IPv4(frame[l3:])
	if h.Version() != 4 {
		return packet.Parse(frame, m) == packet.NoDrop
	}
	sum := h.Checksum()
	h.SetChecksum(h.ComputeChecksum())
	ok := packet.Parse(frame, m) == packet.NoDrop
	h.SetChecksum(sum)
	return ok
}

// tellLength tells the sender of an IPv6 fragment that its length must be a multiple of 8 bytes (RFC 8200, section 4.5).
func (w *Worker) tellLength(f *packet.Frame, m *packet.Meta, now clock.Mono) {
	if s, ok := w.errorTo(f, m, now); ok {
		s.ICMPType, s.ICMPCode, s.ICMPRest = icmp6Param, 0, payloadLenAt
		w.sendAnswer(&s, f.Port)
	}
}

// errorTo prepares an ICMP error about a packet as it came; false if none must be sent. It comes from the address that the
// packet was to if that is the director's own.
func (w *Worker) errorTo(f *packet.Frame, m *packet.Meta, now clock.Mono) (s packet.Spec, ok bool) {
	v4, in := m.Family == packet.IPv4Family, f.Bytes()
	s = packet.Spec{Tuple: m.Reverse(), VLAN: m.VLAN, SrcMAC: packet.Ethernet(in).Dst(), DstMAC: packet.Ethernet(in).Src()}
	if m.Flags&packet.ICMPError != 0 || !unicast(&m.Src) || !w.isLocal(&m.Dst) && !w.fromOwn(&s, f.Port, v4) || !w.errors.take(now) {
		return s, false
	}
	room := icmp6Max - packet.IPv6Len - icmpHead
	s.Proto = packet.ProtoICMPv6
	if v4 {
		room = icmpMax - packet.IPv4MinLen - icmpHead
		s.Proto, s.TOS = packet.ProtoICMP, errorTOS(in[m.L3:])
		w.ipID++
		s.ID = w.ipID
		s.Options = w.echoed(in[m.L3:], m)
		room -= len(s.Options)
	}
	s.Payload = in[m.L3 : int(m.L3)+min(int(m.End)-int(m.L3), room)]
	return s, true
}
