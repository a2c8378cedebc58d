package xsk

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/internal/testenv"
	"dirsw/packet"
)

// monotonic is the clock that the program reads.
func monotonic() clock.Mono {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return clock.Mono(ts.Nano())
}

// accelerated is a program with connections, and its slow twin.
type acceleratedPair struct {
	t     testing.TB
	set   *Set
	quick *quickLane
	twin  *forwardtest.Accelerator
	pool  []byte
}

func newAcceleratedPair(t testing.TB, unfinished bool, room int) *acceleratedPair {
	r := newRig(t, nil)
	ports := twoArms()
	ports[0].Unfinished = unfinished
	s := r.open(t, Options{Ports: ports, Accelerate: room})
	for i := range s.ports { // whatever their peers can do: nothing is sent in a test run
		if err := s.flows.devices.Put(uint32(i), uint32(s.ports[i].Index)); err != nil {
			t.Fatal(err)
		}
	}
	infos := []forward.PortInfo{{Name: "lb0", Unfinished: unfinished}, {Name: "lb1"}}
	return &acceleratedPair{t: t, set: s, quick: s.flows.workers[0], twin: forwardtest.NewAccelerator(infos, room, monotonic),
		pool: make([]byte, forwardtest.BufferLen)}
}

func (p *acceleratedPair) put(k packet.Tuple, i uint32, to forward.Shortcut) (here, there uint32) {
	p.t.Helper()
	k.Family = packet.IPv6Family
	if k.Dst.Is4() {
		k.Family = packet.IPv4Family
	}
	for _, a := range []forward.Accelerator{p.quick, p.twin} {
		a.Beat(monotonic())
		a.SetWay(i, to)
	}
	here, ok := p.quick.Put(&k, i)
	there, ok2 := p.twin.Put(&k, i)
	if !ok || !ok2 {
		p.t.Fatalf("Put: %v and %v", ok, ok2)
	}
	return here, there
}

// frameLeft runs the program on a frame that came by lb0.
func (p *acceleratedPair) frameLeft(frame []byte) (code uint32, out []byte) {
	p.t.Helper()
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+128)}
	code, err := program(p.set, 0).Run(&o)
	if errors.Is(err, unix.EINVAL) && len(frame) <= 14 {
		return xdpPass, frame
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return code, o.DataOut
}

// sends reports whether the program sends a frame.
func (p *acceleratedPair) sends(frame []byte) bool {
	p.t.Helper()
	code, out := p.frameLeft(frame)
	return code == xdpRedirect && packet.MAC(out[:6]) == toServer
}

// compare has both decide on a frame, and reports whether it was sent.
func (p *acceleratedPair) compare(frame []byte) bool {
	p.t.Helper()
	p.quick.Beat(monotonic())
	p.twin.Beat(monotonic())
	copy(p.pool[forwardtest.Headroom:], frame)
	f := packet.MakeFrame(p.pool, forwardtest.Headroom, len(frame), 0, 0)
	sent := len(frame) >= 14 && packet.MAC(frame[:6]) == packet.MAC{2, 0, 0, 0, 0, 2} && p.twin.Send(&f)
	code, out := p.frameLeft(frame)
	switch {
	case !sent && code != xdpPass && (code != xdpRedirect || !bytes.HasPrefix(frame, out) && !bytes.Equal(frame, out)):
		p.t.Fatalf("the program says %d and makes % x, want it left to the worker: % x", code, head(out), head(frame))
	case !sent:
		return false
	case code != xdpRedirect:
		p.t.Fatalf("the program says %d, want it sent by port %d: % x", code, f.Port, head(frame))
	}
	want := f.Bytes()
	if len(want) > 34 && want[12] == 8 && (want[23] == 4 || want[23] == 41) && want[20]&0x40 == 0 { // its identification is drawn
		for _, b := range [][]byte{want, out} {
			copy(b[18:20], "\x00\x00")
			copy(b[24:26], "\x00\x00")
		}
	}
	if !bytes.Equal(out, want) {
		p.t.Fatalf("from % x\nthe program makes % x\nwant              % x", head(frame), head(out), head(want))
	}
	return true
}

// head is what of a frame is worth reading.
func head(frame []byte) []byte { return frame[:min(len(frame), 96)] }

