package vrrp

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// oraclePlan is testdata/oracle/vrrp-d1.conf and vrrp-d2.conf, which differ in priority, addresses and one state.
func oraclePlan(priority uint8, self, peer string) Plan {
	var p Plan
	add := func(name string, vrid, version uint8, edit func(*Config), vips ...string) {
		c := Defaults()
		c.Name, c.VRID, c.Version, c.Priority, c.Interface = name, vrid, version, priority, "eth0"
		c.GARP.Repeat, c.GARP.Delay = 2, 2*time.Second
		c.GARP.LowerRepeat, c.GARP.LowerDelay = 2, 2*time.Second
		for _, v := range vips {
			c.Addresses = append(c.Addresses, Address{Prefix: netip.MustParsePrefix(v)})
		}
		edit(&c)
		p.Instances = append(p.Instances, c)
	}
	pass := func(t AuthType, word string) func(*Config) {
		return func(c *Config) { c.Auth = t; copy(c.Password[:], word) }
	}
	unicast := func(c *Config) {
		c.Group, c.Source, c.Peers = netip.Addr{}, addr(self), []Peer{{Addr: addr(peer)}}
	}
	add("V2PASS", 51, 2, func(c *Config) { pass(AuthPass, "secret12")(c); c.Master = priority == 150 }, "10.0.0.210/32", "10.0.0.211/32")
	add("V3", 52, 3, func(c *Config) { c.Interval = 500 * time.Millisecond }, "10.0.0.220/24")
	add("V2UNI", 53, 2, func(c *Config) { pass(AuthPass, "abc")(c); unicast(c) }, "10.0.0.230/24")
	add("V3NOPRE", 54, 3, func(c *Config) { c.NoPreempt = true }, "10.0.0.240/24")
	add("V2NOAUTH", 55, 2, func(c *Config) {
		c.Interval, c.PreemptDelay = 2*time.Second, 2*time.Second
		c.Excluded = []Address{{Prefix: netip.MustParsePrefix("10.0.0.251/24")}}
	}, "10.0.0.250/24")
	add("V2AH", 56, 2, pass(AuthAH, "ahsecret"), "10.0.0.245/24")
	add("V3IP6", 57, 3, func(c *Config) { c.IPv6, c.Group = true, Group6() }, "fe80::5:57/64", "2001:db8:5::57/64")
	add("V3UNI", 58, 3, unicast, "10.0.0.246/24")
	return p
}

// oracleRun plays what was done to the two keepalived.
func oracleRun(t *testing.T, more ...func(s *sim, d1, d2 *node)) (d1, d2 *node) {
	s := newSim(t, 1)
	d1, d2 = s.add("d1", 1, "eth0"), s.add("d2", 2, "eth0")
	d1.links["eth0"].Addrs = []netip.Addr{addr("10.0.0.1"), addr("fe80::ff:fe00:1")}
	d2.links["eth0"].Addrs = []netip.Addr{addr("10.0.0.2"), addr("fe80::ff:fe00:2")}
	p1, p2 := oraclePlan(150, "10.0.0.1", "10.0.0.2"), oraclePlan(100, "10.0.0.2", "10.0.0.1")
	s.at(3270*time.Millisecond, func() { d2.boot(p2) })
	s.at(3360*time.Millisecond, func() { d1.boot(p1) })
	s.at(13810*time.Millisecond, d1.stop)
	s.at(21400*time.Millisecond, func() { d1.boot(p1) })
	s.at(32030*time.Millisecond, func() { d1.kill(); clear(d1.owned) }) // there, too, they were taken away
	s.at(42440*time.Millisecond, d2.stop)
	for _, f := range more {
		f(s, d1, d2)
	}
	s.runTo(46 * time.Second)
	return d1, d2
}

