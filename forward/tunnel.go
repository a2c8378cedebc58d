package forward

import (
	"dirsw/packet"
)

// The least path MTU, without what the tunnel adds, with which the kernel sends into a tunnel at all: that of the family of
// the outer packet (RFC 791, section 3.2; RFC 8200, section 5).
const (
	leastMTU4 = 68
	leastMTU6 = 1280
)

// encapsulate makes the frame that leaves in a tunnel (ip_vs_tunnel_xmit). What is in the way is found in the kernel's
// order: no route, time to live, length, and last that the next hop does not answer.
func (w *Worker) encapsulate(f *packet.Frame, m *packet.Meta, v *Verdict, d *Dest) packet.DropReason {
	hop := &d.Hop
	if !hop.OK && hop.Fail != HopSilent {
		return packet.DropNoNextHop
	}
	if !packet.DecrementTTL(f, m) {
		return packet.DropTTL
	}
	n := uint16(d.Tunnel.Len(&d.Addr))
	room := w.tunnelRoom(v, m, d, n)
	if w.tooLongInside(f, m, v, room.inside) {
		v.mtu = room.inside
		return packet.DropTooBig
	}
	if !hop.OK || hop.Own == (packet.Addr{}) {
		return packet.DropNoNextHop
	}
	if int(f.Port) < len(w.port) && w.port[f.Port].Unfinished && packet.FinishChecksum(f, m) {
		w.plain.Mended++
	}
	if v.conn != nil && (v.Why == WhyScheduler || v.Why == WhyTemplate) {
		v.conn.SetHop(f.Port, packet.Ethernet(f.Bytes()).Src()) // for what the tunnel has to tell the client
	}
	if m.Flags&packet.IPOptions != 0 {
		w.leave(f, m, v)
		m.Flags &^= packet.IPOptions // the outer header has none
	}
	w.ipID++
	o := packet.Outer{Src: &hop.Own, Dst: &d.Addr, ID: w.ipID, MayCut: !w.snap.Settings.PMTUDisc}
	if d.Tunnel.Type == packet.GUE {
		o.SrcPort = w.flowPort(m)
	}
	if !d.Tunnel.Wrap(f, m, &o) {
		return packet.DropTooBig // longer than IP can be, or than the frame has room for: v.mtu is 0, nobody is told
	}
	if v.whole != 0 || m.Len()+int(n) > int(room.outside) {
		cutOuter(m, v, n, room.outside)
	}
	packet.SetMACs(f, hop.Src, hop.Dst)
	f.Port = hop.Port
	return packet.NoDrop
}

// tunnelRoom is what a way has room for, in bytes of IP packets: the outer one and the one inside.
type tunnelRoom struct{ outside, inside uint16 }

// tunnelRoom returns what the way to d has room for, by a tunnel that adds n bytes; inside is 0 where the kernel sends nothing. A route that has less than
// the least MTU is of no use, as in the kernel. A path of which a router has told less is: what does not fit leaves in
// pieces, and IPv6 clients are told their least MTU (RFC 2473, section 7.1).
func (w *Worker) tunnelRoom(v *Verdict, m *packet.Meta, d *Dest, n uint16) tunnelRoom {
	mtu, least := d.Hop.MTU, uint16(leastMTU6)
	if d.Addr.Is4() {
		least = leastMTU4
	}
	if mtu < least+n {
		return tunnelRoom{outside: mtu}
	}
	p := w.pathTo(v.Dest, d)
	if p.mtu == 0 || p.mtu >= mtu {
		return tunnelRoom{mtu, mtu - n}
	}
	p.used = true
	least = leastMTU4
	if m.Family == packet.IPv6Family {
		least = leastMTU6
	}
	return tunnelRoom{p.mtu, max(p.mtu, least+n) - n}
}

// tooLongInside reports whether a packet is too long for a tunnel with that room inside, and may not be cut
// (ensure_mtu_is_adequate). An ICMP error about a connection is cut whatever it says, if it is IPv4.
func (w *Worker) tooLongInside(f *packet.Frame, m *packet.Meta, v *Verdict, room uint16) bool {
	if room == 0 {
		return true
	}
	n := m.Len()
	if m.Family == packet.IPv6Family {
		if v.whole != 0 {
			n = int(v.whole) // the sender has cut it, and of pieces the longest counts
		}
		return n > int(room)
	}
	return n > int(room) && w.snap.Settings.PMTUDisc && m.Flags&packet.ICMPError == 0 && packet.IPv4(f.Bytes()[m.L3:]).DontFragment()
}

// cutOuter has the outer packet cut to fit the path, and lets m, by which it was wrapped, reach to its end.
func cutOuter(m *packet.Meta, v *Verdict, n, path uint16) {
	v.pieces = path
	m.End += uint32(n)
}

// flowPort is the source port of GUE for the connection of a packet; an ICMP error has that of the connection that it is
// about.
func (w *Worker) flowPort(m *packet.Meta) uint16 {
	if m.Flags&packet.ICMPError != 0 {
		back := m.Tuple.Reverse()
		return packet.FlowPort(w.table.Hash(&back))
	}
	return packet.FlowPort(w.table.Hash(&m.Tuple))
}