var (
	toServer = packet.MAC{2, 0, 0, 0, 0, 4}
	from     = packet.MAC{2, 0, 0, 0, 0, 3}
)

// waysOfTests are direct routing by both ports, and tunnels of both families.
func waysOfTests() map[string]forward.Shortcut {
	tun := func(outer, server string, mayCut bool) forward.Shortcut {
		return forward.Shortcut{Method: forward.TUN, Port: 1, MTU: 1400, Src: from, Dst: toServer, Outer: addr(outer), Server: addr(server),
			MayCut: mayCut}
	}
	return map[string]forward.Shortcut{
		"dr one arm":  {Method: forward.DR, Port: 0, MTU: 1400, Src: from, Dst: toServer},
		"dr two arms": {Method: forward.DR, Port: 1, MTU: 1400, Src: from, Dst: toServer},
		"in IPv4":     tun("172.16.0.1", "172.16.0.11", false),
		"in IPv4 cut": tun("172.16.0.1", "172.16.0.11", true),
		"in IPv6":     tun("2001:db8:2::1", "2001:db8:2::11", false),
	}
}

// plainFrames are frames that are sent, by name.
func plainFrames() map[string]packet.Spec {
	return map[string]packet.Spec{
		"tcp4": {Tuple: tuple(packet.ProtoTCP, cl4, 1000, vip4, 80), TCPFlags: packet.ACK, DF: true, TOS: 3, Payload: []byte("payload")},
		"tcp6": {Tuple: tuple(packet.ProtoTCP, cl6, 1000, vip6, 443), TCPFlags: packet.ACK | packet.PSH, TOS: 0xb9, Payload: []byte("pay")},
		"udp4": {Tuple: tuple(packet.ProtoUDP, cl4, 1000, vip4, 53), TOS: 1, ID: 7, Payload: []byte("payload")},
		"udp6": {Tuple: tuple(packet.ProtoUDP, cl6, 1000, vip6, 53), TTL: 2, Payload: []byte("payload")},
	}
}

// TestAcceleratedFrames compares the program with its twin, which is made of what the workers rewrite with: on plain frames, on
// each that is not quite plain, and on frames changed at random.
func TestAcceleratedFrames(t *testing.T) {
	for wayName, to := range waysOfTests() {
		p := newAcceleratedPair(t, false, 64)
		for _, s := range plainFrames() {
			p.put(s.Tuple, 3, to)
		}
		for name, s := range plainFrames() {
			t.Run(wayName+"/"+name, func(t *testing.T) {
				p.t = t
				for what, f := range notQuitePlain(s) {
					if sent := p.compare(f.frame); sent != f.sent {
						t.Errorf("%s: sent %v, want %v", what, sent, f.sent)
					}
				}
				p.mutate(build(s))
			})
		}
		p.t = t
	}
}

// mutate compares on frames that were changed at random.
func (p *acceleratedPair) mutate(frame []byte) {
	p.t.Helper()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	sent := 0
	for range 3000 {
		f := append([]byte{}, frame...)
		for range rnd.IntN(3) {
			f[rnd.IntN(len(f))] = byte(rnd.Uint32() >> rnd.IntN(8))
		}
		switch rnd.IntN(4) {
		case 0:
			f = f[:rnd.IntN(len(f)+1)]
		case 1:
			f = append(f, make([]byte, rnd.IntN(30))...)
		}
		if rnd.IntN(2) == 0 {
			f = edited(f, func(f []byte) []byte { return f })
		}
		if p.compare(f) {
			sent++
		}
		if p.t.Failed() {
			p.t.Fatalf("seed %d", seed)
		}
	}
	if sent < 200 {
		p.t.Errorf("seed %d: %d frames were sent: too few to tell", seed, sent)
	}
}

type acceleratedRow struct {
	frame []byte
	sent  bool
}

