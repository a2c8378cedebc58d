package packet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// The tunnels of the golden rows, by the first word of their names. The families come from the frames.
var goldenTunnels = map[string]Tunnel{
	"tun4": {}, "tun6": {}, "tun4in6": {}, "tun6in4": {},
	"gue4": {Type: GUE, Port: 6080}, "gue6": {Type: GUE, Port: 6080},
	"gue4csum": {Type: GUE, Port: 6080, Sum: true}, "gue4rem": {Type: GUE, Port: 6080, Sum: true},
	"gre4": {Type: GRE}, "gre6": {Type: GRE}, "gre4csum": {Type: GRE, Sum: true},
}

type tunnelRow struct {
	name    string
	in, out []byte
}

// tunnelRows are the rows of testdata/tunnel.txt: the name of a case and of its step, the frame that came to a director
// running the kernel's IPVS, ----, and the frame that left.
func tunnelRows(t testing.TB) (rows []tunnelRow) {
	t.Helper()
	text, err := os.ReadFile("testdata/tunnel.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		name, digits, _ := strings.Cut(block, "\n")
		in, out, ok := strings.Cut(strings.ReplaceAll(digits, "\n", ""), "----")
		a, err1 := hex.DecodeString(in)
		b, err2 := hex.DecodeString(out)
		if !ok || err1 != nil || err2 != nil {
			t.Fatalf("row %q: %v, %v", name, err1, err2)
		}
		rows = append(rows, tunnelRow{name, a, b})
	}
	return rows
}

// tunnel returns how the director had to wrap, from the row's name and, where chance had a part, from the outer header.
func (r *tunnelRow) tunnel(t testing.TB) (Tunnel, Outer) {
	t.Helper()
	group, name, _ := strings.Cut(r.name, "/")
	tun, ok := goldenTunnels[group]
	if !ok {
		t.Fatalf("no tunnel for %q", r.name)
	}
	m := mustParse(t, r.out)
	o := Outer{Src: &m.Src, Dst: &m.Dst, SrcPort: m.SrcPort, MayCut: strings.Contains(name, "pmtudisc0")}
	if m.Family == IPv4Family {
		o.ID = IPv4(r.out[m.L3:]).ID()
	}
	return tun, o
}

// TestWrapGolden: what the kernel's IPVS sent, byte for byte.
func TestWrapGolden(t *testing.T) {
	groups := map[string]int{}
	for _, r := range tunnelRows(t) {
		t.Run(r.name, func(t *testing.T) {
			tun, o := r.tunnel(t)
			m := mustParse(t, r.in)
			f := frameOf(r.in)
			if !DecrementTTL(&f, &m) || !tun.Wrap(&f, &m, &o) {
				t.Fatal("not wrapped")
			}
			SetMACs(&f, Ethernet(r.out).Src(), Ethernet(r.out).Dst())
			if !bytes.Equal(f.Bytes(), r.out) {
				t.Errorf("\n got %x\nwant %x", f.Bytes(), r.out)
			}
			inner := tun.Unwrap(f.Bytes()[m.L3:])
			in := frameOf(r.in)
			DecrementTTL(&in, &m)
			if !bytes.Equal(inner, in.Bytes()[m.L3:m.End]) {
				t.Errorf("unwrapped\n got %x\nwant %x", inner, in.Bytes()[m.L3:m.End])
			}
		})
		group, _, _ := strings.Cut(r.name, "/")
		groups[group]++
	}
	for g := range goldenTunnels {
		if groups[g] < 4 {
			t.Errorf("%d rows of %s", groups[g], g)
		}
	}
}

