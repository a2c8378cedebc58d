package xsk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dirsw/internal/testenv"
	"dirsw/packet"
)

// TestFramesOnTheWire sends every frame of the filter's table over the veth: what is taken arrives at the lane unchanged
// and nowhere else, what passes arrives at the kernel and nowhere else.
func TestFramesOnTheWire(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(modeName(mode), func(t *testing.T) {
			r := newRig(t, nil)
			l := r.open(t, Options{Ports: oneArm(), Mode: mode}).Lane(0)
			cl, kernel := testenv.OpenTap(t, &r.cl0), testenv.OpenTap(t, &r.lb0)
			for _, tt := range append(append(service4Rows(), service6Rows()...), otherRows()...) {
				if len(tt.frame) < 18 {
					continue // AF_PACKET does not send a header alone, the kernel shows nobody a tag that is cut short
				}
				cl.Send(t, tt.frame)
				if tt.want == take {
					got := receive(t, l, 1)
					if len(got) != 1 || !bytes.Equal(got[0].bytes, tt.frame) {
						t.Errorf("%s: the lane has %x, want % x", tt.name, got, tt.frame)
					}
					continue
				}
				// The kernel takes the first tag off before it shows a frame.
				if kernel.Recv(t, testenv.Patience, func(f []byte) bool {
					return bytes.Equal(f, tt.frame) || bytes.Equal(f[12:], tt.frame[min(16, len(tt.frame)):])
				}) == nil {
					t.Errorf("%s: the kernel has not got the frame", tt.name)
				}
			}
			nothingMore(t, l, cl)
			last := packet.Build(nil, packet.Spec{SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2},
				Tuple: tuple(packet.ProtoUDP, cl4, 64000, lb4, 9)})
			cl.Send(t, last)
			if kernel.Recv(t, testenv.Patience, func(f []byte) bool {
				if mine(f) && twinTakes(f) {
					t.Errorf("the kernel has % x besides", f)
				}
				return bytes.Equal(f, last)
			}) == nil {
				t.Error("the kernel receives nothing any more")
			}
			audit(t, l)
		})
	}
}

func twinTakes(frame []byte) bool {
	v, _ := twin(frame, services, packet.MAC{2, 0, 0, 0, 0, 2})
	return v == take
}

func modeName(m Mode) string { return [...]string{"auto", "native", "generic"}[m] }

// TestTheKernelGoesOn uses what dirsw has nothing to do with while the filter is attached: ARP, neighbour discovery, ping,
// TCP in IPv4 and IPv6 to the director's own addresses, on a port that is a service's elsewhere.
func TestTheKernelGoesOn(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(modeName(mode), func(t *testing.T) {
			r := newRig(t, nil)
			r.open(t, Options{Ports: twoArms(), Mode: mode})
			r.checkKernel(t)
		})
	}
}

// checkKernel fails the test unless the director's namespace answers the client's as it would without dirsw.
func (r *rig) checkKernel(t *testing.T) {
	t.Helper()
	for _, a := range []string{lb4, lb6} {
		where := netip.AddrPortFrom(netip.MustParseAddr(a), 80).String()
		var in net.Listener
		r.lb0.In.Do(t, func() {
			var err error
			if in, err = net.Listen("tcp", where); err != nil {
				t.Fatal(err)
			}
		})
		defer in.Close()
		go func() {
			if c, err := in.Accept(); err == nil {
				fmt.Fprint(c, "hello from "+a)
				c.Close()
			}
		}()
		r.cl0.In.Do(t, func() {
			if err := ping(a); err != nil {
				t.Errorf("ping %s: %v", a, err)
			}
			c, err := net.DialTimeout("tcp", where, testenv.Patience)
			if err != nil {
				t.Errorf("connect: %v", err)
				return
			}
			defer c.Close()
			if got, err := io.ReadAll(c); string(got) != "hello from "+a {
				t.Errorf("read %q (%v) from %s", got, err, a)
			}
		})
	}
}

