package vrrp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dirsw/clock"
)

// sim is a network of directors in one goroutine, with a clock that jumps from event to event.
type sim struct {
	t       testing.TB
	clock   *clock.Manual
	rand    *rand.Rand
	nodes   []*node
	flights []flight // by time of arrival
	loss    float64  // of packets, 0 to 1
	delay   time.Duration
	jitter  time.Duration
	cut     func(from, to *node, link string) bool // no packets that way; may be nil
	tap     func(from *node, link string, ip []byte)
	extra   []timed // what the test does, by time
}

type timed struct {
	at clock.Mono
	f  func()
}

// flight is a packet under way.
type flight struct {
	at   clock.Mono
	to   *node
	link string
	pkt  Packet
}

// node is a director: a Runner on a Net of the simulation.
type node struct {
	s      *sim
	name   string
	r      *Runner
	alive  bool
	frozen bool
	ends   clock.Mono // when a stop that began is over; 0: none did
	links  map[string]*LinkState
	paths  map[int]Path
	inbox  []Packet
	owned  map[string]clock.Mono // addresses, by link and prefix, and when they vanish
	extras map[string]bool
	lines  []string // log
	sent   []sentAdvert
	notes  []Notice
	calls  []string // of Net, but for Send and Receive
	grow   func()   // called in Receive, for tests of what happens meanwhile
	fail   error    // of Send
	noVMAC bool     // MakeVMAC fails
}

type sentAdvert struct {
	at   clock.Mono
	link string
	dst  netip.Addr
	msg  []byte
}

func newSim(t testing.TB, seed uint64) *sim {
	return &sim{t: t, clock: &clock.Manual{}, rand: rand.New(rand.NewPCG(seed, 1)), delay: 200 * time.Microsecond}
}

// add makes a node whose links have the last byte of its addresses.
func (s *sim) add(name string, last byte, links ...string) *node {
	n := &node{s: s, name: name, links: map[string]*LinkState{}}
	for i, l := range links {
		n.links[l] = &LinkState{Name: l, Up: true, Addrs: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 0, byte(i), last}),
			netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 11: 0xff, 12: 0xfe, 15: last}),
		}}
	}
	s.nodes = append(s.nodes, n)
	return n
}

// boot starts the program on a node.
func (n *node) boot(p Plan) {
	n.paths, n.owned, n.extras, n.inbox = map[int]Path{}, map[string]clock.Mono{}, map[string]bool{}, nil
	core := &lineCore{n: n}
	n.r = NewRunner(Options{Clock: n.s.clock, Log: zap.New(core), Net: n, Notice: func(x Notice) { n.notes = append(n.notes, x) }})
	n.alive, n.frozen, n.ends = true, false, 0
	if err := n.r.Apply(p); err != nil {
		n.s.t.Fatal(err)
	}
	n.r.turn()
}

// kill ends it as kill -9 does.
func (n *node) kill() {
	n.alive, n.paths, n.inbox, n.ends = false, nil, nil, 0
}

// stop ends it as SIGTERM does: what Runner.shutdown does, but that the simulation goes on meanwhile.
func (n *node) stop() {
	effects, patience := n.r.m.Farewell(n.s.clock.Now())
	n.r.do(n.s.clock.Now(), effects)
	n.ends = n.s.clock.Now().Add(patience)
	n.stopped()
}

// stopped finishes a stop once others have taken over, or patience is over.
func (n *node) stopped() {
	if n.ends != 0 && (!n.r.m.Leaving() || n.s.clock.Now() >= n.ends) {
		n.r.finish(states{})
		n.alive, n.ends = false, 0
	}
}

// setLink changes a link's state, and tells the node if it runs.
func (n *node) setLink(name string, up bool) {
	n.links[name].Up = up
	if n.alive && n.ends == 0 {
		n.r.Link(*n.links[name])
		n.r.turn()
	}
}

// track tells the node about a tracked thing.
func (n *node) track(k TrackKind, name string, s TrackState) {
	n.r.Track(k, name, s)
	n.r.turn()
}

