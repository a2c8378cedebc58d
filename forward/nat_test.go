package forward_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// The lane of these tests has the clients on port 0, the servers on port 1 and the director's own stack on port 2.
const (
	atClients = 0
	atServers = 1
	atKernel  = 2
)

// natEnds are a service and its real server, of each family.
var natEnds = map[string]ends{"4": {vip, "172.16.0.11:8080"}, "6": {vip6, "[2001:db8:2::11]:8080"}}

func natPorts() []forward.PortInfo {
	return append(forwardtest.DefaultPorts()[:2:2], forward.PortInfo{Name: "tap", MAC: packet.MAC{2, 0, 0, 0, 3, 2}, MTU: 1500})
}

// newNATBench is a bench with a service of a protocol that has one real server by masquerading.
func newNATBench(t *testing.T, e ends, proto string, ports []forward.PortInfo) *bench {
	b := newBench(t, forward.Options{Table: conntrack.Options{MaxConns: 256}}, "-A "+proto+" "+e.service+" -s rr",
		"-a "+proto+" "+e.service+" -r "+e.server)
	b.lane = forwardtest.New(t, forwardtest.Options{Ports: ports})
	b.w.SetLane(b.lane)
	b.edit(func(s *forward.Snapshot) {
		s.Settings = forward.DefaultSettings()
		s.Dests[0].Method = forward.NAT
		s.Kernel = forward.Hop{OK: true, Local: true, Port: atKernel, MTU: 1500, Src: ports[atKernel].MAC, Dst: packet.MAC{2, 0, 0, 0, 3, 1}}
		s.Own = [][2]packet.Addr{{}, {addrOf("172.16.0.1"), addrOf("2001:db8:2::1")}, {}}
	})
	return b
}

