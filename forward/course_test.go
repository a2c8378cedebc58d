package forward_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"dirsw/forward"
	"dirsw/packet"
)

// TestCourses: plain packets of connections by every method take a course, and are what the long way makes of them.
func TestCourses(t *testing.T) {
	for _, c := range []struct {
		name   string
		proto  uint8
		method forward.Method
		v6     bool
		reply  bool
		refuse bool // there is no course
	}{
		{name: "DR", proto: packet.ProtoTCP, method: forward.DR},
		{name: "DR, UDP", proto: packet.ProtoUDP, method: forward.DR},
		{name: "DR, IPv6", proto: packet.ProtoTCP, method: forward.DR, v6: true},
		{name: "NAT", proto: packet.ProtoTCP, method: forward.NAT},
		{name: "NAT, reply", proto: packet.ProtoTCP, method: forward.NAT, reply: true},
		{name: "NAT, UDP", proto: packet.ProtoUDP, method: forward.NAT},
		{name: "NAT, UDP, reply", proto: packet.ProtoUDP, method: forward.NAT, reply: true},
		{name: "NAT, IPv6", proto: packet.ProtoTCP, method: forward.NAT, v6: true},
		{name: "NAT, IPv6, reply", proto: packet.ProtoTCP, method: forward.NAT, v6: true, reply: true},
		{name: "TUN", proto: packet.ProtoTCP, method: forward.TUN},
		{name: "TUN, UDP", proto: packet.ProtoUDP, method: forward.TUN},
		{name: "TUN, IPv6", proto: packet.ProtoTCP, method: forward.TUN, v6: true, refuse: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			world := slices.Index([]forward.Method{forward.DR, forward.NAT, forward.TUN}, c.method)
			b := newWorld(t)
			b.enter(world)
			from, to := client(7000), vip
			if c.v6 {
				from, to = "[2001:db8:c::7]:7000", "[2001:db8:100::100]:80"
			}
			s := packet.Spec{Tuple: tuple(c.proto, from, to), SrcMAC: clientMAC, DstMAC: directorMAC, TCPFlags: packet.SYN, DF: true}
			b.send(packet.Build(nil, s))
			if s.TCPFlags = packet.ACK; len(b.send(packet.Build(nil, s))) != 1 {
				t.Fatal("the connection does not work")
			}
			in := 0
			if c.reply {
				back := s.Tuple.Reverse()
				back.Src, back.SrcPort = b.conns()[0].Dest, 80
				s.Tuple, in = back, 1
			}
			var out [2][][]byte
			for i := range out {
				if i == 0 {
					b.w.Plod()
				} else {
					b.enter(world)
					b.w.NoLongWay()
				}
				b.lane.Inject(in, packet.Build(nil, s))
				b.step()
				out[i] = append(b.lane.Sent(0), b.lane.Sent(1)...)
			}
			if c.refuse != (len(out[1]) == 0) || len(out[0]) != 1 {
				t.Fatalf("%d frames left the long way, %d by a course", len(out[0]), len(out[1]))
			}
			if !c.refuse && !bytes.Equal(out[0][0], out[1][0]) {
				t.Errorf("\nlong way % x\n  course % x", out[0][0], out[1][0])
			}
		})
	}
}

// TestCoursesChangeNothing plays what the kernel was asked in its transcripts to two workers, of which one knows no courses:
// frames, verdicts, connections and counters are the same.
func TestCoursesChangeNothing(t *testing.T) {
	const each = 3 // of so many inputs one is played
	inputs := transcripts(t)
	for i := 0; i < len(inputs); i += each {
		a, b := newWorld(t), newWorld(t)
		world := int(inputs[i][0]) + i/each%3 // others than they were made for, too
		a.enter(world)
		b.enter(world)
		all := records(inputs[i][1:])
		for n, r := range slices.Concat(all, all) { // again, so that there are more packets of connections
			var said [2]string
			for k, x := range []*bench{a, b} {
				if x == b {
					x.w.Plod()
				}
				x.last = forward.Verdict{}
				x.lane.Inject(int(r.what&fromServers), r.frame)
				x.now = x.now.Add(time.Millisecond)
				x.step()
				v := &x.last
				said[k] = fmt.Sprint(v.Why, v.Drop, v.Service, v.Dest, v.Dir, v.State, v.Left)
			}
			if said[0] != said[1] {
				t.Fatalf("input %d, frame %d: %s, without courses %s", i, n, said[0], said[1])
			}
			for port := range 3 {
				if got, want := a.lane.Sent(port), b.lane.Sent(port); !slices.EqualFunc(got, want, bytes.Equal) {
					t.Fatalf("input %d, frame %d, port %d:\n    got %x\nwithout %x", i, n, port, got, want)
				}
				a.lane.Dropped(port)
				b.lane.Dropped(port)
			}
		}
		if got, want := fmt.Sprint(a.conns(), a.counters()), fmt.Sprint(b.conns(), b.counters()); got != want {
			t.Fatalf("input %d:\n    got %s\nwithout %s", i, got, want)
		}
	}
}
