package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

const (
	allSYNs    = 256                    // a share of overload
	mostSYNs   = allSYNs - 4            // the greatest: one connection in 64 may begin however great the flood
	calmBefore = 100 * time.Millisecond // without loss, before the share falls
	calmEach   = 10 * time.Millisecond  // between two steps of it
)

// overload is what a worker does when more comes than it can take. Then the lane loses frames of which nobody knows what they
// were, those of connections among them. A SYN that is dropped as soon as it has been parsed takes a third of the time of one
// that is scheduled (55 ns instead of 155 in a flood, what receiving it in memory costs included): so many are that the rest can
// be taken. The kernel has nothing like it; it loses what comes.
type overload struct {
	lost  uint64     // by the lane, as of the last look
	share int        // of SYNs that are dropped, of allSYNs
	turn  int        // what the shares of those before add up to
	calm  clock.Mono // when the share falls, if nothing is lost until then
}

// weigh follows what the lane has lost: the share rises fast and falls slowly.
func (o *overload) weigh(now clock.Mono, lost uint64) {
	switch {
	case lost < o.lost: // another lane
		o.lost = lost
	case lost > o.lost:
		o.lost = lost
		o.share = min(o.share+(allSYNs-o.share+3)/4, mostSYNs)
		o.calm = now.Add(calmBefore)
	case o.share > 0 && now >= o.calm:
		o.share -= 1 + o.share/64
		o.calm = now.Add(calmEach)
	}
}

// drops reports whether it is a packet's turn to be dropped.
func (o *overload) drops(m *packet.Meta) bool {
	const opens, flags = packet.SYN, packet.SYN | packet.ACK | packet.RST
	if m.Flags != 0 || m.Proto != packet.ProtoTCP || m.TCPFlags&flags != opens {
		return false
	}
	o.turn += o.share
	if o.turn < allSYNs {
		return false
	}
	o.turn -= allSYNs
	return true
}

// unload drops the SYNs of a parsed batch whose turn it is, and closes the ranks of the rest. It returns how many of those are
// fresh.
func (w *Worker) unload(fresh int) int {
	n, kept, rest := w.in.N, 0, fresh
	for i := range n {
		f, m := &w.in.Frames[i], &w.in.Metas[i]
		if w.reasons[i] == packet.NoDrop && w.overload.drops(m) {
			w.plain.Drops[packet.DropOverload]++
			if w.o.Observer != nil {
				w.o.Observer(f, m, Verdict{Service: NoService, Drop: packet.DropOverload})
			}
			if w.dropped.Add(*f); i < fresh {
				rest--
			}
			continue
		}
		if kept != i {
			w.in.Frames[kept], w.in.Metas[kept], w.reasons[kept] = *f, *m, w.reasons[i]
		}
		kept++
	}
	w.in.N = kept
	return rest
}
