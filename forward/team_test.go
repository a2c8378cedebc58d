package forward_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/conntrack"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// compiled is a snapshot for a team, made from commands of ipvsadm. Real server 172.16.0.N is behind port 1.
func compiled(t testing.TB, workers int, rules ...string) *forward.Snapshot {
	t.Helper()
	var m config.Model
	hops := map[netip.Addr]forward.Hop{}
	for _, r := range rules {
		c, err := ipvsadm.ParseArgs(strings.Fields(r))
		if err == nil {
			err = c.Apply(&m)
		}
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
	}
	for i := range m.Services {
		for _, r := range m.Services[i].Reals {
			last := r.Addr.As16()[15]
			hops[r.Addr] = forward.Hop{OK: true, Port: 1, MTU: 1500, Src: directorMAC, Dst: packet.MAC{2, 0, 0, 0, 2, last}}
		}
	}
	s, err := director.Compile(&director.Inputs{Model: &m, Hops: hops, Workers: workers}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// team is workers that run one after the other in the test's goroutine, each on a lane of its own.
type team struct {
	t     *testing.T
	w     []*forward.Worker
	lanes []*forwardtest.Lane
	now   clock.Mono
	rnd   *rand.Rand
}

func newTeam(t *testing.T, n int, rules ...string) *team {
	s := compiled(t, n, rules...)
	e := &team{t: t, now: clock.Mono(time.Hour), rnd: rand.New(rand.NewPCG(1, 2))}
	for i := range n {
		lane := forwardtest.New(t, forwardtest.Options{Frames: 4096})
		w, err := forward.NewWorker(i, lane, forward.Options{Table: conntrack.Options{MaxConns: 1 << 14, Seed: uint64(i)}})
		if err != nil {
			t.Fatal(err)
		}
		w.Publish(s)
		e.w, e.lanes = append(e.w, w), append(e.lanes, lane)
	}
	forward.Join(e.w)
	t.Cleanup(func() {
		for _, w := range e.w {
			w.Close()
		}
	})
	e.steps(1)
	return e
}

// steps lets every worker take n breaths.
func (e *team) steps(n int) {
	e.t.Helper()
	for range n {
		for _, w := range e.w {
			if _, err := w.Step(e.now); err != nil {
				e.t.Fatal(err)
			}
		}
	}
}

// any lets a frame in at a worker drawn at random and returns what left, by port.
func (e *team) any(port int, frame []byte) (out [2][][]byte) {
	e.t.Helper()
	e.lanes[e.rnd.IntN(len(e.lanes))].Inject(port, frame)
	e.steps(3) // to the owner, and to the one before it
	for _, l := range e.lanes {
		for p := range out {
			out[p] = append(out[p], l.Sent(p)...)
		}
	}
	return out
}

// sum adds the counters up.
func (e *team) sum() (all forward.Counters) {
	e.now = e.now.Add(time.Second)
	e.steps(1)
	for _, w := range e.w {
		var c forward.Counters
		w.ReadCounters(&c)
		all.Add(&c)
	}
	return all
}

func TestTeamKeepsConnectionsTogether(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			e := newTeam(t, n, "-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g",
				"-a -t 192.0.2.100:80 -r 172.16.0.12:80 -g", "-a -t 192.0.2.100:80 -r 172.16.0.13:80 -g")
			const clients = 300
			server := map[int]packet.MAC{}
			count := map[packet.MAC]int{}
			for round, flags := range []uint8{packet.SYN, packet.ACK, packet.ACK | packet.PSH, packet.FIN | packet.ACK} {
				for _, i := range e.rnd.Perm(clients) {
					out := e.any(0, packet.Build(nil, packet.Spec{TCPFlags: flags, SrcMAC: clientMAC, DstMAC: directorMAC,
						Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("198.51.%d.%d:4000", i/100, i%100+1), "192.0.2.100:80")}))
					if len(out[1]) != 1 || len(out[0]) != 0 {
						t.Fatalf("client %d, round %d: %d frames to servers, %d to clients", i, round, len(out[1]), len(out[0]))
					}
					to := packet.Ethernet(out[1][0]).Dst()
					if round == 0 {
						server[i] = to
						count[to]++
					} else if server[i] != to {
						t.Fatalf("client %d went to %v, then to %v", i, server[i], to)
					}
				}
			}
			for mac, k := range count {
				if k != clients/3 {
					t.Errorf("%v got %d connections of %d, want a third: rr has one turn for all workers", mac, k, clients)
				}
			}
			if c := e.sum(); c.Connections != clients || c.HandedOver == 0 || c.Received != 4*clients || c.Forwarded != c.Received {
				t.Errorf("%d connections, %d frames handed over, %d received, %d forwarded", c.Connections, c.HandedOver,
					c.Received, c.Forwarded)
			}
		})
	}
}

