package xsk

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/packet"
)

const xdpPass, xdpRedirect = 2, 4

// program returns the filter of a port.
func program(s *Set, port int) *ebpf.Program { return s.ports[port].gate.xdp.Program }

// run has the kernel run the filter once on a frame.
func run(t testing.TB, p *ebpf.Program, frame []byte) verdict {
	t.Helper()
	got, err := p.Run(&ebpf.RunOptions{Data: frame})
	switch {
	case errors.Is(err, unix.EINVAL) && len(frame) <= 14:
		return pass // the kernel has no test run for a frame that short
	case err != nil:
		t.Fatalf("test run: %v", err)
	case got == xdpRedirect:
		return take
	case got != xdpPass:
		t.Fatalf("the filter says %d, want %d or %d", got, xdpPass, xdpRedirect)
	}
	return pass
}

func TestFilter(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm()})
	for _, group := range []struct {
		name   string
		filter forward.Filter
		rows   []row
	}{
		{"ipv4", services, service4Rows()}, {"ipv6", services, service6Rows()}, {"other", services, otherRows()},
		{"servers", everything, serverRows()}, {"tunnels", everything, tunnelRows()}, {"wide", anywhere, wideRows()},
		{"services besides servers", everything, service4Rows()}, // the filter has no key that makes a difference to these
	} {
		if err := s.SetFilter(group.filter); err != nil {
			t.Fatal(err)
		}
		for _, tt := range group.rows {
			t.Run(group.name+"/"+tt.name, func(t *testing.T) {
				if got := run(t, program(s, 0), tt.frame); got != tt.want {
					t.Errorf("the frame %v, want: %v\n% x", got, tt.want, tt.frame)
				}
				if got, known := twin(tt.frame, group.filter, packet.MAC{2, 0, 0, 0, 0, 2}); known && got != tt.want {
					t.Errorf("the slow twin says that the frame %v, want: %v", got, tt.want)
				}
			})
		}
	}
}

// twin is the filter written again in Go on top of packet.Parse. Known is false where Parse looks at more than the filter
// does (flags and lengths of transport headers).
func twin(frame []byte, f forward.Filter, mac packet.MAC) (v verdict, known bool) {
	frame = edited(append([]byte{}, frame...), func(f []byte) []byte { return f }) // the filter verifies no checksum
	if len(frame) >= 18 && binary.BigEndian.Uint16(frame[12:]) == packet.EtherTypeVLAN {
		frame = edited(append(frame[:12:12], frame[16:]...), func(f []byte) []byte { return f })
	}
	if len(frame) >= 14 && binary.BigEndian.Uint16(frame[12:]) == packet.EtherTypeVLAN {
		return pass, true
	}
	var m packet.Meta
	if why := packet.Parse(frame, &m); why != packet.NoDrop {
		return pass, why != packet.DropBadTransport
	}
	if packet.MAC(frame[:6]) == mac && f.Takes(frame, &m) {
		return take, true
	}
	return pass, true
}

// TestFilterTwin compares filter and twin on frames that were changed at random.
func TestFilterTwin(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm()})
	rows := slices.Concat(service4Rows(), service6Rows(), otherRows(), serverRows(), tunnelRows(), wideRows())
	for _, f := range []forward.Filter{services, everything, anywhere} {
		if err := s.SetFilter(f); err != nil {
			t.Fatal(err)
		}
		compareTwin(t, program(s, 0), f, rows)
	}
}

func compareTwin(t *testing.T, p *ebpf.Program, f forward.Filter, rows []row) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	taken, compared := 0, 0
	for range 20000 {
		frame := append([]byte{}, rows[rnd.IntN(len(rows))].frame...)
		for range rnd.IntN(3) {
			frame[12+rnd.IntN(min(len(frame)-12, 90))] = byte(rnd.Uint32() >> rnd.IntN(8))
		}
		if rnd.IntN(4) == 0 {
			frame = frame[:rnd.IntN(len(frame)+1)]
		}
		want, known := twin(frame, f, packet.MAC{2, 0, 0, 0, 0, 2})
		if len(frame) <= 14 || !known {
			continue
		}
		compared++
		if want == take {
			taken++
		}
		if got := run(t, p, frame); got != want {
			t.Fatalf("seed %d: the frame %v, the twin says that it %v\n% x", seed, got, want, frame)
		}
	}
	if taken < 1000 || compared < 10000 {
		t.Errorf("seed %d: of %d frames compared %d were taken: too few to tell", seed, compared, taken)
	}
}

