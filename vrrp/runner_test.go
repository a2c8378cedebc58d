package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
)

// wireNet is a Net that blocks as a real one does. In a synctest bubble its time is the bubble's.
type wireNet struct {
	mu      sync.Mutex
	calls   []string
	open    map[int]Path
	inbox   chan Packet
	bell    chan struct{}
	oversee func(wait time.Duration) time.Duration // how long Receive sleeps really; may be nil
	fail    map[string]error                       // by the first word of the call
	slow    time.Duration                          // that Own takes
}

func newWireNet() *wireNet {
	return &wireNet{open: map[int]Path{}, inbox: make(chan Packet, 1000), bell: make(chan struct{}, 1), fail: map[string]error{}}
}

func (n *wireNet) note(format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := fmt.Sprintf(format, args...)
	n.calls = append(n.calls, s)
	return n.fail[strings.Fields(s)[0]]
}

// sleep decides how long Receive sleeps from now on.
func (n *wireNet) sleep(f func(wait time.Duration) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.oversee = f
}

// took returns the calls since the last took.
func (n *wireNet) took() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.calls
	n.calls = nil
	return c
}

func (n *wireNet) Open(id int, p Path) (netip.Addr, error) {
	n.open[id] = p
	return netip.Addr{}, n.note("open %s", p.Link)
}

func (n *wireNet) Shut(id int) { delete(n.open, id); _ = n.note("shut %d", id) }

func (n *wireNet) Send(id int, dst netip.Addr, msg []byte) error {
	return n.note("send %d %v priority %d", id, dst, msg[22])
}

func (n *wireNet) Receive(wait time.Duration) (Packet, bool) {
	select {
	case p := <-n.inbox:
		return p, true
	default:
	}
	if wait <= 0 {
		return Packet{}, false
	}
	n.mu.Lock()
	oversee := n.oversee
	n.mu.Unlock()
	if oversee != nil {
		if d := oversee(wait); d > wait {
			time.Sleep(d)
			return Packet{}, false
		}
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case p := <-n.inbox:
		return p, true
	case <-n.bell:
	case <-t.C:
	}
	return Packet{}, false
}

func (n *wireNet) Wake() {
	select {
	case n.bell <- struct{}{}:
	default:
	}
}

func (n *wireNet) Own(a Address, life time.Duration) error {
	time.Sleep(n.slow)
	return n.note("own %v %v", a.Prefix, life)
}
func (n *wireNet) Disown(a Address) error { return n.note("disown %v", a.Prefix) }
func (n *wireNet) Set(e Extra) error      { return n.note("set %s", e.Text) }
func (n *wireNet) Unset(e Extra) error    { return n.note("unset %s", e.Text) }
func (n *wireNet) Announce(link string, a netip.Addr) error {
	return n.note("announce %v %s", a, link)
}
func (n *wireNet) MakeVMAC(v VMAC) error   { return n.note("make %s", v.Name) }
func (n *wireNet) RemoveVMAC(v VMAC) error { return n.note("remove %s", v.Name) }
func (n *wireNet) Link(name string) (LinkState, bool) {
	return LinkState{Name: name, Up: true, Addrs: []netip.Addr{addr("10.0.0.1")}}, true
}
func (n *wireNet) RealTime(priority int, cpus []int) error {
	return n.note("realtime %d %v", priority, cpus)
}

// running is a Runner under way in a synctest bubble.
type running struct {
	*Runner
	net    *wireNet
	log    *observer.ObservedLogs
	cancel func()
	ended  chan error
	mu     sync.Mutex
	notes  []Notice
}

func startRunner() *running {
	core, log := observer.New(zap.DebugLevel)
	r := &running{net: newWireNet(), log: log, ended: make(chan error, 1)}
	r.Runner = NewRunner(Options{Clock: clock.NewSystem(), Log: zap.New(core), Net: r.net, Notice: func(n Notice) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.notes = append(r.notes, n)
	}})
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ended <- r.Run(ctx) }()
	synctest.Wait()
	return r
}

func (r *running) noted(k NoticeKind) (out []Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.notes {
		if n.Kind == k {
			out = append(out, n)
		}
	}
	return out
}

func quiet(c *Config) { c.GARP = GARP{Repeat: 1, RefreshRepeat: 1} }

