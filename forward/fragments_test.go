package forward_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/reassembly"
)

// udp53 are services for UDP of both families, with one server each, by the method that a test sets.
var udp53 = []string{"-A -u 192.0.2.100:53 -s rr", "-a -u 192.0.2.100:53 -r 172.16.0.11:53",
	"-A -u [2001:db8:100::100]:53 -s rr", "-a -u [2001:db8:100::100]:53 -r [2001:db8:2::11]:53"}

// methods are the ways to a server that fragments are tried on.
var methods = map[string]func(*forward.Dest){
	"DR":      func(*forward.Dest) {},
	"NAT":     func(d *forward.Dest) { d.Method, d.Port = forward.NAT, 5353 },
	"TUN":     func(d *forward.Dest) { d.Method, d.Hop.Own = forward.TUN, own(&d.Addr) },
	"TUN gre": func(d *forward.Dest) { d.Method, d.Hop.Own, d.Tunnel.Type = forward.TUN, own(&d.Addr), packet.GRE },
}

// newFragmentBench is a bench whose servers are reached as change says.
func newFragmentBench(t *testing.T, o forward.Options, change func(*forward.Dest), rules ...string) *bench {
	b := newBench(t, o, rules...)
	b.edit(func(s *forward.Snapshot) {
		s.Settings = forward.DefaultSettings()
		for i := range s.Dests {
			change(&s.Dests[i])
		}
	})
	return b
}

// query is a UDP datagram of n bytes of data to one of udp53.
func query(six bool, n int) []byte {
	s := packet.Spec{Tuple: tuple(packet.ProtoUDP, "203.0.113.7:4000", "192.0.2.100:53"), SrcMAC: clientMAC, DstMAC: directorMAC, ID: 77}
	if six {
		s.Tuple = tuple(packet.ProtoUDP, "[2001:db8:c::7]:4000", "[2001:db8:100::100]:53")
	}
	s.Payload = make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range s.Payload {
		s.Payload[i] = byte(r.Uint32())
	}
	return packet.Build(nil, s)
}

// piecesOf cuts a frame into fragments of at most mtu bytes.
func piecesOf(t testing.TB, frame []byte, mtu int, id uint32) (out [][]byte) {
	t.Helper()
	var c packet.Cut
	if !c.Start(frame, packet.EthernetLen, &packet.Plan{MTU: mtu, ID: id}) {
		t.Fatal("cannot be cut")
	}
	for {
		f := packet.MakeFrame(make([]byte, 2048), 0, 0, 0, 0)
		if !c.Next(&f) {
			return out
		}
		out = append(out, f.Bytes())
	}
}

// joined puts together what left, and takes the packet out of its tunnel if it is in one.
func joined(t testing.TB, frames [][]byte) []byte {
	t.Helper()
	if len(frames) == 0 {
		t.Fatal("nothing left")
	}
	var m packet.Meta
	whole := frames[0]
	if packet.Parse(whole, &m) == packet.NoDrop && m.Flags&packet.Fragment != 0 {
		c := reassembly.New(reassembly.Options{})
		last := reassembly.Held
		for _, f := range frames {
			if why := packet.Parse(f, &m); why != packet.NoDrop || last != reassembly.Held {
				t.Fatalf("%v, %v: % x", why, last, f[:min(len(f), 80)])
			}
			last = c.Add(f, &m, reassembly.Origin{}, 0)
		}
		if last != reassembly.Whole {
			t.Fatalf("what left is not whole: %v", last)
		}
		whole = bytes.Clone(c.Datagram().Frame.Bytes())
	} else if len(frames) != 1 {
		t.Fatalf("%d frames, not fragments", len(frames))
	}
	if packet.Parse(whole, &m) != packet.NoDrop {
		t.Fatalf("what left is no packet: % x", whole[:80])
	}
	skip := 0
	if m.Proto == packet.ProtoGRE {
		skip = 4
	}
	if m.Proto != packet.ProtoUDP {
		inner := whole[int(m.L4)+skip : m.End]
		whole = append(bytes.Clone(whole[:packet.EthernetLen]), inner...)
		binary.BigEndian.PutUint16(whole[12:], map[byte]uint16{4: packet.EtherTypeIPv4, 6: packet.EtherTypeIPv6}[inner[0]>>4])
	}
	return whole
}

