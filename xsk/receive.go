package xsk

import "dirsw/packet"

// refillFrom is the number of frames from which a refill is worth telling the kernel.
const refillFrom = 32

// refill gives free frames to the kernel to receive into: as many as the socket may hold, but not the last of the pool.
func (s *socket) refill(u *umem) {
	n := min(len(u.free)-reserve, s.share-s.filled)
	if n < refillFrom {
		return
	}
	n = min(n, int(s.fill.room(uint32(n))))
	top := len(u.free) - n
	for _, base := range u.free[top:] {
		s.fill.put(base)
	}
	u.free = u.free[:top]
	s.filled += n
	s.fill.publish()
}

// take moves what has come into b, as far as there is room.
func (s *socket) take(u *umem, b *packet.Batch) {
	n := min(int(s.rx.available()), packet.BatchSize-b.N)
	if n == 0 {
		return
	}
	for i := range n {
		d := s.rx.take()
		base := u.base(d.addr)
		b.Frames[b.N+i].Lend(u.buf(base), int(d.addr-base), int(d.len), uint8(s.port), base)
	}
	b.N += n
	s.rx.release()
	s.filled -= n
	s.taken += uint64(n)
}