// slowWrap is Wrap's twin: the outer packet as Build makes it, around a copy of the inner one.
func slowWrap(tun Tunnel, frame []byte, m *Meta, o *Outer) []byte {
	inner := frame[m.L3:m.End]
	s := Spec{SrcMAC: Ethernet(frame).Src(), DstMAC: Ethernet(frame).Dst(), TTL: inner[7],
		Tuple: Tuple{Src: *o.Src, Dst: *o.Dst, SrcPort: o.SrcPort, DstPort: tun.Port}}
	proto, typ := ProtoIPv6, EtherTypeIPv6
	if inner[0]>>4 == 4 {
		h := IPv4(inner)
		proto, typ = ProtoIPIP, EtherTypeIPv4
		s.TOS, s.TTL, s.DF = h.TOS(), h.TTL(), h.DontFragment() && o.Dst.Is4() && !o.MayCut
	} else {
		s.TOS = IPv6(inner).TrafficClass()
	}
	if s.TOS&3 == 3 {
		s.TOS-- // congestion experienced becomes ECT(0)
	}
	if !s.DF {
		s.ID = o.ID
	}
	switch tun.Type {
	case IPIP:
		s.Proto, s.Payload = proto, inner
	case GUE:
		s.Proto, s.Payload = ProtoUDP, append([]byte{0, proto, 0, 0}, inner...)
	case GRE:
		s.Proto = ProtoGRE
		s.Payload = binary.BigEndian.AppendUint16([]byte{0, 0}, typ)
		if tun.Sum {
			s.Payload = append(s.Payload, 0, 0, 0, 0)
			s.Payload[0] = greHasChecksum
		}
		s.Payload = append(s.Payload, inner...)
		if tun.Sum {
			binary.BigEndian.PutUint16(s.Payload[4:6], Checksum(s.Payload, 0))
		}
	}
	// The tag as it stands, priority tags included, which Build does not make.
	tag := frame[12 : m.L3-2]
	b := Build(nil, s)
	if tun.Type == GUE && !tun.Sum {
		at := EthernetLen + IPv6Len
		if o.Dst.Is4() {
			at = EthernetLen + IPv4MinLen
		}
		UDP(b[at:]).SetChecksum(0)
	}
	if s.TTL == 0 || inner[0]>>4 == 4 && inner[8] == 0 { // Build takes 0 for 64
		h := b[EthernetLen:]
		if o.Dst.Is4() {
			IPv4(h).SetTTL(0)
			IPv4(h).SetChecksum(IPv4(h).ComputeChecksum())
		} else {
			IPv6(h).SetHopLimit(0)
		}
	}
	return append(append(bytes.Clone(b[:12]), tag...), b[12:]...)
}

func at(s string) *Addr {
	a := addr(s)
	return &a
}

var outers = []Outer{
	{Src: at("203.0.113.1"), Dst: at("203.0.113.11"), SrcPort: 40001, ID: 0xbeef},
	{Src: at("2001:db8:2::1"), Dst: at("2001:db8:2::11"), SrcPort: 60999, ID: 0xbeef},
}

// everyTunnel runs f with every type, both outer families, and outer packets that may be cut.
func everyTunnel(f func(name string, tun Tunnel, o Outer)) {
	for _, tun := range []Tunnel{{}, {Type: GUE, Port: 6080}, {Type: GUE, Port: 6080, Sum: true}, {Type: GRE}, {Type: GRE, Sum: true}} {
		for _, o := range outers {
			for _, o.MayCut = range []bool{false, true} {
				f(fmt.Sprintf("type%d sum=%v to %v mayCut=%v", tun.Type, tun.Sum, o.Dst, o.MayCut), tun, o)
			}
		}
	}
}