// TestFragmentOrders: by every method a datagram arrives whole and is scheduled once, in whatever order its fragments came,
// some of them twice.
func TestFragmentOrders(t *testing.T) {
	for name, change := range methods {
		for _, six := range []bool{false, true} {
			for seed := range uint64(8) {
				t.Run(fmt.Sprintf("%s/six=%v/%d", name, six, seed), func(t *testing.T) {
					b := newFragmentBench(t, forward.Options{}, change, udp53...)
					r := rand.New(rand.NewPCG(seed, 3))
					whole := query(six, 2000+r.IntN(6000))
					in := piecesOf(t, whole, 1280+r.IntN(160), 9)
					for range seed % 3 {
						in = append(in, in[r.IntN(len(in))])
					}
					r.Shuffle(len(in), func(i, k int) { in[i], in[k] = in[k], in[i] })
					var out [][]byte
					for _, f := range in {
						out = append(out, b.send(f)...)
					}
					sameDatagram(t, joined(t, out), whole)
					if n := len(b.conns()); n != 1 {
						t.Errorf("%d connections", n)
					}
				})
			}
		}
	}
}

// sameDatagram compares the data and the source; the checksum must be right.
func sameDatagram(t testing.TB, got, want []byte) {
	t.Helper()
	var g, w packet.Meta
	if why := packet.Parse(got, &g); why != packet.NoDrop {
		t.Fatalf("%v: % x", why, got[:min(len(got), 80)])
	}
	packet.Parse(want, &w)
	if !bytes.Equal(got[g.Payload:g.End], want[w.Payload:w.End]) || g.Src != w.Src || g.SrcPort != w.SrcPort || !packet.ChecksumOK(got, &g) {
		t.Errorf("%+v of %d bytes, want %+v of %d, or a wrong checksum", g.Tuple, g.Len(), w.Tuple, w.Len())
	}
}

// TestFragmentsAsTheyCame: direct routing sends the same bytes, but for time to live and link layer addresses.
func TestFragmentsAsTheyCame(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
	in := piecesOf(t, query(false, 4000), 1500, 0)
	b.lane.Inject(0, in[2], in[0], in[1])
	b.step()
	out := b.lane.Sent(1)
	if len(out) != len(in) {
		t.Fatalf("%d pieces, want %d", len(out), len(in))
	}
	for i, f := range in {
		h := packet.IPv4(f[packet.EthernetLen:])
		h.SetTTL(h.TTL() - 1)
		h.SetChecksum(h.ComputeChecksum())
		if !bytes.Equal(out[i][12:], f[12:]) {
			t.Errorf("piece %d\n got % x\nwant % x", i, out[i][:60], f[:60])
		}
	}
}

// TestLongestDatagram: as long as UDP can be.
func TestLongestDatagram(t *testing.T) {
	for name, change := range methods {
		if strings.HasPrefix(name, "TUN") {
			continue // there is no room for another header
		}
		for six, n := range map[bool]int{false: 65535 - 28, true: 65535 - 8} {
			t.Run(fmt.Sprintf("%s/six=%v", name, six), func(t *testing.T) {
				b := newFragmentBench(t, forward.Options{}, change, udp53...)
				whole := query(six, n)
				in := piecesOf(t, whole, 1500, 1)
				slices.Reverse(in)
				b.lane.Inject(0, in...)
				b.step()
				sameDatagram(t, joined(t, b.lane.Sent(1)), whole)
			})
		}
	}
}

// TestLongDatagramInTunnel: the longest that still has room for the outer header, and one that has not.
func TestLongDatagramInTunnel(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["TUN"], udp53...)
	whole := query(false, 65535-28-20)
	b.lane.Inject(0, piecesOf(t, whole, 1500, 1)...)
	b.step()
	sameDatagram(t, joined(t, b.lane.Sent(1)), whole)
	b.lane.Inject(0, piecesOf(t, query(false, 65535-28-19), 1500, 1)...)
	b.step()
	if out := b.lane.Sent(1); len(out) != 0 || b.last.Drop != packet.DropTooBig {
		t.Errorf("%d frames, %v", len(out), b.last.Drop)
	}
}

