package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// cutAll returns the fragments that p makes of the untagged frame whole.
func cutAll(t testing.TB, whole []byte, p *Plan) (out [][]byte) {
	t.Helper()
	var c Cut
	if !c.Start(whole, EthernetLen, p) {
		t.Fatal("no room")
	}
	for {
		f := MakeFrame(make([]byte, 2048), 256, 0, 0, 0)
		if !c.Next(&f) {
			return out
		}
		out = append(out, f.Bytes())
	}
}

// outline says of each fragment how long its IP packet is, and where its data belongs: 1396@0+ 52@1376.
func outline(t testing.TB, frames [][]byte) string {
	t.Helper()
	s := ""
	for _, b := range frames {
		ip, at, more := b[EthernetLen:], 0, false
		if IPv4(ip).Version() == 4 {
			h := IPv4(ip)
			if h.Checksum() != h.ComputeChecksum() || h.TotalLen() != len(ip) {
				t.Errorf("header of % x", ip[:h.HeaderLen()])
			}
			at, more = h.FragmentOffset(), h.MoreFragments()
			if h.DontFragment() {
				s += "DF"
			}
		} else {
			e, _, ok := FragmentHeader(ip)
			if !ok || IPv6(ip).PayloadLen() != len(ip)-IPv6Len || binary.BigEndian.Uint32(ip[e+4:]) != 0x1d1d1d1d {
				t.Errorf("headers of % x", ip[:60])
			}
			v := binary.BigEndian.Uint16(ip[e+2:])
			at, more = int(v&^7), v&1 != 0
		}
		s += fmt.Sprintf("%d@%d", len(ip), at)
		if more {
			s += "+"
		}
		s += " "
	}
	return s
}

func parts(header uint16, sizes ...uint16) (out []Part) {
	for _, n := range sizes {
		out = append(out, Part{n, header})
	}
	return out
}

// TestCut: the sizes are those in which a kernel sent the same packets.
func TestCut(t *testing.T) {
	for _, tc := range []struct {
		name string
		six  bool
		n    int // bytes of UDP data
		plan Plan
		want string
	}{
		{"too long", false, 1400, Plan{MTU: 1400}, "1396@0+ 52@1376 "},
		{"by one byte", false, 1401 - 28, Plan{MTU: 1400}, "1396@0+ 25@1376 "},
		{"it fits", false, 1400 - 28, Plan{MTU: 1400}, "1400@0 "},
		{"as it came", false, 2048, Plan{MTU: 1500, Largest: 1020, Parts: parts(20, 1000, 56)}, "1020@0+ 1020@1000+ 76@2000 "},
		{"unequal, as it came", false, 2048, Plan{MTU: 1500, Largest: 1220, Parts: parts(20, 1200, 848)}, "28@0+ 1220@8+ 868@1208 "},
		{"longer than the link", false, 2048, Plan{MTU: 1400, Largest: 1500, Parts: parts(20, 576)}, "1396@0+ 700@1376 "},
		{"some joined to the first", false, 2048, Plan{MTU: 1500, Largest: 1020, Parts: parts(20, 656)}, "1020@0+ 1020@1000+ 76@2000 "},
		{"all joined", false, 2048, Plan{MTU: 1500, Largest: 1500}, "1500@0+ 596@1480 "},
		{"joined, of 8 bytes", false, 2048, Plan{MTU: 1500, Largest: 1220, Parts: parts(20, 1200, 824)}, "52@0+ 1220@32+ 844@1232 "},
		{"DF, as it came", false, 1000, Plan{MTU: 1500, Largest: 420, DF: true, Parts: parts(20, 400, 208)}, "420@0+ 420@400+ 228@800 "},
		{"DF, in other pieces", false, 1000, Plan{MTU: 1500, Largest: 428, DF: true, Parts: parts(20, 408)},
			"DF428@0+ DF428@408+ DF212@816 "},
		{"a first fragment that got longer", false, 2048 + 40, Plan{MTU: 1500, Parts: parts(48, 1000, 56)}, "1060@0+ 1020@1040+ 76@2040 "},
		{"by no multiple of 8", false, 2048 + 44, Plan{MTU: 1500, Parts: parts(48, 1000, 56)}, "1500@0+ 640@1480 "},
		{"as it came", true, 2048, Plan{MTU: 1500, Largest: 1048, Parts: parts(48, 1000, 56)}, "1048@0+ 1048@1000+ 104@2000 "},
		{"short pieces", true, 2048, Plan{MTU: 1500, Largest: 1248, Parts: parts(48, 96, 1200, 560)},
			"248@0+ 144@200+ 1248@296+ 608@1496 "},
		{"not as it came", true, 2052, Plan{MTU: 1500, Largest: 1048, Parts: parts(48, 1000, 56)}, "1280@0+ 876@1232 "},
		{"headers of another length", true, 2048, Plan{MTU: 1500, Largest: 1500, Parts: parts(47, 1000, 56)}, "1496@0+ 656@1448 "},
		{"whole", true, 2048, Plan{MTU: 1400}, "1400@0+ 752@1352 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Spec{Tuple: tuple4(ProtoUDP), Payload: make([]byte, tc.n)}
			if tc.six {
				s.Tuple = tuple6(ProtoUDP)
			}
			for i := range s.Payload {
				s.Payload[i] = byte(i * 3)
			}
			tc.plan.ID = 0x1d1d1d1d
			whole := Build(nil, s)
			pieces := cutAll(t, whole, &tc.plan)
			if got := outline(t, pieces); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
			hlen := EthernetLen + IPv4MinLen
			if tc.six {
				hlen = EthernetLen + IPv6Len
			}
			var data []byte
			for _, p := range pieces {
				if tc.six {
					data = append(data, p[hlen+IPv6FragmentLen:]...)
				} else {
					data = append(data, p[hlen:]...)
				}
			}
			if !bytes.Equal(data, whole[hlen:]) {
				t.Error("the pieces do not make up the packet")
			}
		})
	}
}

