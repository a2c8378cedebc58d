package forward_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/sched"
)

// bench is one worker on a lane in memory, set up by ipvsadm -A, -a, -d, -e and -D lines. What arrives on port 0 leaves
// by port 1.
type bench struct {
	t    *testing.T
	lane *forwardtest.Lane
	w    *forward.Worker
	snap *forward.Snapshot
	now  clock.Mono
	last forward.Verdict
	mtu  uint16
}

var (
	directorMAC = packet.MAC{2, 0, 0, 0, 2, 1}
	clientMAC   = packet.MAC{2, 0, 0, 0, 1, 0xfe}
)

func newBench(t *testing.T, o forward.Options, rules ...string) *bench {
	b := &bench{t: t, lane: forwardtest.New(t, forwardtest.Options{}), snap: &forward.Snapshot{}, now: clock.Mono(time.Hour),
		mtu: 1500}
	o.Observer = func(_ *packet.Frame, _ *packet.Meta, v forward.Verdict) { b.last = v }
	var err error
	if b.w, err = forward.NewWorker(0, b.lane, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.w.Close() })
	b.rules(rules...)
	return b
}

func (b *bench) rules(lines ...string) {
	b.t.Helper()
	for _, l := range lines {
		b.publish(l)
		b.step()
	}
}

// publish gives the worker a new snapshot for each line, one change each.
func (b *bench) publish(lines ...string) {
	for _, l := range lines {
		b.rule(strings.Fields(l))
	}
}

func (b *bench) rule(w []string) {
	opt := func(name string) string {
		if i := slices.Index(w, name); i >= 0 && i+1 < len(w) {
			return w[i+1]
		}
		return ""
	}
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(opt(name)); err == nil {
			return n
		}
		return otherwise
	}
	s := *b.snap
	s.Gen++
	s.Services, s.Dests = slices.Clone(s.Services), slices.Clone(s.Dests)
	key := forward.ServiceKey{Proto: packet.ProtoTCP}
	at := opt("-t")
	for name, proto := range map[string]uint8{"-u": packet.ProtoUDP, "--sctp-service": packet.ProtoSCTP} {
		if opt(name) != "" {
			at, key.Proto = opt(name), proto
		}
	}
	a := netip.MustParseAddrPort(at)
	key.Addr, key.Port = packet.AddrFrom(a.Addr()), a.Port()
	id := slices.IndexFunc(s.Services, func(v forward.Service) bool { return v.Key == key })
	switch w[0] {
	case "-A":
		kind, ok := sched.Lookup(opt("-s"))
		if !ok {
			panic("no scheduler " + opt("-s"))
		}
		svc := forward.Service{Key: key, Kind: kind, SchedGen: s.Gen, PoolGen: s.Gen, Tally: forward.NewTally(1),
			Pool: &sched.Pool{Cursor: new(sched.Cursor)}, OnePacket: slices.Contains(w, "-o"),
			Persistence: time.Duration(number("-p", 0)) * time.Second}
		for i := range svc.Mask {
			svc.Mask[i] = 0xff
		}
		s.Services = append(s.Services, svc)
	case "-a", "-e", "-d":
		svc := &s.Services[id]
		svc.Pool = &sched.Pool{Cursor: svc.Pool.Cursor, Dests: slices.Clone(svc.Pool.Dests)}
		svc.PoolGen = s.Gen
		r := netip.MustParseAddrPort(opt("-r"))
		b.server(&s, svc, forward.ServiceID(id), w[0], r, number("-w", 1))
	}
	s.Lookup = map[forward.ServiceKey]forward.ServiceID{}
	for i := range s.Services {
		s.Lookup[s.Services[i].Key] = forward.ServiceID(i)
	}
	b.snap = &s
	b.w.Publish(b.snap)
}

