package forward

import (
	"math/rand/v2"
	"testing"

	"dirsw/packet"
)

// TestOwnerIsTheSameAtOnce compares the short way to a packet's owner with the long one.
func TestOwnerIsTheSameAtOnce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	owners := map[int]int{}
	for range 2000 {
		s := Steer{Workers: 1 + rnd.IntN(5), Ports: rnd.IntN(3) == 0}
		if rnd.IntN(3) == 0 {
			s.Mask4 = packet.Addr{10: 0xff, 11: 0xff, 12: 0xff}
		}
		if rnd.IntN(3) == 0 {
			s.Mask6 = packet.Addr{0xff, 0xff}
		}
		m := packet.Meta{Tuple: packet.Tuple{Src: packet.Addr{10: 0xff, 11: 0xff, 12: 203, 13: 0, 14: 113, 15: byte(rnd.Uint32())},
			SrcPort: uint16(rnd.Uint32()), Proto: []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP}[rnd.IntN(3)]}}
		if rnd.IntN(2) == 0 {
			m.Src = packet.Addr{0x20, 0x01, 0x0d, 0xb8, 14: byte(rnd.Uint32()), 15: byte(rnd.Uint32())}
		}
		w := Worker{snap: &Snapshot{Steer: s}}
		got, want := w.owner(&s, nil, &m), s.Owner(&m.Src, m.SrcPort)
		if owners[got]++; got != want {
			t.Fatalf("%+v of %v port %d: worker %d, want %d", s, m.Src, m.SrcPort, got, want)
		}
	}
	if len(owners) != 5 {
		t.Errorf("packets by worker: %v, want all five", owners)
	}
}