// TestRunnerLife goes once through everything, in order.
func TestRunnerLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		plan := simple(150, quiet, func(c *Config) {
			c.VMAC = &VMAC{Name: "vrrp.51", Base: "eth0"}
			c.Routes = []Extra{{Text: "r"}}
		})
		if err := r.Apply(plan); err != nil {
			t.Fatal(err)
		}
		want := []string{"realtime 50 []", "make vrrp.51", "unset r", "disown 10.0.0.100/24", "open vrrp.51"}
		if got := r.net.took(); !slices.Equal(got, want) {
			t.Errorf("on Apply %q, want %q", got, want)
		}
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		want = []string{"send 0 224.0.0.18 priority 150", "own 10.0.0.100/24 4s", "set r", "announce 10.0.0.100 vrrp.51"}
		if got := r.net.took(); !slices.Equal(got, want) {
			t.Errorf("on becoming master %q, want %q", got, want)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		got := r.net.took()
		if n := count(got, "own"); n < 2 || n > 4 {
			t.Errorf("the lifetime of 4 s was prolonged %d times in 4 s", n)
		}
		if n := count(got, "send"); n != 4 {
			t.Errorf("%d adverts in 4 s", n)
		}
		if err := r.Apply(plan); err != nil {
			t.Fatal(err)
		}
		if got := r.net.took(); len(got) != 0 {
			t.Errorf("the same plan again did %q", got)
		}
		states, _ := r.States()
		if s := states[0]; s.State != Master || s.Stats.AdvertSent != 5 || s.Stats.Late.Max != 0 || !s.VIPSet || s.Source != addr("10.0.0.1") {
			t.Errorf("state %+v", s)
		}
		r.cancel()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		want = []string{"send 0 224.0.0.18 priority 0", "unset r", "disown 10.0.0.100/24", "shut 0", "remove vrrp.51"}
		if got := r.net.took(); !slices.Equal(got, want) {
			t.Errorf("at the end %q, want %q", got, want)
		}
		if err := r.Apply(plan); !errors.Is(err, ErrStopped) {
			t.Errorf("Apply after the end: %v", err)
		}
		if states, _ := r.States(); len(states) != 1 || states[0].State != Master {
			t.Errorf("states of the end: %+v", states)
		}
		if n := r.noted(StateChanged); len(n) != 3 || n[2].New != Stop {
			t.Errorf("notices %+v", n)
		}
	})
}

func count(calls []string, word string) (n int) {
	for _, c := range calls {
		if strings.HasPrefix(c, word+" ") {
			n++
		}
	}
	return n
}

// TestRunnerReload: what did not change is not touched, not even its sockets.
func TestRunnerReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		defer func() { r.cancel(); <-r.ended }()
		one := simple(150, quiet)
		two := simple(150, quiet, func(c *Config) { c.Name, c.VRID, c.Addresses[0].Prefix = "W", 52, mustPrefix("10.0.0.101/24") })
		both := Plan{Instances: append(slices.Clone(one.Instances), two.Instances...)}
		if err := r.Apply(both); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		r.net.took()
		if err := r.Apply(Plan{Instances: both.Instances[1:]}); err != nil {
			t.Fatal(err)
		}
		want := []string{"send 0 224.0.0.18 priority 0", "disown 10.0.0.100/24", "shut 0"}
		if got := r.net.took(); !slices.Equal(got, want) {
			t.Errorf("an instance less: %q, want %q", got, want)
		}
		moved := Plan{Instances: slices.Clone(both.Instances[1:])}
		moved.Instances[0].Source = addr("10.0.0.7")
		if err := r.Apply(moved); err != nil {
			t.Fatal(err)
		}
		if got, want := r.net.took(), []string{"shut 1", "open eth0"}; !slices.Equal(got, want) {
			t.Errorf("another source: %q, want %q", got, want)
		}
		states, _ := r.States()
		if states[0].State != Master || states[0].Source != addr("10.0.0.7") {
			t.Errorf("state %v, source %v: want a master that goes on", states[0].State, states[0].Source)
		}
		bad := Plan{Instances: append(slices.Clone(both.Instances), both.Instances[0])}
		if err := r.Apply(bad); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("a plan with an instance twice: %v", err)
		}
		if got := r.net.took(); len(got) != 0 {
			t.Errorf("a bad plan did %q", got)
		}
	})
}

