package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses of the scenario: the clients' net and the servers', each of both families.
const (
	natVIP4, natVIP6 = "192.0.2.200", "2001:db8:1::200"
	// services on all ports
	natAll4, natAll6 = "192.0.2.201", "2001:db8:1::201"
	natNarrow        = 1300 // bytes that fit to the servers, once a route says so
)

// natScenario is masquerading by a director with two arms: its second interface is the real servers' gateway.
func natScenario() scenario {
	return scenario{name: "nat", title: "NAT by a director with two arms, over IPv4 and IPv6.", spec: natSpec, conf: natConf,
		steps: []func(*scene) error{
			func(s *scene) error { return natTurns(s, "IPv4", natVIP4, "192.0.2.1") },
			func(s *scene) error { return natTurns(s, "IPv6", natVIP6, "2001:db8:1::1") },
			natOwnChecks, natServersOwn, natTooBig, natNobody,
		}}
}

// natArms are the director's interfaces and the client.
func natArms(server ...NodeSpec) Spec {
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{8, 0, 0x27, 0, 0x53, last} }
	client := NodeSpec{Name: "client", Role: Client, Interface: "eth0", MAC: mac(1), Addrs: prefixes("192.0.2.1/24", "2001:db8:1::1/64"),
		Page: "CLIENT", Listen: ":80", Gateways: addresses("192.0.2.101", "2001:db8:1::101")}
	lb1 := NodeSpec{Name: "lb1", Role: Director, Interface: "eth0", MAC: mac(101), Forward: true,
		Addrs: prefixes("192.0.2.101/24", "2001:db8:1::101/64"),
		More:  []Wire{{Net: "in", Interface: "eth1", MAC: mac(102), Addrs: prefixes("203.0.113.101/24", "2001:db8:2::101/64")}}}
	return Spec{Nodes: append([]NodeSpec{client, lb1}, server...)}
}

// natServer is a real server behind the director.
func natServer(name, page string, last byte, listen string) NodeSpec {
	return NodeSpec{Name: name, Role: RealServer, Interface: "eth0", MAC: net.HardwareAddr{8, 0, 0x27, 0, 0x53, last}, Net: "in",
		Addrs:    prefixes(fmt.Sprintf("203.0.113.%d/24", last), fmt.Sprintf("2001:db8:2::%d/64", last)),
		Gateways: addresses("203.0.113.101", "2001:db8:2::101"), Page: page, Listen: listen}
}

func natSpec() Spec {
	return natArms(natServer("rs1", "RS1", 11, ":8080"), natServer("rs2", "RS2", 12, ":8080"), natServer("rs3", "RS3", 13, ":80"))
}

const natConf = `vrrp_instance VI_4 {
    state MASTER
    interface eth0
    virtual_router_id 53
    priority 100
    virtual_ipaddress {
        192.0.2.200/24
        192.0.2.201/24
        192.0.2.202/24
        192.0.2.203/24
    }
}
vrrp_instance VI_6 {
    state MASTER
    interface eth0
    virtual_router_id 53
    priority 100
    virtual_ipaddress {
        2001:db8:1::200/64
        2001:db8:1::201/64
    }
}
virtual_server 192.0.2.200 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 203.0.113.11 8080 {
        weight 1
    }
    real_server 203.0.113.12 8080 {
        weight 1
    }
}
virtual_server 2001:db8:1::200 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 2001:db8:2::11 8080 {
        weight 1
    }
    real_server 2001:db8:2::12 8080 {
        weight 1
    }
}
virtual_server 192.0.2.201 0 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    persistence_timeout 60
    real_server 203.0.113.13 0 {
        weight 1
    }
}
virtual_server 2001:db8:1::201 0 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    persistence_timeout 60
    real_server 2001:db8:2::13 0 {
        weight 1
    }
}
virtual_server 192.0.2.202 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 203.0.113.99 80 {
        weight 1
    }
}
virtual_server 192.0.2.203 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 198.18.0.1 80 {
        weight 1
    }
}
`

// natURL is where a service is asked.
func natURL(addr, port string) string { return "http://" + net.JoinHostPort(addr, port) + "/" }

// natTurns fetches pages over one family.
func natTurns(s *scene, family, vip, client string) error {
	s.begin("Requests over " + family + " take turns, and are answered from the virtual address.")
	s.did("6 times: curl %s", natURL(vip, "80"))
	got, err := s.pages("client", natURL(vip, "80"), 6)
	if err != nil {
		return err
	}
	s.saw("%s", strings.Join(got, " "))
	n := counted(got)
	s.check(n["RS1"] == 3 && n["RS2"] == 3, "each server answered three")
	page, err := s.curl("client", natURL(vip, "80"))
	if err != nil {
		return err
	}
	s.check(strings.Contains(page, "client "+net.JoinHostPort(client, "")),
		"the server sees the client's own address: %s", strings.TrimSpace(page[strings.Index(page, "\n")+1:]))
	return nil
}

