package packet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Ends that the tests rewrite to, of each family.
func natEnd(family uint8) (Addr, uint16) {
	if family == IPv4Family {
		return addr("203.0.113.11"), 8080
	}
	return addr("2001:db8:2::11"), 8080
}

// slowRewrite writes address and port into b and computes every checksum that covers them in full.
func slowRewrite(b []byte, m *Meta, a Addr, port uint16, e end) {
	t := m.Tuple
	if e == source {
		t.Src, t.SrcPort = a, port
	} else {
		t.Dst, t.DstPort = a, port
	}
	ip := b[m.L3:]
	if m.Family == IPv4Family {
		h := IPv4(ip)
		h.SetSrc(t.Src)
		h.SetDst(t.Dst)
		h.SetChecksum(h[:h.HeaderLen()].ComputeChecksum())
	} else {
		IPv6(ip).SetSrc(t.Src)
		IPv6(ip).SetDst(t.Dst)
	}
	if m.Flags&Fragment != 0 && m.Payload == m.L4 {
		return
	}
	l4 := b[m.L4:m.End]
	switch m.Proto {
	case ProtoTCP:
		h := TCP(l4)
		h.SetSrcPort(t.SrcPort)
		h.SetDstPort(t.DstPort)
		h.SetChecksum(0)
		h.SetChecksum(slowChecksum(append(slowPseudoBytes(b, m, len(l4)), l4...)))
	case ProtoUDP:
		h := UDP(l4)
		h.SetSrcPort(t.SrcPort)
		h.SetDstPort(t.DstPort)
		h.SetChecksum(0)
		d := l4[:h.Len()]
		h.SetChecksum(UDPChecksum(slowChecksum(append(slowPseudoBytes(b, m, len(d)), d...))))
	case ProtoSCTP:
		h := SCTP(l4)
		h.SetSrcPort(t.SrcPort)
		h.SetDstPort(t.DstPort)
		h.SetChecksum(h.ComputeChecksum())
	}
}

// slowPseudoBytes are the bytes of the pseudo-header, from the addresses as they stand in b.
func slowPseudoBytes(b []byte, m *Meta, n int) (p []byte) {
	if m.Family == IPv4Family {
		p = append(p, b[m.L3+12:m.L3+20]...)
	} else {
		p = append(p, b[m.L3+8:m.L3+40]...)
	}
	return append(p, 0, m.Proto, uint8(n>>24), uint8(n>>16), uint8(n>>8), uint8(n))
}

// ends are both functions with the end that they write.
var ends = []struct {
	name string
	e    end
	f    func(*Frame, *Meta, *Addr, uint16)
}{{"src", source, RewriteSrc}, {"dst", destination, RewriteDst}}

// TestRewrite: with right checksums the outcome is what computing everything anew gives.
func TestRewrite(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	for _, proto := range []uint8{ProtoTCP, ProtoUDP, ProtoSCTP, ProtoESP} {
		for _, tuple := range []Tuple{tuple4(proto), tuple6(proto)} {
			for _, e := range ends {
				t.Run(fmt.Sprintf("%d/%d/%s", proto, tuple.Family, e.name), func(t *testing.T) {
					for range 500 {
						s := spec(tuple)
						s.SrcPort, s.DstPort = uint16(r.Uint32()), uint16(r.Uint32())
						s.Payload = randomBytes(r, r.IntN(100))
						a, port := randomEnd(r, tuple.Family)
						b := Build(nil, s)
						m := mustParse(t, b)
						want := bytes.Clone(b)
						slowRewrite(want, &m, a, port, e.e)
						f, was := frameOf(b), m
						e.f(&f, &m, &a, port)
						if !bytes.Equal(f.Bytes(), want) || m != was {
							t.Fatalf("seed %d, to %v:%d\n got % x\nwant % x", seed, a, port, f.Bytes(), want)
						}
					}
				})
			}
		}
	}
}

// randomEnd draws an address and a port, such with many bits alike among them.
func randomEnd(r *rand.Rand, family uint8) (a Addr, port uint16) {
	from := 0
	if family == IPv4Family {
		from, a = 12, Addr{10: 0xff, 11: 0xff}
	}
	copy(a[from:], randomBytes(r, 16-from))
	if family == IPv6Family && a.Is4() {
		a[0] = 0x20
	}
	return a, uint16(r.Uint32())
}

// TestRewriteWrong: what was wrong with a checksum stays wrong, by the same difference.
func TestRewriteWrong(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple4(ProtoUDP), tuple4(ProtoSCTP), tuple6(ProtoTCP), tuple6(ProtoUDP)} {
		b := Build(nil, spec(tuple))
		b[len(b)-1] ^= 0x5a
		m := mustParse(t, b)
		a, port := natEnd(tuple.Family)
		if tuple.Proto == ProtoSCTP {
			port = tuple.DstPort
		}
		f := frameOf(b)
		RewriteDst(&f, &m, &a, port)
		m = mustParse(t, f.Bytes())
		if ChecksumOK(f.Bytes(), &m) {
			t.Errorf("%v: a wrong checksum became right", tuple)
		}
		f.Bytes()[f.Len()-1] ^= 0x5a
		if !ChecksumOK(f.Bytes(), &m) {
			t.Errorf("%v: there is more wrong with it than before", tuple)
		}
	}
}

