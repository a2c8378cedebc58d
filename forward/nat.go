package forward

import (
	"dirsw/conntrack"
	"dirsw/packet"
)

// Masquerading: what goes to a server gets its address and port, what comes back those of the service (kernel:
// ip_vs_nat_xmit in ip_vs_xmit.c, handle_response in ip_vs_core.c).

// translate makes the frame that leaves to a server by masquerading.
func (w *Worker) translate(f *packet.Frame, m *packet.Meta, v *Verdict, d *Dest) packet.DropReason {
	if d.Hop.Local && d.Addr == (packet.Addr{15: 1}) { // ::1
		return packet.DropNoNextHop // the kernel takes nothing for it from any interface but lo, and lets nothing change that
	}
	if r := w.toServer(f, m, v, d); r != packet.NoDrop {
		return r
	}
	real, port := w.serverEnd(m, v, d)
	if m.Flags&packet.ICMPError != 0 {
		packet.RewriteErrorToServer(f, m, &real, port)
	} else {
		packet.RewriteDst(f, m, &real, port)
	}
	return packet.NoDrop
}

// serverEnd is the address and port that a packet of a client gets.
func (w *Worker) serverEnd(m *packet.Meta, v *Verdict, d *Dest) (packet.Addr, uint16) {
	if v.conn != nil {
		return v.conn.Real(), v.conn.RealPort()
	}
	if m.Flags&packet.ICMPError != 0 { // what it quotes went the other way
		back := packet.Meta{Tuple: m.Reverse()}
		m = &back
	}
	return d.Addr, realPort(&w.snap.Services[v.Service], d, m)
}

// toServer sends a packet of a client on as it came, but for its time to live.
func (w *Worker) toServer(f *packet.Frame, m *packet.Meta, v *Verdict, d *Dest) packet.DropReason {
	if d.Hop.Local {
		return w.deliver(f, m, &d.Hop)
	}
	if !d.Hop.OK && d.Hop.Fail == HopUnreachable { // the route comes before the time to live
		return packet.DropNoNextHop
	}
	if !packet.DecrementTTL(f, m) {
		return packet.DropTTL
	}
	return w.transmit(f, m, v, &d.Hop)
}

// toClient sends on what came from a server, the way that the client's last packet came.
func (w *Worker) toClient(f *packet.Frame, m *packet.Meta, v *Verdict, d *Dest) packet.DropReason {
	hop := w.wayBack(v.conn)
	if !d.Hop.Local && !packet.DecrementTTL(f, m) { // what the director's own stack says has just begun to live
		return packet.DropTTL
	}
	if r := w.transmit(f, m, v, &hop); r != packet.NoDrop {
		return r
	}
	if v.method(d) != NAT {
		return packet.NoDrop
	}
	virtual, port := v.conn.Virtual(), v.conn.VirtualPort()
	if m.Flags&packet.ICMPError != 0 {
		packet.RewriteErrorToClient(f, m, &virtual, port)
	} else {
		packet.RewriteSrc(f, m, &virtual, port)
	}
	return packet.NoDrop
}

// wayBack is the next hop towards the client of c (docs/adr/0009-the-way-back-to-the-client.md); not OK if none of its
// packets has been seen.
func (w *Worker) wayBack(c *conntrack.Conn) (hop Hop) {
	port, mac := c.Hop()
	if mac == (packet.MAC{}) && c.Flags()&conntrack.Synced != 0 {
		port, mac = w.wayTo(c)
	}
	if int(port) < len(w.port) && mac != (packet.MAC{}) {
		p := &w.port[port]
		hop = Hop{OK: true, Port: port, MTU: uint16(min(p.MTU, 0xffff)), Src: p.MAC, Dst: mac}
	}
	return hop
}

// cameBy remembers the way that a packet of the client came, where replies are seen that need it.
func (w *Worker) cameBy(c *conntrack.Conn, f *packet.Frame) {
	if c.Flags()&conntrack.OneWay != 0 {
		return
	}
	mac := packet.Ethernet(f.Bytes()).Src()
	if _, known := c.Hop(); known == (packet.MAC{}) && mac != known { // a sender without an address is no way back
		w.back.seen[c.Family()/packet.IPv6Family] = way{f.Port, mac}
	}
	c.SetHop(f.Port, mac)
}

