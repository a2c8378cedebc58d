package forward

import (
	"dirsw/clock"
	"dirsw/packet"
)

// related handles an ICMP error, which follows the connection of the packet it quotes.
func (w *Worker) related(v *Verdict, f *packet.Frame, m *packet.Meta, now clock.Mono) {
	back := m.Tuple.Reverse() // the quoted packet went from the service to the client
	c, _ := w.table.Lookup(&back, w.table.Hash(&back))
	if c == nil {
		w.stray(v, packet.DropICMP)
		return
	}
	v.Why, v.Service, v.Dest, v.conn = WhyRelated, w.snap.Dests[c.Dest].Service, c.Dest, c
	v.State, v.Left = c.State(), c.Left(now)
	if w.snap.Dests[v.Dest].Gone {
		v.Drop = packet.DropServerGone
		return
	}
	w.acc.packet(uint32(v.Dest), int(m.End-m.L3))
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
