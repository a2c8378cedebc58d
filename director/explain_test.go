package director

import (
	"net/netip"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// TestCandidates says for every scheduler why each server was passed over or chosen.
func TestCandidates(t *testing.T) {
	type server struct {
		weight, active, inactive int32
		upper                    uint32
	}
	for _, tt := range []struct {
		kind    string
		servers []server // in the order of the list, the last byte of the address from 1
		chosen  int
		want    string
	}{
		{"rr", []server{{1, 0, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}}, 0, "* 192.0.2.1:80 weight 1, 0 active, 0 inactive: it has the turn\n" +
			"  192.0.2.2:80 weight 0, 0 active, 0 inactive: weight 0 takes no new connections\n" +
			"  192.0.2.3:80 weight 1, 0 active, 0 inactive: its turn comes later\n"},
		{"lc", []server{{1, 1, 0, 0}, {1, 0, 9, 0}, {1, 0, 9, 0}}, 1, "  192.0.2.1:80 weight 1, 1 active, 0 inactive: 256 active + inactive = 256 is more\n" +
			"* 192.0.2.2:80 weight 1, 0 active, 9 inactive: chosen, 256 active + inactive = 9\n" +
			"  192.0.2.3:80 weight 1, 0 active, 9 inactive: 256 active + inactive = 9 is not less, and it stands behind\n"},
		{"wlc", []server{{2, 1, 0, 0}, {1, 1, 0, 0}}, 0, "* 192.0.2.1:80 weight 2, 1 active, 0 inactive: chosen, (256 active + inactive) / weight = 256/2\n" +
			"  192.0.2.2:80 weight 1, 1 active, 0 inactive: (256 active + inactive) / weight = 256/1 is more\n"},
		{"sed", []server{{2, 1, 0, 0}, {1, 1, 0, 0}}, 0, "* 192.0.2.1:80 weight 2, 1 active, 0 inactive: chosen, (active + 1) / weight = 2/2\n" +
			"  192.0.2.2:80 weight 1, 1 active, 0 inactive: (active + 1) / weight = 2/1 is more\n"},
		{"nq", []server{{2, 1, 0, 0}, {1, 0, 0, 0}, {1, 0, 0, 0}}, 1, "  192.0.2.1:80 weight 2, 1 active, 0 inactive: (active + 1) / weight = 2/2, and another one is idle\n" +
			"* 192.0.2.2:80 weight 1, 0 active, 0 inactive: chosen, (active + 1) / weight = 1/1\n" +
			"  192.0.2.3:80 weight 1, 0 active, 0 inactive: (active + 1) / weight = 1/1, idle, and it stands behind\n"},
		{"fo", []server{{2, 0, 0, 0}, {2, 0, 0, 0}, {1, 0, 0, 0}}, 0, "* 192.0.2.1:80 weight 2, 0 active, 0 inactive: the highest weight\n" +
			"  192.0.2.2:80 weight 2, 0 active, 0 inactive: not the highest weight, and it stands behind one of the same\n" +
			"  192.0.2.3:80 weight 1, 0 active, 0 inactive: not the highest weight\n"},
		{"ovf", []server{{2, 3, 0, 0}, {1, 0, 0, 0}}, 1, "  192.0.2.1:80 weight 2, 3 active, 0 inactive: overflows: more active connections than its weight\n" +
			"* 192.0.2.2:80 weight 1, 0 active, 0 inactive: the highest weight that its 0 active connections do not exceed\n"},
		{"sh", []server{{1, 0, 0, 0}, {1, 0, 0, 0}}, sched.None, "  192.0.2.1:80 weight 1, 0 active, 0 inactive: the client does not hash to it\n" +
			"  192.0.2.2:80 weight 1, 0 active, 0 inactive: the client does not hash to it\n"},
		{"rr", []server{{1, 2, 0, 2}}, sched.None, "  192.0.2.1:80 weight 1, 2 active, 0 inactive: over its threshold, -x 2 -y 0\n"},
		{sched.Nobody, []server{{1, 0, 0, 0}}, sched.None, "  192.0.2.1:80 weight 1, 0 active, 0 inactive: the service has no scheduler\n"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			kind, ok := sched.Lookup(tt.kind)
			if !ok {
				t.Fatal("no such scheduler")
			}
			svc := &forward.Service{Kind: kind, Pool: &sched.Pool{Cursor: new(sched.Cursor)}}
			for i, s := range tt.servers {
				d := sched.Dest{ID: uint32(i), Addr: packet.AddrFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})), Port: 80,
					Weight: s.weight, Upper: s.upper, Load: sched.NewLoad(1)}
				d.Load.Add(0, s.active, s.inactive, 0)
				d.Load.Bound(s.upper)
				svc.Pool.Dests = append(svc.Pool.Dests, d)
			}
			got := strings.ReplaceAll(candidates(svc, tt.chosen), "\n  ", "\n")
			if want := "candidates of " + tt.kind + ", in the order of its list:\n" + tt.want; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	for _, name := range sched.Names() { // none is left without a word
		svc := &forward.Service{Pool: &sched.Pool{Dests: []sched.Dest{{Weight: 1, Load: sched.NewLoad(1)}, {Weight: 1, Load: sched.NewLoad(1)}}}}
		svc.Kind, _ = sched.Lookup(name)
		if text := candidates(svc, 0); strings.Contains(text, ": chosen\n") || strings.Contains(text, ": not chosen\n") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestExplainRetiredTemplate tells why a persistent client gets another server.
func TestExplainRetiredTemplate(t *testing.T) {
	tr := newTraffic(t)
	m := parse(t, "virtual_server 192.0.2.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n persistence_timeout 50\n"+
		" real_server 192.0.2.1 80 {\n  weight 1\n }\n real_server 192.0.2.2 80 {\n  weight 1\n }\n}\n")
	hops := map[netip.Addr]forward.Hop{netip.MustParseAddr("192.0.2.1"): {OK: true, MTU: 1500}, netip.MustParseAddr("192.0.2.2"): {OK: true, MTU: 1500}}
	put := func(m *config.Model) {
		t.Helper()
		s, err := Compile(&Inputs{Model: m, Workers: 1, Hops: hops}, tr.s)
		if err != nil {
			t.Fatal(err)
		}
		tr.s = s
		tr.w.Publish(s)
	}
	ask := func() string {
		t.Helper()
		flow, err := ParseFlow("tcp 203.0.113.1:9 > 192.0.2.100:80")
		if err != nil {
			t.Fatal(err)
		}
		in := NewInquiry(flow, forward.PortInfo{})
		tr.w.Explain(&in.Question, tr.now)
		return in.Answer(m, []string{"eth0"})
	}
	put(m)
	tr.open(0, 1)
	if got := ask(); !strings.Contains(got, "because: persistence template 203.0.113.1 -> 192.0.2.2:80") || strings.Contains(got, "candidates") {
		t.Errorf("with a template:\n%s", got)
	}
	m = m.Clone()
	m.Services[0].Reals = m.Services[0].Reals[:1]
	put(m)
	tr.open(1, 0)
	got := ask()
	for _, want := range []string{"retired: the client's persistence template, to 192.0.2.2:80: the server was removed", "server:  192.0.2.1:80"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// TestExplainNotAccepted tells of a packet that no service wants to a virtual address whose master does not accept it.
func TestExplainNotAccepted(t *testing.T) {
	const service = "virtual_server 192.0.2.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 192.0.2.1 80 {\n  weight 1\n }\n}\n"
	instance := func(name, id, more string) string {
		return "vrrp_instance " + name + " {\n interface eth0\n virtual_router_id " + id + "\n " + more + "\n virtual_ipaddress { 192.0.2.100 }\n}\n"
	}
	vip, other := packet.AddrFrom(netip.MustParseAddr("192.0.2.100")), packet.AddrFrom(netip.MustParseAddr("192.0.2.9"))
	const dropped, kernel = "dropped: not-accepted: this host is the master", "kernel:  it is nothing of ours"
	for _, tt := range []struct {
		name, conf string
		local      []packet.Addr
		port       string
		want, not  []string
	}{
		{"a master", instance("VI_1", "51", "priority 100\n no_accept"), []packet.Addr{other, vip}, "22",
			[]string{dropped, "because: vrrp_instance VI_1 (test.conf:1:1) has no_accept; write accept there"}, []string{kernel, "note:"}},
		{"strict", instance("VI_1", "51", "priority 100\n strict_mode on"), []packet.Addr{vip}, "22",
			[]string{dropped, "has no_accept, which vrrp_strict and strict_mode imply"}, []string{kernel}},
		{"what a service wants", instance("VI_1", "51", "priority 100\n no_accept"), []packet.Addr{vip}, "80", []string{"server:  192.0.2.1:80"}, []string{"accept"}},
		{"a backup", instance("VI_1", "51", "priority 100\n no_accept"), []packet.Addr{other}, "22",
			[]string{kernel, "note:    this host does not have 192.0.2.100 now; the master of vrrp_instance VI_1 (test.conf:1:1) drops such packets: it has no_accept"}, []string{"dropped"}},
		{"a file", instance("VI_1", "51", "priority 100\n no_accept"), nil, "22", []string{dropped}, []string{kernel}},
		{"it accepts", instance("VI_1", "51", "priority 100"), []packet.Addr{vip}, "22", []string{kernel}, []string{"accept"}},
		{"the owner", instance("VI_1", "51", "priority 255\n no_accept"), []packet.Addr{vip}, "22", []string{kernel}, []string{"accept"}},
	} {
		for _, way := range []bool{true, false} { // to the network stack
			m := parse(t, tt.conf+service)
			in := &Inputs{Model: m, Workers: 1, Local: tt.local, Hops: map[netip.Addr]forward.Hop{netip.MustParseAddr("192.0.2.1"): {OK: true, MTU: 1500}},
				Kernel: forward.Hop{OK: way, Local: true, MTU: 65535}}
			s, err := Compile(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr := newTraffic(t)
			tr.w.Publish(s)
			if _, err := tr.w.Step(tr.now); err != nil {
				t.Fatal(err)
			}
			flow, err := ParseFlow("tcp 203.0.113.1:9 > 192.0.2.100:" + tt.port)
			if err != nil {
				t.Fatal(err)
			}
			q := NewInquiry(flow, forward.PortInfo{})
			tr.w.Explain(&q.Question, tr.now)
			got := q.Answer(m, []string{"eth0"})
			for _, want := range tt.want {
				if (way || want != kernel) && !strings.Contains(got, want) {
					t.Errorf("%s, a way to the network stack %v: %q is not in\n%s", tt.name, way, want, got)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(got, not) && (way || not != "dropped") {
					t.Errorf("%s: %q is in\n%s", tt.name, not, got)
				}
			}
		}
	}
}

// TestChanges compares frames as they come and as they leave.
func TestChanges(t *testing.T) {
	spec := packet.Spec{Tuple: packet.Tuple{Src: packet.AddrFrom(netip.MustParseAddr("2001:db8::1")), Dst: packet.AddrFrom(netip.MustParseAddr("2001:db8::2")),
		SrcPort: 1000, DstPort: 53, Proto: packet.ProtoUDP, Family: packet.IPv6Family}, Payload: []byte("x")}
	before := packet.Build(nil, spec)
	if got := changes(before, before); got != "" {
		t.Errorf("nothing has changed, got %q", got)
	}
	spec.Dst, spec.DstPort = packet.AddrFrom(netip.MustParseAddr("2001:db8::3")), 5353
	got := changes(before, packet.Build(nil, spec))
	for _, want := range []string{"destination: 2001:db8::2 -> 2001:db8::3 (bytes 38-53: ", "destination port: 53 -> 5353 (bytes 56-57: 00 35 -> 14 e9)", "UDP checksum: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	outer := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 63, 41, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9}
	for _, tt := range []struct {
		name   string
		proto  uint8
		header []byte
		want   string
	}{
		{"IP in IP", 41, nil, "protocol 41, time to live 63, type of service 0x00, don't fragment\n"},
		{"GRE", packet.ProtoGRE, []byte{0, 0, 0x86, 0xdd}, "prepended: GRE 00 00 86 dd\n"},
		{"GUE", packet.ProtoUDP, []byte{0, 7, 0x17, 0xc0, 0, 50, 0x12, 0x34, 0, 41, 0, 0},
			"prepended: UDP port 7 > 6080, checksum 0x1234\n  prepended: GUE 00 29 00 00\n"},
	} {
		after := append(append([]byte{}, before[:12]...), 8, 0)
		after = append(append(append(after, outer...), tt.header...), before[14:]...)
		after[14+9] = tt.proto
		got := changes(before, after)
		if !strings.HasPrefix(got, "  prepended: IPv4 192.0.2.1 > 192.0.2.9, protocol ") || !strings.Contains(got, tt.want) || strings.Contains(got, " -> ") {
			t.Errorf("%s: got\n%s\nwant %q and nothing that changed", tt.name, got, tt.want)
		}
	}
}
