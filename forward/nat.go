package forward

import "dirsw/packet"

// translate makes the frame that leaves by masquerading.
func (w *Worker) translate(*packet.Frame, *packet.Meta, *Verdict, *Dest) packet.DropReason {
	return packet.DropMethod
}