// TestTeamSharesBatches gives workers whole batches of which more or less is others', so that owners are told in each way, and
// holds against the books that each packet leaves once, in the order of its flow, by the worker that has its connection.
func TestTeamSharesBatches(t *testing.T) {
	const workers, clients = 3, 200
	e := newTeam(t, workers, "-A -u 192.0.2.100:53 -s rr", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 -g",
		"-a -u 192.0.2.100:53 -r 172.16.0.12:53 -g")
	owner := func(client int) int { // whose lane it leaves by
		steer := forward.Steer{Workers: workers}
		a := packet.AddrFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(client)}))
		return steer.Owner(&a, 0)
	}
	var number [clients]uint32   // of the last packet let in
	var expected [clients]uint32 // of the next that leaves
	total := 0
	for round := range 400 {
		foreign := []int{0, 3, 50, 100}[round/10%4] // percent
		for i, l := range e.lanes {
			for range e.rnd.IntN(2 * packet.BatchSize) {
				c := e.rnd.IntN(clients)
				for (owner(c) == i) == (e.rnd.IntN(100) < foreign) || !fed(c, i, round) {
					c = e.rnd.IntN(clients)
				}
				number[c]++
				l.Inject(0, numbered(c, number[c], e.rnd.IntN(50) == 0))
				total++
			}
		}
		e.steps(1)
		if round%10 == 9 { // until nothing is on its way, for then clients move to other lanes
			e.steps(12)
		}
		for i, l := range e.lanes {
			for _, f := range l.Sent(1) {
				c, n := int(f[packet.EthernetLen+15]), binary.BigEndian.Uint32(f[len(f)-4:])
				if expected[c]++; n != expected[c] || owner(c) != i {
					t.Fatalf("round %d: packet %d of client %d left by worker %d, want %d by %d", round, n, c, i, expected[c], owner(c))
				}
				total--
			}
		}
	}
	if c := e.sum(); total != 0 || c.Connections != clients || c.HandedOver == 0 || c.Drops != [packet.DropReasons]uint64{} {
		t.Errorf("%d packets are missing; %d connections, %d frames handed over, drops %v", total, c.Connections, c.HandedOver, c.Drops)
	}
}

// fed reports whether a client's packets come by lane i: by one at a time, so that their order is one, and by another every
// ten rounds.
func fed(client, i, round int) bool { return (client+round/10)%3 == i }

// numbered is a packet of a client that ends with a number.
func numbered(client int, n uint32, options bool) []byte {
	s := packet.Spec{DstMAC: directorMAC, SrcMAC: clientMAC, Payload: binary.BigEndian.AppendUint32(nil, n),
		Tuple: tuple(packet.ProtoUDP, fmt.Sprintf("198.51.100.%d:4000", client), "192.0.2.100:53")}
	if options {
		s.Options = []byte{1, 1, 1, 0} // which do nothing
	}
	return packet.Build(nil, s)
}

