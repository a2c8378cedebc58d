package host

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// run runs a program in the namespace and returns the lines that it prints.
func (n *node) run(words ...string) []string {
	n.t.Helper()
	var out []byte
	var err error
	n.do(func() { out, err = exec.Command(words[0], words[1:]...).CombinedOutput() })
	if err != nil {
		n.t.Fatalf("%v: %v\n%s", words, err, out)
	}
	var lines []string
	for _, l := range strings.Split(string(out), "\n") {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// without returns the lines of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(l string) bool { return slices.Contains(b, l) })
}

// Each route is set by us in one namespace, and by ip-route(8) in another one that is the same; then ip-route(8) shows both.
func TestRoutesAreThoseOfIPRoute(t *testing.T) {
	testenv.NeedProgram(t, "ip")
	here, other, h := pair(t)
	model, _, _ := pair(t)
	o := here.holdings(h)
	for _, n := range []*node{here, model} {
		n.wire("veth1", other, map[*node]string{here: "peer1", model: "peer2"}[n])
		n.addr("veth1", "198.51.100.1/24")
	}
	show := func(n *node) []string {
		return append(n.run("ip", "-d", "-o", "-4", "route", "show", "table", "all"), n.run("ip", "-d", "-o", "-6", "route", "show", "table", "all")...)
	}
	for _, n := range []*node{here, model} {
		eventually(t, "its links have all of their own routes", func() bool { // the kernel makes those of fe80:: after the rest
			local := 0
			for _, line := range show(n) {
				if strings.HasPrefix(line, "local fe80::") {
					local++
				}
			}
			return local == 2
		})
	}
	for _, c := range []struct {
		words string // of ip-route(8)
		route Route
	}{
		{"10.1.0.0/16 via 192.0.2.2", Route{Dst: prefix("10.1.0.0/16"), Via: ip("192.0.2.2")}},
		{"10.2.0.0/16 dev veth0", Route{Dst: prefix("10.2.0.0/16"), Link: "veth0"}},
		{"0.0.0.0/0 via 192.0.2.2 dev veth0 table 100", Route{Dst: prefix("0.0.0.0/0"), Via: ip("192.0.2.2"), Link: "veth0", Table: 100}},
		{"10.3.0.0/16 via 192.0.2.2 src 198.51.100.1 metric 7 table 70000", Route{Dst: prefix("10.3.0.0/16"), Via: ip("192.0.2.2"), Src: ip("198.51.100.1"), Metric: 7, Table: 70000}},
		{"10.4.0.0/16 via 203.0.113.9 dev veth1 onlink", Route{Dst: prefix("10.4.0.0/16"), Via: ip("203.0.113.9"), Link: "veth1", OnLink: true}},
		{"10.5.0.0/16 via inet6 2001:db8::2 dev veth0", Route{Dst: prefix("10.5.0.0/16"), Via: ip("2001:db8::2"), Link: "veth0"}},
		{"blackhole 10.6.0.0/16", Route{Type: unix.RTN_BLACKHOLE, Dst: prefix("10.6.0.0/16")}},
		{"unreachable 10.7.0.0/16 metric 9", Route{Type: unix.RTN_UNREACHABLE, Dst: prefix("10.7.0.0/16"), Metric: 9}},
		{"prohibit 10.8.0.0/16", Route{Type: unix.RTN_PROHIBIT, Dst: prefix("10.8.0.0/16")}},
		{"throw 10.9.0.0/16 table 100", Route{Type: unix.RTN_THROW, Dst: prefix("10.9.0.0/16"), Table: 100}},
		{"local 10.10.0.0/16 dev lo", Route{Type: unix.RTN_LOCAL, Dst: prefix("10.10.0.0/16"), Link: "lo"}},
		{"10.11.0.0/16 dev veth0 scope host", Route{Dst: prefix("10.11.0.0/16"), Link: "veth0", Scope: unix.RT_SCOPE_HOST, HasScope: true}},
		{"10.12.0.0/16 tos 0x10 via 192.0.2.2", Route{Dst: prefix("10.12.0.0/16"), TOS: 0x10, Via: ip("192.0.2.2")}},
		{"10.13.0.0/16 via 192.0.2.2 mtu lock 1400 advmss 1300 hoplimit 9 window 1000 cwnd 8 initcwnd 12 initrwnd 13 rto_min 100ms quickack 1 reordering 5 ssthresh 6 congctl lock cubic features ecn",
			Route{Dst: prefix("10.13.0.0/16"), Via: ip("192.0.2.2"), Congestion: "cubic", CongLock: true, Metrics: []Metric{
				{unix.RTAX_MTU, 1400, true}, {unix.RTAX_ADVMSS, 1300, false}, {unix.RTAX_HOPLIMIT, 9, false}, {unix.RTAX_WINDOW, 1000, false},
				{unix.RTAX_CWND, 8, false}, {unix.RTAX_INITCWND, 12, false}, {unix.RTAX_INITRWND, 13, false}, {unix.RTAX_RTO_MIN, 100, false},
				{unix.RTAX_QUICKACK, 1, false}, {unix.RTAX_REORDERING, 5, false}, {unix.RTAX_SSTHRESH, 6, false}, {unix.RTAX_FEATURES, unix.RTAX_FEATURE_ECN, false},
			}}},
		{"10.14.0.0/16 nexthop via 192.0.2.2 weight 2 nexthop via 203.0.113.7 dev veth1 weight 200 onlink nexthop dev veth1 weight 1",
			Route{Dst: prefix("10.14.0.0/16"), Nexthops: []Nexthop{
				{Via: ip("192.0.2.2"), Weight: 2}, {Via: ip("203.0.113.7"), Link: "veth1", Weight: 200, OnLink: true}, {Link: "veth1"}}}},
		{"2001:db8:1::/48 via 2001:db8::2", Route{Dst: prefix("2001:db8:1::/48"), Via: ip("2001:db8::2")}},
		{"::/0 via fe80::1 dev veth0 pref low metric 5", Route{Dst: prefix("::/0"), Via: ip("fe80::1"), Link: "veth0", Pref: 3, Metric: 5}},
		{"2001:db8:2::/48 from 2001:db8:9::/64 via 2001:db8::2 src 2001:db8::1", Route{Dst: prefix("2001:db8:2::/48"), From: prefix("2001:db8:9::/64"), Via: ip("2001:db8::2"), Src: ip("2001:db8::1")}},
		{"blackhole 2001:db8:3::/48 table 100", Route{Type: unix.RTN_BLACKHOLE, Dst: prefix("2001:db8:3::/48"), Table: 100}},
		{"2001:db8:4::/48 nexthop via 2001:db8::2 weight 3 nexthop via 2001:db8::3 weight 1", Route{Dst: prefix("2001:db8:4::/48"), Nexthops: []Nexthop{{Via: ip("2001:db8::2"), Weight: 3}, {Via: ip("2001:db8::3")}}}},
		{"2001:db8:5::/48 dev veth0 proto static mtu 1300", Route{Dst: prefix("2001:db8:5::/48"), Link: "veth0", Protocol: unix.RTPROT_STATIC, Metrics: []Metric{{unix.RTAX_MTU, 1300, false}}}},
	} {
		t.Run(c.words, func(t *testing.T) {
			before, beforeModel := show(here), show(model)
			words := strings.Fields("ip route add")
			if c.route.isIPv6() {
				words = strings.Fields("ip -6 route add")
			}
			words = append(words, strings.Fields(c.words)...)
			if c.route.Protocol == 0 {
				at := slices.IndexFunc(words, func(w string) bool { return w == "nexthop" })
				if at < 0 {
					at = len(words)
				}
				words = slices.Insert(words, at, "proto", "18")
			}
			model.run(words...)
			for range 2 {
				must(t, o.AddRoute(c.route))
			}
			got, want := without(show(here), before), without(show(model), beforeModel)
			if !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			must(t, o.DelRoute(c.route))
			if after := show(here); !slices.Equal(after, before) {
				t.Errorf("after the removal there is\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
			}
			must(t, o.DelRoute(c.route))
		})
	}
	err := o.AddRoute(Route{Dst: prefix("10.20.0.0/16"), Via: ip("203.0.113.77")})
	if !errors.Is(err, unix.ENETUNREACH) || !strings.Contains(err.Error(), "invalid gateway") {
		t.Errorf("a route by a gateway that cannot be reached: got %v", err)
	}
	gone := Route{Dst: prefix("10.20.0.0/16"), Link: "nosuch"}
	if err := o.AddRoute(gone); err == nil {
		t.Error("a route by a link that does not exist is no error")
	}
	must(t, o.DelRoute(gone))
}

func TestRulesAreThoseOfIPRule(t *testing.T) {
	testenv.NeedProgram(t, "ip")
	here, model := newNode(t), newNode(t)
	h := here.host()
	o := here.holdings(h)
	show := func(n *node) []string {
		return append(n.run("ip", "-d", "-4", "rule", "show"), n.run("ip", "-d", "-6", "rule", "show")...)
	}
	ports := &[2]uint16{10, 20}
	none := func(r Rule) Rule {
		r.SuppressPrefixLen, r.SuppressGroup = -1, -1
		return r
	}
	for _, c := range []struct {
		words string // of ip-rule(8)
		rule  Rule
	}{
		{"from 192.0.2.0/24 table 100 priority 300", none(Rule{From: prefix("192.0.2.0/24"), Table: 100, Priority: 300})},
		{"to 192.0.2.7/32 table 70000 priority 301", none(Rule{To: prefix("192.0.2.7/32"), Table: 70000, Priority: 301})},
		{"from 192.0.2.0/24 to 198.51.100.0/25 iif lo oif veth0 tos 0x10 fwmark 24/12 table 100 priority 302",
			none(Rule{From: prefix("192.0.2.0/24"), To: prefix("198.51.100.0/25"), IIF: "lo", OIF: "veth0", TOS: 0x10, Mark: 24, Mask: 12, Table: 100, Priority: 302})},
		{"fwmark 5 table main priority 303", none(Rule{Mark: 5, Priority: 303})},
		{"to 198.51.100.7 blackhole priority 304", none(Rule{To: prefix("198.51.100.7/32"), Action: RuleBlackhole, Priority: 304})},
		{"from all unreachable priority 32769", none(Rule{Action: RuleUnreachable, Priority: 32769})},
		{"not from 192.0.2.0/24 prohibit priority 305", none(Rule{Not: true, From: prefix("192.0.2.0/24"), Action: RuleProhibit, Priority: 305})},
		{"from all goto 32766 priority 306", none(Rule{Action: RuleGoto, Goto: 32766, Priority: 306})},
		{"from all nop priority 307", none(Rule{Action: RuleNop, Priority: 307})},
		{"from all uidrange 1000-1999 ipproto udp sport 10-20 dport 10-20 table 100 priority 308",
			none(Rule{UIDs: &[2]uint32{1000, 1999}, IPProto: 17, SrcPorts: ports, DstPorts: ports, Table: 100, Priority: 308})},
		{"from all tun_id 77 table 100 priority 309", none(Rule{TunnelID: 77, Table: 100, Priority: 309})},
		{"from all table main suppress_prefixlength 0 priority 310", Rule{SuppressPrefixLen: 0, SuppressGroup: -1, Priority: 310}},
		{"from all table main suppress_ifgroup 3 priority 311", Rule{SuppressPrefixLen: -1, SuppressGroup: 3, Priority: 311}},
		{"from 2001:db8::/64 table 100 priority 312", none(Rule{IPv6: true, From: prefix("2001:db8::/64"), Table: 100, Priority: 312})},
		{"to 2001:db8::7 fwmark 1 blackhole priority 313", none(Rule{IPv6: true, To: prefix("2001:db8::7/128"), Mark: 1, Action: RuleBlackhole, Priority: 313})},
	} {
		t.Run(c.words, func(t *testing.T) {
			before, beforeModel := show(here), show(model)
			words := strings.Fields("ip rule add")
			if c.rule.IPv6 {
				words = strings.Fields("ip -6 rule add")
			}
			model.run(append(append(words, strings.Fields(c.words)...), "protocol", "18")...)
			for range 2 {
				must(t, o.AddRule(c.rule))
			}
			got, want := without(show(here), before), without(show(model), beforeModel)
			if !slices.Equal(got, want) || len(want) != 1 {
				t.Errorf("got  %v\nwant %v", got, want)
			}
			must(t, o.DelRule(c.rule))
			if after := show(here); !slices.Equal(after, before) {
				t.Errorf("after the removal there is\n%s", strings.Join(after, "\n"))
			}
			must(t, o.DelRule(c.rule))
		})
	}
}

func TestSweepRemovesWhatWasLeftBehind(t *testing.T) {
	testenv.NeedProgram(t, "ip")
	here, _, h := pair(t)
	here.route(unix.RTN_UNICAST, "10.99.0.0/16", "192.0.2.2", "")
	here.run("ip", "rule", "add", "from", "10.0.0.0/8", "table", "50", "priority", "77")
	before := append(here.run("ip", "route", "show", "table", "all"), here.run("ip", "rule")...)
	before = append(append(before, here.run("ip", "-6", "route", "show", "table", "all")...), here.run("ip", "-6", "rule")...)
	killed := here.holdings(h)
	for _, r := range []Route{
		{Dst: prefix("10.1.0.0/16"), Via: ip("192.0.2.2")},
		{Dst: prefix("0.0.0.0/0"), Via: ip("192.0.2.2"), Table: 70000, Metric: 3, Metrics: []Metric{{unix.RTAX_MTU, 1400, true}}},
		{Dst: prefix("10.2.0.0/16"), Nexthops: []Nexthop{{Via: ip("192.0.2.2")}, {Via: ip("192.0.2.3"), Weight: 5}}},
		{Dst: prefix("10.3.0.0/16"), Type: unix.RTN_BLACKHOLE, TOS: 4},
		{Dst: prefix("2001:db8:1::/48"), Via: ip("2001:db8::2")},
		{Dst: prefix("2001:db8:2::/48"), Nexthops: []Nexthop{{Via: ip("2001:db8::2")}, {Via: ip("2001:db8::3")}}},
		{Dst: prefix("2001:db8:3::/48"), Type: unix.RTN_UNREACHABLE, Table: 9},
	} {
		must(t, killed.AddRoute(r))
	}
	for _, r := range []Rule{
		{Priority: 300, From: prefix("192.0.2.0/24"), Table: 70000, SuppressPrefixLen: -1, SuppressGroup: -1},
		{Priority: 301, Mark: 5, Mask: 7, Action: RuleBlackhole, SuppressPrefixLen: -1, SuppressGroup: -1},
		{Priority: 302, IPv6: true, To: prefix("2001:db8::/64"), SuppressPrefixLen: 0, SuppressGroup: 4},
	} {
		must(t, killed.AddRule(r))
	}
	must(t, here.holdings(h).Sweep())
	after := append(here.run("ip", "route", "show", "table", "all"), here.run("ip", "rule")...)
	after = append(append(after, here.run("ip", "-6", "route", "show", "table", "all")...), here.run("ip", "-6", "rule")...)
	if !slices.Equal(after, before) {
		t.Errorf("left:\n%s\ngone:\n%s", strings.Join(without(after, before), "\n"), strings.Join(without(before, after), "\n"))
	}
}

func TestRouteOfAVRF(t *testing.T) {
	here, _, h := pair(t)
	o := here.holdings(h)
	if err := here.nl.LinkAdd(&netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "blue"}, Table: 77}); err != nil {
		t.Skipf("no VRF here: %v", err)
	}
	must(t, o.AddRoute(Route{Dst: prefix("10.1.0.0/16"), VRF: "blue", Type: unix.RTN_BLACKHOLE}))
	routes, err := here.nl.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: 77}, netlink.RT_FILTER_TABLE)
	must(t, err)
	if len(routes) != 1 {
		t.Errorf("got %v", routes)
	}
	if err := o.AddRoute(Route{Dst: prefix("10.1.0.0/16"), VRF: "veth0"}); err == nil {
		t.Error("veth0 was taken for a VRF")
	}
}
