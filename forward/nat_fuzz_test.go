package forward_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// FuzzNAT lets a frame in by any port after a connection was opened by masquerading. Every frame must come back to the
// lane, what leaves must be well formed, and whatever had a right transport checksum has one still.
func FuzzNAT(f *testing.F) {
	families, protos := slices.Sorted(maps.Keys(natEnds)), slices.Sorted(maps.Keys(natProtos))
	for i, family := range families {
		e := natEnds[family]
		for k, proto := range protos {
			there := opening(proto, e.clientOf(1000), e.service)
			back := there
			back.Tuple = tuple(proto, e.server, e.clientOf(1000))
			for port, s := range []packet.Spec{there, back} {
				in := packet.Build(nil, s)
				f.Add(uint8(i), uint8(k), uint8(port), in)
				f.Add(uint8(i), uint8(k), uint8(port), icmpAbout(in))
				s.TTL = 1
				f.Add(uint8(i), uint8(k), uint8(port), packet.Build(nil, s))
				s.Payload, s.TTL = make([]byte, 1600), 0
				f.Add(uint8(i), uint8(k), uint8(port), packet.Build(nil, s))
				s.Payload, s.MoreFragments = s.Payload[:800], true
				f.Add(uint8(i), uint8(k), uint8(port), packet.Build(nil, s))
			}
		}
		f.Add(uint8(i), uint8(0), uint8(1), packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoESP, e.server, e.clientOf(0))}))
	}
	f.Fuzz(func(t *testing.T, family, proto, port uint8, frame []byte) {
		e, number := natEnds[families[int(family)%len(families)]], protos[int(proto)%len(protos)]
		b := newNATBench(t, e, natProtos[number], natPorts())
		b.edit(func(s *forward.Snapshot) { s.Settings.ScheduleICMP, s.Settings.NATICMPSend = true, port >= 128 })
		one(t, b.through(atClients, opening(number, e.clientOf(1000), e.service), atServers), b.last)
		for _, in := range [][]byte{frame, mended(frame)} {
			b.lane.Inject(int(port)%3, in)
			b.step()
			var was packet.Meta
			right := packet.Parse(in, &was) == packet.NoDrop && was.Flags&packet.IPOptions == 0 && packet.ChecksumOK(in, &was)
			for side := range 3 {
				for _, o := range b.lane.Sent(side) {
					var m packet.Meta
					if r := packet.Parse(o, &m); r != packet.NoDrop && !bytes.Equal(o, in) {
						t.Errorf("%v: left % x, for % x", r, o, in)
					} else if right && r == packet.NoDrop && !packet.ChecksumOK(o, &m) {
						t.Errorf("wrong checksum: left % x, for % x", o, in)
					}
				}
				b.lane.Dropped(side)
			}
		}
	})
}
