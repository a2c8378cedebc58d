package forward

import (
	"dirsw/packet"
)

// rewrite makes the frame that leaves towards d, or says why none does.
func (w *Worker) rewrite(f *packet.Frame, m *packet.Meta, d *Dest) packet.DropReason {
	if d.Method != DR {
		return packet.DropMethod
	}
	if !packet.DecrementTTL(f, m) {
		return packet.DropTTL
	}
	if !d.Hop.OK {
		return packet.DropNoNextHop
	}
	if m.End-m.L3 > d.Hop.MTU {
		return packet.DropTooBig
	}
	if int(f.Port) < len(w.port) && w.port[f.Port].Unfinished && packet.FinishChecksum(f, m) {
		w.plain.Mended++
	}
	f.Resize(int(m.End)) // without Ethernet's padding, as the kernel sends it
	packet.SetMACs(f, d.Hop.Src, d.Hop.Dst)
	f.Port = d.Hop.Port
	return packet.NoDrop
}