func addrOf(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// clientOf is a client's end of the family of e.
func (e ends) clientOf(port int) string {
	if e.service == vip6 {
		return fmt.Sprintf("[2001:db8:c::3]:%d", port)
	}
	return client(port)
}

// through lets a packet in by a port and returns what left by another.
func (b *bench) through(in int, s packet.Spec, out int) [][]byte {
	b.t.Helper()
	b.lane.Inject(in, packet.Build(nil, s))
	b.step()
	return b.lane.Sent(out)
}

// one returns what Parse learnt of the only frame there is, whose checksums must be right.
func one(t *testing.T, frames [][]byte, v forward.Verdict) (m packet.Meta) {
	t.Helper()
	if len(frames) != 1 {
		t.Fatalf("%d frames left (%v, %v), want 1", len(frames), v.Why, v.Drop)
	}
	if r := packet.Parse(frames[0], &m); r != packet.NoDrop || !packet.ChecksumOK(frames[0], &m) {
		t.Fatalf("%v, or a wrong transport checksum: % x", r, frames[0])
	}
	return m
}

var natProtos = map[uint8]string{packet.ProtoTCP: "-t", packet.ProtoUDP: "-u", packet.ProtoSCTP: "--sctp-service"}

// initChunk opens an SCTP association (RFC 9260, section 3.3.2).
var initChunk = []byte{1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 255, 255, 0, 10, 0, 10, 0, 0, 0, 1}

func opening(proto uint8, from, to string) packet.Spec {
	s := packet.Spec{Tuple: tuple(proto, from, to), SrcMAC: clientMAC, DstMAC: directorMAC, TCPFlags: packet.SYN}
	if proto == packet.ProtoSCTP {
		s.Payload = initChunk
	}
	return s
}

// TestNATConversation: any packets to and fro have the right ends and checksums, and only those are different.
func TestNATConversation(t *testing.T) {
	for proto, opt := range natProtos {
		for family, e := range natEnds {
			t.Run(fmt.Sprintf("%d/%s", proto, family), func(t *testing.T) {
				const seed = 5
				r := rand.New(rand.NewPCG(seed, 0))
				b := newNATBench(t, e, opt, natPorts())
				first := opening(proto, e.clientOf(4000), e.service)
				one(t, b.through(atClients, first, atServers), b.last)
				for range 200 {
					s := first
					s.Payload = make([]byte, 16+r.IntN(600))
					for i := range s.Payload {
						s.Payload[i] = uint8(r.Uint32())
					}
					s.TCPFlags, s.TTL, s.TOS, s.Seq = packet.ACK, uint8(2+r.IntN(250)), uint8(r.Uint32()), r.Uint32()
					in, out, from, to := atClients, atServers, e.clientOf(4000), e.server
					if r.IntN(2) == 0 {
						in, out, from, to = out, in, e.service, from
						s.Tuple = tuple(proto, e.server, e.clientOf(4000))
					}
					got := b.through(in, s, out)
					one(t, got, b.last)
					s.Tuple, s.TTL = tuple(proto, from, to), s.TTL-1
					s.SrcMAC, s.DstMAC = packet.Ethernet(got[0]).Src(), packet.Ethernet(got[0]).Dst()
					if want := packet.Build(nil, s); !bytes.Equal(got[0], want) {
						t.Fatalf("seed %d, by port %d\n got % x\nwant % x", seed, in, got[0], want)
					}
				}
			})
		}
	}
}

// TestNATWayBack: each connection's replies go where its client's last packet came from (ADR 0009).
func TestNATWayBack(t *testing.T) {
	e := natEnds["4"]
	b := newNATBench(t, e, "-t", natPorts())
	reply := func(port int) packet.MAC {
		t.Helper()
		got := b.through(atServers, packet.Spec{Tuple: tuple(packet.ProtoTCP, e.server, client(port)), TCPFlags: packet.ACK}, atClients)
		one(t, got, b.last)
		if src := packet.Ethernet(got[0]).Src(); src != natPorts()[atClients].MAC {
			t.Errorf("sent from %v", src)
		}
		return packet.Ethernet(got[0]).Dst()
	}
	send := func(in, port int, by packet.MAC, flags uint8) {
		s := packet.Spec{Tuple: tuple(packet.ProtoTCP, client(port), vip), SrcMAC: by, TCPFlags: flags}
		one(t, b.through(in, s, atServers), b.last)
	}
	other := packet.MAC{2, 0, 0, 0, 1, 0xfd}
	send(atClients, 1, clientMAC, packet.SYN)
	send(atClients, 2, other, packet.SYN)
	if a, b := reply(1), reply(2); a != clientMAC || b != other {
		t.Errorf("replies went to %v and %v, want %v and %v", a, b, clientMAC, other)
	}
	send(atClients, 1, other, packet.ACK)
	if a := reply(1); a != other {
		t.Errorf("after the router changed, the reply went to %v, want %v", a, other)
	}
	send(atServers, 1, clientMAC, packet.ACK) // by the servers' side, as of a neighbour of theirs
	got := b.through(atServers, packet.Spec{Tuple: tuple(packet.ProtoTCP, e.server, client(1)), TCPFlags: packet.ACK}, atServers)
	if one(t, got, b.last); packet.Ethernet(got[0]).Dst() != clientMAC {
		t.Errorf("by the other port it went to %v", packet.Ethernet(got[0]).Dst())
	}
}

// TestNATUnfinished: checksums that senders with offload left undone come out right, both ways, with and without a tap.
func TestNATUnfinished(t *testing.T) {
	ports := natPorts()
	for i := range ports {
		ports[i].Unfinished = true
	}
	for family, e := range natEnds {
		t.Run(family, func(t *testing.T) {
			b := newNATBench(t, e, "-t", ports)
			for _, way := range []struct {
				in, out  int
				from, to string
			}{{atClients, atServers, e.clientOf(1), e.service}, {atServers, atClients, e.server, e.clientOf(1)}} {
				f := packet.Build(nil, opening(packet.ProtoTCP, way.from, way.to))
				var m packet.Meta
				packet.Parse(f, &m)
				sum := packet.PseudoHeaderIPv4
				if m.Family == packet.IPv6Family {
					sum = packet.PseudoHeaderIPv6
				}
				packet.TCP(f[m.L4:]).SetChecksum(packet.Fold(sum(m.Src, m.Dst, m.Proto, int(m.End)-int(m.L4))))
				b.lane.Inject(way.in, f)
				b.step()
				one(t, b.lane.Sent(way.out), b.last)
			}
		})
	}
}

// TestNATStrays: what servers send without a connection goes to the director's own stack, and is dropped where there is no
// way to that. With nat_icmp_send the server is told, from the director's address on that side, if there is one.
func TestNATStrays(t *testing.T) {
	e := natEnds["4"]
	reply := packet.Spec{Tuple: tuple(packet.ProtoTCP, e.server, client(1)), TCPFlags: packet.SYN | packet.ACK, SrcMAC: clientMAC}
	b := newNATBench(t, e, "-t", natPorts())
	in := packet.Build(nil, reply)
	got := b.through(atServers, reply, atKernel)
	if one(t, got, b.last); b.last.Why != forward.WhyKernel || !bytes.Equal(got[0][14:], in[14:]) {
		t.Errorf("%v\n got % x\nwant % x", b.last.Why, got[0][14:], in[14:])
	}
	b.edit(func(s *forward.Snapshot) { s.Settings.NATICMPSend = true })
	got = b.through(atServers, reply, atServers)
	if m := one(t, got, b.last); m.Flags&packet.ICMPError == 0 || packet.IPv4(got[0][14:]).Src() != addrOf("172.16.0.1") {
		t.Errorf("answered by % x", got[0])
	}
	b.edit(func(s *forward.Snapshot) { s.Own = nil })
	if got = b.through(atServers, reply, atServers); len(got) != 0 || b.last.Drop != packet.DropNoConnection {
		t.Errorf("without an address of its own: %v, % x", b.last.Drop, got)
	}
	b.edit(func(s *forward.Snapshot) { s.Settings.NATICMPSend, s.Kernel = false, forward.Hop{} })
	if b.through(atServers, reply, atServers); b.last.Drop != packet.DropNoService {
		t.Errorf("without a way to the kernel: %v, %v", b.last.Why, b.last.Drop)
	}
}

// TestNATLocal: a server that is the director itself gets packets by the tap, with all of their time to live, and what comes
// back by it is translated and goes to the client. What else comes by the tap goes back to it.
func TestNATLocal(t *testing.T) {
	for _, method := range []forward.Method{forward.NAT, forward.DR, forward.TUN} {
		t.Run(method.String(), func(t *testing.T) {
			e := natEnds["4"]
			b := newNATBench(t, e, "-t", natPorts())
			b.edit(func(s *forward.Snapshot) { s.Dests[0].Method, s.Dests[0].Hop = method, s.Kernel })
			syn := opening(packet.ProtoTCP, client(1), vip)
			syn.TTL = 1
			m := one(t, b.through(atClients, syn, atKernel), b.last)
			server := e.server
			if method != forward.NAT {
				server = vip
			}
			if want := tuple(packet.ProtoTCP, client(1), server); m.Tuple != want {
				t.Errorf("the stack got %v, want %v", m.Tuple, want)
			}
			reply := packet.Spec{Tuple: m.Reverse(), TCPFlags: packet.RST | packet.ACK, TTL: 64}
			got := b.through(atKernel, reply, atClients)
			m = one(t, got, b.last)
			if m.Tuple != tuple(packet.ProtoTCP, vip, client(1)) || packet.IPv4(got[0][m.L3:]).TTL() != 64 ||
				packet.Ethernet(got[0]).Dst() != clientMAC {
				t.Errorf("the client got % x", got[0])
			}
			if c := b.conns(); len(c) != 1 || c[0].State != conntrack.TCPClose || c[0].Dest != addrOf("172.16.0.11") {
				t.Errorf("connections %+v", c)
			}
			reply.DstPort++
			if got := b.through(atKernel, reply, atKernel); len(got) != 1 || b.last.Why != forward.WhyKernel {
				t.Errorf("a stranger from the tap: %v %v", b.last.Why, b.last.Drop)
			}
		})
	}
}

// TestNATLoopback: the kernel takes nothing from outside that was translated to ::1, whatever its settings.
func TestNATLoopback(t *testing.T) {
	e := natEnds["6"]
	b := newNATBench(t, e, "-t", natPorts())
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Addr, s.Dests[0].Hop = addrOf("::1"), s.Kernel })
	got := b.through(atClients, opening(packet.ProtoTCP, e.clientOf(1), e.service), atKernel)
	if len(got) != 0 || b.last.Drop != packet.DropNoNextHop {
		t.Errorf("%d frames, %v", len(got), b.last.Drop)
	}
}

