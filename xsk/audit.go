package xsk

import (
	"fmt"

	"dirsw/internal/invariants"
	"dirsw/packet"
)

// audit says whether every frame is where we believe it: free, with the kernel for one of the sockets, or with the worker.
func (l *lane) audit() error {
	free, kernel := len(l.umem.free), 0
	for _, s := range l.sockets {
		kernel += s.filled + s.outstanding
		if s.filled < 0 || s.outstanding < 0 {
			return fmt.Errorf("queue %d of %s has %d frames to receive and %d to send", s.queue, s.name, s.filled, s.outstanding)
		}
	}
	if sum := free + kernel + l.inHand; sum != l.umem.total {
		return fmt.Errorf("%d frames free, %d with the kernel, %d in hand: %d, but there are %d", free, kernel, l.inHand, sum,
			l.umem.total)
	}
	return nil
}

func (l *lane) mustAudit() {
	err := l.audit()
	invariants.Check(err == nil, "xsk: %v", err)
}

// lend notes that the worker has the frames of b.
func (l *lane) lend(b *packet.Batch) {
	for i := range b.N {
		l.lendOne(b.Frames[i].Desc)
	}
}

func (l *lane) lendOne(base uint64) {
	i := base / l.umem.chunk
	invariants.Check(!l.lent[i], "xsk: frame %#x is lent twice", base)
	l.lent[i] = true
}

// takeBack notes that the worker has given back the frames of b.
func (l *lane) takeBack(b *packet.Batch) {
	for i := range b.N {
		n := b.Frames[i].Desc / l.umem.chunk
		invariants.Check(l.lent[n], "xsk: frame %#x comes back but was not lent", b.Frames[i].Desc)
		l.lent[n] = false
	}
}
