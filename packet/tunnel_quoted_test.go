package packet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
)

// aboutOuter is an ICMP error from a router at via, to the sender of the outer packet frame, that quotes n bytes of it.
func aboutOuter(frame []byte, m *Meta, n int) []byte {
	quote := frame[m.L3:m.End]
	quote = quote[:min(n, len(quote))]
	var to Addr
	s := Spec{Payload: quote, ICMPRest: 1300}
	if quote[0]>>4 == 4 {
		to = IPv4(frame[m.L3:]).Src()
		s.Src, s.Proto, s.ICMPType, s.ICMPCode = addr("203.0.113.77"), ProtoICMP, ICMPv4Unreachable, ICMPv4FragNeeded
	} else {
		to = IPv6(frame[m.L3:]).Src()
		s.Src, s.Proto, s.ICMPType = addr("2001:db8:2::77"), ProtoICMPv6, 2
	}
	s.Dst = to
	return Build(nil, s)
}

// TestInner: the packet inside is found, as soon as the quote has its ports; and nothing in what is no tunnel of ours.
func TestInner(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple6(ProtoUDP)} {
		b := Build(nil, spec(tuple))
		m := mustParse(t, b)
		everyTunnel(func(name string, tun Tunnel, o Outer) {
			f := frameOf(b)
			if !tun.Wrap(&f, &m, &o) {
				t.Fatal("not wrapped")
			}
			outer := mustParse(t, f.Bytes())
			ports := tun.Len(o.Dst) + int(m.L4-m.L3) + 4
			for _, n := range []int{ports - 1, ports, 2000} {
				name := fmt.Sprintf("%v in %s, %d bytes quoted", tuple.Src, name, n)
				frame := aboutOuter(f.Bytes(), &outer, n)
				e := mustParse(t, frame)
				if e.Flags&ICMPError == 0 || e.Src != *o.Src || e.Dst != *o.Dst {
					t.Fatalf("%s: %+v", name, e)
				}
				var inner Meta
				ok := tun.Inner(frame, &e, &inner)
				if ok != (n >= ports) {
					t.Errorf("%s: %v", name, ok)
				}
				if !ok {
					continue
				}
				at := int(e.Quoted) + tun.Len(o.Dst)
				if inner.Tuple != tuple || int(inner.Quoted) != at || int(inner.QuotedL4) != at+int(m.L4-m.L3) ||
					inner.Flags != ICMPError || inner.End != e.End || inner.L3 != e.L3 || inner.L4 != e.L4 {
					t.Errorf("%s: %+v", name, inner)
				}
				for _, other := range []Tunnel{{}, {Type: GUE, Port: 6080}, {Type: GRE}, {Type: GUE, Port: 6081}} {
					same := other.Type == tun.Type && other.Port == tun.Port
					if ok := other.Inner(frame, &e, &inner); ok != same {
						t.Errorf("%s, taken for %+v: %v", name, other, ok)
					}
				}
			}
		})
	}
}

// TestInnerRefuses: what has the look of a tunnel, but is none that Wrap makes, and what is no error about a tunnel.
func TestInnerRefuses(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoTCP)))
	m := mustParse(t, b)
	at := EthernetLen + IPv4MinLen + ICMPLen // the quoted outer header
	for _, tc := range []struct {
		name string
		tun  Tunnel
		edit func(frame []byte)
		ok   bool
	}{
		{"as it is", Tunnel{Type: GUE, Port: 6080}, func([]byte) {}, true},
		{"later fragment", Tunnel{}, func(f []byte) { f[at+7] = 1 }, false},
		{"first fragment", Tunnel{}, func(f []byte) { f[at+6] = 0x20 }, true},
		{"protocol 50", Tunnel{}, func(f []byte) { f[at+9] = ProtoESP }, false},
		{"protocol 41, but IPv4", Tunnel{}, func(f []byte) { f[at+9] = ProtoIPv6 }, false},
		{"GUE control", Tunnel{Type: GUE, Port: 6080}, func(f []byte) { f[at+28] = 0x20 }, false},
		{"GUE variant 1", Tunnel{Type: GUE, Port: 6080}, func(f []byte) { f[at+28] = 0x45 }, false},
		{"GUE of something else", Tunnel{Type: GUE, Port: 6080}, func(f []byte) { f[at+29] = ProtoTCP }, false},
		{"GUE options beyond the end", Tunnel{Type: GUE, Port: 6080}, func(f []byte) { f[at+28] = 0x1f }, false},
		{"GRE with a key", Tunnel{Type: GRE}, func(f []byte) { f[at+20] = 0x20 }, false},
		{"GRE version 1", Tunnel{Type: GRE}, func(f []byte) { f[at+21] = 1 }, false},
		{"GRE of Ethernet", Tunnel{Type: GRE}, func(f []byte) { f[at+22], f[at+23] = 0x65, 0x58 }, false},
		{"inner version 5", Tunnel{Type: GRE}, func(f []byte) { f[at+24] = 0x55 }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := frameOf(b)
			if !tc.tun.Wrap(&f, &m, &outers[0]) {
				t.Fatal("not wrapped")
			}
			outer := mustParse(t, f.Bytes())
			frame := aboutOuter(f.Bytes(), &outer, 2000)
			tc.edit(frame)
			e := mustParse(t, frame)
			var inner Meta
			if ok := tc.tun.Inner(frame, &e, &inner); ok != tc.ok {
				t.Errorf("%v, want %v", ok, tc.ok)
			}
		})
	}
	var inner Meta
	if (Tunnel{}).Inner(b, &m, &inner) {
		t.Error("found in what is no error")
	}
}