// checkWrap holds Wrap against its twin, and Unwrap against both.
func checkWrap(t *testing.T, name string, frame []byte, m *Meta, tun Tunnel, o Outer) {
	t.Helper()
	f := frameOf(frame)
	n := tun.Len(o.Dst)
	if n > MaxTunnelLen {
		t.Errorf("%s: %d bytes, more than MaxTunnelLen", name, n)
	}
	if m.Len()+n > 0xffff {
		if tun.Wrap(&f, m, &o) || !bytes.Equal(f.Bytes(), frame) {
			t.Errorf("%s: wrapped, or changed, what becomes too long", name)
		}
		return
	}
	was := *m
	if !tun.Wrap(&f, m, &o) {
		t.Fatalf("%s: not wrapped", name)
	}
	if want := slowWrap(tun, frame, m, &o); !bytes.Equal(f.Bytes(), want) {
		t.Errorf("%s:\n got %x\nwant %x\n for %x", name, f.Bytes(), want, frame)
	}
	if *m != was {
		t.Errorf("%s: Wrap changed the Meta", name)
	}
	if got := tun.Unwrap(f.Bytes()[m.L3:]); !bytes.Equal(got, frame[m.L3:m.End]) {
		t.Errorf("%s: unwrapped\n got %x\nwant %x", name, got, frame[m.L3:m.End])
	}
}

