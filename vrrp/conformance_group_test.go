package vrrp

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// syncPlan is what testdata/oracle/sync.log was made with: keepalived 2.2.7 on two nodes, I1 and I2 on two links in a
// sync group, I1 with a script, and I3 with a route, a rule and a script of weight -60.
func syncPlan(priority uint8) Plan {
	one := func(name string, vrid uint8, link, vip string) Config {
		c := Defaults()
		c.Name, c.VRID, c.Interface, c.Priority = name, vrid, link, priority
		c.Addresses = []Address{{Prefix: netip.MustParsePrefix(vip)}}
		c.GARP = GARP{Repeat: 1, RefreshRepeat: 1, LowerRepeat: 1}
		return c
	}
	p := Plan{
		Instances: []Config{
			one("I1", 11, "eth0", "10.9.0.100/24"), one("I2", 12, "eth1", "10.9.1.100/24"), one("I3", 13, "eth0", "10.9.0.103/24"),
		},
		Groups: []GroupConfig{{Name: "G", Members: []string{"I1", "I2"}}},
	}
	p.Instances[0].Track = []Track{{Kind: TrackScript, Name: "chk"}}
	p.Instances[2].Track = []Track{{Kind: TrackScript, Name: "wgt", Weight: -60}}
	p.Instances[2].Routes = []Extra{{Text: "10.77.0.0/24 via 10.9.0.2"}}
	p.Instances[2].Rules = []Extra{{Rule: true, Text: "from 10.77.0.1 table 100"}}
	return p
}

// syncRun plays what was done: a script fails and recovers, a cable is pulled and put back, a script with a weight fails
// and recovers, a stops, b stops.
func syncRun(t *testing.T) map[string]*node {
	s := newSim(t, 1)
	a, b := s.add("a", 1, "eth0", "eth1"), s.add("b", 2, "eth0", "eth1")
	for n, last := range map[*node]string{a: "1", b: "2"} {
		n.links["eth0"].Addrs, n.links["eth1"].Addrs = []netip.Addr{addr("10.9.0." + last)}, []netip.Addr{addr("10.9.1." + last)}
	}
	up := TrackState{Known: true, Up: true}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	s.at(ms(120), func() { a.boot(syncPlan(150)) })
	s.at(ms(150), func() {
		b.links["eth0"].Up, b.links["eth1"].Up = false, false
		b.boot(syncPlan(100))
	})
	for _, n := range []*node{a, b} {
		s.at(ms(180), func() { n.track(TrackScript, "wgt", up); n.track(TrackScript, "chk", up) })
	}
	s.at(ms(1000), func() { b.setLink("eth0", true); b.setLink("eth1", true) })
	s.at(ms(7120), func() { a.track(TrackScript, "chk", TrackState{Known: true}) })
	s.at(ms(12130), func() { a.track(TrackScript, "chk", up) })
	s.at(ms(19020), func() { a.setLink("eth1", false); b.setLink("eth1", false) })
	s.at(ms(24030), func() { b.setLink("eth1", true); a.setLink("eth1", true) })
	s.at(ms(31120), func() { a.track(TrackScript, "wgt", TrackState{Known: true}) })
	s.at(ms(36130), func() { a.track(TrackScript, "wgt", up) })
	s.at(ms(41070), a.stop)
	s.at(ms(44070), b.stop)
	s.runTo(46 * time.Second)
	return map[string]*node{"a": a, "b": b}
}

// TestGroupLikeKeepalived compares the log lines of each instance and of the group with those of keepalived.
func TestGroupLikeKeepalived(t *testing.T) {
	raw, err := os.ReadFile("testdata/oracle/sync.log")
	if err != nil {
		t.Fatal(err)
	}
	nodes := syncRun(t)
	for name, n := range nodes {
		for _, who := range []string{"(I1)", "(I2)", "(I3)", "VRRP_Group(G)"} {
			var got, want []string
			for _, l := range n.lines {
				if strings.Contains(l, who) {
					got = append(got, l)
				}
			}
			for l := range strings.Lines(string(raw)) {
				stamp, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
				if from, text, _ := strings.Cut(rest, " "); from == name && strings.Contains(text, who) {
					want = append(want, stamp+" "+text)
				}
			}
			if len(want) < 6 {
				t.Fatalf("%s %s: only %d lines in the transcript", name, who, len(want))
			}
			compareLines(t, name, who, discardsOnce(got), discardsOnce(withoutSecondSweep(want)))
		}
	}
}

// withoutSecondSweep drops the second removal of rules and routes at the start: keepalived does it twice, of which nobody
// has anything.
func withoutSecondSweep(lines []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		stamp, text, _ := strings.Cut(l, " ")
		if !strings.HasPrefix(stamp, "0.") || !strings.Contains(text, "removing Virtual") {
			return false
		}
		twice := seen[text]
		seen[text] = true
		return twice
	})
}

// discardsOnce makes one of discards in a row: how many there are is a matter of milliseconds.
func discardsOnce(lines []string) []string {
	return slices.CompactFunc(slices.Clone(lines), func(a, b string) bool {
		_, x, _ := strings.Cut(a, " ")
		_, y, _ := strings.Cut(b, " ")
		return x == y && strings.Contains(x, "discarding")
	})
}