// ping sends an echo request from the namespace of the thread and waits for the reply.
func ping(to string) error {
	network, proto, from, typ := "ip4:icmp", packet.ProtoICMP, cl4, byte(0)
	if !addr(to).Is4() {
		network, proto, from, typ = "ip6:ipv6-icmp", packet.ProtoICMPv6, cl6, 129
	}
	c, err := net.DialTimeout(network, to, testenv.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	frame := build(packet.Spec{Tuple: tuple(proto, from, 0, to, 0), ID: 77, Payload: []byte("ping")})
	var m packet.Meta
	if why := packet.Parse(frame, &m); why != packet.NoDrop {
		return fmt.Errorf("own request: %v", why)
	}
	if _, err := c.Write(frame[m.L4:m.End]); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(testenv.Patience))
	buf := make([]byte, 1500)
	for {
		n, _, err := c.(*net.IPConn).ReadFrom(buf) // unlike Read, without the IPv4 header
		if err != nil {
			return err
		}
		if n >= 12 && buf[0] == typ && string(buf[8:12]) == "ping" {
			return nil
		}
	}
}

// TestBounce sends frames of many lengths back to where they came from.
func TestBounce(t *testing.T) {
	for _, o := range []Options{{Mode: Native}, {Mode: Generic}, {Mode: Native, BusyPoll: true}, {ZeroCopy: ZeroCopyOff}} {
		t.Run(fmt.Sprintf("%s busy=%v", modeName(o.Mode), o.BusyPoll), func(t *testing.T) {
			r := newRig(t, nil)
			o.Ports = oneArm()
			l := r.open(t, o).Lane(0)
			defer forwarder(l, 0)()
			cl := testenv.OpenTap(t, &r.cl0)
			for _, n := range []int{0, 1, 17, 18, 19, 500, 1471, 1472} { // 1472 makes the longest frame, of 1514 bytes
				frame := request(uint16(1000+n), n)
				cl.Send(t, frame)
				got := cl.Recv(t, testenv.Patience, mine)
				swapMACs(frame)
				if !bytes.Equal(got, frame) {
					t.Fatalf("%d bytes came back as % x, want % x", len(frame), got, frame)
				}
			}
		})
	}
}

// TestTwoPorts forwards from one interface to the other: the frame leaves in the memory that it came in.
func TestTwoPorts(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: []PortOptions{{Name: "lb0", Receive: true}, {Name: "lb1"}}})
	l := s.Lane(0)
	if got := s.Ports(); got[0].Mode != "native" || got[0].Queues != 1 || got[1].Mode != "send only" {
		t.Errorf("ports are %+v, want lb0 native with one queue, lb1 only sending", got)
	}
	if progs, err := r.programs(t, &r.lb1); err != nil || len(progs) != 0 {
		t.Errorf("a port that only sends has programs %v (%v)", progs, err)
	}
	cl, sv := testenv.OpenTap(t, &r.cl0), testenv.OpenTap(t, &r.sv0)
	var b packet.Batch
	for i := range 300 { // more than once around what is in hand
		frame := request(uint16(i), i%100)
		cl.Send(t, frame)
		testenv.Await(t, "a frame comes", func() bool {
			n, err := l.Recv(&b)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				l.Wait(time.Millisecond)
			}
			return n > 0
		})
		if b.N != 1 || b.Frames[0].Port != 0 || !bytes.Equal(b.Frames[0].Bytes(), frame) {
			t.Fatalf("frame %d: received %d frames, want the one that was sent", i, b.N)
		}
		b.Frames[0].Port = 1
		if n, err := l.Send(&b); n != 1 || err != nil || b.N != 0 {
			t.Fatalf("Send says %d, %v and leaves %d frames, want 1, nil and 0", n, err, b.N)
		}
		if got := sv.Recv(t, testenv.Patience, mine); !bytes.Equal(got, frame) {
			t.Fatalf("frame %d arrived as % x, want % x", i, got, frame)
		}
		audit(t, l)
	}
	if c := l.Counters(); c.Received != 300 || c.Sent != 300 || c.SendFull+c.SendFailed+c.RxDropped+c.WakeErrors != 0 || c.Wakeups < 300 {
		t.Errorf("counters are %+v, want 300 received and sent, nothing lost", c)
	}
}