// at has the test do something at a time.
func (s *sim) at(d time.Duration, f func()) {
	s.extra = append(s.extra, timed{clock.Mono(d), f})
	slices.SortStableFunc(s.extra, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
}

// runTo lets everything happen until a time.
func (s *sim) runTo(d time.Duration) {
	end := clock.Mono(d)
	for guard := 0; ; guard++ {
		if guard > 2_000_000 {
			s.t.Fatal("the simulation does not end")
		}
		next := never
		if len(s.extra) > 0 {
			next = min(next, s.extra[0].at)
		}
		if len(s.flights) > 0 {
			next = min(next, s.flights[0].at)
		}
		for _, n := range s.nodes {
			if n.alive && !n.frozen {
				next = min(next, n.r.m.Next(), n.r.renewAt)
				if len(n.inbox) > 0 {
					next = min(next, s.clock.Now())
				}
			}
			if n.ends != 0 && n.alive {
				next = min(next, n.ends)
			}
		}
		if next > end {
			break
		}
		if now := s.clock.Now(); next > now {
			s.clock.Advance(next.Sub(now))
		}
		s.step()
	}
	s.clock.Advance(end.Sub(s.clock.Now()))
}

// step does what is due now.
func (s *sim) step() {
	now := s.clock.Now()
	for len(s.extra) > 0 && s.extra[0].at <= now {
		f := s.extra[0].f
		s.extra = s.extra[1:]
		f()
	}
	for len(s.flights) > 0 && s.flights[0].at <= now {
		f := s.flights[0]
		s.flights = s.flights[1:]
		if f.to.alive && f.to.links[f.link].Up {
			f.to.hear(f)
		}
	}
	for _, n := range s.nodes {
		for n.alive && !n.frozen && (len(n.inbox) > 0 || n.r.m.Next() <= now || n.r.renewAt <= now) {
			n.r.turn()
			n.stopped()
		}
		if n.alive {
			n.stopped()
		}
	}
}

// hear puts a packet into the inbox if a path of the node is open for it.
func (n *node) hear(f flight) {
	p := f.pkt
	for id, path := range n.paths {
		if path.IPv6 != p.Dst.Is6() || path.AH != (p.Protocol == ProtocolAH) {
			continue
		}
		heard := cmp.Or(path.Base, path.Link)
		if heard != "" && heard != f.link {
			continue
		}
		if path.Unicast() != p.Dst.IsMulticast() {
			p.IDs = append(p.IDs, id)
		}
	}
	if p.IDs != nil && (p.Dst.IsMulticast() || slices.Contains(n.links[f.link].Addrs, p.Dst)) {
		p.Link = f.link
		slices.Sort(p.IDs)
		n.inbox = append(n.inbox, p)
	}
}

// Open, and all down to RealTime, make a node a Net.
func (n *node) Open(id int, p Path) (netip.Addr, error) {
	if _, twice := n.paths[id]; twice {
		n.s.t.Fatalf("%s: path %d opened twice", n.name, id)
	}
	n.paths[id] = p
	n.calls = append(n.calls, fmt.Sprintf("open %s", p.Link))
	return netip.Addr{}, nil
}

func (n *node) Shut(id int) {
	if _, ok := n.paths[id]; !ok {
		n.s.t.Fatalf("%s: path %d shut and not open", n.name, id)
	}
	n.calls = append(n.calls, fmt.Sprintf("shut %s", n.paths[id].Link))
	delete(n.paths, id)
}

func (n *node) Send(id int, dst netip.Addr, msg []byte) error {
	path, ok := n.paths[id]
	if !ok {
		n.s.t.Fatalf("%s: send by path %d, which is not open", n.name, id)
	}
	if n.fail != nil {
		return n.fail
	}
	link := cmp.Or(path.Base, path.Link)
	if link == "" {
		link = "eth0"
	}
	ip := slices.Clone(msg)
	if path.IPv6 {
		src := n.links[link].Addrs[1]
		ip = header6(src, dst, msg)
	}
	n.sent = append(n.sent, sentAdvert{n.s.clock.Now(), link, dst, ip})
	if n.s.tap != nil {
		n.s.tap(n, link, ip)
	}
	if !n.links[link].Up {
		return fmt.Errorf("link down")
	}
	for _, to := range n.s.nodes {
		if to == n || to.links[link] == nil || n.s.cut != nil && n.s.cut(n, to, link) || n.s.rand.Float64() < n.s.loss {
			continue
		}
		at := n.s.clock.Now().Add(n.s.delay)
		if n.s.jitter > 0 {
			at = at.Add(time.Duration(n.s.rand.Int64N(int64(n.s.jitter))))
		}
		n.s.flights = append(n.s.flights, flight{at, to, link, packetOf(ip)})
	}
	slices.SortStableFunc(n.s.flights, func(a, b flight) int { return cmp.Compare(a.at, b.at) })
	return nil
}

func (n *node) Receive(time.Duration) (Packet, bool) {
	if n.grow != nil {
		n.grow()
	}
	if len(n.inbox) == 0 {
		return Packet{}, false
	}
	p := n.inbox[0]
	n.inbox = n.inbox[1:]
	return p, true
}

func (n *node) Wake() {}

func (n *node) Own(a Address, life time.Duration) error {
	key := a.Link + " " + a.Prefix.String()
	if _, ok := n.owned[key]; !ok {
		n.calls = append(n.calls, "own "+key)
	}
	n.owned[key] = n.s.clock.Now().Add(life)
	return nil
}

func (n *node) Disown(a Address) error {
	key := a.Link + " " + a.Prefix.String()
	if _, ok := n.owned[key]; ok {
		n.calls = append(n.calls, "disown "+key)
	}
	delete(n.owned, key)
	return nil
}

func (n *node) Set(e Extra) error   { n.extras[e.Text] = true; return nil }
func (n *node) Unset(e Extra) error { delete(n.extras, e.Text); return nil }

func (n *node) Announce(link string, a netip.Addr) error {
	n.calls = append(n.calls, fmt.Sprintf("announce %v %s", a, link))
	return nil
}

func (n *node) MakeVMAC(v VMAC) error {
	n.calls = append(n.calls, "make "+v.Name)
	if n.noVMAC {
		return errors.New("no such thing")
	}
	n.links[v.Name] = &LinkState{Name: v.Name, Up: true}
	return nil
}

func (n *node) RemoveVMAC(v VMAC) error {
	n.calls = append(n.calls, "remove "+v.Name)
	delete(n.links, v.Name)
	return nil
}

func (n *node) Link(name string) (LinkState, bool) {
	if l := n.links[name]; l != nil {
		return *l, true
	}
	return LinkState{}, false
}

func (n *node) RealTime(priority int, cpus []int) error {
	n.calls = append(n.calls, fmt.Sprintf("realtime %d", priority))
	return nil
}

// has lists the addresses that the node has now; those of a dead node vanish by themselves.
func (n *node) has() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(n.owned)) {
		if n.owned[k] > n.s.clock.Now() {
			out = append(out, strings.Fields(k)[1])
		}
	}
	return out
}