func TestSetFilter(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: twoArms(), MaxKeys: 4})
	web := forward.FilterKey{Addr: addr(vip4), Proto: packet.ProtoTCP, Port: 80}
	any := forward.FilterKey{Addr: addr(vip4), Proto: packet.ProtoTCP}
	other := forward.FilterKey{Addr: addr(vip4), Proto: packet.ProtoTCP, Port: 8080}
	dns := forward.FilterKey{Addr: addr(vip4), Proto: packet.ProtoUDP, Port: 53}
	frame := func(port uint16) []byte {
		return with(tcp4, func(s *packet.Spec) { s.DstPort = port; s.DstMAC = packet.MAC{2, 0, 0, 0, 0, 3} })
	}
	part := with(tcp4, func(s *packet.Spec) {
		s.FragmentOffset, s.Payload, s.DstMAC = 64, make([]byte, 20), packet.MAC{2, 0, 0, 0, 0, 3}
	})
	for _, tt := range []struct {
		name            string
		keys            []forward.FilterKey
		want80, want443 verdict
		wantPart        verdict
	}{
		{"one", []forward.FilterKey{web}, take, pass, take},
		{"the same again", []forward.FilterKey{web, web}, take, pass, take},
		{"all ports", []forward.FilterKey{any}, take, take, take},
		{"both", []forward.FilterKey{any, web}, take, take, take},
		{"another port", []forward.FilterKey{other}, pass, pass, take},
		{"another protocol", []forward.FilterKey{dns}, pass, pass, pass},
		{"as many as there may be", []forward.FilterKey{web, other, dns, {Addr: addr(vip6), Proto: packet.ProtoTCP, Port: 80}}, take, pass, take},
		{"none", nil, pass, pass, pass},
	} {
		if err := s.SetFilter(forward.Filter{Keys: tt.keys}); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for port, p := range []*ebpf.Program{program(s, 1), program(s, 0)} {
			want80, want443, wantPart := tt.want80, tt.want443, tt.wantPart
			if port == 1 { // the frames are addressed to lb1
				want80, want443, wantPart = pass, pass, pass
			}
			if got := run(t, p, frame(80)); got != want80 {
				t.Errorf("%s: port 80 %v, want: %v", tt.name, got, want80)
			}
			if got := run(t, p, frame(443)); got != want443 {
				t.Errorf("%s: port 443 %v, want: %v", tt.name, got, want443)
			}
			if got := run(t, p, part); got != wantPart {
				t.Errorf("%s: a later fragment %v, want: %v", tt.name, got, wantPart)
			}
		}
	}
	if err := s.SetFilter(forward.Filter{Keys: []forward.FilterKey{web, any, other, dns}, Own: []packet.Addr{addr(lb4)}}); err == nil {
		t.Error("SetFilter took more keys than MaxKeys")
	}
}