// TestNATKeepsMethod: an edit is for new connections.
func TestNATKeepsMethod(t *testing.T) {
	e := natEnds["4"]
	b := newNATBench(t, e, "-t", natPorts())
	to := func(port int, flags uint8) packet.Addr {
		s := opening(packet.ProtoTCP, client(port), vip)
		s.TCPFlags = flags
		m := one(t, b.through(atClients, s, atServers), b.last)
		return m.Dst
	}
	to(1, packet.SYN)
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Method = forward.DR })
	if old, now := to(1, packet.ACK), to(2, packet.SYN); old != addrOf("172.16.0.11") || now != addrOf("192.0.2.100") {
		t.Errorf("the old connection goes to %v, the new one to %v", old, now)
	}
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Method = forward.NAT })
	if old, now := to(2, packet.ACK), to(3, packet.SYN); old != addrOf("192.0.2.100") || now != addrOf("172.16.0.11") {
		t.Errorf("then the old connection goes to %v, the new one to %v", old, now)
	}
}

// TestNATAllocates: nothing, neither packets of known connections both ways, nor errors, nor answers, nor new connections.
func TestNATAllocates(t *testing.T) {
	for family, e := range natEnds {
		for name, specs := range map[string][]packet.Spec{
			"both ways": {opening(packet.ProtoTCP, e.clientOf(1), e.service),
				{Tuple: tuple(packet.ProtoTCP, e.server, e.clientOf(1)), TCPFlags: packet.ACK}},
			"reply used up": {opening(packet.ProtoTCP, e.clientOf(1), e.service),
				{Tuple: tuple(packet.ProtoTCP, e.server, e.clientOf(1)), TCPFlags: packet.ACK, TTL: 1}},
			"stray": {{Tuple: tuple(packet.ProtoTCP, e.server, e.clientOf(9)), TCPFlags: packet.ACK}},
			"udp":   {opening(packet.ProtoUDP, e.clientOf(1), e.service)},
		} {
			t.Run(name+"/"+family, func(t *testing.T) { checkAllocations(t, e, specs) })
		}
	}
}