// notQuitePlain are frames of a connection, and whether the program sends them.
func notQuitePlain(s packet.Spec) map[string]acceleratedRow {
	change := func(f func(*packet.Spec)) []byte { return with(s, f) }
	rows := map[string]acceleratedRow{
		"as it is":          {build(s), true},
		"padded":            {append(build(s), make([]byte, 9)...), true},
		"time to live 1":    {change(func(s *packet.Spec) { s.TTL = 1 }), false},
		"time to live 2":    {change(func(s *packet.Spec) { s.TTL = 2 }), true},
		"another port":      {change(func(s *packet.Spec) { s.SrcPort++ }), false},
		"another client":    {change(func(s *packet.Spec) { s.Src[15]++ }), false},
		"another address":   {change(func(s *packet.Spec) { s.Dst[15]++ }), false},
		"another protocol":  {change(func(s *packet.Spec) { s.Proto = packet.ProtoSCTP }), false},
		"tagged":            {change(func(s *packet.Spec) { s.VLAN = 7 }), false},
		"to another":        {set(0, 2, 0, 0, 0, 0, 9)(build(s)), false},
		"a first fragment":  {change(func(s *packet.Spec) { s.MoreFragments = true }), false},
		"a later fragment":  {change(func(s *packet.Spec) { s.FragmentOffset = 64 }), false},
		"cut short":         {build(s)[:len(build(s))-1], false},
		"without ports":     {build(s)[:36], false},
		"as long as may be": {nil, true},
		"too long":          {nil, false},
	}
	head := len(build(s)) - len(s.Payload) - 14
	for name, n := range map[string]int{"as long as may be": 1400, "too long": 1401} {
		rows[name] = acceleratedRow{change(func(s *packet.Spec) { s.Payload = make([]byte, n-head) }), rows[name].sent}
	}
	l4 := 14 + head - map[uint8]int{packet.ProtoTCP: packet.TCPMinLen, packet.ProtoUDP: packet.UDPLen}[s.Proto]
	at := func(i int, v ...byte) []byte { return set(l4+i, v...)(build(s)) }
	rows["another version"] = acceleratedRow{set(14, 0x55)(build(s)), false}
	rows["an error about it"] = acceleratedRow{quoting(map[bool]uint8{true: 3, false: 1}[s.Dst.Is4()], 3, s.Src.String(), build(s), 60), false}
	if s.Proto == packet.ProtoUDP {
		rows["without a checksum"] = acceleratedRow{at(6, 0, 0), true}
		rows["a wrong checksum of UDP"] = acceleratedRow{at(6, 0xde, 0xad), true}
		rows["UDP shorter than IP"] = acceleratedRow{at(4, 0, 8), true}
		rows["UDP shorter than its header"] = acceleratedRow{at(4, 0, 7), false}
		rows["UDP longer than IP"] = acceleratedRow{at(4, 0, 200), false}
	}
	if s.Proto == packet.ProtoTCP {
		rows["a wrong checksum of TCP"] = acceleratedRow{at(16, 0xde, 0xad), true}
		rows["a header shorter than TCP's"] = acceleratedRow{at(12, 0x40), false}
		rows["a header longer than the packet"] = acceleratedRow{at(12, 0xf0), false}
		for flags, sent := range map[uint8]bool{packet.SYN: false, packet.SYN | packet.ACK: false, packet.FIN | packet.ACK: false,
			packet.RST: false, packet.RST | packet.ACK: false, 0: false, packet.PSH: false, packet.ACK | packet.URG: true} {
			rows[fmt.Sprintf("flags %#x", flags)] = acceleratedRow{change(func(s *packet.Spec) { s.TCPFlags = flags }), sent}
		}
	}
	if s.Dst.Is4() {
		rows["options"] = acceleratedRow{edited(build(s), withOptions(1)), false}
		bad := build(s)
		bad[24]++
		rows["a wrong checksum"] = acceleratedRow{bad, false}
	} else {
		rows["an extension header"] = acceleratedRow{withExtensions(0, 60)(build(s)), false}
	}
	return rows
}