// TestRewriteSCTPWrong: with another port the CRC32c is made anew, whatever it was (sctp_nat_csum).
func TestRewriteSCTPWrong(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoSCTP)))
	m := mustParse(t, b)
	SCTP(b[m.L4:]).SetChecksum(0xdeadbeef)
	a, port := natEnd(IPv4Family)
	f := frameOf(b)
	RewriteSrc(&f, &m, &a, m.SrcPort)
	if ChecksumOK(f.Bytes(), &m) {
		t.Error("became right with the same port")
	}
	if RewriteSrc(&f, &m, &a, port); !ChecksumOK(f.Bytes(), &m) { // of SCTP no address is covered
		t.Error("still wrong with another port")
	}
}

// TestRewriteUDPZero: a datagram without a checksum gets one, over what its own length says, but not a first fragment.
func TestRewriteUDPZero(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoUDP), tuple6(ProtoUDP)} {
		for _, e := range ends {
			s := spec(tuple)
			b := Build(nil, s)
			m := mustParse(t, b)
			a, port := natEnd(tuple.Family)
			want := bytes.Clone(b)
			slowRewrite(want, &m, a, port, e.e)
			UDP(b[m.L4:]).SetChecksum(0)
			f := frameOf(b)
			if e.f(&f, &m, &a, port); !bytes.Equal(f.Bytes(), want) {
				t.Errorf("%v %s\n got % x\nwant % x", tuple, e.name, f.Bytes(), want)
			}
			s.MoreFragments = true
			b = Build(nil, s)
			m = mustParse(t, b)
			UDP(b[m.L4:]).SetChecksum(0)
			f = frameOf(b)
			if e.f(&f, &m, &a, port); UDP(f.Bytes()[m.L4:]).Checksum() != 0 {
				t.Errorf("%v %s: a fragment got a checksum", tuple, e.name)
			}
		}
	}
}

// TestRewriteUDPZeroShort: what lies behind the datagram in its packet is not summed.
func TestRewriteUDPZeroShort(t *testing.T) {
	b := append(Build(nil, spec(tuple6(ProtoUDP))), 1, 2, 3, 4)
	h := IPv6(b[EthernetLen:])
	h.SetPayloadLen(h.PayloadLen() + 4)
	m := mustParse(t, b)
	UDP(b[m.L4:]).SetChecksum(0)
	a, port := natEnd(IPv6Family)
	f := frameOf(b)
	RewriteDst(&f, &m, &a, port)
	if m = mustParse(t, f.Bytes()); !ChecksumOK(f.Bytes(), &m) {
		t.Errorf("wrong checksum: % x", f.Bytes())
	}
}

// TestRewriteUDPNeverNone: a checksum that comes out as 0 is written as 0xffff.
func TestRewriteUDPNeverNone(t *testing.T) {
	s := spec(tuple4(ProtoUDP))
	seen := false
	for port := range 1 << 16 {
		b := Build(nil, s)
		m := mustParse(t, b)
		a, _ := natEnd(IPv4Family)
		f := frameOf(b)
		RewriteDst(&f, &m, &a, uint16(port))
		sum := UDP(f.Bytes()[m.L4:]).Checksum()
		if sum == 0 {
			t.Fatalf("port %d: no checksum", port)
		}
		seen = seen || sum == 0xffff
	}
	if !seen {
		t.Error("none came out as 0xffff, the test tests nothing")
	}
}

// TestRewriteUnfinished: finished first, the checksum of a sender with offload comes out right.
func TestRewriteUnfinished(t *testing.T) {
	for _, proto := range []uint8{ProtoTCP, ProtoUDP, ProtoSCTP} {
		for _, tuple := range []Tuple{tuple4(proto), tuple6(proto)} {
			b := Build(nil, spec(tuple))
			m := mustParse(t, b)
			unfinish(t, b)
			a, port := natEnd(tuple.Family)
			f := frameOf(b)
			if !FinishChecksum(&f, &m) {
				t.Fatalf("%v: not mended", tuple)
			}
			RewriteDst(&f, &m, &a, port)
			if m = mustParse(t, f.Bytes()); !ChecksumOK(f.Bytes(), &m) || m.Dst != a || m.DstPort != port {
				t.Errorf("%v: % x", tuple, f.Bytes())
			}
		}
	}
}

