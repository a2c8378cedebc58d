package forward

import (
	"bytes"
	"slices"

	"dirsw/conntrack"
	"dirsw/packet"
)

// rewrite makes the frame that leaves, or says why none does.
func (w *Worker) rewrite(f *packet.Frame, m *packet.Meta, v *Verdict) packet.DropReason {
	if v.way == DR { // most packets: toServer, without the calls
		if hop := &w.snap.Dests[v.Dest].Hop; hop.OK && !hop.Local {
			if !packet.DecrementTTL(f, m) {
				return packet.DropTTL
			}
			if m.Len() > int(hop.MTU) {
				return w.transmit(f, m, v, hop)
			}
			if int(f.Port) < len(w.port) && w.port[f.Port].Unfinished && packet.FinishChecksum(f, m) {
				w.plain.Mended++
			}
			f.Resize(int(m.End))
			packet.SetMACs(f, hop.Src, hop.Dst)
			f.Port = hop.Port
			return packet.NoDrop
		}
	}
	if v.Why == WhyKernel {
		return w.giveBack(f, m)
	}
	d := &w.snap.Dests[v.Dest]
	method := v.method(d)
	switch {
	case v.Dir == conntrack.FromServer:
		return w.toClient(f, m, v, d)
	case method == NAT:
		return w.translate(f, m, v, d)
	case method == DR:
		return w.toServer(f, m, v, d)
	case d.Hop.Local:
		return w.deliver(f, m, &d.Hop)
	case method == TUN:
		return w.encapsulate(f, m, v, d)
	}
	return packet.DropMethod
}

// transmit is the end of each way to a next hop: the packet is as it will leave, from m.L3 to m.End. One that is too long
// is cut, or if it may not be there is a reason to drop it.
func (w *Worker) transmit(f *packet.Frame, m *packet.Meta, v *Verdict, hop *Hop) packet.DropReason {
	if (m.Len() > int(hop.MTU) || v.whole > hop.MTU) && hop.MTU != 0 { // the route is known before the neighbour is
		if r := w.tooLong(f, m, v, hop.MTU); r != packet.NoDrop {
			return r
		}
	}
	if !hop.OK {
		return packet.DropNoNextHop
	}
	w.address(f, m, hop)
	return packet.NoDrop
}

// address makes a frame whose packet is as it will leave one to the next hop.
func (w *Worker) address(f *packet.Frame, m *packet.Meta, hop *Hop) {
	if int(f.Port) < len(w.port) && w.port[f.Port].Unfinished && packet.FinishChecksum(f, m) {
		w.plain.Mended++
	}
	f.Resize(int(m.End)) // without Ethernet's padding, as the kernel sends it
	packet.SetMACs(f, hop.Src, hop.Dst)
	f.Port = hop.Port
}

// tooLong sets v.pieces where the packet may be cut to fit. Of what came in fragments the longest counts in IPv6; in IPv4 it
// has DF if that had it. An ICMP error to a server is cut whatever it says (ensure_mtu_is_adequate).
func (w *Worker) tooLong(f *packet.Frame, m *packet.Meta, v *Verdict, mtu uint16) packet.DropReason {
	never := v.whole == 0 || v.whole > mtu
	if m.Family == packet.IPv4Family {
		never = packet.IPv4(f.Bytes()[m.L3:]).DontFragment() &&
			(m.Flags&packet.ICMPError == 0 || v.Dir == conntrack.FromServer)
	}
	if never {
		v.mtu = mtu
		return packet.DropTooBig
	}
	if v.pieces == 0 || v.pieces > mtu {
		v.pieces = mtu
	}
	return packet.NoDrop
}

// deliver gives a packet that is as it should be to the director's own network stack.
func (w *Worker) deliver(f *packet.Frame, m *packet.Meta, hop *Hop) packet.DropReason {
	if !hop.OK {
		return packet.DropNoNextHop
	}
	return w.toKernel(f, m, hop)
}

// giveBack hands a frame that is not ours to the director's own network stack.
func (w *Worker) giveBack(f *packet.Frame, m *packet.Meta) packet.DropReason {
	if len(w.snap.Shut) > 0 && w.snap.shut(f, m) {
		return packet.DropNotAccepted
	}
	r := w.toKernel(f, m, &w.snap.Kernel)
	if r == packet.NoDrop {
		w.plain.GivenBack++
	}
	return r
}

// shut reports whether a packet goes to an address to which the director's own network stack gets nothing.
func (s *Snapshot) shut(f *packet.Frame, m *packet.Meta) bool {
	to := packet.IPv6(f.Bytes()[m.L3:]).Dst
	if m.Family == packet.IPv4Family {
		to = packet.IPv4(f.Bytes()[m.L3:]).Dst
	}
	dst := to()
	_, ok := slices.BinarySearchFunc(s.Shut, dst, func(a, b packet.Addr) int { return bytes.Compare(a[:], b[:]) })
	return ok
}

func (w *Worker) toKernel(f *packet.Frame, m *packet.Meta, hop *Hop) packet.DropReason {
	if w.martian(f, m) {
		return packet.DropMartian
	}
	w.address(f, m, hop)
	return packet.NoDrop
}
