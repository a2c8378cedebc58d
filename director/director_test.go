package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/host"
	"dirsw/packet"
	"dirsw/stats"
	"dirsw/vrrp"
)

// world is a host and a packet filter that write down what is asked of them.
type world struct {
	mu       sync.Mutex
	log      []string
	hops     map[netip.Addr]host.Hop
	w        *forward.Worker
	fail     error // of SetFilter
	refusals int   // by fail
	asks     int   // calls of Resolve after which every neighbour has answered
	owns     map[netip.Prefix]bool
	rang     chan struct{}
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// took returns what was written down since the last call.
func (w *world) took() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.log, "\n")
	w.log = nil
	return s
}

// has reports whether the election holds an address.
func (w *world) has(p string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owns[netip.MustParsePrefix(p)]
}

func (w *world) NextHop(a netip.Addr) (host.Hop, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.hops[a]
	if !ok {
		return host.Hop{Unreachable: true, Reason: "there is no route"}, nil
	}
	return h, nil
}

func (w *world) Addrs() ([]host.Addr, error) {
	return []host.Addr{{Link: 7, Addr: netip.MustParseAddr("192.0.2.254"), Source: true}}, nil
}

func (w *world) LocalNets() ([]host.LocalNet, error) { return nil, nil }

func (w *world) Divert(_ int, from []host.Endpoint) error {
	if len(from) > 0 {
		w.say("divert %v", from)
	}
	return nil
}

func (w *world) Resolve(host.Hop) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asks--; w.asks == 0 {
		for a, h := range w.hops {
			h.Resolved = true
			w.hops[a] = h
		}
	}
	return nil
}

func (w *world) Link(name string) (host.Link, error) {
	if name != "eth0" {
		return host.Link{}, host.ErrNoLink
	}
	return host.Link{Index: 7, Name: name, MAC: [6]byte{2, 0, 0, 0, 0, 1}, Up: true}, nil
}

// electorate is the machine of the election: links are up, nothing comes.
type electorate struct{ *world }

func (w electorate) Open(int, vrrp.Path) (netip.Addr, error) {
	return netip.MustParseAddr("192.0.2.254"), nil
}
func (w electorate) Shut(int)                           {}
func (w electorate) Send(int, netip.Addr, []byte) error { return nil }
func (w electorate) Set(vrrp.Extra) error               { return nil }
func (w electorate) Unset(vrrp.Extra) error             { return nil }
func (w electorate) MakeVMAC(vrrp.VMAC) error           { return nil }
func (w electorate) RemoveVMAC(vrrp.VMAC) error         { return nil }
func (w electorate) RealTime(int, []int) error          { return nil }
func (w electorate) Announce(string, netip.Addr) error  { return nil }
func (w electorate) Own(a vrrp.Address, _ time.Duration) error {
	w.mu.Lock()
	was := w.owns[a.Prefix]
	w.owns[a.Prefix] = true
	w.mu.Unlock()
	if !was {
		w.say("own %v", a.Prefix)
	}
	return nil
}

func (w electorate) Disown(a vrrp.Address) error {
	w.mu.Lock()
	was := w.owns[a.Prefix]
	delete(w.owns, a.Prefix)
	w.mu.Unlock()
	if was {
		w.say("disown %v", a.Prefix)
	}
	return nil
}

func (w electorate) Receive(wait time.Duration) (vrrp.Packet, bool) {
	select {
	case <-w.rang:
	case <-time.After(wait):
	}
	return vrrp.Packet{}, false
}

func (w electorate) Wake() {
	select {
	case w.rang <- struct{}{}:
	default:
	}
}

func (w electorate) Link(name string) (vrrp.LinkState, bool) {
	return vrrp.LinkState{Name: name, Up: true, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.254")}}, name == "eth0"
}

func (w *world) PromoteSecondaries(string) (func() error, error) {
	return func() error { return nil }, nil
}

// Statics are not under test here.

func (w *world) Hold([]host.Address, time.Duration) error    { return nil }
func (w *world) Prolong([]host.Address, time.Duration) error { return nil }
func (w *world) Release([]host.Address) error                { return nil }
func (w *world) AddRoute(host.Route) error                   { return nil }
func (w *world) DelRoute(host.Route) error                   { return nil }
func (w *world) AddRule(host.Rule) error                     { return nil }
func (w *world) DelRule(host.Rule) error                     { return nil }
func (w *world) SetMACs(int, []packet.MAC) error             { return nil }
func (w *world) Refused() uint64                             { return 0 }

// SetFilter notes the generation that the worker follows at that moment: what is new must be published before.
func (w *world) SetFilter(f forward.Filter) error {
	var names []string
	for _, k := range f.Keys {
		names = append(names, addrPort(k.Addr, k.Port))
	}
	w.say("generation %d, filter %v", w.w.Adopted(), names)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		w.refusals++
	}
	return w.fail
}