// about returns the lines of an instance, in their order, with the times. Repeated discards of one master are one line:
// how many there are is a matter of milliseconds.
func about(lines []string, who string) (out []string) {
	for _, l := range lines {
		stamp, text, _ := strings.Cut(l, " ")
		if !strings.Contains(text, "("+who+")") || strings.Contains(text, "VRRP sockpool") {
			continue
		}
		if len(out) > 0 {
			if _, last, _ := strings.Cut(out[len(out)-1], " "); last == text && strings.Contains(text, "discarding") {
				continue
			}
		}
		out = append(out, stamp+" "+text)
	}
	return out
}

// TestLogLikeKeepalived compares the log lines of each instance with those of keepalived 2.2.7 in the same course of
// events: the same words, in the same order, within 0.25 s.
func TestLogLikeKeepalived(t *testing.T) {
	d1, d2 := oracleRun(t)
	var want = map[string][]string{}
	for _, e := range readOracle(t) {
		if e.Ev == "log" {
			want[e.Who] = append(want[e.Who], fmt.Sprintf("%.2f %s", e.T, e.Line))
		}
	}
	for _, n := range []*node{d1, d2} {
		for _, c := range oraclePlan(150, "10.0.0.1", "10.0.0.2").Instances {
			got, want := about(n.lines, c.Name), about(want["vrrp-"+n.name], c.Name)
			if len(want) < 10 {
				t.Fatalf("%s %s: only %d lines in the transcript", n.name, c.Name, len(want))
			}
			compareLines(t, n.name, c.Name, got, want)
		}
	}
}

func compareLines(t *testing.T, node, instance string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Errorf("%s %s: %d lines, want %d; first that differs:\n got %q\nwant %q", node, instance, len(got), len(want), got[min(i, len(got)):], want[min(i, len(want)):])
			return
		}
		var gt, wt float64
		gs, gtext, _ := strings.Cut(got[i], " ")
		ws, wtext, _ := strings.Cut(want[i], " ")
		fmt.Sscan(gs, &gt)
		fmt.Sscan(ws, &wt)
		late := 0.25
		if strings.Contains(gtext, "removing") { // a master that stops keeps its addresses until another one has them
			late = 2.75
		}
		if gtext != wtext || gt-wt > late || wt-gt > 0.25 {
			t.Errorf("%s %s line %d:\n got %s\nwant %s", node, instance, i, got[i], want[i])
			return
		}
	}
}

// run is adverts in a row that are equal but for their numbers.
type run struct {
	hex   string
	count int
	at    float64
}

func (r run) String() string { return fmt.Sprintf("%.2f %d x %s", r.at, r.count, r.hex) }

// advertRuns groups adverts by VRID, with the fields that count packets set to zero.
func advertRuns(all []captured, from string) map[uint8][]run {
	out := map[uint8][]run{}
	for _, c := range all {
		if c.from != from {
			continue
		}
		ip := slices.Clone(c.frame[14:])
		msg := 20
		if ip[0]>>4 == 6 {
			copy(ip[:4], []byte{0x6c, 0, 0, 0}) // the flow label is the kernel's
			msg = 40
		} else {
			copy(ip[4:6], []byte{0, 0})
			copy(ip[10:12], []byte{0, 0})
			if ip[9] == ProtocolAH {
				copy(ip[28:44], make([]byte, 16))
				msg += ahLen
			}
		}
		vrid, text := ip[msg+1], hex.EncodeToString(ip)
		if runs := out[vrid]; len(runs) > 0 && runs[len(runs)-1].hex == text {
			runs[len(runs)-1].count++
			continue
		}
		out[vrid] = append(out[vrid], run{text, 1, c.t})
	}
	return out
}

