package bfd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"dirsw/clock"
	"dirsw/internal/testenv"
)

// side is a Runner in a namespace, and what it told.
type side struct {
	r    *Runner
	stop context.CancelFunc
	logs *observer.ObservedLogs

	mu     sync.Mutex
	told   []Notice // changes
	times  []time.Time
	stands []Notice // how sessions stand after Set
}

// run starts a Runner with sessions in a namespace. It ends with the test, or by stop.
func run(t *testing.T, in *testenv.Namespace, sessions ...Config) *side {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := &side{logs: logs}
	s.r = NewRunner(Options{Clock: clock.NewSystem(), Log: zap.New(core), Prepare: hurry, Notice: func(n Notice) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n.From == n.To {
			s.stands = append(s.stands, n)
			return
		}
		s.told, s.times = append(s.told, n), append(s.times, time.Now())
	}})
	if err := s.r.Set(sessions); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go in.Do(t, func() { done <- s.r.Run(ctx) })
	ended := false
	s.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

// hurry gives the thread real-time priority where that is allowed, as the director does.
func hurry() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 10}, 0)
}

// TestMain lets the threads of two Runners run beside goroutines that take all processors, as the director does.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	os.Exit(m.Run())
}

// lines are the lines that were logged, without what differs from run to run.
func (s *side) lines() []string {
	var out []string
	for _, e := range s.logs.All() {
		if !strings.Contains(e.Message, "overdue") {
			out = append(out, e.Message)
		}
	}
	return out
}

// changes are the states that were told, and when the last was.
func (s *side) changes() ([]State, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []State
	for _, n := range s.told {
		out = append(out, n.To)
	}
	if len(out) == 0 {
		return nil, time.Time{}
	}
	return out, s.times[len(s.times)-1]
}

// last is the state that was told last.
func (s *side) last() State {
	c, _ := s.changes()
	if len(c) == 0 {
		return Down
	}
	return c[len(c)-1]
}

func session(name, source, neighbor string) Config {
	return Config{
		Name: name, Source: netip.MustParseAddr(source), Neighbor: netip.MustParseAddr(neighbor),
		MinRx: 300 * ms, MinTx: 300 * ms, Multiplier: 3,
	}
}

// calm is a session that stays up on a machine that stands still for a second.
func calm(name, source, neighbor string) Config {
	c := session(name, source, neighbor)
	c.MinRx, c.MinTx = 500*ms, 500*ms
	return c
}

// calmly is longer than it takes a calm session to miss its neighbour.
const calmly = 2 * time.Second

