package director

import (
	"net/netip"
	"testing"

	"dirsw/config"
)

func TestMask(t *testing.T) {
	for _, c := range []struct {
		name string
		svc  config.Service
		want string
	}{
		{"all of IPv4", config.Service{Addr: netip.MustParseAddr("192.0.2.1")}, "ffffffffffffffffffffffffffffffff"},
		{"/24", config.Service{Addr: netip.MustParseAddr("192.0.2.1"), Granularity: 24}, "ffffffffffffffffffffffffffffff00"},
		{"/64", config.Service{Addr: netip.MustParseAddr("2001:db8::1"), Granularity: 64}, "ffffffffffffffff0000000000000000"},
		{"everybody", config.Service{Addr: netip.MustParseAddr("192.0.2.1"), Netmask: netip.MustParseAddr("0.0.0.0")},
			"ffffffffffffffffffffffff00000000"},
		{"with a hole", config.Service{Addr: netip.MustParseAddr("192.0.2.1"), Netmask: netip.MustParseAddr("255.0.0.255")},
			"ffffffffffffffffffffffffff0000ff"},
	} {
		m := mask(&c.svc)
		if got := hexOf(m[:]); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func hexOf(b []byte) (s string) {
	for _, v := range b {
		s += string("0123456789abcdef"[v>>4]) + string("0123456789abcdef"[v&15])
	}
	return s
}