// TestFragmentFlood: memory is bounded, every fragment is accounted for, and what is complete comes through.
func TestFragmentFlood(t *testing.T) {
	b := newFragmentBench(t, forward.Options{Fragments: reassembly.Options{Datagrams: 64}}, methods["DR"], udp53...)
	first := piecesOf(t, query(false, 4000), 1500, 0)[0]
	r := rand.New(rand.NewPCG(1, 1))
	const floods = 5000
	for i := range floods {
		h := packet.IPv4(first[packet.EthernetLen:])
		binary.BigEndian.PutUint32(h[12:], 0x0b000000|r.Uint32()>>8)
		h.SetID(uint16(i))
		h.SetChecksum(h.ComputeChecksum())
		b.lane.Inject(0, first)
		if i%50 == 0 {
			b.step()
		}
		if i == floods/2 {
			b.step()
			whole := query(true, 4000)
			var out [][]byte
			for _, p := range piecesOf(t, whole, 1500, 5) {
				out = append(out, b.send(p)...)
			}
			sameDatagram(t, joined(t, out), whole)
		}
	}
	b.step()
	if c := b.counters(); c.Drops[packet.DropFragment] != floods-64 || c.Answered != 0 {
		t.Errorf("%d given up, %d answers", c.Drops[packet.DropFragment], c.Answered)
	}
	for range 10 {
		b.now = b.now.Add(reassembly.IPv4Time)
		b.step()
	}
	if c := b.counters(); c.Drops[packet.DropFragment] != floods || c.Answered != 64 {
		t.Errorf("%d given up in the end, want %d; %d answers, want 64", c.Drops[packet.DropFragment], floods, c.Answered)
	}
}

// TestOverlapAttack: a fragment that would put other ports over those that were let through takes the datagram with it.
func TestOverlapAttack(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
	in := piecesOf(t, query(false, 3000), 1500, 0)
	evil := bytes.Clone(in[0])
	h := packet.IPv4(evil[packet.EthernetLen:])
	h.SetFragment(false, true, 8)
	h.SetChecksum(h.ComputeChecksum())
	for _, f := range [][]byte{in[0], evil, in[1], in[2]} {
		if out := b.send(f); len(out) != 0 {
			t.Fatalf("% x left", out[0])
		}
	}
	c := b.counters()
	if c.Drops[packet.DropOverlap] != 1 || c.Drops[packet.DropFragment] != 1 || len(b.conns()) != 0 {
		t.Errorf("%d overlaps, %d given up, %d connections", c.Drops[packet.DropOverlap], c.Drops[packet.DropFragment], len(b.conns()))
	}
}

// TestFragmentsOnce: with one-packet scheduling each datagram goes its own way, whole.
func TestFragmentsOnce(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], "-A -u 192.0.2.100:53 -s rr -o",
		"-a -u 192.0.2.100:53 -r 172.16.0.11:53", "-a -u 192.0.2.100:53 -r 172.16.0.12:53")
	var to []packet.MAC
	for i := range 4 {
		whole := query(false, 3000+i)
		var out [][]byte
		for _, f := range piecesOf(t, whole, 1500, 0) {
			out = append(out, b.send(f)...)
		}
		sameDatagram(t, joined(t, out), whole)
		to = append(to, packet.Ethernet(out[0]).Dst())
	}
	if to[0] != to[2] || to[1] != to[3] || to[0] == to[1] || len(b.conns()) != 0 {
		t.Errorf("went to %v, %d connections", to, len(b.conns()))
	}
}

// TestFragmentedSYNAgain: a SYN in fragments that is short when whole takes the place of a connection that was closed.
func TestFragmentedSYNAgain(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], twoServers...)
	syn := packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), vip), SrcMAC: clientMAC, DstMAC: directorMAC,
		TCPFlags: packet.SYN, Payload: make([]byte, 300)})
	for i := range 2 {
		var out [][]byte
		for _, f := range piecesOf(t, syn, 100, 0) {
			out = append(out, b.send(f)...)
		}
		if len(out) != 4 || b.last.Why != forward.WhyScheduler {
			t.Fatalf("SYN %d: %d pieces, %v, %v", i, len(out), b.last.Why, b.last.Drop)
		}
		b.tcp(client(1), vip, packet.ACK)
		b.tcp(client(1), vip, packet.RST)
	}
}