// TestRunnerRepeat asks for the states, as a reload with fifo_write_vrrp_states_on_reload does.
func TestRunnerRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		defer func() { r.cancel(); <-r.ended }()
		plan := simple(150, quiet)
		plan.Groups = []GroupConfig{{Name: "G", Members: []string{plan.Instances[0].Name}}}
		if err := r.Apply(plan); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		before := len(r.noted(StateNow))
		r.Repeat()
		synctest.Wait()
		var got []string
		for _, n := range r.noted(StateNow)[before:] {
			got = append(got, fmt.Sprint(n.Kind, " ", n.Group, " ", n.Name, " ", n.New, " ", n.Priority))
		}
		want := []string{"state-now false V MASTER 150", "state-now true G MASTER 0"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestRunnerStalls: adverts that leave late are measured, logged once a second, and told when others may have taken over.
func TestRunnerStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		defer func() { r.cancel(); <-r.ended }()
		if err := r.Apply(simple(150, quiet)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		var once sync.Once
		r.net.sleep(func(wait time.Duration) time.Duration {
			late := time.Duration(0)
			once.Do(func() { late = 2500 * time.Millisecond })
			return late
		})
		r.net.Wake()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		states, _ := r.States()
		late := states[0].Stats.Late
		if late.Stalls != 1 || late.Max < 1500*time.Millisecond || late.Max > 2500*time.Millisecond || late.Last != 0 {
			t.Errorf("lateness %+v, want one stall of about two seconds", late)
		}
		if n := r.log.FilterMessage("(V) advert left late").Len(); n != 1 {
			t.Errorf("%d log lines, want one", n)
		}
	})
}

// TestRunnerSleptBackup: a backup that slept reads what the master sent meanwhile before it believes in its silence.
func TestRunnerSleptBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		defer func() { r.cancel(); <-r.ended }()
		if err := r.Apply(simple(100, quiet)); err != nil {
			t.Fatal(err)
		}
		adv := Advert{Version: 2, VRID: 51, Priority: 150, Interval: time.Second, Addrs: []netip.Addr{addr("10.0.0.100")}}
		p := Packet{IDs: []int{0}, Src: addr("10.0.0.2"), Dst: Group4(), TTL: 255, Protocol: ProtocolVRRP, Header: make([]byte, 20)}
		p.Data = adv.Append(nil, Pseudo{Src: p.Src, Dst: p.Dst})
		r.net.sleep(func(wait time.Duration) time.Duration { return wait + 5*time.Second })
		r.net.Wake()
		time.Sleep(time.Second)
		for range 4 {
			r.net.inbox <- p
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if n := r.noted(StateChanged); len(n) != 1 {
			t.Errorf("notices %+v, want none but the first", n)
		}
	})
}

// TestRunnerTellsOfErrors: what cannot be set up does not keep the rest from working.
func TestRunnerTellsOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		defer func() { r.cancel(); <-r.ended }()
		boom := errors.New("boom")
		for _, call := range []string{"open", "send", "own", "announce", "realtime"} {
			r.net.fail[call] = boom
		}
		if err := r.Apply(simple(150, quiet)); !errors.Is(err, boom) || !strings.Contains(err.Error(), "vrrp_instance V") {
			t.Errorf("Apply: %v", err)
		}
		time.Sleep(6 * time.Second)
		states, _ := r.States()
		if s := states[0]; s.State != Master || s.Stats.SendErrors != 3 || s.Stats.EffectErrors < 2 {
			t.Errorf("state %v, counters %+v", s.State, s.Stats)
		}
		if n := r.log.FilterMessage("(V): send advert error").Len(); n != 1 {
			t.Errorf("%d log lines about sending, want one", n)
		}
	})
}

// TestRunnerFromAllSides: doors may be used by all goroutines at once.
func TestRunnerFromAllSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRunner()
		plan := simple(150, quiet, func(c *Config) { c.Track = []Track{{Kind: TrackScript, Name: "s", Weight: 10}} })
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 20 {
					switch i % 4 {
					case 0:
						if err := r.Apply(plan); err != nil {
							t.Error(err)
						}
					case 1:
						r.Track(TrackScript, "s", TrackState{Known: true, Up: i > 4})
					case 2:
						r.Link(LinkState{Name: "eth0", Up: true, Addrs: []netip.Addr{addr("10.0.0.1")}})
					case 3:
						r.States()
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		wg.Wait()
		time.Sleep(5 * time.Second)
		if s, _ := r.States(); s[0].State != Master {
			t.Errorf("state %v", s[0].State)
		}
		r.cancel()
		<-r.ended
	})
}

// TestUnknownVRID is the line of log_unknown_vrids.
func TestUnknownVRID(t *testing.T) {
	s, a, _ := pair(t)
	p := a.r.m.plan
	p.LogUnknown = true
	if err := a.r.Apply(p); err != nil {
		t.Fatal(err)
	}
	adv := Advert{Version: 2, VRID: 99, Priority: 100, Interval: time.Second}
	pkt := Packet{Src: addr("10.0.0.9"), Dst: Group4(), TTL: 255, Protocol: ProtocolVRRP, Header: make([]byte, 20)}
	pkt.Data = adv.Append(nil, Pseudo{Src: pkt.Src, Dst: pkt.Dst})
	a.inject(pkt)
	pkt.Data = pkt.Data[:5]
	a.inject(pkt)
	s.runTo(6 * time.Second)
	if !slices.ContainsFunc(a.lines, func(l string) bool {
		return strings.HasSuffix(l, "Unknown VRID(99) received on interface(eth0). ignoring...")
	}) {
		t.Errorf("log %q", a.lines[len(a.lines)-3:])
	}
	if got := a.r.Strays(); got[RejectVRID] != 1 || got[RejectLength] != 1 {
		t.Errorf("rejects %v", got)
	}
}

