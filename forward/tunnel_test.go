package forward_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

const vip6 = "[2001:db8:100::100]:80"

// ends are the families of a tunnel: of the service, and of the real server.
type ends struct{ service, server string }

var fourWays = map[string]ends{
	"4in4": {vip, "172.16.0.11:80"}, "6in6": {vip6, "[2001:db8:2::11]:80"},
	"4in6": {vip, "[2001:db8:2::11]:80"}, "6in4": {vip6, "172.16.0.11:80"},
}

var kinds = map[string]packet.Tunnel{
	"ipip": {}, "gue": {Type: packet.GUE, Port: 6080}, "gue-csum": {Type: packet.GUE, Port: 6080, Sum: true},
	"gre": {Type: packet.GRE}, "gre-csum": {Type: packet.GRE, Sum: true},
}

// own is the director's address towards a server.
func own(server *packet.Addr) packet.Addr {
	if server.Is4() {
		return tuple(0, "172.16.0.1:0", vip).Src
	}
	return tuple(0, "[2001:db8:2::1]:0", vip6).Src
}

// edit publishes the snapshot with a change.
func (b *bench) edit(change func(*forward.Snapshot)) {
	b.t.Helper()
	s := *b.snap
	s.Gen++
	s.Dests = slices.Clone(s.Dests)
	change(&s)
	b.snap = &s
	b.w.Publish(b.snap)
	b.step()
}

// newTunnelBench is a bench with a service that has one real server behind a tunnel.
func newTunnelBench(t *testing.T, o forward.Options, e ends, tun packet.Tunnel) *bench {
	b := newBench(t, o, "-A -t "+e.service+" -s rr", "-a -t "+e.service+" -r "+e.server)
	b.edit(func(s *forward.Snapshot) {
		s.Settings = forward.DefaultSettings()
		for i := range s.Dests {
			d := &s.Dests[i]
			d.Method, d.Tunnel, d.Hop.Own = forward.TUN, tun, own(&d.Addr)
		}
	})
	return b
}

// from is a TCP packet of a client of the service, n bytes of IP packet long, or as short as can be.
func (e ends) from(port, n int, df bool) packet.Spec {
	s := packet.Spec{Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("203.0.113.7:%d", port), vip), SrcMAC: clientMAC, DstMAC: directorMAC,
		TCPFlags: packet.SYN, DF: df, ID: 0x1234}
	head := packet.IPv4MinLen + packet.TCPMinLen
	if e.service == vip6 {
		s.Tuple = tuple(packet.ProtoTCP, fmt.Sprintf("[2001:db8:7::7]:%d", port), vip6)
		head = packet.IPv6Len + packet.TCPMinLen
	}
	s.Payload = make([]byte, max(0, n-head))
	return s
}

func everyTunnel(t *testing.T, f func(t *testing.T, e ends, tun packet.Tunnel)) {
	for way, e := range fourWays {
		for kind, tun := range kinds {
			t.Run(way+"/"+kind, func(t *testing.T) { f(t, e, tun) })
		}
	}
}

// l3 is where the IP header of an untagged or tagged frame starts.
func l3(frame []byte) int {
	if packet.Ethernet(frame).Type() == packet.EtherTypeVLAN {
		return packet.EthernetLen + packet.VLANTagLen
	}
	return packet.EthernetLen
}

// TestTunnels: the packet comes out at the far end as it came but for its time to live, tagged frames stay tagged.
func TestTunnels(t *testing.T) {
	everyTunnel(t, func(t *testing.T, e ends, tun packet.Tunnel) {
		b := newTunnelBench(t, forward.Options{}, e, tun)
		for _, vlan := range []uint16{0, 100} {
			s := e.from(1000, 0, true)
			s.VLAN, s.TTL, s.TOS = vlan, 17, 0xb9
			in := packet.Build(nil, s)
			out := b.send(in)
			if len(out) != 1 {
				t.Fatalf("%d frames left, verdict %v", len(out), b.last.Drop)
			}
			o, at := out[0], l3(in)
			if l3(o) != at || vlan != 0 && packet.Ethernet(o).TCI() != vlan {
				t.Errorf("tag %d: came out as % x", vlan, o[:18])
			}
			hop := &b.snap.Dests[0].Hop
			if packet.Ethernet(o).Src() != hop.Src || packet.Ethernet(o).Dst() != hop.Dst {
				t.Errorf("link layer % x", o[:12])
			}
			s.TTL = 16
			if inner := tun.Unwrap(o[at:]); !bytes.Equal(inner, packet.Build(nil, s)[at:]) {
				t.Errorf("inside\n got %x\nwant %x", inner, packet.Build(nil, s)[at:])
			}
		}
	})
}