// TestFragmentedError: an ICMP error that came in fragments follows the connection of the packet that it quotes.
func TestFragmentedError(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
	b.send(query(false, 10))
	reply := packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoUDP, "192.0.2.100:53", "203.0.113.7:4000"), Payload: make([]byte, 900)})
	e := packet.Build(nil, packet.Spec{Tuple: tuple(packet.ProtoICMP, "203.0.113.7:0", "192.0.2.100:0"), SrcMAC: clientMAC,
		DstMAC: directorMAC, ICMPType: packet.ICMPv4Unreachable, ICMPCode: 3, Payload: reply[packet.EthernetLen:]})
	var out [][]byte
	for _, f := range piecesOf(t, e, 500, 0) {
		out = append(out, b.send(f)...)
	}
	if len(out) != 2 || b.last.Why != forward.WhyRelated || packet.IPv4(out[1][packet.EthernetLen:]).FragmentOffset() != 480 {
		t.Errorf("%d pieces, %v, %v", len(out), b.last.Why, b.last.Drop)
	}
}

// TestFragmentTimeout: whose first fragment came is told that the others did not.
func TestFragmentTimeout(t *testing.T) {
	for six, wait := range map[bool]time.Duration{false: reassembly.IPv4Time, true: reassembly.IPv6Time} {
		b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
		in := piecesOf(t, query(six, 3000), 1400, 0)
		b.send(in[0])
		b.send(in[1])
		other := piecesOf(t, query(six, 3000), 1400, 1)[1]
		if h := packet.IPv4(other[packet.EthernetLen:]); !six {
			h.SetID(78)
			h.SetChecksum(h.ComputeChecksum())
		}
		b.send(other)
		b.now = b.now.Add(wait)
		b.step()
		out := b.lane.Sent(0)
		if len(out) != 1 {
			t.Fatalf("six=%v: %d answers", six, len(out))
		}
		var m packet.Meta
		if why := packet.Parse(out[0], &m); why != packet.NoDrop || m.Flags&packet.ICMPError == 0 {
			t.Fatalf("%v: % x", why, out[0])
		}
		typ, code := out[0][m.L4], out[0][m.L4+1]
		want := map[bool]uint8{false: 11, true: 3}[six]
		if typ != want || code != 1 || !packet.ChecksumOK(out[0], &m) || !bytes.Equal(out[0][m.Quoted:m.End], in[0][14:14+int(m.End)-int(m.Quoted)]) {
			t.Errorf("six=%v: type %d code %d\n% x", six, typ, code, out[0])
		}
		if c := b.counters(); c.Drops[packet.DropFragment] != 3 {
			t.Errorf("six=%v: %d fragments given up", six, c.Drops[packet.DropFragment])
		}
	}
}

// TestFragmentsGivenBack: what no service is for goes to the kernel in the pieces that it came in, with its time to live.
func TestFragmentsGivenBack(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53[0])
	kernel := packet.MAC{2, 0, 0, 0, 9, 9}
	b.edit(func(s *forward.Snapshot) {
		s.Kernel = forward.Hop{OK: true, Local: true, Port: 1, MTU: 1500, Dst: kernel}
	})
	whole := query(false, 3000)
	packet.UDP(whole[34:]).SetDstPort(54)
	in := piecesOf(t, whole, 1500, 0)
	var out [][]byte
	for _, f := range in {
		out = append(out, b.send(f)...)
	}
	c := b.counters()
	if len(out) != len(in) || b.last.Why != forward.WhyKernel || c.GivenBack != uint64(len(in)) || c.Joined != 1 || c.Cut != 1 {
		t.Fatalf("%d pieces, %v, counted %+v", len(out), b.last.Why, c)
	}
	for i := range in {
		if !bytes.Equal(out[i][12:], in[i][12:]) || packet.Ethernet(out[i]).Dst() != kernel {
			t.Errorf("piece %d\n got % x\nwant % x", i, out[i][:60], in[i][:60])
		}
	}
}

