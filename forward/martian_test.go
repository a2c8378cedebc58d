package forward_test

import (
	"bytes"
	"slices"
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// TestMartians: nobody outside can speak to the director's own programs as the director itself, neither by a local server
// nor by what is given back; what the director answers passes.
func TestMartians(t *testing.T) {
	const own4, own6 = "192.168.1.1:7", "[2001:db8:1::1]:7"
	for _, tt := range []struct {
		name   string
		family string
		method forward.Method // of the local server; 0: the packet is for nobody's service
		in     int
		from   string
		want   packet.DropReason
	}{
		{"a client", "4", forward.DR, atClients, client(1), packet.NoDrop},
		{"a client in IPv6", "6", forward.NAT, atClients, "[2001:db8:c::3]:1", packet.NoDrop},
		{"an address of the director, direct routing", "4", forward.DR, atClients, own4, packet.DropMartian},
		{"an address of the director, masquerading", "4", forward.NAT, atClients, own4, packet.DropMartian},
		{"an address of the director in IPv6", "6", forward.DR, atClients, own6, packet.DropMartian},
		{"the loopback", "4", forward.DR, atClients, "127.0.0.1:7", packet.DropMartian},
		{"the loopback in IPv6", "6", forward.DR, atClients, "[::1]:7", packet.DropMartian},
		{"given back", "4", 0, atServers, "172.16.0.11:8080", packet.NoDrop},
		{"given back, an address of the director", "4", 0, atServers, own4, packet.DropMartian},
		{"given back, the loopback", "4", 0, atServers, "127.0.0.1:8080", packet.DropMartian},
		{"given back, by the tap", "4", 0, atKernel, own4, packet.NoDrop},
		{"given back, by the tap, the loopback", "4", 0, atKernel, "127.0.0.1:8080", packet.DropMartian},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := natEnds[tt.family]
			b := newNATBench(t, e, "-t", natPorts())
			b.edit(func(s *forward.Snapshot) {
				s.Local = []packet.Addr{addrOf("192.168.1.1"), addrOf("192.0.2.100"), addrOf("2001:db8:1::1")}
				slices.SortFunc(s.Local, func(a, b packet.Addr) int { return bytes.Compare(a[:], b[:]) })
				if tt.method != 0 {
					s.Dests[0].Method, s.Dests[0].Hop = tt.method, s.Kernel
				}
			})
			to := e.service
			if tt.method == 0 {
				to = "198.51.100.99:9"
			}
			got := b.through(tt.in, opening(packet.ProtoTCP, tt.from, to), atKernel)
			if b.last.Drop != tt.want || (len(got) == 1) != (tt.want == packet.NoDrop) {
				t.Errorf("%v, %d frames for the director, want %v", b.last.Drop, len(got), tt.want)
			}
		})
	}
}
