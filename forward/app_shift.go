package forward

import (
	"encoding/binary"

	"dirsw/packet"
)

// seqShift says by how much the sequence numbers of one side of a TCP connection differ on the two sides of the director,
// because segments were made longer or shorter (kernel: net/netfilter/nf_conntrack_seqadj.c). The zero value shifts
// nothing.
type seqShift struct {
	at            uint32 // the sender's sequence number of the segment that was changed last
	before, after int32  // by how much those up to it, and those behind it, are higher than the sender's
}

// change notes that the segment with the sender's sequence number seq got longer by so many bytes. One that was noted
// already, and one before it, changes nothing: it is sent again.
func (s *seqShift) change(seq uint32, by int32) {
	if by != 0 && (s.before == s.after || after(seq, s.at)) {
		s.at, s.before, s.after = seq, s.after, s.after+by
	}
}

// seen returns the sequence number that the receiver sees for the sender's.
func (s *seqShift) seen(seq uint32) uint32 {
	if after(seq, s.at) {
		return seq + uint32(s.after)
	}
	return seq + uint32(s.before)
}

// sent returns the sender's sequence number for one that the receiver has seen, as it acknowledges it.
func (s *seqShift) sent(ack uint32) uint32 {
	if after(ack-uint32(s.before), s.at) {
		return ack - uint32(s.after)
	}
	return ack - uint32(s.before)
}

// after compares sequence numbers (RFC 9293, section 3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }

// shiftSeq makes the sequence number of a sender's segment the one that the receiver must see.
func (s *seqShift) shiftSeq(t packet.TCP) { put32(t, t[4:8], s.seen(t.Seq()), false) }

// TCP options (RFC 9293, section 3.1; RFC 2018, section 3).
const (
	tcpOptionEnd  = 0
	tcpOptionNop  = 1
	tcpOptionSACK = 5
)

// shiftAck makes what a receiver's segment t acknowledges, header being the length of its header, what the sender expects:
// the acknowledgment number, and the blocks of selective acknowledgment. false if its options contradict themselves.
func (s *seqShift) shiftAck(t packet.TCP, header int) bool {
	put32(t, t[8:12], s.sent(t.Ack()), false)
	for i := packet.TCPMinLen; i < header && t[i] != tcpOptionEnd; {
		if t[i] == tcpOptionNop {
			i++
			continue
		}
		if i+1 == header || t[i+1] < 2 || i+int(t[i+1]) > header {
			return false
		}
		next := i + int(t[i+1])
		if t[i] == tcpOptionSACK && (next-i)%8 == 2 {
			for k := i + 2; k < next; k += 4 {
				put32(t, t[k:k+4], s.sent(binary.BigEndian.Uint32(t[k:k+4])), k%2 != 0)
			}
		}
		i = next
	}
	return true
}