// TestOwnFrames sends frames that the director makes itself, and gives back unused ones.
func TestOwnFrames(t *testing.T) {
	r := newRig(t, nil)
	l := r.open(t, Options{Ports: twoArms(), Frames: 4*least + reserve}).Lane(0)
	sv := testenv.OpenTap(t, &r.sv0)
	want := request(7, 30)
	var b packet.Batch
	f, ok := l.Alloc()
	if !ok || f.Len() != 0 || f.Offset() != 256 {
		t.Fatalf("Alloc: %v, %d bytes at %d; want an empty frame at 256", ok, f.Len(), f.Offset())
	}
	if !f.Resize(len(want)) {
		t.Fatal("a frame has no room")
	}
	copy(f.Bytes(), want)
	f.Port = 1
	b.Add(f)
	l.Send(&b)
	if got := sv.Recv(t, testenv.Patience, mine); !bytes.Equal(got, want) {
		t.Errorf("arrived % x, want % x", got, want)
	}
	short, _ := l.Alloc()
	short.Resize(13)
	b.Add(short)
	if n, _ := l.Send(&b); n != 0 || l.Counters().SendFailed != 1 {
		t.Errorf("a frame of 13 bytes: Send says %d, %d failed; want 0 and 1", n, l.Counters().SendFailed)
	}
	var lent []packet.Frame
	for f, ok := l.Alloc(); ok; f, ok = l.Alloc() {
		lent = append(lent, f)
	}
	if len(lent) < reserve-2 {
		t.Errorf("there are %d frames to lend, want at least %d", len(lent), reserve-2)
	}
	for len(lent) > 0 {
		for b.N < packet.BatchSize && len(lent) > 0 {
			b.Add(lent[0])
			lent = lent[1:]
		}
		l.Drop(&b)
		audit(t, l)
	}
}

// TestAllQueues receives from four queues with one worker, and with two: flows of the kernel's own spread over them.
func TestAllQueues(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.cl0.Queues, r.lb0.Queues, r.lb1.Queues, r.sv0.Queues = 4, 4, 4, 4 })
			s := r.open(t, Options{Ports: twoArms(), Workers: workers})
			if got := s.Ports()[0].Queues; got != 4 {
				t.Errorf("lb0 has %d queues, want 4", got)
			}
			const flows = 200
			r.sendUDP(t, flows)
			total, used := 0, 0
			receiveUntil(t, func() bool { return total >= flows }, func() (n int) {
				for w := range workers {
					n += len(breathe(t, s.Lane(w)))
				}
				total += n
				return n
			})
			for w := range workers {
				l := s.Lane(w)
				for _, k := range l.(*lane).receivers {
					if int(k.queue)%workers != w {
						t.Errorf("worker %d has queue %d", w, k.queue)
					}
					if k.rx.cachedOwn > 0 {
						used++
					}
				}
				audit(t, l)
			}
			if total != flows || used != 4 {
				t.Errorf("%d frames came over %d queues, want %d over 4", total, used, flows)
			}
		})
	}
}

// sendUDP has the client's kernel send a datagram to the service from each of n ports.
func (r *rig) sendUDP(t *testing.T, n int) {
	t.Helper()
	r.cl0.In.Do(t, func() {
		route := netlink.Route{Dst: netlink.NewIPNet(net.ParseIP(vip4)), Gw: net.ParseIP(lb4)}
		if err := r.cl0.In.Links.RouteReplace(&route); err != nil {
			t.Fatal(err)
		}
		for range n {
			c, err := net.Dial("udp", vip4+":53")
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("a question"))
			c.Close()
		}
	})
}

