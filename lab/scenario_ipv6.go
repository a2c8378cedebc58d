package lab

import (
	"net"
	"strings"
)

// ipv6Scenario is direct routing over IPv6: the first demonstration's cluster, without IPv4.
func ipv6Scenario() scenario {
	const vip = "2001:db8:56::200"
	return scenario{
		name: "ipv6", title: "Direct routing over IPv6, and a scheduler changed while it runs.",
		spec: func() Spec {
			vips := prefixes(vip + "/128")
			mac := func(last ...byte) net.HardwareAddr { return append(net.HardwareAddr{8, 0, 0x27}, last...) }
			node := func(name string, role Role, last byte, addr string) NodeSpec {
				return NodeSpec{Name: name, Role: role, Interface: "enp0s8", MAC: mac(0, 6, last), Addrs: prefixes(addr + "/64")}
			}
			server := func(name string, last byte, addr, page string) NodeSpec {
				n := node(name, RealServer, last, addr)
				n.VIPs, n.Page, n.Listen = vips, page, ":80"
				return n
			}
			client := node("client", Client, 1, "2001:db8:56::1")
			client.Addrs = append(client.Addrs, prefixes("2001:db8:56::2/64", "2001:db8:56::3/64", "2001:db8:56::4/64")...)
			return Spec{Nodes: []NodeSpec{client, node("lb1", Director, 0x65, "2001:db8:56::101"),
				server("rs1", 3, "2001:db8:56::103", "RS1"), server("rs2", 4, "2001:db8:56::104", "RS2")}}
		},
		conf: `vrrp_instance VI_6 {
    state MASTER
    interface enp0s8
    virtual_router_id 56
    priority 100
    virtual_ipaddress {
        2001:db8:56::200/64
    }
}
virtual_server 2001:db8:56::200 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 2001:db8:56::103 80 {
        weight 1
    }
    real_server 2001:db8:56::104 80 {
        weight 1
    }
}
`,
		steps: []func(*scene) error{
			func(s *scene) error {
				s.begin("Requests over IPv6 take turns.")
				s.did("8 times: curl http://[%s]/", vip)
				got, err := s.pages("client", "http://["+vip+"]/", 8)
				if err != nil {
					return err
				}
				s.saw("%s", strings.Join(got, " "))
				n := counted(got)
				s.check(n["RS1"] == 4 && n["RS2"] == 4, "each server answered four")
				for i := 1; i < len(got); i++ {
					if got[i] == got[i-1] {
						s.check(false, "no server answered twice in a row")
						break
					}
				}
				return nil
			},
			func(s *scene) error {
				s.begin("With another scheduler, sh, a client stays with its server.")
				if _, err := s.dirsw("ipvsadm", "-E", "-t", "["+vip+"]:80", "-s", "sh"); err != nil {
					return err
				}
				s.did("dirsw ipvsadm -E -t [%s]:80 -s sh; four times from each of four addresses", vip)
				servers := map[string]bool{}
				for _, from := range []string{"2001:db8:56::1", "2001:db8:56::2", "2001:db8:56::3", "2001:db8:56::4"} {
					var got []string
					for range 4 {
						text, err := s.curl("client", "--interface", from, "http://["+vip+"]/")
						if err != nil {
							return err
						}
						first, _, _ := strings.Cut(text, "\n")
						got = append(got, first)
					}
					s.saw("%s: %s", from, strings.Join(got, " "))
					s.check(len(counted(got)) == 1, "%s always got the same server", from)
					servers[got[0]] = true
				}
				text, err := s.dirsw("ipvsadm", "-Ln")
				if err != nil {
					return err
				}
				s.saw("%s", text)
				s.check(lineWith(text, "TCP", "["+vip+"]:80", "sh") != "", "the listing says so")
				return nil
			},
		},
	}
}
