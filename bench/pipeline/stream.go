package pipeline

import (
	"io"
	"time"

	"dirsw/bench/traffic"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// stream is a lane that makes one frame of each flow when it is received, so that its memory does not grow with them. It
// ends with io.EOF.
type stream struct {
	flows   traffic.Flows
	flags   uint8
	next    int
	end     int // first flow that does not come
	buf     [packet.BatchSize][forwardtest.BufferLen]byte
	dropped int
}

var _ forward.Lane = (*stream)(nil)

// Ports returns the ports of the memory lanes.
func (s *stream) Ports() []forward.PortInfo { return forwardtest.DefaultPorts() }

// Recv makes the next frames. The ones before must have been sent or dropped.
func (s *stream) Recv(b *packet.Batch) (int, error) {
	b.N = 0
	for b.N < packet.BatchSize && s.next < s.end {
		buf := s.buf[b.N][:]
		n := len(s.flows.Frame(buf[forwardtest.Headroom:], s.next, s.flags, 0))
		b.Add(packet.MakeFrame(buf, forwardtest.Headroom, n, 0, 0))
		s.next++
	}
	if b.N == 0 {
		return 0, io.EOF
	}
	return b.N, nil
}

// Send forgets the frames.
func (s *stream) Send(b *packet.Batch) (int, error) {
	n := b.N
	b.N = 0
	return n, nil
}

// Drop counts the frames.
func (s *stream) Drop(b *packet.Batch) {
	s.dropped += b.N
	b.N = 0
}

// Alloc has no frames to lend.
func (s *stream) Alloc() (packet.Frame, bool) { return packet.Frame{}, false }

// Wait returns at once.
func (s *stream) Wait(time.Duration) error { return nil }

// Counters counts nothing.
func (s *stream) Counters() forward.LaneCounters { return forward.LaneCounters{} }

// Close does nothing.
func (s *stream) Close() error { return nil }