// TestFewerQueues serves one of two queues: what comes on the other one passes to the kernel.
func TestFewerQueues(t *testing.T) {
	r := newRig(t, func(r *rig) { r.cl0.Queues, r.lb0.Queues = 2, 2 })
	l := r.open(t, Options{Ports: oneArm(), Queues: 1}).Lane(0)
	kernel := testenv.OpenTap(t, &r.lb0)
	const flows = 100
	r.sendUDP(t, flows)
	taken, passed := 0, 0
	receiveUntil(t, func() bool { return taken+passed >= flows }, func() int {
		was := taken + passed
		taken += len(breathe(t, l))
		for kernel.Recv(t, 0, mine) != nil {
			passed++
		}
		return taken + passed - was
	})
	if taken+passed != flows || taken == 0 || passed == 0 {
		t.Errorf("%d frames were taken and %d passed, want some of each and %d in all", taken, passed, flows)
	}
}

// TestUnfinishedChecksum shows what forward.PortInfo.Unfinished is about: the kernel of a veth peer leaves the checksum to
// a card that the frame never meets, and the lane gets the folded sum of the pseudo-header where a checksum should be.
func TestUnfinishedChecksum(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: []PortOptions{{Name: "lb0", Receive: true, Unfinished: true}}})
	l := s.Lane(0)
	if !l.Ports()[0].Unfinished {
		t.Error("Unfinished does not reach PortInfo")
	}
	r.sendUDP(t, 1)
	got := receive(t, l, 1)
	if len(got) != 1 {
		t.Fatal("the datagram has not come")
	}
	var m packet.Meta
	f := got[0].bytes
	if why := packet.Parse(f, &m); why != packet.NoDrop {
		t.Fatal(why)
	}
	ip, udp := f[m.L3:m.L4], f[m.L4:m.End]
	pseudo := append(append([]byte{}, ip[12:20]...), 0, packet.ProtoUDP, byte(len(udp)>>8), byte(len(udp)))
	if want, have := ^packet.Checksum(pseudo, 0), binary.BigEndian.Uint16(udp[6:8]); have != want {
		t.Errorf("the checksum is %#04x, want the sum of the pseudo-header, %#04x", have, want)
	}
}

// TestLongFrames forwards frames that need large buffers, and tells what MTU is left where no buffer is large enough.
func TestLongFrames(t *testing.T) {
	for _, tt := range []struct {
		mtu, want int
		mode      string
	}{
		{1500, 1500, "native"}, {1774, 1774, "native"}, {1775, 1775, "native"}, {3500, 3500, "native"},
		{3822, 3822, "generic"}, {9000, 3822, "generic"},
	} {
		t.Run(fmt.Sprint(tt.mtu), func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				r.cl0.MTU, r.lb0.MTU = tt.mtu, tt.mtu
			})
			s := r.open(t, Options{Ports: oneArm()})
			l := s.Lane(0)
			if got := l.Ports()[0].MTU; got != tt.want {
				t.Errorf("MTU of the port is %d, want %d", got, tt.want)
			}
			if got := s.Ports()[0]; got.Mode != tt.mode || (got.Note == "") != (tt.mode == "native") ||
				strings.Contains(got.Note, "packets longer than 3822 bytes are lost, though the MTU is 9000") != (tt.mtu == 9000) {
				t.Errorf("opened as %+v, want %s", got, tt.mode)
			}
			cl := testenv.OpenTap(t, &r.cl0)
			frame := request(9, tt.want-28)
			cl.Send(t, frame)
			if got := receive(t, l, 1); len(got) != 1 || !bytes.Equal(got[0].bytes, frame) {
				t.Fatalf("the frame of %d bytes has not come whole", len(frame))
			}
			if tt.mtu > tt.want {
				cl.Send(t, request(9, tt.want+5-28))
				nothingMore(t, l, cl)
				testenv.Await(t, "the frame is counted as dropped", func() bool {
					breathe(t, l)
					return l.Counters().RxDropped == 1
				})
			}
			audit(t, l)
		})
	}
}

// programs lists the XDP programs on an end.
func (r *rig) programs(t *testing.T, e *testenv.End) (progs []attached, err error) {
	t.Helper()
	index := e.Link(t).Attrs().Index
	e.In.Do(t, func() { progs, err = programsOn(index) })
	return progs, err
}
