package reassembly

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"dirsw/clock"
	"dirsw/packet"
)

var (
	src4 = packet.Addr{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: 7}
	dst4 = packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 1}
	src6 = packet.Addr{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 7}
	dst6 = packet.Addr{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 1}
)

// udp returns a frame with a UDP datagram of n bytes of data.
func udp(family uint8, n int) []byte {
	s := packet.Spec{Tuple: packet.Tuple{Src: src4, Dst: dst4, SrcPort: 4000, DstPort: 53, Proto: packet.ProtoUDP}, ID: 0x4242}
	if family == packet.IPv6Family {
		s.Src, s.Dst = src6, dst6
	}
	s.Payload = make([]byte, n)
	for i := range s.Payload {
		s.Payload[i] = byte(i*7 + i>>8)
	}
	return packet.Build(nil, s)
}

// piece is a fragment of a whole frame: its data from start to end.
type piece struct {
	start, end int
	more       bool
}

// frame makes the fragment p of the frame whole, identified by id.
func (p piece) frame(whole []byte, id uint32) []byte {
	l3 := packet.EthernetLen
	if packet.Ethernet(whole).Type() == packet.EtherTypeIPv4 {
		hlen := packet.IPv4(whole[l3:]).HeaderLen()
		b := append(bytes.Clone(whole[:l3+hlen]), whole[l3+hlen+p.start:l3+hlen+p.end]...)
		h := packet.IPv4(b[l3:])
		h.SetTotalLen(len(h))
		h.SetFragment(false, p.more, p.start)
		h.SetID(uint16(id))
		h.SetChecksum(h.ComputeChecksum())
		return b
	}
	part := uint16(p.start)
	if p.more {
		part |= 1
	}
	head := l3 + packet.IPv6Len
	b := bytes.Clone(whole[:head])
	b = append(b, whole[l3+6], 0, byte(part>>8), byte(part), byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	b = append(b, whole[head+p.start:head+p.end]...)
	h := packet.IPv6(b[l3:])
	h.SetNextHeader(packet.ExtFragment)
	h.SetPayloadLen(len(h) - packet.IPv6Len)
	return b
}

// add gives a fragment to the cache and verifies the cache.
func add(t testing.TB, c *Cache, frame []byte, now clock.Mono) Outcome {
	t.Helper()
	var m packet.Meta
	if why := packet.Parse(frame, &m); why != packet.NoDrop || m.Flags&packet.Fragment == 0 {
		t.Fatalf("not a fragment: %v, % x", why, frame[:min(len(frame), 70)])
	}
	o := c.Add(frame, &m, Origin{}, now)
	if err := c.verify(); err != nil {
		t.Fatalf("after a fragment that is %v: %v", o, err)
	}
	return o
}

// TestOrders: what became of the fragments of a UDP datagram of 2056 bytes is what a kernel did with the same, whether it
// let the datagram through or not.
func TestOrders(t *testing.T) {
	for _, tc := range []struct{ name, pieces, want4, want6 string }{
		{"in order", "0-1000+ 1000-2000+ 2000-2056", "held held whole", ""},
		{"last first", "2000-2056 0-1000+ 1000-2000+", "held held whole", ""},
		{"backwards", "2000-2056 1000-2000+ 0-1000+", "held held whole", ""},
		{"eight bytes first", "0-8+ 8-1000+ 1000-2056", "held held whole", ""},
		{"first twice", "0-1000+ 0-1000+ 1000-2000+ 2000-2056", "held duplicate held whole", ""},
		{"a part of the first again", "0-1000+ 104-504+ 1000-2000+ 2000-2056", "held duplicate held whole", ""},
		{"across two that came in order", "0-1000+ 1000-2000+ 504-1504+ 2000-2056", "held held duplicate whole", ""},
		{"across two that did not", "0-1000+ 2000-2056 1000-1504+ 504-1200+ 1504-2000+", "held held held overlap held", ""},
		{"last twice", "2000-2056 2000-2056 0-1000+ 1000-2000+", "held duplicate held whole", ""},
		{"overlap", "0-1000+ 800-2000+ 2000-2056", "held overlap held", ""},
		{"overlap, then all", "0-1000+ 800-2000+ 0-1000+ 1000-2000+ 2000-2056", "held overlap held held whole", ""},
		{"overlap of the last", "1000-2000+ 1504-2048+ 0-1000+ 2000-2056", "held overlap held held", ""},
		{"overlap from before", "1000-2000+ 504-1504+ 0-1000+", "held overlap held", ""},
		{"around another", "504-1000+ 0-1504+", "held overlap", ""},
		{"another end", "0-1000+ 1504-2056 1504-2000", "held held bad", ""},
		{"an end before the end", "0-1000+ 1000-2000+ 1504-1904 2000-2056", "held held bad held", "held held bad whole"},
		{"beyond the end", "0-1000+ 1504-2000 1504-2048+", "held held bad", ""},
		{"nothing, last", "0-1000+ 1000-1000", "held bad", ""},
		{"nothing, last, then all", "0-1000+ 1000-1000 1000-2000+ 2000-2056", "held bad held held", "held bad bad bad"},
		{"nothing", "0-1000+ 1000-1000+ 1000-2000+ 2000-2056", "held bad held held", "held bad held whole"},
		{"uneven first", "0-1003+ 1000-2000+ 2000-2056", "held held whole", "uneven held held"},
		{"uneven later", "0-1000+ 1000-2001+ 2000-2056", "held held whole", "held uneven held"},
		{"all at once", "0-2056", "", "whole"},
	} {
		for family, want := range map[uint8]string{packet.IPv4Family: tc.want4, packet.IPv6Family: tc.want6} {
			if want == "" && tc.want4 != "" {
				want = tc.want4
			}
			if want == "" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", tc.name, family), func(t *testing.T) {
				c := New(Options{})
				whole := udp(family, 2048)
				var got []string
				for _, w := range strings.Fields(tc.pieces) {
					var p piece
					fmt.Sscanf(w, "%d-%d", &p.start, &p.end)
					p.more = strings.HasSuffix(w, "+")
					o := add(t, c, p.frame(whole, 0x4242), 0)
					got = append(got, o.String())
					if o == Whole && !bytes.Equal(c.Datagram().Frame.Bytes(), whole) {
						t.Errorf("got  % x\nwant % x", c.Datagram().Frame.Bytes(), whole)
					}
				}
				if g := strings.Join(got, " "); g != want {
					t.Errorf("%s, want %s", g, want)
				}
			})
		}
	}
}

