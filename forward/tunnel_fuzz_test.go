package forward_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

// FuzzTunnels lets a frame in, from the side of the clients or of the servers, after a connection was opened through each
// kind of tunnel. Every frame must come back to the lane, and what leaves must be whole and well formed.
func FuzzTunnels(f *testing.F) {
	ways, names := slices.Sorted(maps.Keys(fourWays)), slices.Sorted(maps.Keys(kinds))
	for i, way := range ways {
		e := fourWays[way]
		for k, name := range names {
			for _, n := range []int{0, 1400, 1500} {
				f.Add(uint8(i), uint8(k), false, packet.Build(nil, e.from(1000, n, n == 1400)))
			}
			b := &bench{t: &testing.T{}}
			server := tuple(0, e.server, e.server).Dst
			f.Add(uint8(i), uint8(k), true, b.tooBig(e, kinds[name], server, 1300))
		}
	}
	f.Fuzz(func(t *testing.T, way, kind uint8, fromServers bool, frame []byte) {
		e, tun := fourWays[ways[int(way)%len(ways)]], kinds[names[int(kind)%len(names)]]
		b := newTunnelBench(t, forward.Options{Table: conntrack.Options{MaxConns: 16}}, e, tun)
		b.send(packet.Build(nil, e.from(1000, 0, true)))
		port := 0
		if fromServers {
			port = 1
		}
		for _, in := range [][]byte{frame, mended(frame)} {
			b.lane.Inject(port, in)
			b.step()
			for _, side := range []int{0, 1} {
				for _, o := range b.lane.Sent(side) {
					var m packet.Meta
					if r := packet.Parse(o, &m); r != packet.NoDrop && !bytes.Equal(o, in) {
						t.Errorf("%v: left % x, for % x", r, o, in)
					}
				}
			}
			b.lane.Dropped(0)
			b.lane.Dropped(1)
		}
	})
}

// mended gives an untagged IPv4 frame a right header checksum, for hardly any input of a fuzzer has one.
func mended(frame []byte) []byte {
	b := bytes.Clone(frame)
	if len(b) >= packet.EthernetLen+packet.IPv4MinLen && packet.Ethernet(b).Type() == packet.EtherTypeIPv4 {
		h := packet.IPv4(b[packet.EthernetLen:])
		if n := h.HeaderLen(); n >= packet.IPv4MinLen && n <= len(h) {
			h.SetChecksum(h.ComputeChecksum())
		}
	}
	return b
}
