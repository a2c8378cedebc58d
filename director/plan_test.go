package director

import (
	"fmt"
	"slices"
	"testing"
)

// TestPlanMacvlans: on what the addresses stand that have a virtual MAC, as keepalived 2.2.7 has them.
func TestPlanMacvlans(t *testing.T) {
	m := parse(t, `vrrp_instance A {
  interface eth0
  virtual_router_id 5
  virtual_ipaddress {
    192.0.2.9/24
    198.51.100.9/24 dev eth1 use_vmac
    198.51.100.10/24 dev eth1 use_vmac
    203.0.113.10/24 dev eth2
    192.0.2.10/24 use_vmac
  }
  virtual_ipaddress_excluded {
    2001:db8::9/64 dev eth1 use_vmac
    2001:db8:2::9/64 use_vmac
  }
}
vrrp_instance B {
  interface eth0
  virtual_router_id 6
  use_vmac
  use_vmac_addr
  virtual_ipaddress {
    192.0.2.19/24
    198.51.100.19/24 dev eth1
    203.0.113.20/24 dev eth2
    192.0.2.20/24 dev eth0 use_vmac
  }
  virtual_ipaddress_excluded {
    2001:db8::19/64 dev eth1
    2001:db8:2::19/64
  }
}
`)
	var got []string
	for i, c := range Plan(m).Instances {
		for _, a := range append(slices.Clone(c.Addresses), c.Excluded...) {
			got = append(got, fmt.Sprintf("%s %v on %q", c.Name, a.Prefix.Addr(), a.Link))
		}
		for _, v := range vmacs(&m.Instances[i]) {
			got = append(got, fmt.Sprintf("%s makes %s on %s %v IPv6 %v", c.Name, v.Name, v.Base, macString(v.MAC), v.IPv6))
		}
		if want := len(vmacs(&m.Instances[i])); want != len(c.VMACs)+map[bool]int{true: 1}[c.VMAC != nil] {
			t.Errorf("%s: the plan has %v and %+v", c.Name, c.VMAC, c.VMACs)
		}
	}
	want := []string{
		`A 192.0.2.9 on ""`, `A 198.51.100.9 on "vrrp.5"`, `A 198.51.100.10 on "vrrp.5"`, `A 203.0.113.10 on "eth2"`, `A 192.0.2.10 on "vrrp1.5"`,
		`A 2001:db8::9 on "vrrp6.5"`, `A 2001:db8:2::9 on "vrrp2.5"`,
		"A makes vrrp.5 on eth1 00:00:5e:00:01:05 IPv6 false", "A makes vrrp1.5 on eth0 00:00:5e:00:01:05 IPv6 false",
		"A makes vrrp6.5 on eth1 00:00:5e:00:02:05 IPv6 true", "A makes vrrp2.5 on eth0 00:00:5e:00:02:05 IPv6 true",
		`B 192.0.2.19 on ""`, `B 198.51.100.19 on "vrrp1.6"`, `B 203.0.113.20 on "vrrp2.6"`, `B 192.0.2.20 on ""`, `B 2001:db8::19 on "vrrp6.6"`,
		`B 2001:db8:2::19 on "vrrp3.6"`,
		"B makes vrrp1.6 on eth1 00:00:5e:00:01:06 IPv6 false", "B makes vrrp2.6 on eth2 00:00:5e:00:01:06 IPv6 false",
		"B makes vrrp6.6 on eth1 00:00:5e:00:02:06 IPv6 true", "B makes vrrp3.6 on eth0 00:00:5e:00:02:06 IPv6 true",
		"B makes vrrp.6 on eth0 00:00:5e:00:01:06 IPv6 false",
	}
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			var g, w string
			if i < len(got) {
				g = got[i]
			}
			if i < len(want) {
				w = want[i]
			}
			if g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		}
	}
}