// pair makes two namespaces with a veth pair between them.
func pair(t *testing.T) (a, b testenv.End) {
	a = testenv.End{In: testenv.NewNamespace(t), Name: "bfda", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"}}
	b = testenv.End{In: testenv.NewNamespace(t), Name: "bfdb", Addrs: []string{"192.0.2.2/24", "2001:db8::2/64", "fe80::2/64"}}
	testenv.Veth(t, a, b)
	return a, b
}

func TestRunner(t *testing.T) {
	for _, tt := range []struct{ name, a, b, zoneA, zoneB string }{
		{"IPv4", "192.0.2.1", "192.0.2.2", "", ""},
		{"IPv6", "2001:db8::1", "2001:db8::2", "", ""},
		{"link-local", "fe80::1", "fe80::2", "%bfda", "%bfdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			left, right := pair(t)
			a := run(t, left.In, calm("peer", tt.a+tt.zoneA, tt.b+tt.zoneA))
			b := run(t, right.In, calm("peer", tt.b+tt.zoneB, tt.a+tt.zoneB))
			testenv.Await(t, "both are up", func() bool { return a.last() == Up && b.last() == Up })
			time.Sleep(calmly)
			if c, _ := a.changes(); a.last() != Up || c[len(c)-1] != Up || len(c) > 2 {
				t.Fatalf("changes %v", c)
			}

			cut := time.Now()
			right.SetUp(t, false)
			testenv.Await(t, "both are down", func() bool { return a.last() == Down && b.last() == Down })
			for _, s := range []*side{a, b} {
				_, at := s.changes()
				t.Logf("down %v after the cut", at.Sub(cut))
			}
			right.SetUp(t, true)
			if tt.name != "IPv4" { // the kernel took them off with the link
				addAddr(t, right, tt.b+"/64")
			}
			testenv.Await(t, "both are up again", func() bool { return a.last() == Up && b.last() == Up })

			b.stop()
			testenv.Await(t, "the other side is down", func() bool { return a.last() == Down })
			want := []string{
				"(peer) Entering Up state",
				"(peer) Entering Down state (Local diagnostic - Control Detection Time Expired, Remote diagnostic - No Diagnostic)",
				"(peer) Entering Up state",
				"(peer) Entering Down state (Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - Administratively Down)",
			}
			got := slices.DeleteFunc(a.lines(), func(l string) bool { // an address that is not ready yet, or gone
				return strings.Contains(l, "Error sending") || strings.Contains(l, "Unable to open output socket")
			})
			if !slices.Equal(got, want) {
				t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestRunnerReload changes a pace, adds a session and takes one away: what stays does not notice.
func TestRunnerReload(t *testing.T) {
	left, right := pair(t)
	four, six := session("four", "192.0.2.1", "192.0.2.2"), session("six", "2001:db8::1", "2001:db8::2")
	a := run(t, left.In, four)
	b := run(t, right.In, session("b4", "192.0.2.2", "192.0.2.1"), session("b6", "2001:db8::2", "2001:db8::1"))
	up := func(r *Runner, names ...string) func() bool {
		return func() bool {
			list, _ := r.Status()
			got := []string{}
			for _, s := range list {
				if s.State == Up {
					got = append(got, s.Config.Name)
				}
			}
			return slices.Equal(got, names)
		}
	}
	testenv.Await(t, "four is up", up(a.r, "four"))
	four.MinTx, four.MinRx = 500*ms, 500*ms
	if err := a.r.Set([]Config{six, four}); err != nil {
		t.Fatal(err)
	}
	testenv.Await(t, "six and four are up", up(a.r, "six", "four"))
	testenv.Await(t, "the new pace is in force", func() bool {
		list, _ := b.r.Status()
		return list[0].Detection == 1500*ms && list[0].TxInterval == 500*ms
	})
	if err := a.r.Set([]Config{six}); err != nil {
		t.Fatal(err)
	}
	testenv.Await(t, "only b6 is up", up(b.r, "b6"))
	list, _ := b.r.Status()
	if s := list[0]; s.Diag != DiagNeighborDown || s.Changes < 2 {
		t.Errorf("b4: %+v", s)
	}
	testenv.Await(t, "it is told how sessions stand", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		var got []string
		for _, n := range a.stands {
			got = append(got, fmt.Sprint(n.Name, " ", n.To))
		}
		return fmt.Sprint(got) == "[four Down six Down four Up six Up]"
	})
	if err := a.r.Set([]Config{six, {Name: "bad"}}); err == nil {
		t.Error("a session without a neighbour is taken")
	}
	if list, _ := a.r.Status(); len(list) != 1 || list[0].Config.Name != "six" || list[0].State != Up {
		t.Errorf("what is wrong changed something: %+v", list)
	}
}

// TestRunnerMultihop goes through a router, which a session of one hop does not.
func TestRunnerMultihop(t *testing.T) {
	router := testenv.NewNamespace(t)
	a := testenv.End{In: testenv.NewNamespace(t), Name: "bfda", Addrs: []string{"192.0.2.1/24"}}
	b := testenv.End{In: testenv.NewNamespace(t), Name: "bfdb", Addrs: []string{"198.51.100.1/24"}}
	testenv.Veth(t, a, testenv.End{In: router, Name: "ra", Addrs: []string{"192.0.2.254/24"}})
	testenv.Veth(t, b, testenv.End{In: router, Name: "rb", Addrs: []string{"198.51.100.254/24"}})
	router.Sysctl(t, "ipv4.ip_forward", "1")
	route(t, a, "192.0.2.254")
	route(t, b, "198.51.100.254")
	for _, tt := range []struct {
		name     string
		multihop bool
		maxHops  uint8
		want     State
	}{
		{"multihop", true, 0, Up}, {"multihop, one hop allowed", true, 1, Up}, {"one hop allowed", false, 1, Up}, {"any allowed", false, 255, Up},
		{"single hop", false, 0, Down},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, y := session("peer", "192.0.2.1", "198.51.100.1"), session("peer", "198.51.100.1", "192.0.2.1")
			x.Multihop, y.Multihop, x.MaxHops, y.MaxHops = tt.multihop, tt.multihop, tt.maxHops, tt.maxHops
			l, r := run(t, a.In, x), run(t, b.In, y)
			defer l.stop()
			defer r.stop()
			if tt.want == Up {
				testenv.Await(t, "both are up", func() bool { return l.last() == Up && r.last() == Up })
				return
			}
			testenv.Await(t, "packets are rejected for their TTL", func() bool {
				list, _ := l.r.Status()
				return len(list) == 1 && list[0].Rejects[RejectTTL] > 0
			})
			if l.last() != Down {
				t.Errorf("state %v", l.last())
			}
		})
	}
}

// TestRunnerForged sends what is not for a session or not good, while it is up: all is counted, nothing changes.
func TestRunnerForged(t *testing.T) {
	left, right := pair(t)
	a := run(t, left.In, calm("peer", "192.0.2.1", "192.0.2.2"))
	b := run(t, right.In, calm("peer", "192.0.2.2", "192.0.2.1"))
	testenv.Await(t, "both are up", func() bool { return a.last() == Up && b.last() == Up })
	list, _ := a.r.Status()
	known := list[0].Local

	var from, stranger *net.UDPConn
	addAddr(t, right, "192.0.2.3/24")
	right.In.Do(t, func() {
		from, stranger = dialUDP(t, "192.0.2.2", "192.0.2.1"), dialUDP(t, "192.0.2.3", "192.0.2.1")
	})
	down := Packet{State: Down, DetectMult: 3, My: 9, Your: known, DesiredMinTx: time.Second, RequiredMinRx: time.Second}
	foreign := down
	foreign.Your = known + 1
	for n := range uint64(200) {
		_, _ = from.Write([]byte("garbage"))
		_, _ = from.Write(make([]byte, 1400))
		_, _ = from.Write(foreign.Append(nil))
		_, _ = from.Write(down.Append(nil)) // TTL 64
		_, _ = stranger.Write(down.Append(nil))
		if n%20 != 19 {
			continue
		}
		testenv.Await(t, "all are counted", func() bool { // before the kernel's queue is full, which is not what is tested
			list, unknown := a.r.Status()
			return unknown[RejectShort] == n+1 && unknown[RejectVersion] == n+1 && unknown[RejectSession] == n+1 &&
				list[0].Rejects[RejectTTL] == n+1 && list[0].Rejects[RejectAddress] == n+1
		})
	}
	if c, _ := a.changes(); a.last() != Up || b.last() != Up {
		t.Errorf("changes %v", c)
	}
}

// TestRunnerFlooded sends garbage as fast as one thread can, for longer than sessions last without packets: they stay up.
func TestRunnerFlooded(t *testing.T) {
	left, right := pair(t)
	a := run(t, left.In, calm("peer", "192.0.2.1", "192.0.2.2"))
	b := run(t, right.In, calm("peer", "192.0.2.2", "192.0.2.1"))
	testenv.Await(t, "both are up", func() bool { return a.last() == Up && b.last() == Up })
	addAddr(t, right, "192.0.2.3/24")
	right.In.Do(t, func() {
		c := dialUDP(t, "192.0.2.3", "192.0.2.1")
		begin := time.Now()
		testenv.Await(t, "it is counted", func() bool {
			for range 1000 {
				_, _ = c.Write(make([]byte, PacketLen))
			}
			_, unknown := a.r.Status()
			return unknown[RejectVersion] > 10_000 && time.Since(begin) > calmly
		})
	})
	if c, _ := a.changes(); a.last() != Up || b.last() != Up {
		t.Errorf("changes %v", c)
	}
}

func dialUDP(t *testing.T, from, to string) *net.UDPConn {
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), portSingleHop)))
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestRunnerWhileBusy has other goroutines take all processors: the sessions stay up.
func TestRunnerWhileBusy(t *testing.T) {
	left, right := pair(t)
	a := run(t, left.In, calm("peer", "192.0.2.1", "192.0.2.2"))
	b := run(t, right.In, calm("peer", "192.0.2.2", "192.0.2.1"))
	testenv.Await(t, "both are up", func() bool { return a.last() == Up && b.last() == Up })
	var end atomic.Bool
	var busy sync.WaitGroup
	for range runtime.GOMAXPROCS(0) - 2 {
		busy.Go(func() {
			for n := 0; !end.Load(); n++ {
				_ = n * n
			}
		})
	}
	time.Sleep(calmly)
	end.Store(true)
	busy.Wait()
	list, _ := a.r.Status()
	t.Logf("the latest packet left %v late", list[0].Latest)
	if c, _ := a.changes(); a.last() != Up || b.last() != Up {
		t.Errorf("changes %v", c)
	}
}

