package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// related handles an ICMP error, which follows the connection of the packet it quotes: one about a packet to the client
// goes to the server, one about a packet to the server goes to the client (kernel: ip_vs_in_icmp, ip_vs_out_icmp and their
// IPv6 kin).
func (w *Worker) related(v *Verdict, f *packet.Frame, m *packet.Meta, now clock.Mono) {
	if m.Flags&packet.QuotedFragment != 0 && !portsInFragments(m) {
		w.stray(v, packet.DropICMP)
		return
	}
	back := m.Reverse() // who gets the error has sent the quoted packet
	h := w.table.Hash(&back)
	c, dir := w.table.Lookup(&back, h)
	if c == nil {
		c, dir = w.isakmp(&back)
	}
	if w.sync.aside && (c == nil || dir == conntrack.FromClient) {
		w.stray(v, packet.DropICMP)
		return
	}
	if c == nil {
		w.scheduleRelated(v, f, m, back, h, now)
		return
	}
	d := &w.snap.Dests[c.Dest]
	v.Why, v.Service, v.Dest, v.Dir, v.conn = WhyRelated, d.Service, c.Dest, dir, c
	v.State, v.Left = c.State(), c.Left(now)
	if damaged(f, m, v.method(d)) {
		v.Drop = packet.DropBadTransport
		return
	}
	if dir == conntrack.FromClient {
		w.acc.packet(uint32(v.Dest), m.Len())
	} else {
		w.acc.reply(uint32(v.Dest), m.Len())
	}
}

// portsInFragments reports whether the ports of a later fragment that an error quotes count: IPVS takes what stands there
// for them in IPv4, and for protocols that have ports.
func portsInFragments(m *packet.Meta) bool {
	return m.Family == packet.IPv4Family && m.Proto != packet.ProtoESP && m.Proto != packet.ProtoAH
}

// damaged reports whether an error must not go on because its checksum is wrong: in IPv4 none does, in IPv6 none whose
// checksum is going to be made anew.
func damaged(f *packet.Frame, m *packet.Meta, method Method) bool {
	return (m.Family == packet.IPv4Family || method == NAT) && !packet.ChecksumOK(f.Bytes(), m)
}

// unopenedLife is how long a connection lives at first that only an error has spoken of (kernel: ip_vs_conn_new).
const unopenedLife = 3 * time.Second

// unopened makes s a connection of which no packet has been seen.
func unopened(s *conntrack.Spec) {
	s.Life = unopenedLife
	if s.Proto == packet.ProtoUDP { // has but one state
		s.State = conntrack.UDPNormal
	}
}

// scheduleRelated is for an error about a packet of no connection that is known. With schedule_icmp it opens one if the
// packet came from a service; flow is that of the client.
func (w *Worker) scheduleRelated(v *Verdict, f *packet.Frame, m *packet.Meta, flow packet.Tuple, h uint64, now clock.Mono) {
	if !w.snap.Settings.ScheduleICMP || !scheduled(m.Proto) {
		w.stray(v, packet.DropICMP)
		return
	}
	quoted := &w.quoted
	*quoted = *m
	quoted.Tuple = flow
	id, ok := w.serviceOf(f, quoted)
	if !ok {
		w.stray(v, packet.DropICMP)
		return
	}
	v.Service = id
	w.place(v, f, quoted, conntrack.Keep, h, now)
	if v.Drop == packet.NoDrop && damaged(f, m, w.snap.Dests[v.Dest].Method) {
		v.Drop = packet.DropBadTransport
	}
}

// scheduled reports whether connections of a protocol are scheduled.
func scheduled(proto uint8) bool {
	return proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
}

// stray is for a packet that is not ours although the packet filter took it: the director's own network stack gets it, or
// it is dropped for the reason why where there is no way to that.
func (w *Worker) stray(v *Verdict, why packet.DropReason) {
	if w.snap.Kernel.OK {
		v.Why = WhyKernel
		return
	}
	v.Drop = why
}