func TestCutNoRoom(t *testing.T) {
	var c Cut
	if c.Start(Build(nil, spec(tuple4(ProtoUDP))), EthernetLen, &Plan{MTU: 27}) {
		t.Error("IPv4: room for a fragment of 7 bytes of data")
	}
	if c.Start(Build(nil, spec(tuple6(ProtoUDP))), EthernetLen, &Plan{MTU: 55}) {
		t.Error("IPv6: room for a fragment of 7 bytes of data")
	}
}

// TestCutOptions: what becomes of options behind the first fragment.
func TestCutOptions(t *testing.T) {
	for _, tc := range []struct{ name, options, later string }{
		{"record route", "\x07\x0b\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x00"},
		{"router alert", "\x94\x04\x00\x00", "\x94\x04\x00\x00"},
		{"stream, record route", "\x88\x04\x00\x01\x07\x07\x08\x01\x02\x03\x04\x00", "\x88\x04\x00\x01\x01\x01\x01\x01\x01\x01\x01\x00"},
		{"end, then more", "\x01\x00\x07\x07", "\x01\x00\x07\x07"},
		{"a length that is wrong", "\x07\x09\x04\x00", "\x07\x09\x04\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec(tuple4(ProtoUDP))
			s.DF, s.Payload = false, make([]byte, 2600)
			whole := withIPv4Options(Build(nil, s), []byte(tc.options)...)
			pieces := cutAll(t, whole, &Plan{MTU: 1400})
			if len(pieces) != 2 {
				t.Fatalf("%d pieces", len(pieces))
			}
			n := EthernetLen + IPv4MinLen
			for i, want := range []string{tc.options, tc.later} {
				if got := pieces[i][n : n+len(want)]; string(got) != want {
					t.Errorf("piece %d: % x, want % x", i, got, want)
				}
			}
			outline(t, pieces)
		})
	}
}

// TestCutExtensions: where the fragment header goes (RFC 8200, section 4.5), and that destination options stay before it
// where Linux leaves them.
func TestCutExtensions(t *testing.T) {
	for _, tc := range []struct {
		name string
		ext  []uint8 // from the front
		at   int     // of the fragment header
	}{
		{"none", nil, 40},
		{"hop-by-hop", []uint8{ExtHopByHop}, 48},
		{"routing", []uint8{ExtRouting}, 48},
		{"destination options", []uint8{ExtDestOptions}, 48},
		{"destination options on both sides of routing", []uint8{ExtDestOptions, ExtRouting, ExtDestOptions}, 56},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec(tuple6(ProtoUDP))
			s.Payload = make([]byte, 2000)
			whole := Build(nil, s)
			for i := len(tc.ext) - 1; i >= 0; i-- {
				whole = withExtension(whole, tc.ext[i])
			}
			pieces := cutAll(t, whole, &Plan{MTU: 1400, ID: 0x1d1d1d1d})
			for _, p := range pieces {
				if at, _, ok := FragmentHeader(p[EthernetLen:]); !ok || at != tc.at {
					t.Errorf("fragment header at %d, want %d", at, tc.at)
				}
				var m Meta
				if why := Parse(p, &m); why != NoDrop || m.Flags&Fragment == 0 || m.FragID != 0x1d1d1d1d {
					t.Errorf("%v, flags %b", why, m.Flags)
				}
			}
			outline(t, pieces)
		})
	}
}

func TestCutNoAllocation(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoUDP), tuple6(ProtoUDP)} {
		s := Spec{Tuple: tuple, Payload: make([]byte, 4000)}
		whole, f := Build(nil, s), frameOf(make([]byte, 1514))
		var c Cut
		if a := testing.AllocsPerRun(100, func() {
			c.Start(whole, EthernetLen, &Plan{MTU: 1500, Largest: 1400})
			for c.Next(&f) {
			}
		}); a != 0 {
			t.Errorf("%v allocations", a)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	for i, tuple := range []Tuple{tuple4(ProtoUDP), tuple6(ProtoUDP)} {
		b.Run(fmt.Sprintf("4000-bytes/%d", 4+2*i), func(b *testing.B) {
			whole, f := Build(nil, Spec{Tuple: tuple, Payload: make([]byte, 4000)}), frameOf(make([]byte, 1514))
			var c Cut
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c.Start(whole, EthernetLen, &Plan{MTU: 1500})
				for c.Next(&f) {
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
