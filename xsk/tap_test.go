package xsk

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/host"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// withTap opens a Set on lb0 and a tap in the director's namespace. The tap is port 1.
func (r *rig) withTap(t *testing.T) (forward.Lane, *host.Host, *host.Tap) {
	t.Helper()
	var h *host.Host
	var err error
	r.lb0.In.Do(t, func() { h, err = host.Open(host.Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	tap, err := h.OpenTap("dirsw%d", 1500)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tap.Close() })
	s := r.open(t, Options{Ports: append(oneArm(), PortOptions{Name: tap.Link.Name, Index: tap.Link.Index, MAC: tap.Link.MAC,
		MTU: tap.Link.MTU, Tap: true, FD: tap.FD})})
	if p := s.Ports()[1]; p.Mode != "local" || p.Name != "dirsw0" {
		t.Errorf("the tap is listed as %+v", p)
	}
	return s.Lane(0), h, tap
}

// sendTo sends a frame of the lane by a port.
func sendTo(t *testing.T, l forward.Lane, port uint8, frame []byte) {
	t.Helper()
	f, ok := l.Alloc()
	if !ok || !f.Resize(len(frame)) {
		t.Fatal("no frame")
	}
	copy(f.Bytes(), frame)
	f.Port = port
	var b packet.Batch
	b.Add(f)
	if n, err := l.Send(&b); n != 1 || err != nil {
		t.Fatalf("Send says %d, %v", n, err)
	}
}

// echo has the namespace answer every datagram to an address, from that address.
func echo(t *testing.T, n *testenv.Namespace, addr string) {
	t.Helper()
	var c net.PacketConn
	var err error
	n.Do(t, func() { c, err = net.ListenPacket("udp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(b[:n], from)
		}
	}()
}

// TestTapPort sends to programs of the director itself by the tap, and reads what they answer.
func TestTapPort(t *testing.T) {
	r := newRig(t, nil)
	l, h, tap := r.withTap(t)
	local := []string{"127.0.0.1", lb4, lb6}
	var from []host.Endpoint
	for _, a := range local {
		echo(t, r.lb0.In, net.JoinHostPort(a, "5353"))
		from = append(from, host.Endpoint{Addr: netip.MustParseAddr(a), Proto: unix.IPPROTO_UDP, Port: 5353})
	}
	if err := h.Divert(tap.Link.Index, from); err != nil {
		t.Fatal(err)
	}
	for _, a := range local {
		client := "198.51.100.7"
		if !addr(a).Is4() {
			client = "2001:db8:9::7"
		}
		for _, n := range []int{1, 1000} {
			payload := bytes.Repeat([]byte{7}, n)
			sendTo(t, l, 1, packet.Build(nil, packet.Spec{SrcMAC: tap.Link.MAC, DstMAC: tap.Link.MAC, VLAN: uint16(n), // taken off
				Tuple: tuple(packet.ProtoUDP, client, 4000, a, 5353), Payload: payload}))
			got := receiveFrom(t, l, 1)
			var m packet.Meta
			if got == nil || packet.Parse(got, &m) != packet.NoDrop {
				t.Fatalf("%s does not answer by the tap: % x", a, got)
			}
			if m.Src != addr(a) || m.Dst != addr(client) || m.SrcPort != 5353 || !bytes.Equal(got[m.Payload:m.End], payload) {
				t.Errorf("the answer is % x", got)
			}
			if !packet.ChecksumOK(got, &m) {
				t.Errorf("the answer of %s has a wrong checksum: % x", a, got)
			}
		}
	}
	audit(t, l)
}

// receiveFrom returns the next IP unicast frame of a port.
func receiveFrom(t *testing.T, l forward.Lane, port uint8) []byte {
	t.Helper()
	for {
		got := receive(t, l, 1)
		if len(got) == 0 {
			return nil
		}
		for _, f := range got {
			var m packet.Meta
			if f.port == port && packet.Parse(f.bytes, &m) == packet.NoDrop && m.Proto == packet.ProtoUDP {
				return f.bytes
			}
		}
	}
}

// TestTapWakesWait sees to it that a frame of the tap ends Wait.
func TestTapWakesWait(t *testing.T) {
	r := newRig(t, nil)
	l, _, tap := r.withTap(t)
	var fd int
	var err error
	r.lb0.In.Do(t, func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() {
		_ = unix.Sendto(fd, with(tcp4, func(s *packet.Spec) { s.DstMAC = packet.MAC{255, 255, 255, 255, 255, 255} }), 0,
			&unix.SockaddrLinklayer{Ifindex: tap.Link.Index})
		_ = unix.Sendto(fd, build(tcp4), 0, &unix.SockaddrLinklayer{Ifindex: tap.Link.Index})
		unix.Close(fd)
	})
	start := time.Now()
	var b packet.Batch
	n, waits := 0, 0
	for n == 0 && err == nil && waits < 100 { // what is for all comes first, and is none of ours; a signal ends a Wait, too
		waits++
		if err = l.Wait(2 * testenv.Patience); err == nil {
			n, err = l.Recv(&b)
		}
	}
	if took := time.Since(start); n != 1 || !bytes.Equal(b.Frames[0].Bytes(), build(tcp4)) || err != nil || took > testenv.Patience {
		t.Errorf("after %v and %d calls of Wait, Recv gives %d frames, %v", took, waits, n, err)
	}
	l.Drop(&b)
}

func TestTapDeleted(t *testing.T) {
	r := newRig(t, nil)
	l, _, tap := r.withTap(t)
	link, err := r.lb0.In.Links.LinkByIndex(tap.Link.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.lb0.In.Links.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	for range 3 * tapPause {
		_, err = l.Recv(&b)
		l.Drop(&b)
	}
	var gone *PortGoneError
	if !errors.As(err, &gone) || gone.Name != "dirsw0" {
		t.Errorf("Recv says %v, want that dirsw0 is gone", err)
	}
	audit(t, l)
}

// TestTapSleeps counts the system calls of a tap that nothing comes from.
func TestTapSleeps(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK, 0) // as a tap: one read, one packet
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	u, err := newUmem(2*reserve, smallChunk)
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	tp := newTap([]port{{PortOptions: PortOptions{Tap: true, FD: p[0]}}}, 0)
	var b packet.Batch
	reads := func(breaths int) int {
		was := tp.idle
		for range breaths {
			tp.take(u, &b)
		}
		return tp.idle - was
	}
	if n := reads(10 * (tapPause + 1)); n != 10 {
		t.Errorf("a tap that sleeps is read %d times in %d breaths, want 10", n, 10*(tapPause+1))
	}
	tp.wake()
	if n := reads(1000); n != 500 {
		t.Errorf("a tap that is awake is read %d times in 1000 breaths, want 500", n)
	}
	reads(2 * tapAwake)
	if n := reads(10 * (tapPause + 1)); n != 10 {
		t.Errorf("a tap that has fallen asleep is read %d times, want 10", n)
	}
	for range 2 * tapBudget {
		if _, err := unix.Write(p[1], make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
	}
	tp.wake()
	tp.take(u, &b)
	if b.N != tapBudget {
		t.Errorf("a breath reads %d frames, want %d", b.N, tapBudget)
	}
	if len(u.free)+b.N != u.total {
		t.Errorf("%d frames free, %d read of %d", len(u.free), b.N, u.total)
	}
}

// TestTapWithLargerMTU raises the MTU of the tap: what is too long then is lost, and nothing else.
func TestTapWithLargerMTU(t *testing.T) {
	r := newRig(t, nil)
	l, h, tap := r.withTap(t)
	link, err := r.lb0.In.Links.LinkByIndex(tap.Link.Index)
	if err == nil {
		err = r.lb0.In.Links.LinkSetMTU(link, 9000)
	}
	if err == nil {
		err = h.Divert(tap.Link.Index, []host.Endpoint{{Addr: netip.MustParseAddr(lb4), Proto: unix.IPPROTO_UDP, Port: 5353}})
	}
	if err != nil {
		t.Fatal(err)
	}
	var c net.PacketConn
	r.lb0.In.Do(t, func() { c, err = net.ListenPacket("udp", lb4+":5353") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range []int{8000, 100} {
		if _, err := c.WriteTo(make([]byte, n), &net.UDPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 9}); err != nil {
			t.Fatal(err)
		}
	}
	if got := receiveFrom(t, l, 1); len(got) != 14+28+100 {
		t.Errorf("%d bytes come, want the short datagram", len(got))
	}
	audit(t, l)
}