const directorConf = `
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 255
    version 3
    advert_int 0.01
    virtual_ipaddress {
        192.0.2.100
    }
}
virtual_server 192.0.2.100 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 192.0.2.1 80 {
        weight 1
    }
    real_server 192.0.2.2 80 {
        weight 1
    }
}
`

// start runs a director with one worker on a lane in memory.
func start(t *testing.T) (*Director, *world, *string) {
	return startWith(t, func(*Options) {})
}

// startWith is start with some options changed.
func startWith(t *testing.T, change func(*Options)) (*Director, *world, *string) {
	lane := forwardtest.New(t, forwardtest.Options{})
	w, err := forward.NewWorker(0, lane, forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wo := &world{w: w, hops: map[netip.Addr]host.Hop{}, owns: map[netip.Prefix]bool{}, rang: make(chan struct{}, 1)}
	for i, a := range []string{"192.0.2.1", "192.0.2.2"} {
		addr := netip.MustParseAddr(a)
		wo.hops[addr] = host.Hop{Link: 7, Gateway: addr, MAC: [6]byte{2, 0, 0, 0, 1, byte(i)}, MTU: 1500, Resolved: true}
	}
	text := directorConf
	o := Options{Clock: clock.NewSystem(), Log: zap.NewNop(), Host: wo, Statics: wo, Net: electorate{wo}, Filter: wo, Workers: []*forward.Worker{w},
		Ports: []Port{{Name: "eth0", Link: 7, MAC: packet.MAC{2, 0, 0, 0, 0, 1}}}, Model: parse(t, text),
		Load: func() (*config.Model, []config.Note, error) {
			if text == "bad" {
				return nil, nil, config.Errors{{Message: "bad"}}
			}
			return parse(t, text), nil, nil
		}}
	change(&o)
	d := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	workerCtx, stopWorker := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.Run(workerCtx, clock.NewSystem()) }()
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stopWorker()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.Close()
		want := "disown 192.0.2.100/32\ngeneration"
		if got := wo.took(); !strings.Contains(got, want) || !strings.HasSuffix(got, "filter []") {
			t.Errorf("at the end:\n%s\nwant the address released, then the filter emptied", got)
		}
	})
	<-d.Ready()
	for !wo.has("192.0.2.100/32") { // the owner is master at once
		time.Sleep(time.Millisecond)
	}
	return d, wo, &text
}

func TestOrderOfEffects(t *testing.T) {
	d, w, text := start(t)
	want := "generation 1, filter [192.0.2.100:80]\nown 192.0.2.100/32"
	if got := w.took(); got != want {
		t.Errorf("at the start:\n%s\nwant\n%s", got, want)
	}
	*text = strings.Replace(directorConf, "virtual_server 192.0.2.100 80", "virtual_server 192.0.2.100 8080", 1)
	changes, _, err := d.Reload()
	if err != nil || len(changes) == 0 {
		t.Fatalf("%v, %v", changes, err)
	}
	got := w.took()
	want = "generation 1, filter []\ngeneration 2, filter [192.0.2.100:8080]"
	if got != want {
		t.Errorf("a service moved to another port:\n%s\nwant\n%s", got, want)
	}
}

func TestBadReloadChangesNothing(t *testing.T) {
	d, w, text := start(t)
	w.took()
	for _, c := range []struct{ name, text string }{
		{"unreadable", "bad"},
		{"other interface", strings.Replace(directorConf, "interface eth0", "interface eth9", 1)},
		{"other interface of an address", strings.Replace(directorConf, "        192.0.2.100\n", "        192.0.2.100 dev eth9\n", 1)},
	} {
		*text = c.text
		if _, _, err := d.Reload(); err == nil {
			t.Errorf("%s: accepted", c.name)
		} else if !errors.As(err, new(config.Errors)) {
			t.Errorf("%s: %T %v", c.name, err, err)
		}
		var s stats.Stats
		if d.ReadStats(&s); s.Generation != 1 || len(s.Services) != 1 {
			t.Errorf("%s: generation %d", c.name, s.Generation)
		}
	}
	if got := w.took(); got != "" {
		t.Errorf("a bad file did:\n%s", got)
	}
}