// TestTunnelMTU: what just fits goes, what is one byte longer is refused with the size that fits.
func TestTunnelMTU(t *testing.T) {
	everyTunnel(t, func(t *testing.T, e ends, tun packet.Tunnel) {
		b := newTunnelBench(t, forward.Options{}, e, tun)
		room := 1500 - tun.Len(&b.snap.Dests[0].Addr)
		for port, n := range []int{room - 1, room, room + 1} {
			out := b.send(packet.Build(nil, e.from(1000+port, n, true)))
			answers := b.lane.Sent(0)
			if n <= room {
				if len(out) != 1 || len(out[0]) != packet.EthernetLen+n+1500-room || len(answers) != 0 {
					t.Errorf("%d bytes, room for %d: %d frames left, %d answers (%v)", n, room, len(out), len(answers), b.last.Drop)
				}
				continue
			}
			if len(out) != 0 || len(answers) != 1 || b.last.Drop != packet.DropTooBig {
				t.Fatalf("%d bytes, room for %d: %d frames left, %d answers (%v)", n, room, len(out), len(answers), b.last.Drop)
			}
			if got := toldMTU(t, answers[0]); got != room {
				t.Errorf("the client is told %d, want %d", got, room)
			}
		}
	})
}

// toldMTU is what an ICMP error says that fits.
func toldMTU(t *testing.T, frame []byte) int {
	t.Helper()
	var m packet.Meta
	if r := packet.Parse(frame, &m); r != packet.NoDrop || m.Flags&packet.ICMPError == 0 {
		t.Fatalf("no ICMP error: %v % x", r, frame)
	}
	return int(packet.ICMPv4(frame[m.L4:]).Rest())
}

// TestTunnelRouteTooSmall: where a route has less room than the outer family needs, nothing goes and nobody is told.
func TestTunnelRouteTooSmall(t *testing.T) {
	for way, e := range fourWays {
		t.Run(way, func(t *testing.T) {
			b := newTunnelBench(t, forward.Options{}, e, packet.Tunnel{})
			least := 1280 + packet.IPv6Len
			if b.snap.Dests[0].Addr.Is4() {
				least = 68 + packet.IPv4MinLen
			}
			for port, mtu := range []int{least - 1, least} {
				b.edit(func(s *forward.Snapshot) { s.Dests[0].Hop.MTU = uint16(mtu) })
				out := b.send(packet.Build(nil, e.from(1000+port, 0, true)))
				told := b.lane.Sent(0)
				if ok := mtu == least; len(out) == 1 != ok || len(told) != 0 {
					t.Errorf("MTU %d: %d frames left, %d answers", mtu, len(out), len(told))
				}
			}
		})
	}
}

// TestTunnelMayNotBeSent: what is in the way, in the kernel's order.
func TestTunnelMayNotBeSent(t *testing.T) {
	e := fourWays["4in4"]
	for _, tc := range []struct {
		name    string
		hop     func(*forward.Hop)
		ttl     uint8
		size    int
		want    packet.DropReason
		answers int
	}{
		{"no route", func(h *forward.Hop) { h.OK = false }, 1, 1500, packet.DropNoNextHop, 0},
		{"unreachable", func(h *forward.Hop) { h.OK, h.Fail = false, forward.HopUnreachable }, 1, 1500, packet.DropNoNextHop, 1},
		{"silent, time to live", func(h *forward.Hop) { h.OK, h.Fail = false, forward.HopSilent }, 1, 1500, packet.DropTTL, 1},
		{"silent, too big", func(h *forward.Hop) { h.OK, h.Fail = false, forward.HopSilent }, 64, 1500, packet.DropTooBig, 1},
		{"silent", func(h *forward.Hop) { h.OK, h.Fail = false, forward.HopSilent }, 64, 100, packet.DropNoNextHop, 1},
		{"time to live, too big", func(*forward.Hop) {}, 1, 1500, packet.DropTTL, 1},
		{"no address to send from", func(h *forward.Hop) { h.Own = packet.Addr{} }, 64, 100, packet.DropNoNextHop, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newTunnelBench(t, forward.Options{}, e, packet.Tunnel{})
			b.edit(func(s *forward.Snapshot) { tc.hop(&s.Dests[0].Hop) })
			s := e.from(1000, tc.size, true)
			s.TTL = tc.ttl
			out := b.send(packet.Build(nil, s))
			if n := len(b.lane.Sent(0)); len(out) != 0 || b.last.Drop != tc.want || n != tc.answers {
				t.Errorf("%d frames left, dropped for %v with %d answers, want %v with %d", len(out), b.last.Drop, n, tc.want, tc.answers)
			}
		})
	}
}

