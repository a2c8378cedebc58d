package forward

import (
	"dirsw/packet"
)

// tunnelError handles an ICMP error from a router on the way through a tunnel, about an outer packet. It reports whether m
// is one; v is then set. What it says is told to the client about the packet inside, as IPVS does for IPv4 in IPv4
// (ip_vs_in_icmp); of other tunnels the kernel takes no notice, and dirsw learns the path MTU.
func (w *Worker) tunnelError(v *Verdict, f *packet.Frame, m *packet.Meta) bool {
	tun, ok := w.tunnelOf(m)
	var inner packet.Meta
	if !ok || !tun.Inner(f.Bytes(), m, &inner) {
		return false
	}
	c, _ := w.table.Lookup(&inner.Tuple, w.table.Hash(&inner.Tuple))
	if c == nil || w.snap.Dests[c.Dest].Addr != m.Dst {
		return false
	}
	frame := f.Bytes()
	typ, rest := frame[m.L4], packet.ICMPv4(frame[m.L4:]).Rest()
	mtu, tooBig := tooBigFor(frame[m.L4:], m.Dst.Is4())
	both4 := m.Dst.Is4() && inner.Family == packet.IPv4Family
	if !both4 && !tooBig {
		return false
	}
	v.Why, v.Service, v.Dest, v.conn, v.Drop = WhyRelated, w.snap.Dests[c.Dest].Service, c.Dest, c, packet.DropTunnelError
	v.State, v.Left = c.State(), c.Left(w.now)
	if !packet.ChecksumOK(frame, m) {
		v.Drop = packet.DropBadTransport
		return true
	}
	quote := frame[inner.Quoted:m.End]
	if tooBig {
		told := w.learnPath(&m.Dst, c.Dest, mtu)
		if !both4 || !packet.IPv4(quote).DontFragment() {
			return true
		}
		if told > leastMTU4+packet.IPv4MinLen {
			told -= packet.IPv4MinLen // whatever the kind of tunnel
		}
		rest = uint32(told)
	}
	w.acc.reply(uint32(c.Dest), len(quote))
	if inner.Flags&packet.QuotedFragment == 0 {
		port, mac := c.Hop()
		w.tell(&inner.Tuple, quote, icmpText{typ, frame[m.L4+1], rest}, port, mac)
	}
	return true
}

// tunnelOf returns the tunnel that the packet quoted in m is of, if it is one of ours.
func (w *Worker) tunnelOf(m *packet.Meta) (packet.Tunnel, bool) {
	var tun packet.Tunnel
	switch m.Proto {
	case packet.ProtoIPIP, packet.ProtoIPv6:
	case packet.ProtoGRE:
		tun.Type = packet.GRE
	case packet.ProtoUDP:
		tun.Type, tun.Port = packet.GUE, m.DstPort
	default:
		return tun, false
	}
	return tun, w.tunnels[tunnelEnd{m.Dst, tun}]
}

// tooBigFor returns the MTU that the ICMP message t tells, if that is what it says. An IPv4 router that tells none says 0.
func tooBigFor(t packet.ICMPv4, v4 bool) (mtu uint16, ok bool) {
	if v4 {
		return t.MTU(), t.Type() == packet.ICMPv4Unreachable && t.Code() == packet.ICMPv4FragNeeded
	}
	return uint16(min(t.Rest(), 0xffff)), t.Type() == icmp6TooBig
}

// icmpText is what an ICMP error says.
type icmpText struct {
	typ, code uint8
	rest      uint32
}

// tell sends an ICMP error to the sender of the IPv4 packet that begins with quote and has the tuple t, as from whom it was
// to, by a port to a station.
func (w *Worker) tell(t *packet.Tuple, quote []byte, say icmpText, port uint8, to packet.MAC) {
	if to == (packet.MAC{}) || int(port) >= len(w.port) || !unicast(&t.Src) || !w.errors.take(w.now) {
		return
	}
	w.ipID++
	s := packet.Spec{Tuple: t.Reverse(), SrcMAC: w.port[port].MAC, DstMAC: to, ID: w.ipID, ICMPType: say.typ,
		ICMPCode: say.code, ICMPRest: say.rest, TOS: errorTOS(quote)}
	s.Proto, s.SrcPort, s.DstPort = packet.ProtoICMP, 0, 0
	s.Payload = quote[:min(len(quote), icmpMax-packet.IPv4MinLen-icmpHead)]
	w.sendAnswer(&s, port)
}