func checkAllocations(t *testing.T, e ends, specs []packet.Spec) {
	opt := natProtos[specs[0].Proto]
	b := newNATBench(t, e, opt, natPorts())
	var frames [][]byte
	for _, s := range specs {
		s.SrcMAC, s.DstMAC = clientMAC, directorMAC
		f := packet.Build(nil, s)
		frames = append(frames, f, icmpAbout(f))
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
	b.snap.Settings.NATICMPSend = true
	b.snap.Settings.ScheduleICMP = true
	w.Publish(b.snap)
	now := b.now
	step := func() {
		now = now.Add(10 * time.Minute)
		if _, err := w.Step(now); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations a breath", n)
	}
}

// icmpAbout is a port unreachable about a frame, to who sent that.
func icmpAbout(f []byte) []byte {
	var m packet.Meta
	packet.Parse(f, &m)
	s := packet.Spec{Tuple: m.Reverse(), SrcMAC: clientMAC, DstMAC: directorMAC, Payload: f[m.L3:m.End],
		ICMPType: packet.ICMPv4Unreachable, ICMPCode: packet.ICMPv4PortUnreachable}
	if s.Proto = packet.ProtoICMP; m.Family == packet.IPv6Family {
		s.Proto, s.ICMPType, s.ICMPCode = packet.ProtoICMPv6, packet.ICMPv6Unreachable, packet.ICMPv6PortUnreachable
	}
	return packet.Build(nil, s)
}