// tight is a lane that lends frames with little headroom.
type tight struct {
	*forwardtest.Lane
	room int
	lent map[uint64]packet.Frame // the lane's own, by Desc
}

func (l *tight) Recv(b *packet.Batch) (int, error) {
	n, err := l.Lane.Recv(b)
	for i := range n {
		f := &b.Frames[i]
		l.lent[f.Desc] = *f
		*f = packet.MakeFrame(append(make([]byte, l.room), f.Bytes()...), l.room, f.Len(), f.Port, f.Desc)
	}
	return n, err
}

func (l *tight) Drop(b *packet.Batch) {
	for i := range b.N {
		b.Frames[i] = l.lent[b.Frames[i].Desc]
	}
	l.Lane.Drop(b)
}

// TestTunnelNoHeadroom: a frame without room for the outer header is dropped, and nobody is told.
func TestTunnelNoHeadroom(t *testing.T) {
	everyTunnel(t, func(t *testing.T, e ends, tun packet.Tunnel) {
		b := newTunnelBench(t, forward.Options{}, e, tun)
		n := tun.Len(&b.snap.Dests[0].Addr)
		b.w.SetLane(&tight{b.lane, n - 1, map[uint64]packet.Frame{}})
		b.lane.Inject(0, packet.Build(nil, e.from(1000, 0, true)))
		b.w.Step(b.now)
		if len(b.lane.Sent(1)) != 0 || len(b.lane.Sent(0)) != 0 || b.last.Drop != packet.DropTooBig {
			t.Errorf("with %d bytes of headroom, %d needed: %v", n-1, n, b.last.Drop)
		}
	})
}

// TestTunnelFlowPort: GUE packets of a connection have one source port, errors about it too; connections have different
// ones.
func TestTunnelFlowPort(t *testing.T) {
	e, tun := fourWays["4in4"], kinds["gue"]
	b := newTunnelBench(t, forward.Options{}, e, tun)
	source := func(s packet.Spec) uint16 {
		t.Helper()
		out := b.send(packet.Build(nil, s))
		var m packet.Meta
		if len(out) != 1 || packet.Parse(out[0], &m) != packet.NoDrop || m.DstPort != tun.Port {
			t.Fatalf("%d frames left (%v), %+v", len(out), b.last.Drop, m)
		}
		return m.SrcPort
	}
	seen := map[uint16]int{}
	const flows = 200
	for p := range flows {
		s := e.from(1000+p, 0, true)
		first := source(s)
		seen[first]++
		s.TCPFlags, s.Payload = packet.ACK, []byte("data")
		if got := source(s); got != first {
			t.Errorf("flow %d: port %d, then %d", p, first, got)
		}
		back := packet.Build(nil, packet.Spec{Tuple: s.Reverse(), TCPFlags: packet.ACK})
		router := packet.Spec{Tuple: tuple(packet.ProtoICMP, "203.0.113.1:0", vip), SrcMAC: clientMAC, DstMAC: directorMAC,
			ICMPType: packet.ICMPv4Unreachable, ICMPCode: 1, Payload: back[packet.EthernetLen:]}
		if got := source(router); got != first {
			t.Errorf("flow %d: port %d, an error about it %d", p, first, got)
		}
	}
	if len(seen) < flows*9/10 {
		t.Errorf("%d flows have %d ports", flows, len(seen))
	}
}

// TestTunnelFinishesChecksums: what the sender left to its card is finished before it is wrapped (ADR 0005).
func TestTunnelFinishesChecksums(t *testing.T) {
	everyTunnel(t, func(t *testing.T, e ends, tun packet.Tunnel) {
		b := newTunnelBench(t, forward.Options{}, e, tun)
		ports := forwardtest.DefaultPorts()
		ports[0].Unfinished = true
		b.lane = forwardtest.New(t, forwardtest.Options{Ports: ports})
		b.w.SetLane(b.lane)
		s := e.from(1000, 200, true)
		right := packet.Build(nil, s)
		var m packet.Meta
		packet.Parse(right, &m)
		in := bytes.Clone(right)
		t4 := packet.TCP(in[m.L4:m.End])
		pseudo := packet.PseudoHeaderIPv4
		if m.Family == packet.IPv6Family {
			pseudo = packet.PseudoHeaderIPv6
		}
		t4.SetChecksum(packet.Fold(pseudo(m.Src, m.Dst, packet.ProtoTCP, len(t4))))
		out := b.send(in)
		if len(out) != 1 {
			t.Fatalf("%d frames left: %v", len(out), b.last.Drop)
		}
		inner := tun.Unwrap(out[0][packet.EthernetLen:])
		if !bytes.Equal(inner[m.L4-m.L3:], right[m.L4:m.End]) {
			t.Errorf("inside\n got %x\nwant %x", inner[m.L4-m.L3:], right[m.L4:m.End])
		}
	})
}