// TestUnevenFragment: the sender of an IPv6 fragment that ends nowhere is told.
func TestUnevenFragment(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
	f := piecesOf(t, query(true, 3000), 1400, 0)[1]
	h := packet.IPv6(f[packet.EthernetLen:])
	h.SetPayloadLen(h.PayloadLen() - 3)
	b.send(f[:len(f)-3])
	out := b.lane.Sent(0)
	if len(out) != 1 || out[0][54] != 4 || out[0][55] != 0 || binary.BigEndian.Uint32(out[0][58:]) != 4 {
		t.Errorf("%d answers: % x", len(out), out)
	}
}

// TestManyPieces: more than a batch holds leave in one breath, in their order.
func TestManyPieces(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, func(d *forward.Dest) { d.Hop.MTU = 576 }, udp53...)
	b.send(query(false, 10))
	var whole [][]byte
	for i := range packet.BatchSize {
		whole = append(whole, query(false, 1200+i))
	}
	b.lane.Inject(0, whole...)
	b.step()
	out := b.lane.Sent(1)
	if len(out) != 3*len(whole) {
		t.Fatalf("%d pieces", len(out))
	}
	for i := range whole {
		sameDatagram(t, joined(t, out[3*i:3*i+3]), whole[i])
	}
}

// TestNoFrameLeft: a datagram of which not all pieces find a frame is counted, and no frame is lost.
func TestNoFrameLeft(t *testing.T) {
	b := newBench(t, forward.Options{}, udp53...)
	b.lane = forwardtest.New(t, forwardtest.Options{Frames: 8})
	b.w.SetLane(b.lane)
	in := piecesOf(t, query(false, 8000), 1400, 0)
	b.lane.Inject(0, in...)
	b.step()
	if out := b.lane.Sent(1); len(out) == 0 || len(out) >= len(in) {
		t.Errorf("%d of %d pieces", len(out), len(in))
	}
	if c := b.counters(); c.Drops[packet.DropNoFrame] != 1 {
		t.Errorf("counted %d", c.Drops[packet.DropNoFrame])
	}
}

// withOptions inserts options into an IPv4 frame.
func withOptions(frame []byte, options string) []byte {
	b := slices.Insert(bytes.Clone(frame), 34, []byte(options)...)
	h := packet.IPv4(b[packet.EthernetLen:])
	h[0] += byte(len(options) / 4)
	h.SetTotalLen(h.TotalLen() + len(options))
	h.SetChecksum(h.ComputeChecksum())
	return b
}

// TestSourceRoute: dropped without a word, and nothing is scheduled.
func TestSourceRoute(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
	out := b.send(withOptions(query(false, 10), "\x83\x07\x04\xac\x10\x00\x0b\x00"))
	if len(out) != 0 || len(b.lane.Sent(0)) != 0 || b.last.Drop != packet.DropSourceRoute || len(b.conns()) != 0 {
		t.Errorf("%d frames, %v", len(out), b.last.Drop)
	}
}

// TestBadOptions: answered with a parameter problem that points at what is wrong.
func TestBadOptions(t *testing.T) {
	b := newFragmentBench(t, forward.Options{}, methods["DR"], udp53...)
	f := withOptions(query(false, 10), "\x01\x07\x07\x03\x01\x02\x03\x04")
	b.send(f)
	out := b.lane.Sent(0)
	if len(out) != 1 || b.last.Drop != packet.DropBadOptions {
		t.Fatalf("%d answers, %v", len(out), b.last.Drop)
	}
	if icmp := out[0][34:]; icmp[0] != 12 || icmp[1] != 0 || icmp[4] != 23 || !bytes.Equal(icmp[8:], f[14:]) {
		t.Errorf("% x", icmp)
	}
}