// way is a port and the station there that packets came from.
type way struct {
	port uint8
	mac  packet.MAC
}

// twoWay is for a packet of a connection whose replies are seen. It remembers which way those of the client came. Of a
// reply it reports whether it can be sent on, and says in v why not: the kernel routes a reply before it looks for the
// connection, so that one whose time to live is used up, or that is too long, tells the connection nothing (ip_forward,
// ip6_forward).
func (w *Worker) twoWay(v *Verdict, f *packet.Frame, m *packet.Meta, d *Dest) bool {
	switch {
	case v.Dir == conntrack.FromClient:
		w.cameBy(v.conn, f)
	case d.Hop.Local:
	case v.method(d) != NAT: // the address was the director's own
		v.Drop = packet.DropNoNextHop
	case ttl(f, m) <= 1:
		v.Drop = packet.DropTTL
	default:
		if hop := w.wayBack(v.conn); hop.OK && m.Len() > int(hop.MTU) {
			v.Drop = w.tooLong(f, m, v, hop.MTU)
		}
	}
	return v.Drop == packet.NoDrop
}

// ttl is the time to live or hop limit.
func ttl(f *packet.Frame, m *packet.Meta) uint8 {
	if ip := f.Bytes()[m.L3:]; m.Family == packet.IPv6Family {
		return packet.IPv6(ip).HopLimit()
	} else {
		return packet.IPv4(ip).TTL()
	}
}

// isakmp finds the connection that a packet of flow t belongs to if it is ESP or AH: that of the key exchange between the
// same addresses (kernel: ip_vs_proto_ah_esp.c).
func (w *Worker) isakmp(t *packet.Tuple) (*conntrack.Conn, conntrack.Dir) {
	if t.Proto != packet.ProtoESP && t.Proto != packet.ProtoAH {
		return nil, conntrack.FromClient
	}
	k := *t
	k.Proto, k.SrcPort, k.DstPort = packet.ProtoUDP, isakmpPort, isakmpPort
	return w.table.Lookup(&k, w.table.Hash(&k))
}

// inParts reports whether a fragment goes on by itself, without the rest of its datagram: of ESP and AH over IPv4, which have
// no ports to be found by, those from a server, which nobody but IPVS would gather (kernel: dont_defrag).
func (w *Worker) inParts(m *packet.Meta) bool {
	if m.Family != packet.IPv4Family {
		return false
	}
	c, dir := w.isakmp(&m.Tuple)
	return c != nil && dir == conntrack.FromServer
}

// unserved is for a packet that belongs to no connection and to no service. With nat_icmp_send a server is told that
// nobody waits for what it sends from the port of a service; the kernel does so when it has routed the packet already.
func (w *Worker) unserved(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event) {
	if !w.snap.Settings.NATICMPSend || !w.servers[ServiceKey{m.Src, m.SrcPort, m.Proto}] &&
		!w.servers[ServiceKey{Addr: m.Src, Port: m.SrcPort}] {
		w.stray(v, packet.DropNoService)
		return
	}
	switch ev {
	case conntrack.TCPRst, conntrack.TCPSynRst, conntrack.SCTPChunkAbort:
		w.stray(v, packet.DropNoService)
		return
	}
	v.Dir, v.Drop = conntrack.FromServer, packet.DropNoConnection
	if !packet.DecrementTTL(f, m) {
		v.Drop = packet.DropTTL
	}
}

// serversOf lists the addresses and ports from which servers answer by masquerading, under the protocol of their service;
// under 0 if that is one by firewall mark (kernel: ip_vs_has_real_service).
func serversOf(s *Snapshot) map[ServiceKey]bool {
	all := map[ServiceKey]bool{}
	for i := range s.Dests {
		if d := &s.Dests[i]; d.Method == NAT && !d.Gone {
			all[ServiceKey{d.Addr, d.Port, s.Services[d.Service].Key.Proto}] = true
		}
	}
	return all
}
