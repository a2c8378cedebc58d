package director

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/host"
	"dirsw/packet"
	"dirsw/sched"
)

// addrs is a world with more addresses, networks and answers.
type addrs struct {
	*world
	list []host.Addr
	nets []host.LocalNet
}

func (a *addrs) Addrs() ([]host.Addr, error)         { return a.list, nil }
func (a *addrs) LocalNets() ([]host.LocalNet, error) { return a.nets, nil }

func TestFacts(t *testing.T) {
	ip := netip.MustParseAddr
	w := &addrs{world: &world{hops: map[netip.Addr]host.Hop{
		ip("192.0.2.1"):    {Link: 7, Gateway: ip("192.0.2.1"), Src: ip("192.0.2.254"), MAC: [6]byte{2, 1}, MTU: 1400, Resolved: true},
		ip("192.0.2.2"):    {Link: 7, Gateway: ip("192.0.2.2")},
		ip("192.0.2.3"):    {Link: 7, Gateway: ip("192.0.2.3"), Failed: true},
		ip("192.0.2.4"):    {Unreachable: true, Refused: true, Reason: "its route says prohibit"},
		ip("192.0.2.5"):    {Unreachable: true, Reason: "there is no route"},
		ip("192.0.2.6"):    {Link: 99, Gateway: ip("192.0.2.6"), MAC: [6]byte{2, 6}, Resolved: true},
		ip("127.0.0.1"):    {Link: 1, Local: true},
		ip("198.51.100.1"): {Link: 8, Gateway: ip("198.51.100.1"), MAC: [6]byte{2, 8}, MTU: 1500, Resolved: true},
	}},
		list: []host.Addr{{Link: 7, Addr: ip("192.0.2.200")}, {Link: 7, Addr: ip("192.0.2.254"), Source: true},
			{Link: 7, Addr: ip("192.0.2.253"), Source: true}, {Link: 7, Addr: ip("2001:db8::254"), Source: true}},
		nets: []host.LocalNet{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Mark: 1, Mask: 1}},
	}
	m := &config.Model{Marks: config.Marks{IPv4: config.MarkTable{Chains: []config.MarkChain{{Name: config.ChainPrerouting,
		Rules: make([]config.MarkRule, 1)}}}}, Services: []config.Service{{Reals: []config.Real{{Addr: ip("192.0.2.1")}, {Addr: ip("192.0.2.2")},
		{Addr: ip("192.0.2.3")}, {Addr: ip("192.0.2.4")}, {Addr: ip("192.0.2.5")}, {Addr: ip("192.0.2.6")},
		{Addr: ip("198.51.100.1"), Method: config.NAT}}},
		{SorryServer: &config.Real{Addr: ip("127.0.0.1"), Port: 80}}}}
	ports := []Port{{Name: "eth0", Link: 7, MAC: packet.MAC{2, 0, 0, 0, 0, 7}},
		{Name: "eth1", Link: 8, MAC: packet.MAC{2, 0, 0, 0, 0, 8}, SendOnly: true},
		{Name: "dirsw0", Link: 9, MAC: packet.MAC{2, 0, 0, 0, 0, 9}, Local: true}}
	d := New(Options{Host: w, Log: zap.NewNop(), Ports: ports})
	f := d.gather(m)
	for addr, want := range map[string]forward.Hop{
		"192.0.2.1": {OK: true, Port: 0, MTU: 1400, Src: ports[0].MAC, Dst: packet.MAC{2, 1}, Own: packet.AddrFrom(ip("192.0.2.254"))},
		"192.0.2.2": {},
		"192.0.2.3": {Fail: forward.HopSilent},
		"192.0.2.4": {Fail: forward.HopUnreachable},
		"192.0.2.5": {},
		"192.0.2.6": {},
		"127.0.0.1": {OK: true, Local: true, Port: 2, MTU: 65535, Src: ports[2].MAC, Dst: ports[2].MAC, Own: packet.AddrFrom(ip("127.0.0.1"))},
	} {
		if got := f.hops[ip(addr)]; got != want {
			t.Errorf("%s: got %+v, want %+v", addr, got, want)
		}
		if _, why := f.why[ip(addr)]; why == want.OK {
			t.Errorf("%s: a reason why not: %v", addr, why)
		}
	}
	if f.kernel != (forward.Hop{OK: true, Local: true, Port: 2, MTU: 65535, Src: ports[2].MAC, Dst: ports[2].MAC}) {
		t.Errorf("the way to the kernel is %+v", f.kernel)
	}
	if got := fmt.Sprint(f.own); got != "[[192.0.2.254 2001:db8::254] [192.0.2.254 2001:db8::254] [192.0.2.254 2001:db8::254]]" {
		t.Errorf("errors come from %s", got)
	}
	if got := fmt.Sprint(f.local); got != "[192.0.2.200 192.0.2.253 192.0.2.254 2001:db8::254]" {
		t.Errorf("own addresses %s", got)
	}
	if len(f.nets) != 1 || f.nets[0] != (forward.LocalNet{Addr: packet.AddrFrom(ip("198.51.100.0")), Free: 8, Mark: 1, Mask: 1}) {
		t.Errorf("own networks %+v", f.nets)
	}
	if !slices.Equal(f.names, []string{"eth0", "eth1", "dirsw0"}) || f.deaf[ip("198.51.100.1")] != "eth1" || len(f.deaf) != 1 {
		t.Errorf("ports %v, replies unseen %v", f.names, f.deaf)
	}

	m.Marks = config.Marks{}
	if got := d.gather(m); got.nets != nil {
		t.Errorf("without marks the networks are asked for: %v", got.nets)
	}
	f.nets = nil
	d.facts = f // the neighbour is asked again, and has not been silent for long enough
	w.hops[ip("192.0.2.3")] = host.Hop{Link: 7, Gateway: ip("192.0.2.3")}
	if got := d.gather(m); got.hops[ip("192.0.2.3")].Fail != forward.HopSilent || !got.equal(f) {
		t.Errorf("a silent neighbour that is asked again is %+v", got.hops[ip("192.0.2.3")])
	}
	w.list = w.list[:1]
	if got := d.gather(m); got.equal(f) || got.own[0][0] != (packet.Addr{}) {
		t.Error("an address that went is not noticed")
	}
	d.ports.Store(&[]Port{ports[0]})
	if got := d.gather(m); got.kernel.OK || got.hops[ip("127.0.0.1")].OK || !strings.Contains(got.why[ip("127.0.0.1")], "tap") {
		t.Errorf("without a tap 127.0.0.1 is reached by %+v: %q", got.hops[ip("127.0.0.1")], got.why[ip("127.0.0.1")])
	}
}