// slowCore is a log whose reader hangs until it is told to go on.
type slowCore struct {
	zapcore.Core
	gate chan struct{}
}

func (c slowCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, c)
}

func (c slowCore) Write(e zapcore.Entry, f []zapcore.Field) error {
	<-c.gate
	return c.Core.Write(e, f)
}

// TestRunnerDoesNotWaitForItsLog: adverts leave in time while nobody reads the log, and what was lost is told.
func TestRunnerDoesNotWaitForItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, log := observer.New(zap.DebugLevel)
		gate := make(chan struct{})
		n := newWireNet()
		r := NewRunner(Options{Clock: clock.NewSystem(), Log: zap.New(slowCore{core, gate}), Net: n})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		many := simple(150, func(c *Config) { c.GARP = GARP{Repeat: 10_000, RefreshRepeat: 1} })
		if err := r.Apply(many); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		states, _ := r.States()
		if s := states[0].Stats; s.AdvertSent != 7 || s.Late.Max > time.Millisecond || s.Announced != 10_000 {
			t.Errorf("%d adverts, %d announcements, lateness %+v", s.AdvertSent, s.Announced, s.Late)
		}
		close(gate)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		lost := log.FilterMessage("log lines of VRRP were lost").All()
		if len(lost) != 1 || lost[0].ContextMap()["lines"].(uint64) < 1000 {
			t.Errorf("told of losses: %v", lost)
		}
		if log.FilterMessage("(V) removing VIPs.").Len() != 2 {
			t.Error("the last lines are missing")
		}
	})
}

// TestVMACs: they are made before they are needed, made again when that failed or when the link below came back, and
// removed when nobody has them.
func TestVMACs(t *testing.T) {
	s := newSim(t, 1)
	n := s.add("a", 1, "eth0")
	with := simple(150, quiet, func(c *Config) { c.VMAC = &VMAC{Name: "vrrp.51", Base: "eth0"} })
	without := simple(150, quiet)
	apply := func(p Plan) {
		t.Helper()
		if err := n.r.Apply(p); err != nil {
			t.Fatal(err)
		}
		n.r.turn()
	}
	calls := func() (out []string) {
		for _, c := range n.calls {
			if strings.HasPrefix(c, "make") || strings.HasPrefix(c, "remove") {
				out = append(out, c)
			}
		}
		n.calls = nil
		return out
	}
	expect := func(want ...string) {
		t.Helper()
		if got := calls(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	s.runTo(time.Second)
	n.noVMAC = true
	n.boot(with)
	expect("make vrrp.51")
	if f := n.r.m.instance("V").faults(); !slices.Equal(f, []string{"interface vrrp.51 down"}) {
		t.Errorf("faults %q", f)
	}
	n.noVMAC = false
	apply(with)
	expect("make vrrp.51")
	if st := n.state("V"); st != Backup {
		t.Errorf("state %v, want BACKUP once the interface is there", st)
	}
	apply(with)
	expect()
	delete(n.links, "vrrp.51") // the card is pulled
	n.r.Link(LinkState{Name: "vrrp.51"})
	n.setLink("eth0", false)
	expect()
	n.setLink("eth0", true)
	expect("make vrrp.51")
	others := simple(150, quiet, func(c *Config) {
		c.VMAC = with.Instances[0].VMAC
		c.VMACs = []VMAC{{Name: "vrrp1.51", Base: "eth1"}, {Name: "vrrp6.51", Base: "eth0", IPv6: true}}
		c.Excluded = []Address{{Prefix: mustPrefix("10.0.1.100/24"), Link: "vrrp1.51", UseVMAC: true}}
	})
	apply(others)
	expect("make vrrp1.51", "make vrrp6.51")
	others = simple(150, quiet, func(c *Config) { *c = others.Instances[0]; c.VMACs = c.VMACs[:1] })
	apply(others)
	expect("remove vrrp6.51")
	apply(with)
	expect("remove vrrp1.51")
	apply(without)
	expect("remove vrrp.51")
	n.noVMAC = true
	n.r.Apply(with)
	n.r.turn()
	n.noVMAC = false
	expect("make vrrp.51")
	n.setLink("eth0", true) // the link below is heard of
	expect("make vrrp.51")
	n.stop()
	expect("remove vrrp.51")
}
