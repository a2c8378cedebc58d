package lab

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// What the scenario's routers let through, in bytes of IP packet: less than the director's links.
const (
	natPathClients = 1320
	natPathServers = 1300
	natPathPage    = 300_000 // bytes of the page that is downloaded
)

// natPathScenario is NAT between routers whose far links are narrow: their errors must be translated, towards the client
// and towards the server, or large transfers stand still.
func natPathScenario() scenario {
	return scenario{name: "nat-path", title: "NAT between routers whose links are narrower than the director can see.", spec: natPathSpec,
		conf: natPathConf, steps: []func(*scene) error{playNATPath}}
}

func natPathSpec() Spec {
	s := natArms(NodeSpec{Name: "rs1", Role: RealServer, Interface: "eth0", MAC: natMAC(61), Net: "deep", Page: "RS1", Listen: ":8080",
		Addrs: prefixes("10.0.2.11/24", "2001:db8:6::11/64"), Gateways: addresses("10.0.2.254", "2001:db8:6::254")},
		NodeSpec{Name: "routerc", Role: Client, Interface: "eth0", MAC: natMAC(62), Addrs: prefixes("192.0.2.254/24", "2001:db8:1::254/64"),
			Forward: true, Gateways: addresses("192.0.2.101", "2001:db8:1::101"), More: []Wire{{Net: "far", Interface: "eth1", MAC: natMAC(63),
				Addrs: prefixes("10.0.1.254/24", "2001:db8:5::254/64")}}},
		NodeSpec{Name: "routers", Role: Client, Interface: "eth0", MAC: natMAC(64), Net: "in", Forward: true,
			Addrs: prefixes("203.0.113.254/24", "2001:db8:2::254/64"), Gateways: addresses("203.0.113.101", "2001:db8:2::101"),
			More: []Wire{{Net: "deep", Interface: "eth1", MAC: natMAC(65), Addrs: prefixes("10.0.2.254/24", "2001:db8:6::254/64")}}})
	client := &s.Nodes[0]
	client.Net, client.Addrs, client.Page, client.Listen = "far", prefixes("10.0.1.1/24", "2001:db8:5::1/64"), "", ""
	client.Gateways = addresses("10.0.1.254", "2001:db8:5::254")
	s.Nodes[1].Gateways = addresses("203.0.113.254", "2001:db8:2::254") // no route to the client: its router is known by its packets
	return s
}

func natMAC(last byte) net.HardwareAddr { return net.HardwareAddr{8, 0, 0x27, 0, 0x53, last} }

const natPathConf = `vrrp_instance VI_4 {
    state MASTER
    interface eth0
    virtual_router_id 53
    priority 100
    virtual_ipaddress {
        192.0.2.200/24
    }
}
vrrp_instance VI_6 {
    state MASTER
    interface eth0
    virtual_router_id 53
    priority 100
    virtual_ipaddress {
        2001:db8:1::200/64
    }
}
virtual_server 192.0.2.200 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.0.2.11 8080 {
        weight 1
    }
}
virtual_server 192.0.2.200 81 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.0.2.11 8081 {
        weight 1
    }
}
virtual_server 2001:db8:1::200 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 2001:db8:6::11 8080 {
        weight 1
    }
}
virtual_server 2001:db8:1::200 81 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 2001:db8:6::11 8081 {
        weight 1
    }
}
`

// playNATPath transfers in both directions over both families.
func playNATPath(s *scene) error {
	err := errors.Join(narrowRoutes(s, "routerc", natPathClients, "10.0.1.1", "2001:db8:5::1"),
		narrowRoutes(s, "routers", natPathServers, "10.0.2.11", "2001:db8:6::11"))
	if err != nil {
		return err
	}
	l, err := s.c.Listen("rs1", ":8081")
	if err != nil {
		return err
	}
	large := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte{'x'}, natPathPage)) // the client sees what is missing
	}), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = large.Serve(l) }() // it ends with Close
	defer large.Close()
	body := filepath.Join(s.dir, "body")
	if err := os.WriteFile(body, make([]byte, 100_000), 0o600); err != nil {
		return err
	}
	for _, at := range [][2]string{{natVIP4, "192.0.2.254"}, {natVIP6, "2001:db8:1::254"}} {
		if err := showNATPath(s, at[0], at[1], body); err != nil {
			return err
		}
	}
	return nil
}

// showNATPath transfers to and from a virtual address. Router is the one before the client.
func showNATPath(s *scene, vip, router, body string) error {
	s.begin("From " + vip + " a router before the client says what fits.")
	err := poll(s.ctx, s.c.clk, ample, func() (bool, error) { // until dirsw knows the MAC of the router to the server
		_, err := s.curl("client", natURL(vip, "80"))
		return err == nil, s.ctx.Err()
	})
	if !s.must(err, "the service answers") {
		return nil
	}
	capture, err := s.c.OpenCapture(switchName, "rs1")
	if err != nil {
		return err
	}
	defer capture.Close()
	s.did("curl %s, a page of %d bytes", natURL(vip, "81"), natPathPage)
	page, err := s.curl("client", natURL(vip, "81"))
	s.must(err, "it comes")
	s.check(len(page) == natPathPage, "whole: %d bytes", len(page))
	frames, _, err := capture.Frames()
	if err != nil {
		return err
	}
	told := 0
	for _, f := range frames {
		if mtu, ok := tooBigFrom(f, router); ok && mtu == natPathClients {
			told++
		}
	}
	s.check(told > 0, "the server was told that %d bytes fit", natPathClients)

	s.begin("Towards " + vip + " a router behind the director says what fits.")
	sizes, err := toldByUpload(s, tunService{vip: vip}, body)
	if err != nil {
		return err
	}
	s.check(len(sizes) == 1 && sizes[0] == natPathServers, "the client was told so as by the virtual address: %v", sizes)
	return nil
}
