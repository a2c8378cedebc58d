package forward

import (
	"math/rand/v2"
	"testing"

	"dirsw/packet"
)

// stretch is a piece of a stream of bytes as its sender and its receiver count them.
type stretch struct {
	sender, receiver, sent, seen uint32 // where it begins, and its length
	changed                      bool
}

// TestSeqShift compares with the stream itself: sequence numbers and acknowledgments at the edges of what was sent, as far
// back as the segment before the one that was changed last.
func TestSeqShift(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var s seqShift
		at := stretch{sender: -uint32(rnd.IntN(200)), receiver: 0}
		at.receiver = at.sender // they agree at first
		recent := []stretch{at}
		for range 40 {
			next := stretch{sender: at.sender + at.sent, receiver: at.receiver + at.seen, sent: 1 + uint32(rnd.IntN(80))}
			next.seen = next.sent
			if rnd.IntN(3) == 0 {
				next.seen, next.changed = 1+uint32(rnd.IntN(80)), true
				for range 1 + rnd.IntN(2) { // noted again, it is the same
					s.change(next.sender, int32(next.seen-next.sent))
				}
				recent = recent[:0]
				recent = append(recent, at)
			}
			recent = append(recent, next)
			at = next
			for _, p := range recent[1:] {
				if got := s.seen(p.sender); got != p.receiver {
					t.Fatalf("seed %d: %d is seen as %d, want %d", seed, p.sender, got, p.receiver)
				}
				if got := s.sent(p.receiver); got != p.sender {
					t.Fatalf("seed %d: ack %d becomes %d, want %d", seed, p.receiver, got, p.sender)
				}
				if end := p.receiver + p.seen; !p.changed && s.sent(end) != p.sender+p.sent || p.changed && p.seen > 0 &&
					int32(end-uint32(s.before)-s.at) > 0 && s.sent(end) != p.sender+p.sent {
					t.Fatalf("seed %d: ack %d becomes %d, want %d", seed, end, s.sent(end), p.sender+p.sent)
				}
			}
		}
	}
}

// TestShiftAck: blocks of selective acknowledgment at even and odd offsets, and options that contradict themselves.
func TestShiftAck(t *testing.T) {
	s := seqShift{at: 1000, before: 0, after: -3}
	sack := []byte{5, 10, 0, 0, 3, 0xe8, 0, 0, 4, 0x4c} // 1000 to 1100
	moved := []byte{5, 10, 0, 0, 3, 0xe8, 0, 0, 4, 0x4f}
	for _, c := range []struct {
		name       string
		have, want []byte
		ok         bool
	}{
		{"two no-operations before", append([]byte{1, 1}, sack...), append([]byte{1, 1}, moved...), true},
		{"one before, one behind", append(append([]byte{1}, sack...), 1), append(append([]byte{1}, moved...), 1), true},
		{"behind a time stamp", append([]byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, sack...), append([]byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, moved...), true},
		{"behind the end", append([]byte{0, 1}, sack...), append([]byte{0, 1}, sack...), true},
		{"half a block", []byte{5, 6, 0, 0, 4, 0x4c, 1, 1}, []byte{5, 6, 0, 0, 4, 0x4c, 1, 1}, true},
		{"without a length", []byte{1, 1, 1, 5}, []byte{1, 1, 1, 5}, false},
		{"length 0", []byte{1, 1, 8, 0}, []byte{1, 1, 8, 0}, false},
		{"too long", []byte{1, 1, 5, 10}, []byte{1, 1, 5, 10}, false},
	} {
		seg := make(packet.TCP, packet.TCPMinLen+len(c.have)+5)
		copy(seg[packet.TCPMinLen:], c.have)
		copy(seg[packet.TCPMinLen+len(c.have):], "hello")
		seg.SetHeaderLen(packet.TCPMinLen + len(c.have))
		seg.SetAck(1100)
		m := packet.Meta{Tuple: packet.Tuple{Family: packet.IPv6Family}}
		sumTCP(seg, &m)
		if ok := s.shiftAck(seg, seg.HeaderLen()); ok != c.ok {
			t.Errorf("%s: %v, want %v", c.name, ok, c.ok)
		}
		if got := seg[packet.TCPMinLen : packet.TCPMinLen+len(c.want)]; string(got) != string(c.want) || seg.Ack() != 1103 {
			t.Errorf("%s: options % x, ack %d, want % x, 1103", c.name, got, seg.Ack(), c.want)
		}
		sum := seg.Checksum()
		if sumTCP(seg, &m); seg.Checksum() != sum {
			t.Errorf("%s: checksum %#x, want %#x", c.name, sum, seg.Checksum())
		}
	}
}
