package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// plainFrame returns a frame for Relay, with right checksums or not, and Ethernet's padding or not.
func plainFrame(rnd *rand.Rand) []byte {
	s := spec([]Tuple{tuple4(ProtoTCP), tuple4(ProtoUDP), tuple6(ProtoTCP), tuple6(ProtoUDP)}[rnd.IntN(4)])
	s.SrcPort, s.DstPort, s.ID, s.DF, s.TOS = uint16(rnd.Uint32()), uint16(rnd.Uint32()), uint16(rnd.Uint32()), rnd.IntN(2) == 0, uint8(rnd.Uint32())
	s.TTL = uint8(2 + rnd.IntN(254))
	s.Payload = make([]byte, rnd.IntN(40))
	b := append(Build(nil, s), make([]byte, rnd.IntN(3))...)
	sum := EthernetLen + IPv4MinLen + tcpChecksumOffset
	if s.Family == IPv6Family {
		sum += IPv6Len - IPv4MinLen
	}
	if s.Proto == ProtoUDP {
		sum += udpChecksumOffset - tcpChecksumOffset
	}
	switch rnd.IntN(4) {
	case 0:
		binary.BigEndian.PutUint16(b[sum:], uint16(rnd.Uint32()))
	case 1:
		b[sum], b[sum+1] = 0, 0
	case 2:
		b[sum], b[sum+1] = 0xff, 0xff
	}
	return b
}

// TestRelay compares what is done to a plain frame at once with what is done to it step by step.
func TestRelay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 9))
	src, dst := MAC{2, 0, 0, 0, 0, 7}, MAC{2, 0, 0, 0, 0, 8}
	to := MakeStations(src, dst)
	for range 20_000 {
		b := plainFrame(rnd)
		m := mustParse(t, b)
		if !m.Plain() {
			t.Fatalf("not plain: % x", b)
		}
		a, port := natEnd(m.Family)
		a[15], port = uint8(rnd.Uint32()), uint16(rnd.Uint32())
		o := Outer{Src: &a, Dst: &a, ID: uint16(rnd.Uint32()), MayCut: rnd.IntN(2) == 0}
		pipe := MakePipe(&o)
		for _, c := range []struct {
			name string
			once func(f *Frame) bool
			step func(f *Frame)
			may  bool
		}{
			{"Relay", func(f *Frame) bool { Relay(f, &m, &to); return true }, func(*Frame) {}, true},
			{"RelayTo", func(f *Frame) bool { RelayTo(f, &m, &to, &a, port); return true }, func(f *Frame) { RewriteDst(f, &m, &a, port) }, true},
			{"RelayFrom", func(f *Frame) bool { RelayFrom(f, &m, &to, &a, port); return true }, func(f *Frame) { RewriteSrc(f, &m, &a, port) }, true},
			{"RelayIn", func(f *Frame) bool { return RelayIn(f, &m, &to, &pipe, o.ID) }, func(f *Frame) { Tunnel{}.Wrap(f, &m, &o) }, m.Family == IPv4Family},
		} {
			if !c.may {
				continue
			}
			got, want := frameOf(b), frameOf(b)
			if Hops(&got, &m) != ttlOf(b) {
				t.Fatalf("Hops: %d of % x", Hops(&got, &m), b)
			}
			if !c.once(&got) {
				t.Fatalf("%s refused % x", c.name, b)
			}
			DecrementTTL(&want, &m)
			want.Resize(int(m.End))
			c.step(&want)
			SetMACs(&want, src, dst)
			if !bytes.Equal(got.Bytes(), want.Bytes()) || *Sender(&got) != src {
				t.Fatalf("%s of % x:\n got % x\nwant % x", c.name, b, got.Bytes(), want.Bytes())
			}
		}
	}
}

func ttlOf(b []byte) uint8 {
	if b[EthernetLen]>>4 == 6 {
		return IPv6(b[EthernetLen:]).HopLimit()
	}
	return IPv4(b[EthernetLen:]).TTL()
}

// TestOlder: every checksum, with DecrementTTL for its twin.
func TestOlder(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoTCP)))
	m := mustParse(t, b)
	for _, ttl := range []uint8{2, 3, 64, 255} {
		for sum := range 1 << 16 {
			f := frameOf(b)
			h := IPv4(f.Bytes()[m.L3:])
			h.SetTTL(ttl)
			h.SetChecksum(uint16(sum))
			got := older(binary.LittleEndian.Uint32(h[8:12]))
			if DecrementTTL(&f, &m); got != binary.LittleEndian.Uint32(h[8:12]) {
				t.Fatalf("ttl %d, checksum %#04x: %#08x, want % x", ttl, sum, got, h[8:12])
			}
		}
	}
}

// TestRelayEverySum: every transport checksum, with what is done step by step for its twin.
func TestRelayEverySum(t *testing.T) {
	to := MakeStations(MAC{2, 0, 0, 0, 0, 7}, MAC{2, 0, 0, 0, 0, 8})
	a, port := natEnd(IPv4Family)
	for _, proto := range []uint8{ProtoTCP, ProtoUDP} {
		b := Build(nil, spec(tuple4(proto)))
		m := mustParse(t, b)
		field := b[EthernetLen+IPv4MinLen+tcpChecksumOffset:]
		if proto == ProtoUDP {
			field = b[EthernetLen+IPv4MinLen+udpChecksumOffset:]
		}
		for sum := range 1 << 16 {
			binary.BigEndian.PutUint16(field, uint16(sum))
			got, want := frameOf(b), frameOf(b)
			RelayTo(&got, &m, &to, &a, port)
			DecrementTTL(&want, &m)
			RewriteDst(&want, &m, &a, port)
			if !bytes.Equal(got.Bytes()[EthernetLen:], want.Bytes()[EthernetLen:]) {
				t.Fatalf("RelayTo of %#04x:\n got % x\nwant % x", sum, got.Bytes(), want.Bytes())
			}
			got, want = frameOf(b), frameOf(b)
			RelayFrom(&got, &m, &to, &a, port)
			DecrementTTL(&want, &m)
			RewriteSrc(&want, &m, &a, port)
			if !bytes.Equal(got.Bytes()[EthernetLen:], want.Bytes()[EthernetLen:]) {
				t.Fatalf("RelayFrom of %#04x:\n got % x\nwant % x", sum, got.Bytes(), want.Bytes())
			}
		}
	}
}

// TestRelayInNoRoom: what does not fit is refused.
func TestRelayInNoRoom(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoTCP)))
	m := mustParse(t, b)
	a, _ := natEnd(IPv4Family)
	pipe := MakePipe(&Outer{Src: &a, Dst: &a})
	f := MakeFrame(append(make([]byte, IPv4MinLen-1), b...), IPv4MinLen-1, len(b), 0, 0)
	if RelayIn(&f, &m, &Stations{}, &pipe, 1) || !bytes.Equal(f.Bytes(), b) {
		t.Errorf("without room in front: % x", f.Bytes())
	}
	s := spec(tuple4(ProtoTCP))
	s.Payload = make([]byte, 0xffff-2*IPv4MinLen-TCPMinLen+1)
	b = Build(nil, s)
	m = mustParse(t, b)
	if f = frameOf(b); RelayIn(&f, &m, &Stations{}, &pipe, 1) || !bytes.Equal(f.Bytes(), b) {
		t.Error("a packet that is longer than IP allows was made")
	}
}
