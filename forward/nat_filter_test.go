package forward_test

import (
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// TestFilterOfNAT: what the packet filter takes because of connections by masquerading that live on.
func TestFilterOfNAT(t *testing.T) {
	e := natEnds["4"]
	b := newNATBench(t, e, "-t", natPorts())
	one(t, b.through(atClients, opening(packet.ProtoTCP, client(1), vip), atServers), b.last)
	there := packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), vip), TCPFlags: packet.ACK})
	back := packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoTCP, e.server, client(1)), TCPFlags: packet.ACK})
	for _, c := range []struct {
		name        string
		change      func(*forward.Snapshot)
		there, back bool
	}{
		{"as it is", func(*forward.Snapshot) {}, true, true},
		{"by another method now", func(s *forward.Snapshot) { s.Dests[0].Method, s.Dests[0].WasNAT = forward.DR, true }, true, true},
		{"by another method always", func(s *forward.Snapshot) { s.Dests[0].Method = forward.DR }, true, false},
		{"server deleted", func(s *forward.Snapshot) { s.Dests[0].Gone = true }, true, true},
		{"service deleted, no other", func(s *forward.Snapshot) { s.Services[0].Gone, s.Dests[0].Gone = true, true; deleteServices(s) }, false, false},
		{"service deleted, another of IPv6", func(s *forward.Snapshot) {
			s.Services[0].Gone, s.Dests[0].Gone = true, true
			deleteServices(s, "[2001:db8::1]:53")
		}, false, false},
		{"service deleted, another", func(s *forward.Snapshot) {
			s.Services[0].Gone, s.Dests[0].Gone = true, true
			deleteServices(s, "192.0.2.100:53")
		}, true, true},
		{"service deleted, another, no way to the kernel", func(s *forward.Snapshot) {
			s.Services[0].Gone, s.Dests[0].Gone, s.Kernel = true, true, forward.Hop{}
			deleteServices(s, "192.0.2.100:53")
		}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *b.snap
			s.Services = append([]forward.Service(nil), s.Services...)
			s.Dests = append([]forward.Dest(nil), s.Dests...)
			c.change(&s)
			for name, f := range map[string]struct {
				frame []byte
				want  bool
			}{"to the service": {there, c.there}, "from the server": {back, c.back}} {
				var m packet.Meta
				packet.Parse(f.frame, &m)
				if got := s.Takes(f.frame, &m); got != f.want {
					t.Errorf("%s: taken %v, want %v", name, got, f.want)
				}
			}
		})
	}
}

// deleteServices leaves the snapshot no service but one for each of others.
func deleteServices(s *forward.Snapshot, others ...string) {
	s.Lookup = map[forward.ServiceKey]forward.ServiceID{}
	for _, o := range others {
		at := tuple(packet.ProtoUDP, o, o)
		k := forward.ServiceKey{Addr: at.Dst, Port: at.DstPort, Proto: packet.ProtoUDP}
		s.Lookup[k] = forward.ServiceID(len(s.Services))
		s.Services = append(s.Services, forward.Service{Key: k})
	}
}
