package director

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/config"
	"dirsw/health"
)

func TestAddPaths(t *testing.T) {
	via := []config.Check{{Kind: config.TCPCheck}, {
		Kind: config.TCPCheck, ViaVIP: true, ConnectTimeout: 2 * time.Second, DelayLoop: 6 * time.Second, Retry: 3, Alpha: true,
	}}
	plain := via[:1]
	real := func(addr string, m config.Method, c []config.Check) config.Real {
		return config.Real{Addr: netip.MustParseAddr(addr), Port: 80, Method: m, Checks: c}
	}
	tunnel := real("203.0.113.12", config.TUN, via)
	tunnel.Tunnel = config.Tunnel{Type: config.GUE, Port: 6080}
	service := func(vip string, proto config.Protocol, port uint16, reals ...config.Real) config.Service {
		return config.Service{Addr: netip.MustParseAddr(vip), Proto: proto, Port: port, Reals: reals}
	}
	mark := service("198.51.100.9", config.TCP, 80, real("192.0.2.11", config.DR, via))
	mark.Addr, mark.Mark = netip.Addr{}, 7
	m := &config.Model{Services: []config.Service{
		service("198.51.100.1", config.TCP, 80,
			real("192.0.2.11", config.DR, via), real("192.0.2.12", config.DR, plain), real("192.0.2.13", config.NAT, via), tunnel),
		service("198.51.100.2", config.UDP, 53, real("192.0.2.11", config.DR, via)),
		service("198.51.100.3", config.TCP, 0, real("192.0.2.11", config.DR, via)),
		mark,
	}}
	var targets []health.Target
	for i := range m.Services {
		s := &m.Services[i]
		for k := range s.Reals {
			targets = append(targets, health.Target{
				Key: checkKey(s, &s.Reals[k]), Checks: make([]health.Check, len(s.Reals[k].Checks), 9),
			})
		}
	}
	open := func(netip.Addr, netip.AddrPort, uint16, bool) (health.Wire, error) { return nil, errors.New("none") }
	var got []string
	for i, out := range addPaths(m, targets, open) {
		for _, c := range out.Checks {
			if c.Kind != health.KindPath {
				continue
			}
			p := c.Checker.(*health.PathCheck)
			got = append(got, p.String())
			if want := (health.Timing{Loop: 6 * time.Second, Retry: 3}); !c.Advisory || c.Timing != want {
				t.Errorf("target %d: advisory %t, timing %+v, want %+v", i, c.Advisory, c.Timing, want)
			}
		}
	}
	want := []string{
		"198.51.100.1:80 by 192.0.2.11 tunnel 0:0 timeout 2s",
		"198.51.100.1:80 by 203.0.113.12 tunnel 3:6080 timeout 2s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("paths\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