// TestWrapTwin: on every frame that the tests have, and on random lengths, tags and headers.
func TestWrapTwin(t *testing.T) {
	for _, r := range append(frameRows(t), builtRows()...) {
		var m Meta
		if Parse(r.frame, &m) == NoDrop {
			everyTunnel(func(name string, tun Tunnel, o Outer) { checkWrap(t, r.name+" "+name, r.frame, &m, tun, o) })
		}
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range 300 {
		s := spec(tuple4(ProtoUDP))
		if i%2 == 1 {
			s = spec(tuple6(ProtoUDP))
		}
		s.Payload = make([]byte, rnd.IntN(1500))
		for k := range s.Payload {
			s.Payload[k] = byte(rnd.Uint32())
		}
		s.VLAN, s.TOS, s.TTL, s.DF = uint16(rnd.IntN(2)*rnd.IntN(4096)), uint8(rnd.Uint32()), uint8(rnd.Uint32()), rnd.IntN(2) == 0
		b := Build(nil, s)
		b = append(b, make([]byte, rnd.IntN(20))...) // Ethernet's padding
		m := mustParse(t, b)
		everyTunnel(func(name string, tun Tunnel, o Outer) {
			o.ID, o.SrcPort = uint16(rnd.Uint32()), uint16(rnd.Uint32())
			checkWrap(t, fmt.Sprintf("seed %d, %d, %s", seed, i, name), b, &m, tun, o)
		})
		if t.Failed() {
			return
		}
	}
}

// TestWrapNoRoom: without headroom, and beyond what IP can carry, nothing changes.
func TestWrapNoRoom(t *testing.T) {
	everyTunnel(func(name string, tun Tunnel, o Outer) {
		b := Build(nil, spec(tuple4(ProtoTCP)))
		m := mustParse(t, b)
		n := tun.Len(o.Dst)
		for _, room := range []int{0, n - 1, n} {
			f := MakeFrame(append(make([]byte, room), b...), room, len(b), 3, 4)
			was := f
			if ok := tun.Wrap(&f, &m, &o); ok != (room == n) {
				t.Errorf("%s with %d bytes: %v", name, room, ok)
			} else if !ok && (f.Offset() != was.Offset() || !bytes.Equal(f.Bytes(), b)) {
				t.Errorf("%s with %d bytes: refused, and changed the frame", name, room)
			}
		}
		for _, over := range []int{0, 1} {
			s := spec(tuple4(ProtoUDP))
			s.Payload = make([]byte, 0xffff-n-IPv4MinLen-UDPLen+over)
			b := Build(nil, s)
			m := mustParse(t, b)
			f := frameOf(b)
			if ok := tun.Wrap(&f, &m, &o); ok != (over == 0) {
				t.Errorf("%s: an outer packet of %d bytes: %v", name, 0xffff+over, ok)
			}
		}
	})
}

// TestUnwrapRefuses: what is not whole, or not of this tunnel.
func TestUnwrapRefuses(t *testing.T) {
	everyTunnel(func(name string, tun Tunnel, o Outer) {
		b := Build(nil, spec(tuple4(ProtoTCP)))
		m := mustParse(t, b)
		f := frameOf(b)
		if !tun.Wrap(&f, &m, &o) {
			t.Fatal("not wrapped")
		}
		p := f.Bytes()[m.L3:]
		for n := range p {
			if tun.Unwrap(p[:n]) != nil {
				t.Errorf("%s: unwrapped %d of %d bytes", name, n, len(p))
			}
		}
		for _, other := range []Tunnel{{}, {Type: GUE, Port: 6080}, {Type: GRE}, {Type: GUE, Port: 6081}} {
			if same := other.Type == tun.Type && other.Port == tun.Port; (other.Unwrap(p) != nil) != same {
				t.Errorf("%s unwrapped by %+v: %v", name, other, !same)
			}
		}
		if !tun.Sum {
			return
		}
		for at := range p {
			bad := bytes.Clone(p)
			bad[at] ^= 0x11
			if got := tun.Unwrap(bad); got != nil && at >= len(p)-m.Len() {
				t.Errorf("%s: a wrong byte at %d of %d was not seen", name, at, len(p))
			}
		}
	})
}

// TestFlowPort: within the range, the same for the same flow, and evenly spread.
func TestFlowPort(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	var buckets [16]int
	const draws = 16 * 4000
	for range draws {
		h := rnd.Uint64()
		p := FlowPort(h)
		if p < 32768 || p > 60999 || p != FlowPort(h) {
			t.Fatalf("seed %d: port %d", seed, p)
		}
		buckets[int(p-32768)*16/28232]++
	}
	for i, n := range buckets {
		if n < 3600 || n > 4400 { // 4000, and six times the deviation
			t.Errorf("seed %d: bucket %d has %d of %d", seed, i, n, draws)
		}
	}
	if FlowPort(0) != 32768 || FlowPort(^uint64(0)) != 60999 {
		t.Errorf("ends %d, %d", FlowPort(0), FlowPort(^uint64(0)))
	}
}

// TestWrapAllocates: nothing.
func TestWrapAllocates(t *testing.T) {
	everyTunnel(func(name string, tun Tunnel, o Outer) {
		b := Build(nil, spec(tuple4(ProtoTCP)))
		m := mustParse(t, b)
		start := frameOf(b)
		if n := testing.AllocsPerRun(50, func() {
			f := start
			tun.Wrap(&f, &m, &o)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	})
}

func FuzzWrap(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		b := rightHeader(in)
		var m Meta
		if Parse(b, &m) != NoDrop {
			return
		}
		everyTunnel(func(name string, tun Tunnel, o Outer) { checkWrap(t, name, b, &m, tun, o) })
	})
}

// BenchmarkWrap is a packet of 60 and of 1400 bytes in every kind of tunnel.
func BenchmarkWrap(b *testing.B) {
	names := map[Tunnel]string{{}: "ipip", {Type: GUE, Port: 6080}: "gue", {Type: GUE, Port: 6080, Sum: true}: "gue-csum",
		{Type: GRE}: "gre", {Type: GRE, Sum: true}: "gre-csum"}
	for _, size := range []int{0, 1340} {
		everyTunnel(func(_ string, tun Tunnel, o Outer) {
			if o.MayCut {
				return
			}
			s := spec(tuple4(ProtoTCP))
			family := 6
			if o.Dst.Is4() {
				family = 4
			}
			s.Payload = make([]byte, size)
			frame := Build(nil, s)
			m := mustParse(b, frame)
			b.Run(fmt.Sprintf("%s-%d/%d", names[tun], size, family), func(b *testing.B) {
				b.ReportAllocs()
				start := frameOf(frame)
				for b.Loop() {
					f := start
					copy(f.Bytes()[:EthernetLen+IPv4MinLen], frame)
					if !tun.Wrap(&f, &m, &o) {
						b.Fatal("refused")
					}
				}
				reportRate(b)
			})
		})
	}
}