// TestAcceleratedAnything compares on packets of many kinds and connections of all ways, some of which come and go.
func TestAcceleratedAnything(t *testing.T) {
	p := newAcceleratedPair(t, true, 64)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	ways, specs := slices.Sorted(maps.Keys(waysOfTests())), slices.Sorted(maps.Keys(plainFrames()))
	type line struct {
		packet.Spec
		in          bool
		here, there uint32
	}
	lines := make([]line, 24)
	for i := range lines {
		lines[i].Spec = plainFrames()[specs[i%len(specs)]]
		lines[i].SrcPort = uint16(1000 + i)
	}
	sent := map[string]int{}
	for range 6000 {
		i := rnd.IntN(len(lines))
		l := &lines[i]
		switch way := ways[i%len(ways)]; {
		case rnd.IntN(20) > 0:
		case l.in:
			p.quick.Remove(l.here)
			p.twin.Remove(l.there)
			l.in = false
		default:
			to := waysOfTests()[way]
			to.MTU = uint16(200 + rnd.IntN(1200))
			l.here, l.there = p.put(l.Tuple, uint32(i), to)
			l.in = true
		}
		f := with(l.Spec, func(s *packet.Spec) { anything(rnd, s) })
		switch rnd.IntN(12) {
		case 0:
			f = append(f, make([]byte, rnd.IntN(60))...)
		case 1:
			f[rnd.IntN(len(f))] ^= 1 << rnd.IntN(8)
		case 2:
			f = f[:rnd.IntN(len(f)+1)]
		}
		if p.compare(f) {
			sent[ways[i%len(ways)]+" "+specs[i%len(specs)]]++
		}
	}
	if len(sent) < len(ways)*len(specs)/2 {
		t.Errorf("seed %d: of these was something sent: %v", seed, sent)
	}
	t.Logf("sent %v", sent)
}

// anything makes a plain packet into one of any kind, most often still plain.
func anything(rnd *rand.Rand, s *packet.Spec) {
	s.TOS, s.ID, s.DF = uint8(rnd.Uint32()), uint16(rnd.Uint32()), rnd.IntN(2) == 0
	s.Seq, s.Payload = rnd.Uint32(), make([]byte, rnd.IntN(300))
	if rnd.IntN(4) == 0 {
		s.Payload = make([]byte, rnd.IntN(1500))
	}
	switch rnd.IntN(24) {
	case 0:
		s.TTL = uint8(1 + rnd.IntN(3))
	case 1:
		s.TCPFlags = uint8(rnd.Uint32())
	case 2:
		s.VLAN = uint16(rnd.Uint32())
	case 3:
		s.MoreFragments = true
	case 4:
		s.FragmentOffset = 8 * rnd.IntN(1000)
	case 5:
		if s.Dst.Is4() {
			s.Options = make([]byte, 4*rnd.IntN(11))
		}
	case 6:
		s.Proto = []uint8{packet.ProtoSCTP, packet.ProtoESP, packet.ProtoICMP, packet.ProtoTCP, packet.ProtoUDP}[rnd.IntN(5)]
	case 7:
		s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
	}
}

// TestAcceleratedUnfinished: what its sender has not finished is the worker's, where senders may do so.
func TestAcceleratedUnfinished(t *testing.T) {
	for _, unfinished := range []bool{false, true} {
		p := newAcceleratedPair(t, unfinished, 64)
		for name, s := range plainFrames() {
			p.put(s.Tuple, 3, waysOfTests()["dr two arms"])
			f := build(s)
			var m packet.Meta
			if r := packet.Parse(f, &m); r != packet.NoDrop {
				t.Fatal(r)
			}
			sum := packet.PseudoHeaderIPv6(m.Src, m.Dst, m.Proto, int(m.End)-int(m.L4))
			if s.Dst.Is4() {
				sum = packet.PseudoHeaderIPv4(m.Src, m.Dst, m.Proto, int(m.End)-int(m.L4))
			}
			at := int(m.L4) + 16
			if s.Proto == packet.ProtoUDP {
				at = int(m.L4) + 6
			}
			f[at], f[at+1] = byte(packet.Fold(sum)>>8), byte(packet.Fold(sum))
			if sent := p.compare(f); sent == unfinished {
				t.Errorf("%s, with unfinished checksums %v: sent %v", name, unfinished, sent)
			}
			if !p.compare(build(s)) {
				t.Errorf("%s, finished, with unfinished checksums %v: not sent", name, unfinished)
			}
		}
	}
}

