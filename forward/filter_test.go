package forward_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// virtual is a service of a test's snapshot with its servers.
type virtual struct {
	key     forward.ServiceKey
	persist bool
	gone    bool
	dests   []forward.Dest
}

func filterKey(proto uint8, addr string) forward.ServiceKey {
	ap := netip.MustParseAddrPort(addr)
	return forward.ServiceKey{Addr: packet.AddrFrom(ap.Addr()), Port: ap.Port(), Proto: proto}
}

func dest(m forward.Method, addr string, edit ...func(*forward.Dest)) forward.Dest {
	ap := netip.MustParseAddrPort(addr)
	d := forward.Dest{Method: m, Addr: packet.AddrFrom(ap.Addr()), Port: ap.Port(), Load: sched.NewLoad(1)}
	for _, f := range edit {
		f(&d)
	}
	return d
}

// snapshotOf makes a snapshot with a way to the kernel, or without.
func snapshotOf(kernel bool, list ...virtual) *forward.Snapshot {
	s := &forward.Snapshot{Lookup: map[forward.ServiceKey]forward.ServiceID{}, Kernel: forward.Hop{OK: kernel},
		Local: []packet.Addr{packet.AddrFrom(netip.MustParseAddr("192.0.2.254"))}}
	for i, v := range list {
		svc := forward.Service{Key: v.key, Gone: v.gone}
		if v.persist {
			svc.Persistence = 1
		}
		if !v.gone {
			s.Lookup[v.key] = forward.ServiceID(i)
		}
		s.Services = append(s.Services, svc)
		for _, d := range v.dests {
			d.Service = forward.ServiceID(i)
			s.Dests = append(s.Dests, d)
		}
	}
	return s
}

func TestFilterOfSnapshot(t *testing.T) {
	const tcp, udp = packet.ProtoTCP, packet.ProtoUDP
	web := filterKey(tcp, "203.0.113.10:80")
	local := func(d *forward.Dest) { d.Hop.Local = true }
	gone := func(d *forward.Dest) { d.Gone = true }
	busy := func(d *forward.Dest) { d.Gone = true; d.Load.Add(0, 1, 0, 0) }
	tunnel := func(tun packet.Tunnel) func(*forward.Dest) { return func(d *forward.Dest) { d.Tunnel = tun } }
	for _, tt := range []struct {
		name   string
		kernel bool
		list   []virtual
		want   string // keys in order: kind, protocol, address, port
	}{
		{"direct routing", true, []virtual{{key: web, dests: []forward.Dest{dest(forward.DR, "198.51.100.1:80")}}},
			"to 6 203.0.113.10 80"},
		{"masquerading", true, []virtual{{key: web, dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:8080")}}},
			"to 6 203.0.113.10 80, from 6 198.51.100.1 8080"},
		{"masquerading to the director", true, []virtual{{key: web, dests: []forward.Dest{dest(forward.NAT, "192.0.2.254:8080", local)}}},
			"to 6 203.0.113.10 80"},
		{"a removed server", true, []virtual{{key: web, dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:8080", gone)}}},
			"to 6 203.0.113.10 80"},
		{"a removed server with connections", true, []virtual{{key: web, dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:8080", busy)}}},
			"to 6 203.0.113.10 80, from 6 198.51.100.1 8080"},
		{"all ports", true, []virtual{{key: filterKey(tcp, "203.0.113.10:0"), persist: true,
			dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:0")}}}, "to 6 203.0.113.10 0, from 6 198.51.100.1 0"},
		{"all ports, the server's given", true, []virtual{{key: filterKey(tcp, "203.0.113.10:0"), persist: true,
			dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:80")}}}, "to 6 203.0.113.10 0, from 6 198.51.100.1 0"},
		{"isakmp", true, []virtual{{key: filterKey(udp, "203.0.113.10:500"), dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:500")}}},
			"to 17 203.0.113.10 500, to 50 203.0.113.10 0, to 51 203.0.113.10 0, " +
				"from 17 198.51.100.1 500, from 50 198.51.100.1 0, from 51 198.51.100.1 0"},
		{"a mark", true, []virtual{{key: forward.MarkKey(5, packet.IPv4Family), dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:80")}}},
			"from 6 198.51.100.1 80, from 17 198.51.100.1 80, from 132 198.51.100.1 80"},
		{"ftp", true, []virtual{{key: filterKey(tcp, "203.0.113.10:21"), dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:21")}}},
			"to 6 203.0.113.10 0, to 6 203.0.113.10 21, from 6 198.51.100.1 0, from 6 198.51.100.1 21"},
		{"ftp without a way back to the kernel", false, []virtual{{key: filterKey(tcp, "203.0.113.10:21"),
			dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:21")}}}, "to 6 203.0.113.10 21, from 6 198.51.100.1 21"},
		{"tunnels", true, []virtual{{key: web, dests: []forward.Dest{
			dest(forward.TUN, "198.51.100.1:80"),
			dest(forward.TUN, "198.51.100.2:80", tunnel(packet.Tunnel{Type: packet.GUE, Port: 6080})),
			dest(forward.TUN, "198.51.100.3:80", tunnel(packet.Tunnel{Type: packet.GRE})),
			dest(forward.TUN, "192.0.2.254:80", local)}}},
			"to 6 203.0.113.10 80, tunnelled 4 198.51.100.1 0, tunnelled 17 198.51.100.2 6080, tunnelled 47 198.51.100.3 0"},
		{"a tunnel for IPv6", true, []virtual{{key: filterKey(tcp, "[2001:db8::10]:80"), dests: []forward.Dest{
			dest(forward.TUN, "198.51.100.1:80")}}}, "to 6 2001:db8::10 80, tunnelled 41 198.51.100.1 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := snapshotOf(tt.kernel, tt.list...).Filter()
			var got []string
			for _, k := range f.Keys {
				got = append(got, fmt.Sprintf("%v %d %v %d", k.Kind, k.Proto, k.Addr, k.Port))
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			if len(f.Own) != 1 {
				t.Errorf("own addresses %v", f.Own)
			}
		})
	}
}

func TestFilterCommon(t *testing.T) {
	web, dns := filterKey(packet.ProtoTCP, "203.0.113.10:80"), filterKey(packet.ProtoUDP, "203.0.113.10:53")
	a := snapshotOf(true, virtual{key: web}, virtual{key: dns}).Filter()
	s := snapshotOf(true, virtual{key: web, dests: []forward.Dest{dest(forward.NAT, "198.51.100.1:8080")}})
	s.Local = []packet.Addr{packet.AddrFrom(netip.MustParseAddr("192.0.2.1"))}
	c := a.Common(s.Filter())
	if len(c.Keys) != 1 || c.Keys[0].Addr != web.Addr || c.Keys[0].Port != 80 {
		t.Errorf("the keys of both are %v, want the web service alone", c.Keys)
	}
	if want := append(slices.Clone(s.Local), a.Own...); !slices.Equal(c.Own, want) {
		t.Errorf("addresses %v, want those of either: %v", c.Own, want)
	}
}
