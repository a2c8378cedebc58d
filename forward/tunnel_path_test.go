package forward_test

import (
	"testing"
	"time"

	"dirsw/forward"
	"dirsw/packet"
)

// What the kernel tells after which error is in its transcripts (bench/oracle); here is what they have no case for.

// tooBig is the error of a router on the way through the tunnel to server, that only mtu bytes get through, about a packet
// of the client.
func (b *bench) tooBig(e ends, tun packet.Tunnel, server packet.Addr, mtu uint32) []byte {
	b.t.Helper()
	inner := packet.Build(make([]byte, 0, 2048), e.from(1000, 1000, true))
	var m packet.Meta
	if r := packet.Parse(inner, &m); r != packet.NoDrop {
		b.t.Fatal(r)
	}
	f := packet.MakeFrame(append(make([]byte, packet.MaxTunnelLen), inner...), packet.MaxTunnelLen, len(inner), 0, 0)
	src := own(&server)
	o := packet.Outer{Src: &src, Dst: &server, SrcPort: 40000}
	if !tun.Wrap(&f, &m, &o) {
		b.t.Fatal("not wrapped")
	}
	quote := f.Bytes()[packet.EthernetLen:]
	s := packet.Spec{SrcMAC: packet.MAC{2, 0, 0, 0, 2, 0x77}, DstMAC: directorMAC, ICMPRest: mtu}
	s.Dst = src
	if server.Is4() {
		s.Src, s.Proto = tuple(0, "172.16.0.77:0", vip).Src, packet.ProtoICMP
		s.ICMPType, s.ICMPCode, s.Payload = packet.ICMPv4Unreachable, packet.ICMPv4FragNeeded, quote[:128]
	} else {
		s.Src, s.Proto = tuple(0, "[2001:db8:2::77]:0", vip6).Src, packet.ProtoICMPv6
		s.ICMPType, s.Payload = 2, quote
	}
	return packet.Build(nil, s)
}

// errorComes lets an error in by the servers' port and returns what it made the director tell the client.
func (b *bench) errorComes(frame []byte) [][]byte {
	b.t.Helper()
	b.lane.Inject(1, frame)
	b.step()
	if out := b.lane.Sent(1); len(out) != 0 {
		b.t.Errorf("the error made %d frames leave to the servers", len(out))
	}
	return b.lane.Sent(0)
}

// fits returns the longest packet of the client that goes, as the director tells it about one of 1500 bytes; 0: that goes too.
func (b *bench) fits(e ends) int {
	b.t.Helper()
	out := b.send(packet.Build(nil, e.from(1000, 1480, true)))
	answers := b.lane.Sent(0)
	if len(answers) == 0 {
		if len(out) != 1 {
			b.t.Fatalf("neither left nor answered: %v", b.last.Drop)
		}
		return 0
	}
	return toldMTU(b.t, answers[0])
}

// bigBench has an interface with room for 1480 bytes in every tunnel.
func bigBench(t *testing.T, e ends, tun packet.Tunnel) *bench {
	b := newTunnelBench(t, forward.Options{}, e, tun)
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Hop.MTU = 1600 })
	if n := b.fits(e); n != 0 {
		t.Fatalf("at first %d bytes fit", n)
	}
	return b
}

// TestTunnelPath: every kind of tunnel learns what fits, and forgets it after ten minutes. A client of an IPv6 service is
// told at least 1280.
func TestTunnelPath(t *testing.T) {
	everyTunnel(t, func(t *testing.T, e ends, tun packet.Tunnel) {
		b := bigBench(t, e, tun)
		server := b.snap.Dests[0].Addr
		for _, mtu := range []int{1450, 1400, 1290} {
			told := b.errorComes(b.tooBig(e, tun, server, uint32(mtu)))
			if relayed := e == fourWays["4in4"]; (len(told) == 1) != relayed {
				t.Errorf("%d errors told to the client", len(told))
			}
			want := mtu - tun.Len(&server)
			if e.service == vip6 {
				want = max(want, 1280)
			}
			if got := b.fits(e); got != want {
				t.Errorf("path of %d: %d bytes fit, want %d", mtu, got, want)
			}
		}
		b.now = b.now.Add(10*time.Minute - time.Millisecond)
		b.send(packet.Build(nil, e.from(1000, 0, true))) // or the connection would end
		if b.fits(e) == 0 {
			t.Error("forgotten before ten minutes")
		}
		b.now = b.now.Add(time.Millisecond)
		if n := b.fits(e); n != 0 {
			t.Errorf("after ten minutes %d bytes fit", n)
		}
	})
}