// TestRecordedRoute: by every method the packet that leaves has the address recorded and a right header; what goes to the
// director's own stack has its options as they came.
func TestRecordedRoute(t *testing.T) {
	const option = "\x07\x07\x04\x00\x00\x00\x00\x00"
	methods := map[string]func(*forward.Dest){"local": func(d *forward.Dest) { d.Hop.Local = true },
		"DR": methods["DR"], "NAT": methods["NAT"], "TUN": methods["TUN"]}
	for name, change := range methods {
		b := newFragmentBench(t, forward.Options{}, change, udp53...)
		out := b.send(withOptions(query(false, 10), option))
		if len(out) != 1 {
			t.Fatalf("%s: %v", name, b.last.Drop)
		}
		ip := packet.IPv4(out[0][packet.EthernetLen:])
		if name == "TUN" {
			ip = ip[packet.IPv4MinLen:]
		}
		want := "\x07\x07\x08\xc0\x00\x02\x64\x00"
		if name == "local" {
			want = option
		}
		if string(ip[20:28]) != want || ip.Checksum() != ip.ComputeChecksum() {
			t.Errorf("%s: % x", name, ip[:28])
		}
	}
}

// TestTimestamp: in milliseconds since midnight.
func TestTimestamp(t *testing.T) {
	const day = 24 * time.Hour
	b := newFragmentBench(t, forward.Options{TimeOfDay: 23 * time.Hour}, methods["DR"], udp53...)
	out := b.send(withOptions(query(false, 10), "\x44\x08\x05\x00\x00\x00\x00\x00"))
	want := uint32((time.Duration(b.now) + 23*time.Hour) % day / time.Millisecond)
	if len(out) != 1 || binary.BigEndian.Uint32(out[0][38:]) != want {
		t.Errorf("% x, want %08x", out, want)
	}
}

// TestFragmentsAllocateNothing: nor do options, nor cutting.
func TestFragmentsAllocateNothing(t *testing.T) {
	frames := piecesOf(t, query(false, 4000), 1500, 0)
	frames = append(frames, piecesOf(t, query(true, 4000), 1500, 3)...)
	frames = append(frames, withOptions(query(false, 10), "\x07\x07\x04\x00\x00\x00\x00\x00"), query(false, 1450))
	for i := range 4 {
		frames = append(frames, piecesOf(t, query(true, 4000), 1500, uint32(100+i))[1])
	}
	for name, change := range methods {
		t.Run(name, func(t *testing.T) {
			loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: slices.Values(frames)})
			if err != nil {
				t.Fatal(err)
			}
			w, err := forward.NewWorker(0, loop, forward.Options{Fragments: reassembly.Options{Datagrams: 4}})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			b := &bench{t: t, w: w, snap: &forward.Snapshot{}, mtu: 1400}
			b.publish(udp53...)
			s := *b.snap
			s.Settings = forward.DefaultSettings()
			for i := range s.Dests {
				change(&s.Dests[i])
			}
			w.Publish(&s)
			now := clock.Mono(time.Hour)
			for range 64 {
				w.Step(now)
			}
			if n := testing.AllocsPerRun(100, func() {
				now = now.Add(20 * time.Second)
				w.Step(now)
			}); n != 0 {
				t.Errorf("%v allocations a breath", n)
			}
			var c forward.Counters
			w.ReadCounters(&c)
			if c.Forwarded == 0 || c.Drops[packet.DropFragment] == 0 {
				t.Errorf("%d forwarded, %d given up", c.Forwarded, c.Drops[packet.DropFragment])
			}
		})
	}
}

// BenchmarkFragments is a breath over datagrams of three fragments each, by direct routing: ns/packet is what one fragment
// costs, gathered, copied, decided on with the others, and cut again.
func BenchmarkFragments(b *testing.B) {
	for _, six := range []bool{false, true} {
		b.Run(map[bool]string{false: "three/4", true: "three/6"}[six], func(b *testing.B) {
			loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: slices.Values(piecesOf(b, query(six, 4000), 1500, 9))})
			if err != nil {
				b.Fatal(err)
			}
			w, err := forward.NewWorker(0, loop, forward.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			rules := &bench{w: w, snap: &forward.Snapshot{}, mtu: 1500}
			rules.publish(udp53...)
			now := clock.Mono(time.Hour)
			b.ReportAllocs()
			frames := 0
			for frames < b.N {
				n, _ := w.Step(now)
				frames += n
			}
			b.StopTimer()
			if d := loop.Dropped(); d < uint64(frames)/2 { // what came goes back to the lane, what leaves is the lane's own
				b.Fatalf("%d of %d frames dropped", d, frames)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/packet")
		})
	}
}