func TestAnswering(t *testing.T) {
	ip := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	local := forward.Hop{OK: true, Local: true}
	busy := sched.NewLoad(1)
	busy.Add(0, 1, 0, 0)
	s := &forward.Snapshot{Kernel: local,
		Services: []forward.Service{{Key: forward.ServiceKey{Proto: packet.ProtoTCP, Port: 80}}, {Key: forward.MarkKey(1, packet.IPv4Family)}},
		Dests: []forward.Dest{
			{Method: forward.NAT, Hop: local, Addr: ip("192.0.2.1"), Port: 8080},
			{Method: forward.NAT, Hop: local, Addr: ip("192.0.2.1"), Port: 8080},
			{Method: forward.NAT, Hop: local, Addr: ip("127.0.0.1"), Port: 80},
			{Method: forward.DR, Hop: local, Addr: ip("192.0.2.1"), Port: 9},
			{Method: forward.NAT, Addr: ip("192.0.2.9"), Port: 9},
			{Method: forward.NAT, Hop: local, Addr: ip("192.0.2.2"), Port: 1, Gone: true, Load: sched.NewLoad(1)},
			{Method: forward.NAT, Hop: local, Addr: ip("192.0.2.2"), Port: 2, Gone: true, Load: busy},
			{Method: forward.NAT, Hop: local, Addr: ip("192.0.2.3"), Service: 1},
		}}
	var got []string
	for _, e := range answering(s) {
		got = append(got, fmt.Sprintf("%v/%d/%d", e.Addr, e.Proto, e.Port))
	}
	want := []string{"127.0.0.1/0/0", "192.0.2.1/6/8080", "192.0.2.2/6/2", "192.0.2.3/6/0", "192.0.2.3/17/0", "192.0.2.3/132/0"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if s.Kernel.OK = false; answering(s) != nil {
		t.Error("something is diverted without a tap")
	}
}
