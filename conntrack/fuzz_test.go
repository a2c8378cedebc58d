package conntrack

import (
	"testing"

	"dirsw/packet"
)

// FuzzEventOf: whatever comes, a frame that Parse accepts has an event, and bytes behind the packet do not matter.
func FuzzEventOf(f *testing.F) {
	for _, s := range []packet.Spec{sctp(10, 0, 0, 5, 1, 0, 0, 0, 6, 0, 0, 4), sctp(1, 0), {TCPFlags: packet.SYN}} {
		k := tcp("198.51.100.1", 1)
		if s.Proto != 0 {
			k.Proto = s.Proto
		}
		s.Tuple = k
		f.Add(packet.Build(nil, s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var m packet.Meta
		if packet.Parse(frame, &m) != packet.NoDrop {
			return
		}
		ev := EventOf(frame, &m)
		if ev >= Events {
			t.Errorf("event %d", ev)
		}
		padded := append(frame[:m.End:m.End], 6, 0, 0, 4)
		if got := EventOf(padded, &m); got != ev {
			t.Errorf("event %d with padding, %d without", got, ev)
		}
	})
}