// TestTooLong: a datagram longer than an IP packet can be.
func TestTooLong(t *testing.T) {
	whole := udp(packet.IPv4Family, 1000)
	b := piece{0, 1008, false}.frame(whole, 1)
	h := packet.IPv4(b[packet.EthernetLen:])
	h.SetFragment(false, false, 65528)
	h.SetChecksum(h.ComputeChecksum())
	c := New(Options{})
	if o := add(t, c, b, 0); o != Bad || c.Len() != 0 {
		t.Errorf("%v, %d held", o, c.Len())
	}
}

// TestWhole: what is told besides the frame.
func TestWhole(t *testing.T) {
	for _, tc := range []struct {
		name    string
		df      string // a letter for each fragment: D with DF
		largest int
		wantDF  bool
	}{
		{"none", "---", 1020, false},
		{"all", "DDD", 1020, true},
		{"the longest", "D--", 1020, true},
		{"only a short one", "--D", 1020, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, whole := New(Options{}), udp(packet.IPv4Family, 2048)
			for i, p := range []piece{{0, 1000, true}, {1000, 2000, true}, {2000, 2056, false}} {
				b := p.frame(whole, 7)
				h := packet.IPv4(b[packet.EthernetLen:])
				h.SetFragment(tc.df[i] == 'D', p.more, p.start)
				h.SetChecksum(h.ComputeChecksum())
				add(t, c, b, 0)
			}
			d := c.Datagram()
			want := []packet.Part{{Len: 1000, Header: 20}, {Len: 56, Header: 20}}
			if d.Largest != tc.largest || d.DF != tc.wantDF || len(d.Parts) != 2 || d.Parts[0] != want[0] || d.Parts[1] != want[1] {
				t.Errorf("largest %d, DF %v, %v", d.Largest, d.DF, d.Parts)
			}
			if df := packet.IPv4(d.Frame.Bytes()[packet.EthernetLen:]).DontFragment(); df != tc.wantDF {
				t.Errorf("DF of the frame %v", df)
			}
			if _, ok := d.Frame.Prepend(128); !ok {
				t.Error("no headroom")
			}
		})
	}
}

