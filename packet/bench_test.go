package packet

import "testing"

// benchFrames are the frames of the benchmarks, named mode/family.
func benchFrames() []struct {
	name string
	b    []byte
} {
	type row = struct {
		name string
		b    []byte
	}
	vlan, frag := spec(tuple4(ProtoTCP)), spec(tuple4(ProtoUDP))
	vlan.VLAN = 100
	frag.MoreFragments = true
	options := withIPv4Options(Build(nil, spec(tuple4(ProtoTCP))), 1, 1, 1, 0)
	return []row{
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

func BenchmarkDecrementTTL(b *testing.B) {
	for _, r := range benchFrames()[:2] {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			m := mustParse(b, r.b)
			f := frameOf(r.b)
			l3 := f.Bytes()[m.L3:]
			off := 8
			if m.Family == IPv6Family {
				off = 7
			}
			for b.Loop() {
				l3[off] |= 0x80 // stays above 1; what the checksum becomes does not matter here
				DecrementTTL(&f, &m)
			}
			reportRate(b)
		})
	}
}