func TestTeamFindsRepliesAndErrors(t *testing.T) {
	e := newTeam(t, 3, "-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:8080 -m")
	for i := range 100 {
		client := fmt.Sprintf("198.51.100.%d:4000", i+1)
		spec := packet.Spec{TCPFlags: packet.SYN, SrcMAC: clientMAC, DstMAC: directorMAC,
			Tuple: tuple(packet.ProtoTCP, client, "192.0.2.100:80")}
		if out := e.any(0, packet.Build(nil, spec)); len(out[1]) != 1 {
			t.Fatalf("client %d: %d frames to the server", i, len(out[1]))
		}
		reply := packet.Spec{TCPFlags: packet.SYN | packet.ACK, DstMAC: directorMAC,
			Tuple: tuple(packet.ProtoTCP, "172.16.0.11:8080", client)}
		out := e.any(1, packet.Build(nil, reply))
		if len(out[0]) != 1 {
			t.Fatalf("client %d: the reply of the server gave %d frames", i, len(out[0]))
		}
		var m packet.Meta
		if packet.Parse(out[0][0], &m); m.Src.String() != "192.0.2.100" || m.SrcPort != 80 {
			t.Fatalf("client %d: the reply comes from %v:%d", i, m.Src, m.SrcPort)
		}
		// The client's router and the server's complain.
		for port, quoted := range []packet.Spec{{Tuple: m.Tuple}, {Tuple: reply.Reverse()}} {
			q := packet.Build(nil, quoted)[packet.EthernetLen:]
			frame := packet.Build(nil, packet.Spec{DstMAC: directorMAC, SrcMAC: clientMAC, ICMPType: 3, ICMPCode: 1, Payload: q,
				Tuple: packet.Tuple{Src: packet.AddrFrom(netip.MustParseAddr("203.0.113.254")), Dst: quoted.Src,
					Proto: packet.ProtoICMP, Family: packet.IPv4Family}})
			if out := e.any(port, frame); len(out[1-port]) != 1 {
				t.Fatalf("client %d: an error at port %d gave %d frames", i, port, len(out[1-port]))
			}
		}
	}
	if c := e.sum(); c.HandedOver == 0 || c.Drops[packet.DropICMP] != 0 {
		t.Errorf("%d handed over, %d errors lost", c.HandedOver, c.Drops[packet.DropICMP])
	}
}

func TestTeamKeepsNetworksOfOneTemplateTogether(t *testing.T) {
	e := newTeam(t, 4, "-A -t 192.0.2.100:80 -s rr -p 300 -M 255.255.255.0", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g",
		"-a -t 192.0.2.100:80 -r 172.16.0.12:80 -g")
	used := map[packet.MAC]int{}
	for network := range 20 {
		var servers []packet.MAC
		for host := range 10 {
			out := e.any(0, packet.Build(nil, packet.Spec{TCPFlags: packet.SYN, DstMAC: directorMAC, SrcMAC: clientMAC,
				Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("198.51.%d.%d:4000", network, host+1), "192.0.2.100:80")}))
			servers = append(servers, packet.Ethernet(out[1][0]).Dst())
		}
		if slices.ContainsFunc(servers, func(m packet.MAC) bool { return m != servers[0] }) {
			t.Errorf("network %d went to %v", network, servers)
		}
		used[servers[0]]++
	}
	if c := e.sum(); c.Templates != 20 || len(used) != 2 || used[packet.MAC{2, 0, 0, 0, 2, 11}] != 10 {
		t.Errorf("%d templates, want 20; networks by server %v, want 10 each", c.Templates, used)
	}
}

// TestTeamFloodIsBounded gives one worker more for another than that takes.
func TestTeamFloodIsBounded(t *testing.T) {
	e := newTeam(t, 2, "-A -u 192.0.2.100:53 -s rr", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 -g")
	frame := packet.Build(nil, packet.Spec{DstMAC: directorMAC, SrcMAC: clientMAC, Payload: make([]byte, 1000),
		Tuple: tuple(packet.ProtoUDP, "198.51.100.1:4000", "192.0.2.100:53")})
	e.any(0, frame)
	owner := 0
	if len(e.conns(1)) > 0 {
		owner = 1
	}
	const n = 3000
	for range n {
		e.lanes[1-owner].Inject(0, frame)
	}
	for range n/packet.BatchSize + 1 {
		if _, err := e.w[1-owner].Step(e.now); err != nil {
			t.Fatal(err)
		}
	}
	e.steps(n / packet.BatchSize)
	c := e.sum()
	if lost := c.Drops[packet.DropHandover]; lost == 0 || c.Forwarded+lost != n+1 {
		t.Errorf("%d forwarded and %d dropped of %d", c.Forwarded, lost, n+1)
	}
}

// conns lists the connections of a worker.
func (e *team) conns(worker int) []forward.ConnInfo {
	e.t.Helper()
	l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 64)}
	done := make(chan struct{}, 1)
	e.w[worker].Post(forward.Command{List: &l, Done: done})
	e.steps(1)
	<-done
	return l.Conns
}