// TestRewriteHeaders: options, tags and extension headers before the transport header, and fragments.
func TestRewriteHeaders(t *testing.T) {
	vlan, first, later := spec(tuple4(ProtoTCP)), spec(tuple4(ProtoTCP)), spec(tuple4(ProtoTCP))
	vlan.VLAN = 100
	first.MoreFragments = true
	later.FragmentOffset = 1480
	first6, later6 := first, later
	first6.Tuple, later6.Tuple = tuple6(ProtoTCP), tuple6(ProtoTCP)
	short := Build(nil, first)[:EthernetLen+IPv4MinLen+3]
	IPv4(short[EthernetLen:]).SetTotalLen(IPv4MinLen + 3)
	slowHeader(short[EthernetLen : EthernetLen+IPv4MinLen])
	for name, b := range map[string][]byte{
		"short": short, "vlan": Build(nil, vlan), "options": withIPv4Options(Build(nil, spec(tuple4(ProtoTCP))), 1, 1, 1, 0),
		"extension": withExtension(Build(nil, spec(tuple6(ProtoTCP))), ExtDestOptions),
		"first":     Build(nil, first), "later": Build(nil, later), "first 6": Build(nil, first6), "later 6": Build(nil, later6),
		"padded": append(Build(nil, spec(tuple4(ProtoTCP))), 0xaa, 0xbb, 0xcc),
	} {
		for _, e := range ends {
			t.Run(name+"/"+e.name, func(t *testing.T) {
				m := mustParse(t, b)
				a, port := natEnd(m.Family)
				want := bytes.Clone(b)
				slowRewrite(want, &m, a, port, e.e)
				f := frameOf(b)
				if e.f(&f, &m, &a, port); !bytes.Equal(f.Bytes(), want) {
					t.Errorf("\n got % x\nwant % x", f.Bytes(), want)
				}
			})
		}
	}
}

func TestRewriteAllocates(t *testing.T) {
	for _, r := range benchFrames() {
		m := mustParse(t, r.b)
		a, port := natEnd(m.Family)
		f := frameOf(r.b)
		if n := testing.AllocsPerRun(100, func() {
			if m.Flags&ICMPError != 0 {
				RewriteErrorToServer(&f, &m, &a, port)
				RewriteErrorToClient(&f, &m, &a, port)
				return
			}
			RewriteSrc(&f, &m, &a, port)
			RewriteDst(&f, &m, &a, port)
		}); n != 0 {
			t.Errorf("%s: %v allocations", r.name, n)
		}
	}
}

// FuzzRewrite: there and back again leaves every byte as it was, in every frame that Parse accepts, but for what is made
// anew; and a right checksum stays right.
func FuzzRewrite(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		b := rightHeader(in)
		var m Meta
		if Parse(b, &m) != NoDrop {
			return
		}
		a, port := natEnd(m.Family)
		fr := frameOf(b)
		if m.Flags&ICMPError != 0 {
			checkErrorRewrite(t, b, &m, a, port)
			return
		}
		right := ChecksumOK(b, &m)
		RewriteDst(&fr, &m, &a, port)
		var there Meta
		if r := Parse(fr.Bytes(), &there); r != NoDrop || there.Dst != a || there.Src != m.Src {
			t.Fatalf("%v %+v", r, there)
		}
		natural := m.Proto == ProtoTCP || m.Proto == ProtoUDP || m.Proto == ProtoSCTP
		if right && natural && m.Flags&IPOptions == 0 && !ChecksumOK(fr.Bytes(), &there) {
			t.Errorf("a right checksum became wrong: % x", fr.Bytes())
		}
		RewriteDst(&fr, &there, &m.Dst, m.DstPort)
		if got := fr.Bytes(); !bytes.Equal(got, b) && !sumMadeAnew(got, b, &m) {
			t.Errorf("and back\n got % x\nwant % x", got, b)
		}
	})
}

// sumMadeAnew reports whether a and b differ in a checksum only, which need not come back to what it was: UDP without one,
// SCTP, and the two zeros of one's complement.
func sumMadeAnew(a, b []byte, m *Meta) bool {
	off, n := tcpChecksumOffset, 2
	switch m.Proto {
	case ProtoUDP:
		off = udpChecksumOffset
	case ProtoSCTP:
		off, n = 8, 4
	case ProtoTCP:
	default:
		return false
	}
	off += int(m.L4)
	was, is := b[off:off+n], a[off:off+n]
	if m.Proto == ProtoTCP && !(was[0] == 0xff && was[1] == 0xff && is[0] == 0 && is[1] == 0) {
		return false
	}
	if m.Proto == ProtoUDP && was[0]|was[1] != 0 {
		return false
	}
	c := bytes.Clone(a)
	copy(c[off:off+n], was)
	return bytes.Equal(c, b)
}

// BenchmarkRewrite is what translation adds to a packet: the destination is changed there and back.
func BenchmarkRewrite(b *testing.B) {
	for _, r := range benchFrames()[:4] {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			m := mustParse(b, r.b)
			a, port := natEnd(m.Family)
			f := frameOf(r.b)
			dst := [2]Addr{a, m.Dst}
			ports := [2]uint16{port, m.DstPort}
			for i := 0; b.Loop(); i++ {
				RewriteDst(&f, &m, &dst[i&1], ports[i&1])
			}
			reportRate(b)
		})
	}
}