// TestECN: codepoints of fragments (RFC 3168, section 5.3).
func TestECN(t *testing.T) {
	for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
		for _, tc := range []struct {
			tos  [3]uint8
			want int // of the datagram; negative: there is none
		}{
			{[3]uint8{0, 0, 0}, 0}, {[3]uint8{2, 2, 2}, 2}, {[3]uint8{2, 3, 2}, 3}, {[3]uint8{1, 3, 3}, 3},
			{[3]uint8{2, 1, 2}, 2}, {[3]uint8{3, 3, 3}, 3}, {[3]uint8{0, 3, 0}, -1}, {[3]uint8{0, 2, 0}, -1},
			{[3]uint8{0xb8, 0x20, 0}, 0xb8},
		} {
			c, whole := New(Options{}), udp(family, 2048)
			var o Outcome
			for i, p := range []piece{{0, 1000, true}, {1000, 2000, true}, {2000, 2056, false}} {
				b := p.frame(whole, 7)
				if family == packet.IPv4Family {
					h := packet.IPv4(b[packet.EthernetLen:])
					h.SetTOS(tc.tos[i])
					h.SetChecksum(h.ComputeChecksum())
				} else {
					packet.IPv6(b[packet.EthernetLen:]).SetVersion(tc.tos[i], 5)
				}
				o = add(t, c, b, 0)
			}
			got := -1
			if ip := c.Datagram().Frame; o == Whole {
				got = int(packet.IPv4(ip.Bytes()[packet.EthernetLen:]).TOS())
				if family == packet.IPv6Family {
					got = int(packet.IPv6(ip.Bytes()[packet.EthernetLen:]).TrafficClass())
				}
			}
			if got != tc.want {
				t.Errorf("family %d, %v: %d, want %d", family, tc.tos, got, tc.want)
			}
		}
	}
}

// TestDistance: after more than 64 fragments of the same sender a datagram begins anew, in IPv4.
func TestDistance(t *testing.T) {
	for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
		for between, want := range map[int]Outcome{63: Whole, 64: Held} {
			if family == packet.IPv6Family {
				want = Whole
			}
			c, whole := New(Options{}), udp(family, 2048)
			add(t, c, piece{0, 1000, true}.frame(whole, 1), 0)
			for i := range between {
				add(t, c, piece{8, 80, true}.frame(whole, uint32(100+i)), 0)
			}
			if o := add(t, c, piece{1000, 2056, false}.frame(whole, 1), 0); o != want {
				t.Errorf("family %d, %d between: %v, want %v", family, between, o, want)
			}
		}
	}
}