// TestRunnerWithoutSocket starts before its address is there, tells so once, and comes up when it is.
func TestRunnerWithoutSocket(t *testing.T) {
	left, right := pair(t)
	a := run(t, left.In, session("peer", "192.0.2.77", "192.0.2.2"))
	b := run(t, right.In, session("peer", "192.0.2.2", "192.0.2.77"))
	testenv.Await(t, "it is told", func() bool { return len(a.lines()) > 0 })
	addAddr(t, left, "192.0.2.77/24")
	testenv.Await(t, "both are up", func() bool { return a.last() == Up && b.last() == Up })
	if got := fmt.Sprint(a.lines()); got != "[(peer) Unable to open output socket (peer) Entering Up state]" {
		t.Errorf("lines %s", got)
	}
}

func TestSetRefuses(t *testing.T) {
	r := NewRunner(Options{Clock: clock.NewSystem(), Log: zap.NewNop()})
	good := session("a", "192.0.2.1", "192.0.2.2")
	other := good
	other.Name = "b"
	for _, tt := range []struct {
		list []Config
		want string
	}{
		{[]Config{{Name: "a"}}, "bad neighbor_ip"},
		{[]Config{{Neighbor: good.Neighbor}}, "without a name"},
		{[]Config{session("a", "2001:db8::1", "192.0.2.2")}, "two families"},
		{[]Config{good, good}, "another's too"},
		{[]Config{good, other}, "another's too"},
	} {
		if err := r.Set(tt.list); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}