func (b *bench) server(s *forward.Snapshot, svc *forward.Service, id forward.ServiceID, what string, r netip.AddrPort,
	weight int) {
	addr := packet.AddrFrom(r.Addr())
	n := slices.IndexFunc(s.Dests, func(d forward.Dest) bool {
		return d.Service == id && d.Addr == addr && d.Port == r.Port()
	})
	if n < 0 {
		n = len(s.Dests)
		last := r.Addr().As16()[15] - 10 // server 1 of the transcripts is 172.16.0.11 and 2001:db8:2::11
		if r.Addr().Is6() {
			last -= 6
		}
		s.Dests = append(s.Dests, forward.Dest{Service: id, Addr: addr, Port: r.Port(), Method: forward.DR,
			Load: sched.NewLoad(1), Tally: forward.NewTally(1),
			Hop: forward.Hop{OK: true, Port: 1, MTU: b.mtu, Src: directorMAC, Dst: packet.MAC{2, 0, 0, 0, 2, 0x10 + last}}})
	}
	d := &s.Dests[n]
	d.Weight, d.Gone = int32(weight), what == "-d"
	at := slices.IndexFunc(svc.Pool.Dests, func(d sched.Dest) bool { return d.ID == uint32(n) })
	p := sched.Dest{ID: uint32(n), Addr: d.Addr, Port: d.Port, Weight: d.Weight, Load: d.Load}
	switch what {
	case "-a":
		svc.Pool.Dests = append([]sched.Dest{p}, svc.Pool.Dests...)
	case "-e":
		svc.Pool.Dests[at] = p
	case "-d":
		svc.Pool.Dests = slices.Delete(svc.Pool.Dests, at, at+1)
	}
}

func (b *bench) step() {
	b.t.Helper()
	if _, err := b.w.Step(b.now); err != nil {
		b.t.Fatal(err)
	}
	if n := b.lane.Outstanding(); n != 0 {
		b.t.Fatalf("%d frames in hand after a breath", n)
	}
}

// send lets a frame in and returns what left.
func (b *bench) send(frame []byte) [][]byte {
	b.t.Helper()
	b.lane.Inject(0, frame)
	b.step()
	return b.lane.Sent(1)
}

// tcp sends a TCP packet and returns the address of the real server that got it, "" for none.
func (b *bench) tcp(from, to string, flags uint8) string {
	b.t.Helper()
	return b.flow(packet.Spec{Tuple: tuple(packet.ProtoTCP, from, to), TCPFlags: flags})
}

func (b *bench) flow(s packet.Spec) string {
	b.t.Helper()
	s.SrcMAC, s.DstMAC = clientMAC, directorMAC
	out := b.send(packet.Build(nil, s))
	if len(out) == 0 {
		return ""
	}
	return b.snap.Dests[b.last.Dest].Addr.String()
}

func tuple(proto uint8, from, to string) packet.Tuple {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	family := packet.IPv6Family
	if src.Addr().Is4() {
		family = packet.IPv4Family
	}
	return packet.Tuple{Src: packet.AddrFrom(src.Addr()), Dst: packet.AddrFrom(dst.Addr()), SrcPort: src.Port(),
		DstPort: dst.Port(), Proto: proto, Family: family}
}

func (b *bench) conns() []forward.ConnInfo {
	b.t.Helper()
	done := make(chan struct{}, 1)
	l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 64)}
	var all []forward.ConnInfo
	for !l.End {
		if !b.w.Post(forward.Command{List: &l, Done: done}) {
			b.t.Fatal("mailbox full")
		}
		b.step()
		<-done
		all = append(all, l.Conns...)
		l.From = l.Next
	}
	return all
}

func (b *bench) counters() (c forward.Counters) {
	b.t.Helper()
	b.commit()
	b.w.ReadCounters(&c)
	return c
}

// commit lets so much time pass that the worker publishes its counters.
func (b *bench) commit() {
	b.t.Helper()
	b.now = b.now.Add(time.Millisecond)
	b.step()
}