// state is the state of an instance.
func (n *node) state(name string) State {
	if !n.alive {
		return Init
	}
	return n.r.m.instance(name).State()
}

// stats are the counters of an instance.
func (n *node) stats(name string) *Stats { return &n.r.m.instance(name).stats }

// masters are the nodes that are master of an instance.
func (s *sim) masters(name string) (out []string) {
	for _, n := range s.nodes {
		if n.state(name) == Master {
			out = append(out, n.name)
		}
	}
	return out
}

// lineCore is a log that keeps messages.
type lineCore struct{ n *node }

func (c *lineCore) Enabled(zapcore.Level) bool        { return true }
func (c *lineCore) With([]zapcore.Field) zapcore.Core { return c }
func (c *lineCore) Sync() error                       { return nil }
func (c *lineCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, c)
}

func (c *lineCore) Write(e zapcore.Entry, _ []zapcore.Field) error {
	c.n.lines = append(c.n.lines, fmt.Sprintf("%.2f %s", time.Duration(c.n.s.clock.Now()).Seconds(), e.Message))
	return nil
}

// simple is a configuration with one instance V on eth0.
func simple(priority uint8, edit ...func(*Config)) Plan {
	c := Defaults()
	c.Name, c.VRID, c.Interface, c.Priority = "V", 51, "eth0", priority
	c.Addresses = []Address{{Prefix: netip.MustParsePrefix("10.0.0.100/24")}}
	for _, f := range edit {
		f(&c)
	}
	return Plan{Instances: []Config{c}}
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// header6 puts an IPv6 header before a message, as Net does.
func header6(src, dst netip.Addr, msg []byte) []byte {
	head := append([]byte{0x6c, 0, 0, 0, byte(len(msg) >> 8), byte(len(msg)), ProtocolVRRP, hopLimit}, src.AsSlice()...)
	return append(append(head, dst.AsSlice()...), msg...)
}
