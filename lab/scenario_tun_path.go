package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"dirsw/packet"
)

// narrow is what gets through behind the router of the scenario, in bytes of IP packet.
const narrow = 1400

// narrowServices are those of the scenario: one real server, behind the router.
func narrowServices() []tunService {
	four, six := [2]string{"203.0.113.11"}, [2]string{"2001:db8:52::11"}
	return []tunService{
		{"198.51.100.201", "TUN", four, "IPv4 in IPv4", narrow - 20},
		{"198.51.100.202", "TUN type gue port 6080 csum", four, "IPv4 in GUE over IPv4", narrow - 32},
		{"198.51.100.203", "TUN type gre nocsum", four, "IPv4 in GRE over IPv4", narrow - 24},
		{"2001:db8:51::204", "TUN", six, "IPv6 in IPv6", narrow - 40},
	}
}

// tunPathScenario is a router on the way through the tunnel that lets less through than the director's link.
func tunPathScenario() scenario {
	return scenario{name: "tun-path", title: "A path through tunnels that is narrower than the director can see.", spec: narrowSpec,
		conf: tunConf(narrowServices()), steps: []func(*scene) error{playNarrow}}
}

func narrowSpec() Spec {
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{8, 0, 0x27, 0, 0x52, last} }
	near := func(name string, role Role, last byte) NodeSpec {
		return NodeSpec{Name: name, Role: role, Interface: "eth0", MAC: mac(last),
			Addrs: prefixes(fmt.Sprintf("198.51.100.%d/24", last), fmt.Sprintf("2001:db8:51::%d/64", last))}
	}
	client, lb1, router := near("client", Client, 1), near("lb1", Director, 101), near("router", Client, 254)
	lb1.Gateways = addresses("198.51.100.254", "2001:db8:51::254")
	router.Forward = true
	router.More = []Wire{{Net: "far", Interface: "eth1", MAC: mac(253), Addrs: prefixes("203.0.113.254/24", "2001:db8:52::254/64"), MTU: narrow}}
	rs1 := NodeSpec{Name: "rs1", Role: RealServer, Interface: "eth0", MAC: mac(11), Net: "far", Page: "RS1", Listen: ":80",
		Addrs: prefixes("203.0.113.11/24", "2001:db8:52::11/64"), Gateways: addresses("203.0.113.254", "2001:db8:52::254")}
	for _, sv := range narrowServices() {
		rs1.VIPs = append(rs1.VIPs, hostPrefix(sv.vip))
	}
	return Spec{Nodes: []NodeSpec{client, lb1, router, rs1}}
}

// playNarrow uploads through each tunnel, and looks what the client was told.
func playNarrow(s *scene) error {
	end, err := s.c.OpenDecap("rs1", packet.Tunnel{}, packet.Tunnel{Type: packet.GUE, Port: guePort}, packet.Tunnel{Type: packet.GRE})
	if err != nil {
		return err
	}
	defer end.Close()
	body := filepath.Join(s.dir, "body")
	if err := os.WriteFile(body, make([]byte, 100_000), 0o600); err != nil {
		return err
	}
	known := map[string]bool{} // servers to which the path is known
	for _, sv := range narrowServices() {
		s.begin(sv.about + ".")
		sizes, err := toldByUpload(s, sv, body)
		if err != nil {
			return err
		}
		want := []int{sv.fits}
		if server := sv.servers[0]; !known[server] {
			known[server], want = true, []int{sv.fits + 1500 - narrow, sv.fits}
			s.check(slices.Equal(sizes, want), "the client was told what the director's link has room for, then what the router has: %v", sizes)
			continue
		}
		s.check(slices.Equal(sizes, want), "the director knows the path to the server from before; the client was told %v", sizes)
	}
	return nil
}