// TestFilterShut: to an address that is shut comes nothing but services and neighbour discovery; what is dropped is counted,
// also that to addresses which are shut no more.
func TestFilterShut(t *testing.T) {
	const xdpDrop = 1
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm()})
	open := forward.Filter{Keys: services.Keys, Own: []packet.Addr{addr(vip4), addr(vip6)}}
	shut := open
	shut.Shut = []packet.Addr{addr(vip4), addr(vip6)}
	nd := func(typ uint8, to string) []byte {
		return build(packet.Spec{Tuple: tuple(packet.ProtoICMPv6, cl6, 0, to, 0), ICMPType: typ, Payload: make([]byte, 20)})
	}
	tagged := func(f []byte) []byte {
		out := append(append([]byte{}, f[:12]...), 0x81, 0, 0, 5)
		return append(out, f[12:]...)
	}
	echo4 := build(packet.Spec{Tuple: tuple(packet.ProtoICMP, cl4, 0, vip4, 0), ICMPType: 8, Payload: make([]byte, 20)})
	rows := []struct {
		name  string
		frame []byte
		want  uint32
	}{
		{"a service", build(tcp4), xdpRedirect},
		{"another port", with(tcp4, func(s *packet.Spec) { s.DstPort = 22 }), xdpDrop},
		{"another port, tagged", tagged(with(tcp4, func(s *packet.Spec) { s.DstPort = 22 })), xdpDrop},
		{"ping", echo4, xdpDrop},
		{"a protocol without ports", build(packet.Spec{Tuple: tuple(47, cl4, 0, vip4, 0), Payload: make([]byte, 20)}), xdpDrop},
		{"to another address", with(tcp4, func(s *packet.Spec) { s.Dst = addr(lb4); s.DstPort = 22 }), xdpPass},
		{"to another station", set(0, 0, 0, 0, 0, 0, 9)(append([]byte{}, echo4...)), xdpPass},
		{"ARP", append(set(12, 8, 6)(make([]byte, 60)), 0), xdpPass},
		{"a service of IPv6", build(tcp6), xdpRedirect},
		{"another port of IPv6", with(tcp6, func(s *packet.Spec) { s.DstPort = 22 }), xdpDrop},
		{"ping of IPv6", nd(128, vip6), xdpDrop},
		{"neighbour solicitation", nd(135, vip6), xdpPass},
		{"neighbour advertisement", nd(136, vip6), xdpPass},
		{"redirect", nd(137, vip6), xdpDrop},
		{"cut short", echo4[:20], xdpPass},
	}
	var dropped uint64
	for _, f := range []forward.Filter{open, shut, open, shut} {
		if err := s.SetFilter(f); err != nil {
			t.Fatal(err)
		}
		for _, tt := range rows {
			want := tt.want
			if want == xdpDrop {
				if want = xdpPass; f.Shut != nil {
					want = xdpDrop
					dropped++
				}
			}
			if got, err := program(s, 0).Run(&ebpf.RunOptions{Data: tt.frame}); err != nil || got != want {
				t.Errorf("%s, %d shut: %d, %v, want %d", tt.name, len(f.Shut), got, err, want)
			}
		}
		if got := s.Refused(); got != dropped {
			t.Errorf("%d counted, want %d", got, dropped)
		}
	}
}

func TestSetMACs(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(t, Options{Ports: oneArm()})
	virtual := packet.MAC{0, 0, 0x5e, 0, 1, 7} // RFC 9568, section 7.3
	frame := with(tcp4, func(s *packet.Spec) { s.DstMAC = virtual })
	for _, tt := range []struct {
		macs                 []packet.MAC
		wantOwn, wantVirtual verdict
	}{
		{[]packet.MAC{{2, 0, 0, 0, 0, 2}, virtual}, take, take},
		{[]packet.MAC{virtual}, pass, take},
		{[]packet.MAC{virtual, {2, 0, 0, 0, 0, 2}}, take, take},
		{nil, pass, pass},
		{[]packet.MAC{{2, 0, 0, 0, 0, 2}}, take, pass},
	} {
		if err := s.SetMACs(0, tt.macs); err != nil {
			t.Fatal(err)
		}
		if got := run(t, program(s, 0), build(tcp4)); got != tt.wantOwn {
			t.Errorf("with %v a frame to the interface %v, want: %v", tt.macs, got, tt.wantOwn)
		}
		if got := run(t, program(s, 0), set(0, 0, 0, 0, 0, 0, 0)(build(tcp4))); got != pass {
			t.Errorf("with %v a frame to nobody %v, want: %v", tt.macs, got, pass)
		}
		if got := run(t, program(s, 0), frame); got != tt.wantVirtual {
			t.Errorf("with %v a frame to the virtual router %v, want: %v", tt.macs, got, tt.wantVirtual)
		}
	}
}

// BenchmarkFilter runs the filter in the kernel on frames that are taken and on frames that pass, with services alone and
// with all that there can be.
func BenchmarkFilter(b *testing.B) {
	r := newRig(b, nil)
	s := r.open(b, Options{Ports: oneArm()})
	for _, f := range []struct {
		name string
		forward.Filter
	}{{"services", services}, {"everything", everything}} {
		if err := s.SetFilter(f.Filter); err != nil {
			b.Fatal(err)
		}
		for _, bb := range []struct {
			name  string
			frame []byte
		}{
			{"taken/ipv4", build(tcp4)}, {"taken/ipv6", build(tcp6)},
			{"passed/ipv4", with(tcp4, func(s *packet.Spec) { s.Dst = addr(lb4) })},
			{"passed/arp", append(set(12, 8, 6)(make([]byte, 60)), 0)},
			{"reply/ipv4", build(answer4)},
		} {
			b.Run(f.name+"/"+bb.name, func(b *testing.B) {
				if _, d, err := program(s, 0).Benchmark(bb.frame, b.N, nil); err != nil {
					b.Fatal(err)
				} else {
					b.ReportMetric(float64(d.Nanoseconds()), "ns/frame")
				}
			})
		}
	}
}