// TestTeamRuns lets workers run at once, each on a thread of its own, while what they follow changes.
func TestTeamRuns(t *testing.T) {
	rules := []string{"-A -t 192.0.2.100:80 -s wlc", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g",
		"-a -t 192.0.2.100:80 -r 172.16.0.12:80 -g"}
	s := compiled(t, 3, rules...)
	var all []*forward.Worker
	for i := range 3 {
		flows := traffic.Flows{Service: tuple(packet.ProtoTCP, "203.0.113.1:1", vip), SrcMAC: clientMAC, DstMAC: directorMAC}
		lane, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, 2000, packet.SYN, 0), Shuffle: true, Seed: uint64(i), Buffers: 4096})
		if err != nil {
			t.Fatal(err)
		}
		w, err := forward.NewWorker(i, lane, forward.Options{Table: conntrack.Options{MaxConns: 1 << 14}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		w.Publish(s)
		all = append(all, w)
	}
	forward.Join(all)
	var wg sync.WaitGroup
	for i, w := range all {
		wg.Go(func() {
			for k := range 2000 {
				if k == 1000 && i == 0 {
					next := *s
					next.Gen++
					for _, w := range all {
						w.Publish(&next)
					}
				}
				if _, err := w.Step(clock.Mono(time.Hour) + clock.Mono(k)*1000); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var sum forward.Counters
	for _, w := range all { // what is still in the rings
		for range 50 {
			w.Step(clock.Mono(2 * time.Hour))
		}
	}
	for _, w := range all {
		var c forward.Counters
		w.ReadCounters(&c)
		sum.Add(&c)
	}
	if sum.HandedOver == 0 || sum.Forwarded == 0 {
		t.Errorf("%d frames handed over, %d forwarded", sum.HandedOver, sum.Forwarded)
	}
}

// BenchmarkTeam is established connections through one worker, and through two on threads of their own: each gets what
// it owns, or half of what it gets is the other's.
func BenchmarkTeam(b *testing.B) {
	for _, c := range []struct {
		name    string
		workers int
		foreign bool
	}{{"one", 1, false}, {"two/own", 2, false}, {"two/half", 2, true}} {
		b.Run(c.name, func(b *testing.B) { benchTeam(b, c.workers, c.foreign) })
	}
}

func benchTeam(b *testing.B, workers int, foreign bool) {
	const flows = 1000
	s := compiled(b, workers, "-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g",
		"-a -t 192.0.2.100:80 -r 172.16.0.12:80 -g")
	var all []*forward.Worker
	for i := range workers {
		lane := func(flags uint8) *forwardtest.Loop {
			f := traffic.Flows{Service: tuple(packet.ProtoTCP, "203.0.113.1:1", vip), SrcMAC: clientMAC, DstMAC: directorMAC}
			l, err := forwardtest.NewLoop(forwardtest.LoopOptions{Buffers: 4096, Shuffle: flags != packet.SYN, Frames: func(yield func([]byte) bool) {
				for frame := range f.Each(0, flows*workers, flags, 0) {
					var m packet.Meta
					packet.Parse(frame, &m)
					if (foreign || s.Steer.Owner(&m.Src, m.SrcPort) == i) && !yield(frame) {
						return
					}
				}
			}})
			if err != nil {
				b.Fatal(err)
			}
			return l
		}
		w, err := forward.NewWorker(i, lane(packet.SYN), forward.Options{Table: conntrack.Options{MaxConns: 1 << 13}})
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		w.Publish(s)
		for range 4 * flows / packet.BatchSize {
			w.Step(clock.Mono(time.Hour))
		}
		w.SetLane(lane(packet.ACK))
		all = append(all, w)
	}
	forward.Join(all)
	now := clock.Mono(time.Hour + time.Minute)
	before := countTeam(all, now)
	b.ResetTimer()
	var wg sync.WaitGroup
	used := make([]time.Duration, len(all))
	for i, w := range all {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begin := threadTime()
			for frames := 0; frames < b.N; {
				n, _ := w.Step(now)
				frames += n
			}
			used[i] = threadTime() - begin
		})
	}
	wg.Wait()
	b.StopTimer()
	c := countTeam(all, now.Add(time.Minute))
	forwarded := float64(c.Forwarded - before.Forwarded)
	b.ReportMetric(b.Elapsed().Seconds()*1e9/forwarded, "ns/packet")
	b.ReportMetric(slices.Max(used).Seconds()*1e9/forwarded, "cpu-ns/packet") // as if nobody else were on the machine
	b.ReportMetric(100*float64(c.Drops[packet.DropHandover]-before.Drops[packet.DropHandover])/forwarded, "%lost")
}

// countTeam has the counters published and adds them up.
func countTeam(all []*forward.Worker, now clock.Mono) (sum forward.Counters) {
	for _, w := range all {
		w.Step(now)
		var c forward.Counters
		w.ReadCounters(&c)
		sum.Add(&c)
	}
	return sum
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