// TestExpire: the first fragment of what was given up comes back as it was.
func TestExpire(t *testing.T) {
	for family, wait := range map[uint8]time.Duration{packet.IPv4Family: IPv4Time, packet.IPv6Family: IPv6Time} {
		c, whole := New(Options{}), udp(family, 4000)
		first := piece{0, 1000, true}.frame(whole, 1)
		add(t, c, piece{2000, 3000, true}.frame(whole, 1), 0)
		add(t, c, first, clock.Mono(time.Second))
		add(t, c, piece{2000, 3000, true}.frame(whole, 2), clock.Mono(2*time.Second))
		if _, ok := c.Expire(clock.Mono(wait) - 1); ok {
			t.Fatal("expired too early")
		}
		e, ok := c.Expire(clock.Mono(wait))
		if !ok || e.Fragments != 2 || !bytes.Equal(e.First.Bytes(), first) {
			t.Fatalf("%v, %d fragments\n got % x\nwant % x", ok, e.Fragments, e.First.Bytes(), first)
		}
		if e, ok = c.Expire(clock.Mono(wait + 2*time.Second)); !ok || e.Fragments != 1 || e.First.Len() != 0 {
			t.Errorf("%v, %d fragments, first of %d bytes", ok, e.Fragments, e.First.Len())
		}
		if _, ok = c.Expire(clock.Mono(time.Hour)); ok || c.Len() != 0 {
			t.Errorf("%d left", c.Len())
		}
	}
}

// TestFlood: first fragments of ever new datagrams take no more memory, and the newest datagrams still come through.
func TestFlood(t *testing.T) {
	for _, o := range []Options{{}, {Datagrams: 16}, {Bytes: 1}, {Datagrams: 1}} {
		c := New(o)
		before := c.MemoryBytes()
		whole := udp(packet.IPv4Family, 2048)
		r := rand.New(rand.NewPCG(1, 2))
		var m packet.Meta
		flood := piece{0, 1480, true}.frame(whole, 0)
		now := clock.Mono(0)
		for i := range 20000 {
			src := packet.Addr{10: 0xff, 11: 0xff, 12: 203, 13: byte(r.Uint32()), 14: byte(r.Uint32()), 15: byte(r.Uint32())}
			h := packet.IPv4(flood[packet.EthernetLen:])
			h.SetSrc(src)
			h.SetID(uint16(i))
			h.SetChecksum(h.ComputeChecksum())
			packet.Parse(flood, &m)
			now++
			c.Add(flood, &m, Origin{}, now)
		}
		if err := c.verify(); err != nil {
			t.Fatal(err)
		}
		if c.MemoryBytes() != before || c.Len() > c.o.Datagrams {
			t.Errorf("%+v: %d bytes, before %d; %d datagrams", o, c.MemoryBytes(), before, c.Len())
		}
		if p := c.Pressure(); int(p.Datagrams)+c.Len() != 20000 || p.Fragments != p.Datagrams {
			t.Errorf("%+v: %+v with %d held", o, p, c.Len())
		}
		add(t, c, piece{0, 1000, true}.frame(whole, 1), now)
		if o := add(t, c, piece{1000, 2056, false}.frame(whole, 1), now); o != Whole {
			t.Errorf("after the flood: %v", o)
		}
	}
}

// TestTooMany: a datagram of fragments of 8 bytes is given up, and so bounded are memory and time that it takes.
func TestTooMany(t *testing.T) {
	c, whole := New(Options{Bytes: 1}), udp(packet.IPv4Family, 8*MaxFragments+64)
	for i := range MaxFragments {
		if o := add(t, c, piece{16 * i / 2, 8*i + 8, true}.frame(whole, 1), 0); o != Held {
			t.Fatalf("fragment %d: %v", i, o)
		}
	}
	if o := add(t, c, piece{8 * MaxFragments, 8*MaxFragments + 8, true}.frame(whole, 1), 0); o != TooMany || c.Len() != 0 {
		t.Errorf("%v, %d held", o, c.Len())
	}
}

