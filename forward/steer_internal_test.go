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

// TestPeekIsTheOwner compares what is told by looking at frames with what is told by what Parse makes of them.
func TestPeekIsTheOwner(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	w := &Worker{snap: &Snapshot{Steer: Steer{Workers: 3}}, team: make([]mate, 3)}
	peeked, odd := 0, 0
	for range 3000 {
		n := 1 + rnd.IntN(packet.BatchSize)
		batch := make([][]byte, n)
		for i := range batch {
			s := packet.Spec{Tuple: packet.Tuple{Src: packet.Addr{10: 0xff, 11: 0xff, 12: 203, 13: 0, 14: 113, 15: byte(rnd.Uint32())},
				Dst: packet.Addr{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 80}, SrcPort: uint16(rnd.Uint32()), DstPort: 80,
				Proto: []uint8{packet.ProtoTCP, packet.ProtoUDP}[rnd.IntN(2)], Family: packet.IPv4Family}}
			batch[i] = packet.Build(nil, s)
			if rnd.IntN(200) == 0 { // another protocol, length of the header, fragment, EtherType, or length
				at := []int{12, 14, 20, 21, 23}[rnd.IntN(5)]
				batch[i][at] ^= byte(1 << rnd.IntN(8))
				batch[i] = batch[i][:len(batch[i])-rnd.IntN(2)*rnd.IntN(len(batch[i]))]
			}
			w.in.Frames[i] = packet.MakeFrame(batch[i], 0, len(batch[i]), 0, 0)
		}
		if !w.peek(n) {
			odd++
			continue
		}
		peeked++
		got := w.owners
		w.ask(n)
		for i := range batch {
			if w.reasons[i] == packet.NoDrop && got[i] != w.owners[i] {
				t.Fatalf("% x: worker %d by the frame, %d by what it says", batch[i], got[i], w.owners[i])
			}
		}
	}
	if peeked < 1000 || odd < 100 {
		t.Errorf("%d batches were peeked at, %d were odd", peeked, odd)
	}
	w.snap.Steer.Ports = true
	if w.peek(1) {
		t.Error("addresses alone told the owner where ports count")
	}
}
