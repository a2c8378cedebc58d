package lab

import (
	"net"
	"strings"
)

// Addresses of the scenario: a web server somewhere, which clients reach by the director.
const proxyOrigin = "198.51.100.7"

// proxyScenario is a transparent proxy: requests to whatever server go to caches by a firewall mark, and to that server
// itself when no cache is there.
func proxyScenario() scenario {
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{8, 0, 0x27, 0, 0x67, last} }
	node := func(name string, role Role, last byte, network, addr, gateway, page string) NodeSpec {
		return NodeSpec{Name: name, Role: role, Interface: "eth0", MAC: mac(last), Net: network, Addrs: prefixes(addr),
			Gateways: addresses(gateway), Page: page, Listen: map[bool]string{true: ":80"}[page != ""]}
	}
	return scenario{
		name: "proxy", title: "Caches for the traffic of others, by a firewall mark, and past them (cache_bypass).",
		spec: func() Spec {
			lb1 := NodeSpec{Name: "lb1", Role: Director, Interface: "eth0", MAC: mac(101), Forward: true, Addrs: prefixes("192.0.2.101/24"),
				More: []Wire{{Net: "in", Interface: "eth1", MAC: mac(102), Addrs: prefixes("203.0.113.101/24")},
					{Net: "out", Interface: "eth2", MAC: mac(103), Addrs: prefixes("198.51.100.101/24")}}}
			return Spec{Nodes: []NodeSpec{node("client", Client, 1, "", "192.0.2.1/24", "192.0.2.101", ""), lb1,
				node("rs1", RealServer, 11, "in", "203.0.113.11/24", "203.0.113.101", "RS1"),
				node("rs2", RealServer, 12, "in", "203.0.113.12/24", "203.0.113.101", "RS2"),
				node("origin", RealServer, 7, "out", proxyOrigin+"/24", "198.51.100.101", "ORIGIN")}}
		},
		conf: `dataplane {
    interfaces eth0 eth1
    sysctl cache_bypass 1
    iptables -t mangle -A PREROUTING -i eth0 -p tcp --dport 80 -j MARK --set-mark 1
}
virtual_server fwmark 1 {
    lb_algo rr
    lb_kind NAT
    real_server 203.0.113.11 0 {
    }
    real_server 203.0.113.12 0 {
    }
}
`,
		steps: []func(*scene) error{proxyRoutes, proxyCaches, proxyBypass},
	}
}

// proxyRoutes fetches a page before anything is local, and then makes marked packets local.
func proxyRoutes(s *scene) error {
	s.begin("A mark alone does nothing: the packets are not for this host.")
	s.did("curl http://%s", proxyOrigin)
	got, err := s.pages("client", "http://"+proxyOrigin, 1)
	if err != nil {
		return err
	}
	s.check(got[0] == "ORIGIN", "the kernel routes the request to where the client wanted")
	for _, line := range []string{"ip rule add fwmark 1 lookup 100", "ip route add local 0.0.0.0/0 dev lo table 100"} {
		s.did("%s", line)
		words := strings.Fields(line)
		if _, err := s.run(s.node, words[0], words[1:]...); err != nil {
			return err
		}
	}
	err = poll(s.ctx, s.c.clk, ample, func() (bool, error) {
		got, err := s.pages("client", "http://"+proxyOrigin, 1)
		return err == nil && strings.HasPrefix(got[0], "RS"), err
	})
	return s.told(err, "with the routes that make marked packets local, a cache answers")
}

// told is must, for an error that ends the scenario.
func (s *scene) told(err error, what string) error {
	s.must(err, "%s", what)
	return err
}

// proxyCaches fetches pages that the caches answer.
func proxyCaches(s *scene) error {
	s.begin("The caches answer in turn, from the address that the client wanted.")
	s.did("6 times: curl http://%s", proxyOrigin)
	got, err := s.pages("client", "http://"+proxyOrigin, 6)
	if err != nil {
		return err
	}
	s.saw("%s", strings.Join(got, " "))
	n := counted(got)
	s.check(n["RS1"] == 3 && n["RS2"] == 3, "each cache answered three")
	return nil
}

// proxyBypass takes the caches away.
func proxyBypass(s *scene) error {
	s.begin("Without a cache the requests go to where the client wanted.")
	if err := s.typed("ipvsadm -d -f 1 -r 203.0.113.11", "ipvsadm -d -f 1 -r 203.0.113.12"); err != nil {
		return err
	}
	s.did("2 times: curl http://%s", proxyOrigin)
	got, err := s.pages("client", "http://"+proxyOrigin, 2)
	if err != nil {
		return err
	}
	s.saw("%s", strings.Join(got, " "))
	s.check(counted(got)["ORIGIN"] == 2, "the server itself answered")
	out, err := s.dirsw("ipvsadm", "-Lnc")
	if err != nil {
		return err
	}
	s.check(strings.Contains(out, proxyOrigin+":80") && strings.Contains(out, "0.0.0.0:0"), "the connections are listed with 0.0.0.0:0 for a server")
	s.did("dirsw sysctl -w net.ipv4.vs.cache_bypass=0")
	if _, err := s.dirsw("sysctl", "-w", "net.ipv4.vs.cache_bypass=0"); err != nil {
		return err
	}
	_, err = s.curl("client", "--max-time", "1", "http://"+proxyOrigin)
	s.check(err != nil && strings.Contains(err.Error(), "exit status 28"), "without cache_bypass there is no answer: the kernel would give none either")
	return nil
}