func TestFollowsTheNetwork(t *testing.T) {
	d, w, _ := start(t)
	addr := netip.MustParseAddr("192.0.2.1")
	w.mu.Lock()
	h := w.hops[addr]
	h.MAC[5] = 0x77
	w.hops[addr] = h
	w.mu.Unlock()
	d.Wake()
	waitFor(t, d, func(s *stats.Stats) bool {
		return strings.Contains(s.Services[0].Dests[1].NextHop, "02:00:00:00:01:77")
	})
	w.mu.Lock()
	delete(w.hops, addr)
	w.mu.Unlock()
	d.Wake()
	waitFor(t, d, func(s *stats.Stats) bool {
		return strings.Contains(s.Services[0].Dests[1].NextHop, "there is no route")
	})
}

// waitFor reads until ok; a director that never gets there hangs the test until its timeout.
func waitFor(t *testing.T, d *Director, ok func(*stats.Stats) bool) {
	t.Helper()
	for {
		var s stats.Stats
		d.ReadStats(&s)
		if len(s.Services) > 0 && len(s.Services[0].Dests) == 2 && ok(&s) {
			return
		}
	}
}

func TestExplainAndList(t *testing.T) {
	d, _, _ := start(t)
	got, err := d.Explain("tcp 203.0.113.1:4000 > 192.0.2.100:80")
	for _, want := range []string{"service: TCP 192.0.2.100:80 rr (test.conf:13:1)", "server:  192.0.2.2:80 Route weight 1",
		"because: a new connection; scheduler rr", "02:00:00:00:00:01 > 02:00:00:00:01:01, 54 bytes, out of eth0"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%v, %q is not in\n%s", err, want, got)
		}
	}
	var conns []stats.Conn
	if err := d.Conns(func(c stats.Conn) bool { conns = append(conns, c); return true }); err != nil || len(conns) != 0 {
		t.Errorf("%v, %v: a question left connections", conns, err)
	}
}

func TestParseFlow(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"tcp 192.0.2.1:40000 > 192.168.56.200:80", "tcp 192.0.2.1:40000 192.168.56.200:80 flags 2"},
		{"tcp ACK,PSH 192.0.2.1:1->192.0.2.2:2", "tcp 192.0.2.1:1 192.0.2.2:2 flags 24"},
		{"UDP [2001:db8::1]:53 to [2001:db8::2]:53", "udp [2001:db8::1]:53 [2001:db8::2]:53 flags 0"},
		{"tcp 192.0.2.1 > 192.0.2.2:80", `"192.0.2.1" is not an address and port; write 192.0.2.1:40000 or [2001:db8::1]:40000`},
		{"icmp 192.0.2.1:1 > 192.0.2.2:80", `"icmp" is not a protocol of a service; write tcp, udp or sctp`},
		{"tcp XYZ 192.0.2.1:1 > 192.0.2.2:80", `"XYZ" is not a TCP flag; write some of FIN,SYN,RST,PSH,ACK,URG`},
		{"tcp 192.0.2.1:1 > [2001:db8::2]:80", "192.0.2.1 and 2001:db8::2 are of different families"},
		{"what", `"what" is not a flow; write it as "tcp 192.0.2.1:40000 > 192.0.2.100:80"`},
	} {
		s, err := ParseFlow(c.in)
		got := fmt.Sprintf("%s %s %s flags %d", protoName(s.Proto), addrPort(s.Src, s.SrcPort), addrPort(s.Dst, s.DstPort),
			s.TCPFlags)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestDropTextForEveryReasonOfTheForwarder(t *testing.T) {
	general := DropText(packet.DropRunt)
	for r := packet.DropNoService; r <= packet.DropOverload; r++ {
		if got := DropText(r); got == general {
			t.Errorf("%v has no text of its own", r)
		}
	}
	if !slices.Contains([]string{"runt"}, packet.DropRunt.String()) {
		t.Error("the names have moved")
	}
}