// TestAdvertsLikeKeepalived compares the packets that each node sent in that course of events with the captured ones:
// the same packets byte for byte, in the same order, and as many of them, but for one or two that more or less lateness of
// a process makes.
func TestAdvertsLikeKeepalived(t *testing.T) {
	d1, d2 := oracleRun(t)
	all := capturedAdverts(t)
	for _, n := range []*node{d1, d2} {
		var ours []captured
		for _, a := range n.sent {
			ours = append(ours, captured{from: n.name, t: time.Duration(a.at).Seconds(), frame: append(make([]byte, 14), a.msg...)})
		}
		got, want := advertRuns(ours, n.name), advertRuns(all, n.name)
		if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) || len(w) != 8 {
			t.Fatalf("%s: adverts of %v, want %v", n.name, g, w)
		}
		for vrid, w := range want {
			g := got[vrid]
			if len(g) != len(w) {
				t.Errorf("%s VRID %d:\n got %v\nwant %v", n.name, vrid, g, w)
				continue
			}
			for i := range w {
				if g[i].hex != w[i].hex || max(g[i].count-w[i].count, w[i].count-g[i].count) > 1+w[i].count/20 || max(g[i].at-w[i].at, w[i].at-g[i].at) > 0.25 {
					t.Errorf("%s VRID %d run %d:\n got %v\nwant %v", n.name, vrid, i, g[i], w[i])
				}
			}
		}
	}
}

// TestAnnouncementsLikeKeepalived compares when which addresses are announced.
func TestAnnouncementsLikeKeepalived(t *testing.T) {
	d1, d2 := oracleRun(t)
	isAnnounce := func(l string) bool {
		return strings.Contains(l, "Sending gratuitous ARP on") || strings.Contains(l, "Sending unsolicited")
	}
	want := map[string]map[string][]string{}
	for _, e := range readOracle(t) {
		if e.Ev == "log" && isAnnounce(e.Line) {
			if want[e.Who] == nil {
				want[e.Who] = map[string][]string{}
			}
			want[e.Who][e.Line] = append(want[e.Who][e.Line], fmt.Sprintf("%.2f %s", e.T, e.Line))
		}
	}
	for _, n := range []*node{d1, d2} {
		got := map[string][]string{}
		for _, l := range n.lines {
			if _, text, _ := strings.Cut(l, " "); isAnnounce(text) {
				got[text] = append(got[text], l)
			}
		}
		if len(want["vrrp-"+n.name]) < 10 {
			t.Fatalf("only %d addresses announced in the transcript", len(want["vrrp-"+n.name]))
		}
		for line, w := range want["vrrp-"+n.name] {
			compareLines(t, n.name, line, got[line], w)
		}
	}
}

// TestAddressesLikeKeepalived compares which addresses each node has. The transcript has looked now and then, so each
// set that it has seen must have been ours within the two seconds before, or a little later: a stop takes its time.
func TestAddressesLikeKeepalived(t *testing.T) {
	type sample struct {
		at  float64
		has string
	}
	samples := map[string][]sample{}
	d1, d2 := oracleRun(t, func(s *sim, d1, d2 *node) {
		for at := 3300 * time.Millisecond; at < 46*time.Second; at += 50 * time.Millisecond {
			s.at(at, func() {
				for _, n := range []*node{d1, d2} {
					samples[n.name] = append(samples[n.name], sample{at.Seconds(), fmt.Sprint(n.has())})
				}
			})
		}
	})
	checked := 0
	for _, e := range readOracle(t) {
		if e.Ev != "addresses" {
			continue
		}
		checked++
		want := fmt.Sprint(slices.Sorted(slices.Values(e.Has)))
		if !slices.ContainsFunc(samples[e.Who], func(s sample) bool { return s.has == want && s.at > e.T-2 && s.at < e.T+1.5 }) {
			t.Errorf("at %v: %s had %s, and here it never had", e.T, e.Who, want)
		}
	}
	if checked < 15 {
		t.Errorf("only %d looks at addresses in the transcript", checked)
	}
	for _, n := range []*node{d1, d2} {
		if got := n.has(); len(got) != 0 {
			t.Errorf("%s has %v at the end, want nothing", n.name, got)
		}
	}
}