// TestLongest: the longest datagram fits into the smallest memory, and pushes out all others.
func TestLongest(t *testing.T) {
	for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
		c := New(Options{Bytes: 1})
		whole := udp(family, 65000)
		n := len(whole) - packet.EthernetLen - packet.IPv4MinLen
		if family == packet.IPv6Family {
			n = len(whole) - packet.EthernetLen - packet.IPv6Len
		}
		for i := range 200 {
			add(t, c, piece{8, 1008, true}.frame(whole, uint32(1000+i)), 0)
		}
		o := Held
		for at := 0; at < n; at += 256 {
			end := min(at+256, n)
			o = add(t, c, piece{at, end, end < n}.frame(whole, 0x4242), 0)
		}
		if o != Whole || !bytes.Equal(c.Datagram().Frame.Bytes(), whole) {
			t.Errorf("family %d: %v", family, o)
		}
	}
}

// TestCoalesce: which fragments Linux joins to the first, seen in what a kernel made of them.
func TestCoalesce(t *testing.T) {
	for _, tc := range []struct {
		sizes []int
		left  int
	}{
		{[]int{1480, 568}, 1}, {[]int{1480, 96, 480}, 1}, {[]int{512, 512, 1032}, 2}, {[]int{200, 96, 1200, 560}, 2},
		{[]int{200, 200, 200, 1200, 256}, 2}, {[]int{8, 1200, 848}, 2}, {[]int{8, 8, 8, 8, 1200, 824}, 2},
		{[]int{1000, 400, 656}, 1}, {[]int{400, 400, 400, 400, 400, 56}, 5}, {[]int{400, 200, 408}, 1}, {[]int{400, 400, 208}, 2},
	} {
		total := 0
		for _, n := range tc.sizes {
			total += n
		}
		c, whole, at, o := New(Options{}), udp(packet.IPv4Family, total-8), 0, Held
		for _, n := range tc.sizes {
			o = add(t, c, piece{at, at + n, at+n < total}.frame(whole, 1), 0)
			at += n
		}
		d := c.Datagram()
		d.Coalesce()
		if o != Whole || len(d.Parts) != tc.left {
			t.Errorf("%v: %v, %d left, want %d", tc.sizes, o, len(d.Parts), tc.left)
		}
	}
}

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(datagram{}); n > datagramBytes {
		t.Errorf("a datagram takes %d bytes", n)
	}
	if n := unsafe.Sizeof(fragment{}); n > fragmentBytes {
		t.Errorf("a fragment takes %d bytes", n)
	}
	if n := unsafe.Sizeof(peer{}); n > peerBytes {
		t.Errorf("a peer takes %d bytes", n)
	}
}

// TestNoAllocation: neither while datagrams become whole nor under a flood.
func TestNoAllocation(t *testing.T) {
	c, whole := New(Options{Datagrams: 4}), udp(packet.IPv4Family, 2048)
	frames := [][]byte{piece{0, 1000, true}.frame(whole, 1), piece{2000, 2056, false}.frame(whole, 1),
		piece{1000, 2000, true}.frame(whole, 1)}
	for i := range 8 {
		frames = append(frames, piece{0, 1000, true}.frame(whole, uint32(100+i)))
	}
	var m packet.Meta
	n := 0
	if a := testing.AllocsPerRun(100, func() {
		for _, f := range frames {
			packet.Parse(f, &m)
			if c.Add(f, &m, Origin{}, clock.Mono(n)) == Whole {
				n++
				c.Datagram().Coalesce()
			}
		}
		c.Expire(clock.Mono(n))
	}); a != 0 || n == 0 {
		t.Errorf("%v allocations, %d datagrams", a, n)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
		b.Run(fmt.Sprintf("three-fragments/%d", family), func(b *testing.B) {
			c, whole := New(Options{}), udp(family, 4000)
			var frames [3][]byte
			var metas [3]packet.Meta
			for i, p := range []piece{{0, 1440, true}, {1440, 2880, true}, {2880, 4008, false}} {
				frames[i] = p.frame(whole, 1)
				packet.Parse(frames[i], &metas[i])
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for i := range frames {
					if c.Add(frames[i], &metas[i], Origin{}, 0) == Whole {
						n++
					}
				}
			}
			if n == 0 {
				b.Fatal("nothing became whole")
			}
			b.ReportMetric(3*float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
