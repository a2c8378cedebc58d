package packet

import (
	"fmt"
	"testing"
)

type benchFrame struct {
	name string
	b    []byte
}

// benchFrames are the frames of the benchmarks, named mode/family.
func benchFrames() []benchFrame {
	vlan, frag := spec(tuple4(ProtoTCP)), spec(tuple4(ProtoUDP))
	vlan.VLAN = 100
	frag.MoreFragments = true
	options := withIPv4Options(Build(nil, spec(tuple4(ProtoTCP))), 1, 1, 1, 0)
	return []benchFrame{
		{"tcp/4", Build(nil, spec(tuple4(ProtoTCP)))},
		{"tcp/6", Build(nil, spec(tuple6(ProtoTCP)))},
		{"udp/4", Build(nil, spec(tuple4(ProtoUDP)))},
		{"udp/6", Build(nil, spec(tuple6(ProtoUDP)))},
		{"vlan/4", Build(nil, vlan)},
		{"options/4", options},
		{"extension/6", withExtension(Build(nil, spec(tuple6(ProtoTCP))), ExtDestOptions)},
		{"fragment/4", Build(nil, frag)},
		{"icmp-error/4", icmpError(Build(nil, spec(tuple4(ProtoTCP).Reverse())))},
		{"icmp-error/6", icmpError(Build(nil, spec(tuple6(ProtoTCP).Reverse())))},
	}
}

func reportRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

func BenchmarkParse(b *testing.B) {
	for _, r := range benchFrames() {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			var m Meta
			for b.Loop() {
				if Parse(r.b, &m) != NoDrop {
					b.Fatal("dropped")
				}
			}
			reportRate(b)
		})
	}
}

// BenchmarkDecrementTTL: a frame's time to live lasts for 200 rounds, then it is copied anew.
func BenchmarkDecrementTTL(b *testing.B) {
	for _, r := range benchFrames()[:2] {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			setTTL(r.b, 255)
			m := mustParse(b, r.b)
			f := frameOf(r.b)
			for i := 0; b.Loop(); i++ {
				if i%200 == 0 {
					copy(f.Bytes(), r.b)
				}
				if !DecrementTTL(&f, &m) {
					b.Fatal("refused")
				}
			}
			reportRate(b)
		})
	}
}

// BenchmarkFinishChecksum: nothing to do, as for nearly every packet, and a full checksum over 1400 bytes.
func BenchmarkFinishChecksum(b *testing.B) {
	for _, r := range benchFrames()[:4] {
		b.Run("right/"+r.name, func(b *testing.B) {
			b.ReportAllocs()
			m := mustParse(b, r.b)
			f := frameOf(r.b)
			for b.Loop() {
				if FinishChecksum(&f, &m) {
					b.Fatal("wrote")
				}
			}
			reportRate(b)
		})
	}
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple6(ProtoTCP), tuple4(ProtoSCTP)} {
		s := spec(tuple)
		s.Payload = make([]byte, 1400)
		frame := Build(nil, s)
		m := mustParse(b, frame)
		unfinish(b, frame)
		f := frameOf(frame)
		field := f.Bytes()[m.L4:][:TCPMinLen]
		was := [TCPMinLen]byte(field)
		b.Run(fmt.Sprintf("unfinished/%d/%d", tuple.Proto, tuple.Family), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				copy(field, was[:])
				if !FinishChecksum(&f, &m) {
					b.Fatal("did not write")
				}
			}
			reportRate(b)
		})
	}
}

// BenchmarkForward is what direct routing asks of this package for one packet, a batch of copies in turn.
func BenchmarkForward(b *testing.B) {
	for _, r := range benchFrames()[:4] {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			setTTL(r.b, 255)
			var batch Batch
			for batch.Add(frameOf(r.b)) {
			}
			src, dst := testMACs()
			for i := 0; b.Loop(); i++ {
				f, m := &batch.Frames[i%BatchSize], &batch.Metas[i%BatchSize]
				if i%(200*BatchSize) < BatchSize {
					copy(f.Bytes(), r.b)
				}
				if Parse(f.Bytes(), m) != NoDrop || FinishChecksum(f, m) || !DecrementTTL(f, m) {
					b.Fatal("not forwarded")
				}
				SetMACs(f, src, dst)
			}
			reportRate(b)
		})
	}
}