// TestInnerGUEOptions: they are passed over, as long as the header says.
func TestInnerGUEOptions(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoTCP)))
	m := mustParse(t, b)
	tun := Tunnel{Type: GUE, Port: 6080}
	f := frameOf(b)
	if !tun.Wrap(&f, &m, &outers[0]) {
		t.Fatal("not wrapped")
	}
	outer := mustParse(t, f.Bytes())
	frame := aboutOuter(f.Bytes(), &outer, 2000)
	at := EthernetLen + IPv4MinLen + ICMPLen + IPv4MinLen + UDPLen
	frame[at] = 2
	frame = append(append(bytes.Clone(frame[:at+4]), make([]byte, 8)...), frame[at+4:]...)
	h := IPv4(frame[EthernetLen:])
	h.SetTotalLen(h.TotalLen() + 8)
	h.SetChecksum(h.ComputeChecksum())
	e := mustParse(t, frame)
	var inner Meta
	if !tun.Inner(frame, &e, &inner) || inner.Tuple != m.Tuple || int(inner.Quoted) != at+12 {
		t.Errorf("%+v", inner)
	}
}

// TestInnerGolden: the error that a router sent about a tunnel of the kernel's IPVS (tun4/tun-icmp), which the kernel
// passed on to 10.1.2.3.
func TestInnerGolden(t *testing.T) {
	frame, err := hex.DecodeString(goldenTunnelError)
	if err != nil {
		t.Fatal(err)
	}
	m := mustParse(t, frame)
	var inner Meta
	if !(Tunnel{}).Inner(frame, &m, &inner) {
		t.Fatal("not found")
	}
	want := Tuple{Src: addr("10.1.2.3"), Dst: addr("192.0.2.100"), SrcPort: 40000, DstPort: 80, Proto: ProtoTCP, Family: IPv4Family}
	if inner.Tuple != want {
		t.Errorf("%+v, want %+v", inner.Tuple, want)
	}
}

// FuzzInner: what is found lies in the frame, behind the outer header, and Inner only reads.
func FuzzInner(f *testing.F) {
	fuzzSeeds(f)
	b := Build(nil, spec(tuple4(ProtoTCP)))
	m := mustParse(f, b)
	everyTunnel(func(_ string, tun Tunnel, o Outer) {
		fr := frameOf(b)
		if tun.Wrap(&fr, &m, &o) {
			outer := mustParse(f, fr.Bytes())
			f.Add(aboutOuter(fr.Bytes(), &outer, 2000))
		}
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		b := rightHeader(in)
		was := bytes.Clone(b)
		var m, inner Meta
		if Parse(b, &m) != NoDrop {
			return
		}
		everyTunnel(func(name string, tun Tunnel, _ Outer) {
			if !tun.Inner(b, &m, &inner) {
				return
			}
			if inner.Quoted < m.QuotedL4 || inner.QuotedL4 <= inner.Quoted || uint32(inner.QuotedL4) > inner.End ||
				inner.Src.Is4() != (inner.Family == IPv4Family) {
				t.Errorf("%s: %+v in %+v", name, inner, m)
			}
		})
		if !bytes.Equal(was, b) {
			t.Error("wrote")
		}
		for at := range min(len(b), 64) {
			for _, tun := range []Tunnel{{}, {Type: GUE, Port: 6080}, {Type: GRE}} {
				if got := tun.Unwrap(b[at:]); got != nil && len(got) > len(b)-at-IPv4MinLen {
					t.Errorf("unwrapped %d of %d bytes", len(got), len(b)-at)
				}
			}
		}
	})
}

const goldenTunnelError = "" +
	"02000000020102000000021108004500009c1234000040010fbfac10004dac1000010304159e000005144500042412344000" +
	"4004cc75ac100001ac10000b45000410123440004006564c0a010203c00002649c400050000003e8000013885018faf0e33f" +
	"0000787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878" +
	"7878787878787878787878787878787878787878"