// TestTunnelLocal: a server that is the director itself gets the packet as it is.
func TestTunnelLocal(t *testing.T) {
	e := fourWays["4in4"]
	b := newTunnelBench(t, forward.Options{}, e, packet.Tunnel{})
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Hop.Local, s.Dests[0].Hop.MTU = true, 100 })
	in := packet.Build(nil, e.from(1000, 1400, true))
	out := b.send(in)
	if len(out) != 1 || !bytes.Equal(out[0][packet.EthernetLen:], in[packet.EthernetLen:]) {
		t.Errorf("%d frames left (%v): %x", len(out), b.last.Drop, out)
	}
}

// TestTunnelAllocates: nothing.
func TestTunnelAllocates(t *testing.T) {
	for kind, tun := range kinds {
		t.Run(kind, func(t *testing.T) {
			e := fourWays["4in4"]
			b := newTunnelBench(t, forward.Options{Table: conntrack.Options{MaxConns: 1024}}, e, tun)
			frames := make([][]byte, 32)
			for i := range frames {
				frames[i] = packet.Build(nil, e.from(1000+i, 100, true))
			}
			loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: slices.Values(frames)})
			if err != nil {
				t.Fatal(err)
			}
			w, err := forward.NewWorker(0, loop, forward.Options{Table: conntrack.Options{MaxConns: 1024}})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			w.Publish(b.snap)
			now := b.now
			for range 10 {
				w.Step(now)
			}
			if n := testing.AllocsPerRun(100, func() {
				now = now.Add(time.Microsecond)
				w.Step(now)
			}); n != 0 {
				t.Errorf("%v allocations for a batch", n)
			}
			if loop.Dropped() != 0 {
				t.Errorf("%d frames dropped", loop.Dropped())
			}
		})
	}
}

// TestTunnelPieces: what may be cut leaves in outer pieces that fit, and comes out whole. IPv4 with pmtu_disc=0 is cut
// whatever it says.
func TestTunnelPieces(t *testing.T) {
	everyTunnel(t, func(t *testing.T, e ends, tun packet.Tunnel) {
		if e.service == vip6 {
			t.Skip("IPv6 may not be cut")
		}
		b := newTunnelBench(t, forward.Options{}, e, tun)
		for _, df := range []bool{false, true} {
			b.edit(func(s *forward.Snapshot) { s.Settings.PMTUDisc = !df })
			s := e.from(1000, 1500, df)
			for i := range s.Payload {
				s.Payload[i] = byte(i * 7)
			}
			in := packet.Build(nil, s)
			out := b.send(in)
			if len(out) != 2 || len(b.lane.Sent(0)) != 0 {
				t.Fatalf("%d pieces left: %v", len(out), b.last.Drop)
			}
			if got := tun.Inside(rejoin(t, out, tun.Type == packet.GUE)); !bytes.Equal(got[packet.IPv4MinLen:], in[packet.EthernetLen+packet.IPv4MinLen:]) {
				t.Errorf("inside\n got %x\nwant %x", got, in[packet.EthernetLen:])
			}
		}
	})
}

// rejoin puts the two fragments of an outer packet together, and returns what it carries, without a UDP header, and its
// protocol.
func rejoin(t *testing.T, pieces [][]byte, udp bool) (data []byte, proto uint8) {
	t.Helper()
	for i, p := range pieces {
		var m packet.Meta
		if r := packet.Parse(p, &m); r != packet.NoDrop || m.Flags&packet.Fragment == 0 || (m.Flags&packet.LaterFragment != 0) != (i > 0) ||
			len(p) > packet.EthernetLen+1500 || int(m.End) != len(p) {
			t.Fatalf("piece %d: %v %+v", i, r, m)
		}
		data, proto = append(data, p[m.L4:]...), m.Proto
	}
	if udp {
		data = data[packet.UDPLen:]
	}
	return data, proto
}