// TestAcceleratedIsTakenBack: nothing is sent of a connection that was taken back, whose way is none, or whose worker is dead.
func TestAcceleratedIsTakenBack(t *testing.T) {
	p := newAcceleratedPair(t, false, 64)
	s := plainFrames()["tcp4"]
	to := waysOfTests()["dr one arm"]
	here, there := p.put(s.Tuple, 3, to)
	frame := build(s)
	sends := func(want bool, when string) {
		t.Helper()
		if got := p.sends(frame); got != want {
			t.Errorf("%s: sent %v", when, got)
		}
	}
	began := monotonic()
	sends(true, "at first")
	n, last := p.quick.Read(here)
	if n != forward.OnePassed(len(frame)-14) || last < began-clock.Mono(20e6) || last > monotonic() {
		t.Errorf("%d packets, %d bytes, the last at %v; want 1 of %d since %v", n.Packets(), n.Bytes(), last, len(frame)-14, began)
	}
	p.quick.SetWay(3, forward.Shortcut{})
	sends(false, "without a way")
	p.quick.SetWay(3, to)
	sends(true, "with a way again")
	p.quick.Beat(monotonic() - 2e9)
	sends(false, "two seconds after the worker died")
	p.quick.Beat(monotonic())
	sends(true, "alive")
	p.quick.Remove(here)
	p.twin.Remove(there)
	sends(false, "taken back")
	if n, _ := p.quick.Read(here); n.Packets() != 3 {
		t.Errorf("%d packets were counted, want 3", n.Packets())
	}
	here, _ = p.put(s.Tuple, 3, to)
	if n, _ := p.quick.Read(here); n != 0 {
		t.Errorf("put in again it begins with %d packets", n.Packets())
	}
	sends(true, "put in again")
}

// TestAcceleratorHoldsWhatItWasMadeFor puts in as many connections as there is room for, of two workers, and takes turns in
// removing and adding; the program finds exactly those that are in.
func TestAcceleratorHoldsWhatItWasMadeFor(t *testing.T) {
	const room = 512
	p := newAcceleratedPair(t, false, room)
	s := plainFrames()["udp4"]
	frame := func(i int) []byte {
		return with(s, func(s *packet.Spec) { s.SrcPort = uint16(1 + i) })
	}
	p.quick.Beat(monotonic())
	p.quick.SetWay(0, waysOfTests()["dr one arm"])
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	places := map[int]uint32{}
	refused := 0
	for range 8 * room {
		i := rnd.IntN(2 * room)
		if place, ok := places[i]; ok {
			p.quick.Remove(place)
			delete(places, i)
			continue
		}
		if len(places) == room {
			continue
		}
		k := s.Tuple
		k.SrcPort, k.Family = uint16(1+i), packet.IPv4Family
		if place, ok := p.quick.Put(&k, 0); ok {
			places[i] = place
		} else {
			refused++
		}
	}
	if len(places) < room/2 || refused > room/20 {
		t.Errorf("%d connections are in, %d were refused", len(places), refused)
	}
	p.quick.Beat(monotonic())
	for i := range 2 * room {
		_, in := places[i]
		if sent := p.sends(frame(i)); sent != in {
			t.Errorf("connection %d is in: %v, sent: %v", i, in, sent)
		}
	}
}

// TestPlacesGoFromWorkerToWorker has two workers take the same few places in turns: each reads of a connection what was counted of
// it, and nothing of who has its place next.
func TestPlacesGoFromWorkerToWorker(t *testing.T) {
	testenv.NeedNetAdmin(t)
	f, err := newFlows(&Options{Accelerate: 4, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	wrong := make([]int, 2)
	var both sync.WaitGroup
	for w := range wrong {
		both.Go(func() {
			q := f.workers[w]
			k := plainFrames()["udp4"].Tuple
			k.Family, k.SrcPort = packet.IPv4Family, uint16(w)
			for range 100_000 {
				place, ok := q.Put(&k, 0)
				if !ok {
					continue
				}
				e := &f.table.entries[place]
				e.seen.Store(uint64(w) + 1)
				for range w + 3 { // as the program does
					e.count.Add(uint64(forward.OnePassed(100)))
				}
				if n, at := q.Remove(place); n.Packets() != uint64(w)+3 || at != clock.Mono(w)+1 {
					wrong[w]++
				}
			}
		})
	}
	both.Wait()
	if wrong[0]+wrong[1] > 0 {
		t.Errorf("read wrongly: %d and %d times", wrong[0], wrong[1])
	}
}
