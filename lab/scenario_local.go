package lab

import (
	"context"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// localScenario is a director that is a real server itself.
func localScenario() scenario {
	return scenario{name: "local", title: "Real servers and sorry servers on the director itself.", spec: localSpec, conf: localConf,
		steps: []func(*scene) error{playLocal}}
}

func localSpec() Spec {
	rs1 := natServer("rs1", "RS1", 11, ":8090")
	s := natArms(rs1)
	s.Nodes[1].Page, s.Nodes[1].Listen = "LB1", ":80" // on all addresses, the virtual ones too
	return s
}

const localConf = `vrrp_instance VI_4 {
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
        2001:db8:1::202/64
    }
}
virtual_server 192.0.2.200 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 203.0.113.11 80 {
        weight 0
    }
    sorry_server 127.0.0.1 80
}
virtual_server 192.0.2.201 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    sorry_server 127.0.0.1 8080
}
virtual_server 192.0.2.202 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 192.0.2.101 8090 {
        weight 1
    }
    real_server 203.0.113.11 8090 {
        weight 1
    }
}
virtual_server 192.0.2.203 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 192.0.2.101 80 {
        weight 1
    }
}
virtual_server 2001:db8:1::200 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    sorry_server ::1 80
}
virtual_server 2001:db8:1::202 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 2001:db8:1::101 8090 {
        weight 1
    }
}
`

// playLocal starts two more servers on the director and asks all services.
func playLocal(s *scene) error {
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	for _, at := range []struct{ addr, page string }{{"127.0.0.1:8080", "SORRY"}, {":8090", "OWN"}} {
		l, err := s.c.Listen(s.node, at.addr)
		if err != nil {
			return err
		}
		go func() { _ = serve(ctx, l, at.page) }() // it ends with its listener
	}
	for _, step := range []struct {
		title, vip string
		want       []string
	}{
		{"The sorry server 127.0.0.1 by direct routing: the packet keeps the virtual address.", "192.0.2.200", []string{"LB1", "LB1"}},
		{"The sorry server 127.0.0.1 by NAT, which listens there alone.", "192.0.2.201", []string{"SORRY", "SORRY"}},
		{"An address of the director beside another server, by NAT.", "192.0.2.202", []string{"RS1", "OWN", "RS1", "OWN"}},
		{"An address of the director by direct routing.", "192.0.2.203", []string{"LB1", "LB1"}},
		{"The sorry server ::1 by direct routing.", "2001:db8:1::200", []string{"LB1", "LB1"}},
		{"An IPv6 address of the director by NAT.", "2001:db8:1::202", []string{"OWN", "OWN"}},
	} {
		s.begin(step.title)
		s.did("%d times: curl %s", len(step.want), natURL(step.vip, "80"))
		got, err := s.pages("client", natURL(step.vip, "80"), len(step.want))
		s.must(err, "they are answered")
		s.check(strings.Join(got, " ") == strings.Join(step.want, " "), "by %s", strings.Join(got, " "))
	}
	return localAside(s)
}

// localAside uses the director's own servers besides dirsw.
func localAside(s *scene) error {
	s.begin("Who asks the director's own servers straight is answered as before.")
	for _, ask := range []struct{ node, url, want string }{
		{"client", natURL("192.0.2.101", "8090"), "OWN"},
		{"client", natURL("2001:db8:1::101", "8090"), "OWN"},
		{"client", natURL("192.0.2.101", "80"), "LB1"},
		{s.node, natURL("127.0.0.1", "8080"), "SORRY"},
		{s.node, natURL("192.0.2.101", "8090"), "OWN"},
		{"rs1", natURL("203.0.113.101", "8090"), "OWN"},
	} {
		s.did("in %s: curl %s", ask.node, ask.url)
		got, err := s.pages(ask.node, ask.url, 1)
		s.must(err, "it is answered")
		s.check(len(got) == 1 && got[0] == ask.want, "by %s: %v", ask.want, got)
	}
	s.begin("The connections are listed, and the rules for the answers are there.")
	text, err := s.dirsw("ipvsadm", "-Lnc")
	if err != nil {
		return err
	}
	s.check(lineWith(text, "192.0.2.201:80", "127.0.0.1:8080") != "", "%s", lineWith(text, "192.0.2.201:80"))
	s.check(lineWith(text, "FIN_WAIT") != "" || lineWith(text, "TIME_WAIT") != "" || lineWith(text, "CLOSE") != "",
		"connections that were closed are on their way out")
	h, err := s.c.Netlink(s.node)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := s.d.stop(unix.SIGTERM, gentle); err != nil {
		return err
	}
	_, err = h.LinkByName("dirsw0")
	s.check(err != nil, "when dirsw has ended, its interface is gone")
	rules, err := h.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	left := 0
	for _, r := range rules {
		if r.Table > 255 {
			left++
		}
	}
	s.check(left == 0, "and so are the rules")
	return nil
}
