package xsk

import "golang.org/x/sys/unix"

const (
	// txBudget is how many frames the kernel sends in one system call, where it lets that be set (Linux 6.18, 32 before).
	// One call must not take long, for it is one that the scheduler of Go does not see.
	txBudget = 256
	// maxKicks is the number of calls that send a full ring, 32 frames each.
	maxKicks = 128
	// downHoldOff is how many kicks are left out once the link was found down. A ring that cannot be sent would else cost
	// a system call in every breath. Sleeping ends it.
	downHoldOff = 4096
)

// wakeups counts system calls of one lane.
type wakeups struct{ calls, errors uint64 }

// reap takes back the frames that were sent.
func (s *socket) reap(u *umem) {
	n := int(s.comp.available())
	if n == 0 {
		return
	}
	for range n {
		u.push(u.base(s.comp.take()))
	}
	s.comp.release()
	s.outstanding -= n
}

// kick has the kernel send what is in the TX ring, unless the kernel is at it by itself. No error is fatal: a full queue
// of the peer (EBUSY) and a lack of memory (ENOBUFS) are for later, a link that is down (ENETDOWN) keeps its frames until
// it is up, and without an interface (ENXIO) the socket is dead.
func (s *socket) kick(w *wakeups) {
	if s.holdOff > 0 {
		s.holdOff--
		return
	}
	for range maxKicks {
		before := s.tx.pending()
		if before == 0 || s.gone || !s.tx.needWakeup() {
			return
		}
		w.calls++
		switch wake(s.fd) {
		case 0, unix.EAGAIN: // EAGAIN: the budget is used up, the rest is still there
			if s.tx.pending() == before {
				return // no room in the completion ring or the socket's buffer: in the next breath
			}
		case unix.ENETDOWN:
			w.errors++
			s.holdOff = downHoldOff
			return
		case unix.ENXIO, unix.ENODEV, unix.EBADF:
			w.errors++
			s.gone = true
		default: // EBUSY, ENOBUFS, EINTR and what newer kernels may say
			w.errors++
			return
		}
	}
}