// TestTunnelPathOnlyShrinks: more than is known is not believed, and what no network has is not either.
func TestTunnelPathOnlyShrinks(t *testing.T) {
	for way, least := range map[string]int{"4in4": 552 - packet.IPv4MinLen, "6in6": 1280} {
		e := fourWays[way]
		t.Run(way, func(t *testing.T) {
			b := bigBench(t, e, packet.Tunnel{})
			server := b.snap.Dests[0].Addr
			b.errorComes(b.tooBig(e, packet.Tunnel{}, server, 1400))
			was := b.fits(e)
			b.errorComes(b.tooBig(e, packet.Tunnel{}, server, 1500))
			if got := b.fits(e); got != was {
				t.Errorf("after an error with more %d bytes fit, before %d", got, was)
			}
			b.errorComes(b.tooBig(e, packet.Tunnel{}, server, 68))
			if got := b.fits(e); got != least {
				t.Errorf("after an error with 68 %d bytes fit, want %d", got, least)
			}
		})
	}
}

// TestTunnelPathIsOfTheServer: another service with the same server learns too, one with another server does not, and what
// comes into the slot of a server that is gone begins anew.
func TestTunnelPathIsOfTheServer(t *testing.T) {
	e := fourWays["4in4"]
	b := bigBench(t, e, packet.Tunnel{})
	b.rules("-A -t 192.0.2.100:81 -s rr", "-a -t 192.0.2.100:81 -r 172.16.0.11:81", "-A -t 192.0.2.100:82 -s rr",
		"-a -t 192.0.2.100:82 -r 172.16.0.12:82")
	b.edit(func(s *forward.Snapshot) {
		s.Settings = forward.DefaultSettings()
		for i := range s.Dests {
			d := &s.Dests[i]
			d.Method, d.Hop.Own, d.Hop.MTU = forward.TUN, own(&d.Addr), 1600
		}
	})
	b.errorComes(b.tooBig(e, packet.Tunnel{}, b.snap.Dests[0].Addr, 1400))
	fits := func(to string) int {
		t.Helper()
		s := e.from(1000, 1480, true)
		s.Tuple = tuple(packet.ProtoTCP, "203.0.113.7:1000", to)
		b.send(packet.Build(nil, s))
		if told := b.lane.Sent(0); len(told) == 1 {
			return toldMTU(t, told[0])
		}
		return 0
	}
	if a, o := fits("192.0.2.100:81"), fits("192.0.2.100:82"); a != 1380 || o != 0 {
		t.Errorf("same server: %d bytes fit, other server: %d; want 1380, all", a, o)
	}
	b.edit(func(s *forward.Snapshot) { s.Dests[0].Addr = tuple(0, "172.16.0.13:0", vip).Src })
	if n := b.fits(e); n != 0 {
		t.Errorf("another server in the slot: %d bytes fit", n)
	}
}

// TestTunnelErrorRefused: what has a wrong checksum, is about a packet to another server, or about a connection that is not
// known, teaches nothing.
func TestTunnelErrorRefused(t *testing.T) {
	e := fourWays["4in4"]
	b := bigBench(t, e, packet.Tunnel{})
	server := b.snap.Dests[0].Addr
	wrong := b.tooBig(e, packet.Tunnel{}, server, 1400)
	wrong[len(wrong)-1] ^= 1
	other := server
	other[15]++
	for name, tc := range map[string]struct {
		frame []byte
		want  packet.DropReason
	}{
		"checksum":     {wrong, packet.DropBadTransport},
		"other server": {b.tooBig(e, packet.Tunnel{}, other, 1400), packet.DropICMP},
		"other kind":   {b.tooBig(e, kinds["gre"], server, 1400), packet.DropICMP},
	} {
		if told := b.errorComes(tc.frame); len(told) != 0 || b.last.Drop != tc.want {
			t.Errorf("%s: told %d, dropped for %v, want %v", name, len(told), b.last.Drop, tc.want)
		}
		if n := b.fits(e); n != 0 {
			t.Errorf("%s: %d bytes fit", name, n)
		}
	}
}

// TestTunnelErrorRate: errors from tunnels are told no faster than others.
func TestTunnelErrorRate(t *testing.T) {
	e := fourWays["4in4"]
	b := bigBench(t, e, packet.Tunnel{})
	frame := b.tooBig(e, packet.Tunnel{}, b.snap.Dests[0].Addr, 1400)
	told := 0
	for range 1000 {
		told += len(b.errorComes(frame))
	}
	if told == 0 || told > 100 {
		t.Errorf("%d of 1000 errors told within no time", told)
	}
}