// natOwnChecks connects from the director to real servers, as a health check does: their answers come from the address
// and port that the packet filter looks for, and must stay with the director's own network stack.
func natOwnChecks(s *scene) error {
	s.begin("Connections of the director itself to real servers stay its own.")
	for _, at := range [][2]string{{"203.0.113.11", "RS1"}, {"2001:db8:2::12", "RS2"}} {
		s.did("in %s: curl %s", s.node, natURL(at[0], "8080"))
		got, err := s.pages(s.node, natURL(at[0], "8080"), 1)
		s.must(err, "it is answered")
		s.check(len(got) == 1 && got[0] == at[1], "by %s: %v", at[1], got)
	}
	return nil
}

// natServersOwn uses the server of a service on all ports: whatever it sends is taken, and what belongs to no connection is
// given back to the kernel, which routes it.
func natServersOwn(s *scene) error {
	s.begin("What a real server does on its own account goes by the director as by any router.")
	for _, at := range [][3]string{{natAll4, "192.0.2.1", "203.0.113.13"}, {natAll6, "2001:db8:1::1", "2001:db8:2::13"}} {
		got, err := s.pages("client", natURL(at[0], "80"), 2)
		s.must(err, "the service on all ports of %s answers", at[0])
		s.check(counted(got)["RS3"] == 2, "from its server: %v", got)
		s.did("in rs3: curl %s", natURL(at[1], "80"))
		page, err := s.curl("rs3", natURL(at[1], "80"))
		s.must(err, "its request to the client's own server is answered")
		own := "CLIENT\nclient " + net.JoinHostPort(at[2], "")
		s.check(strings.HasPrefix(page, own), "and comes from its own address: %q", page)
	}
	text, err := s.dirsw("stats")
	if err != nil {
		return err
	}
	s.check(lineWith(text, "given back") != "", "dirsw counts it: %s", strings.Join(strings.Fields(lineWith(text, "given back")), " "))
	return nil
}

// natTooBig sends more than the way to the servers has room for.
func natTooBig(s *scene) error {
	s.begin("What is too long for the way to the servers is refused, with the size that fits.")
	body := filepath.Join(s.dir, "body")
	if err := os.WriteFile(body, make([]byte, 100_000), 0o600); err != nil {
		return err
	}
	s.did("in %s: ip route add SERVER dev eth1 mtu %d, for each", s.node, natNarrow)
	if err := narrowRoutes(s, s.node, natNarrow, "203.0.113.11", "203.0.113.12", "2001:db8:2::11", "2001:db8:2::12"); err != nil {
		return err
	}
	for _, vip := range []string{natVIP4, natVIP6} {
		var sizes []int
		err := poll(s.ctx, s.c.clk, ample, func() (told bool, err error) { // dirsw follows the routes soon, but the uploads are quick
			sizes, err = toldByUpload(s, tunService{vip: vip}, body)
			return len(sizes) > 0, err
		})
		if err != nil && !errors.Is(err, errLate) {
			return err
		}
		s.check(len(sizes) == 1 && sizes[0] == natNarrow, "the client was told by the virtual address that %v bytes fit", sizes)
	}
	return nil
}

// narrowRoutes gives a node routes by its second interface that have an MTU.
func narrowRoutes(s *scene, node string, mtu int, to ...string) error {
	h, err := s.c.Netlink(node)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName("eth1")
	if err != nil {
		return err
	}
	for _, a := range addresses(to...) {
		dst := &net.IPNet{IP: net.IP(a.AsSlice()), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
		if err := h.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK, MTU: mtu}); err != nil {
			return fmt.Errorf("add a route to %v: %w", a, err)
		}
	}
	return nil
}

// natNobody asks services whose servers cannot be reached.
func natNobody(s *scene) error {
	s.begin("Who asks for a server that cannot be reached is told so.")
	s.did("in %s: ip route add unreachable 198.18.0.0/15", s.node)
	h, err := s.c.Netlink(s.node)
	if err != nil {
		return err
	}
	defer h.Close()
	dst := &net.IPNet{IP: net.IPv4(198, 18, 0, 0), Mask: net.CIDRMask(15, 32)}
	if err := h.RouteAdd(&netlink.Route{Dst: dst, Type: unix.RTN_UNREACHABLE}); err != nil {
		return err
	}
	for _, ask := range []struct{ vip, why string }{
		{"192.0.2.202", "no machine has its address, which ARP finds out in three seconds"},
		{"192.0.2.203", "its route says unreachable"},
	} {
		s.did("connect to %s: %s", ask.vip, ask.why)
		var last error
		err := poll(s.ctx, s.c.clk, ample, func() (bool, error) { // dirsw has to find it out first
			ctx, cancel := context.WithTimeout(s.ctx, time.Second)
			defer cancel()
			var c net.Conn
			if c, last = s.c.Dial(ctx, "client", "tcp", net.JoinHostPort(ask.vip, "80")); last == nil {
				c.Close()
			}
			return errors.Is(last, unix.EHOSTUNREACH), s.ctx.Err()
		})
		s.must(err, "%v", last) // what the client's kernel makes of an ICMP host unreachable
	}
	return nil
}
