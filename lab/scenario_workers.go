package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"dirsw/stats"
)

const (
	workersNAT        = "192.0.2.200"
	workersDR         = "192.0.2.201"
	workersPersistent = "192.0.2.202"
	workersNets       = 8 // networks that clients come from
	workersHosts      = 3 // clients of each
	workersQueues     = 4 // of every wire, see Wire.Queues
)

// workersScenario is a director with two workers on interfaces with several queues: frames arrive at either.
func workersScenario() scenario {
	return scenario{name: "workers", title: "Two workers on interfaces with several queues, by direct routing and NAT.", spec: workersSpec,
		conf: workersConf,
		steps: []func(*scene) error{
			func(s *scene) error { return workersTurns(s, "direct routing", workersDR, "RS3", "RS4") },
			func(s *scene) error { return workersTurns(s, "NAT", workersNAT, "RS1", "RS2") },
			workersShare, workersMove,
		}}
}

// workersClient is an address of a client.
func workersClient(network, host int) string { return fmt.Sprintf("198.18.%d.%d", network, host) }

// workersSpec is that of natArms, with two servers in the clients' net for direct routing.
func workersSpec() Spec {
	spec := natArms(natServer("rs1", "RS1", 11, ":8080"), natServer("rs2", "RS2", 12, ":8080"))
	for i, page := range []string{"RS3", "RS4"} {
		last := byte(21 + i)
		spec.Nodes = append(spec.Nodes, NodeSpec{Name: strings.ToLower(page), Role: RealServer, Interface: "eth0",
			MAC: net.HardwareAddr{8, 0, 0x27, 0, 0x53, last}, Addrs: prefixes(fmt.Sprintf("192.0.2.%d/24", last)),
			Gateways: addresses("192.0.2.1"), VIPs: prefixes(workersDR+"/32", workersPersistent+"/32"), Page: page, Listen: ":80"})
	}
	client := &spec.Nodes[0]
	for network := range workersNets {
		for host := range workersHosts {
			client.Addrs = append(client.Addrs, prefixes(workersClient(network+1, host+1)+"/32")...)
		}
	}
	for i := range spec.Nodes {
		n := &spec.Nodes[i]
		n.Queues = workersQueues
		for k := range n.More {
			n.More[k].Queues = workersQueues
		}
	}
	return spec
}

const workersConf = `dataplane {
    workers 2
}
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 54
    priority 100
    virtual_ipaddress {
        192.0.2.200/24
        192.0.2.201/24
        192.0.2.202/24
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
virtual_server 192.0.2.201 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 192.0.2.21 80 {
        weight 1
    }
    real_server 192.0.2.22 80 {
        weight 1
    }
}
`

// workersTurns fetches a page for every client.
func workersTurns(s *scene, how, vip string, servers ...string) error {
	s.begin("Requests of clients in " + fmt.Sprint(workersNets) + " networks, by " + how + ".")
	s.did("from each of %d addresses: curl http://%s/", workersNets*workersHosts, vip)
	var got []string
	for network := range workersNets {
		for host := range workersHosts {
			text, err := s.curl("client", "--interface", workersClient(network+1, host+1), "http://"+vip+"/")
			if err != nil {
				return err
			}
			first, rest, _ := strings.Cut(text, "\n")
			if want := "client " + workersClient(network+1, host+1) + ":"; !strings.HasPrefix(rest, want) {
				s.check(false, "the server sees %s: %q", want, rest)
			}
			got = append(got, first)
		}
	}
	n := counted(got)
	s.saw("%v", n)
	s.check(n[servers[0]] == len(got)/2 && n[servers[1]] == len(got)/2,
		"all are answered, and both servers have had as many: the workers take turns together")
	return nil
}

// workersShare looks at the workers.
func workersShare(s *scene) error {
	s.begin("Both workers have received frames, and handed over what belongs to the other.")
	conns, want := 0, 2*workersNets*workersHosts
	var list []stats.Worker
	err := poll(s.ctx, s.c.clk, ample, func() (enough bool, err error) { // the counters may be a second old
		list, err = workersOf(s)
		conns, enough = 0, true
		for _, w := range list {
			conns += w.Connections
			enough = enough && w.Frames > 0 && w.HandedOver > 0
		}
		return enough && conns >= want, err
	})
	if err != nil && !errors.Is(err, errLate) {
		return err
	}
	s.check(len(list) == 2, "there are %d workers", len(list))
	for _, w := range list {
		s.check(w.Frames > 0 && w.HandedOver > 0 && w.HandedOver < w.Frames && w.Connections > 0,
			"worker %d: %d frames received, %d handed over, %d connections", w.ID, w.Frames, w.HandedOver, w.Connections)
	}
	s.check(conns == want, "%d connections for %d requests: none is known to two workers", conns, want)
	return nil
}

// workersOf asks the director for its workers.
func workersOf(s *scene) ([]stats.Worker, error) {
	text, err := s.dirsw("stats", "-json")
	if err != nil {
		return nil, err
	}
	var all stats.Stats
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("read what dirsw stats says: %w", err)
	}
	return all.Workers, nil
}

// workersMove adds a service that keeps networks together, so that clients get other workers while they have connections.
func workersMove(s *scene) error {
	s.begin("A service that keeps networks together moves clients to other workers; connections live on.")
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for network := range workersNets {
		for _, vip := range []string{workersDR, workersNAT} {
			c, err := workersDial(s, workersClient(network+1, 1), vip)
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
	}
	before := workersAsk(conns)
	for _, args := range []string{"-A -t 192.0.2.202:80 -s rr -p 60 -M 255.255.255.0", "-a -t 192.0.2.202:80 -r 192.0.2.21 -g",
		"-a -t 192.0.2.202:80 -r 192.0.2.22 -g"} {
		s.did("dirsw ipvsadm %s", args)
		if _, err := s.dirsw("ipvsadm", strings.Fields(args)...); err != nil {
			return err
		}
	}
	after := workersAsk(conns)
	s.check(strings.Join(before, " ") == strings.Join(after, " ") && !strings.Contains(strings.Join(before, " "), "error"),
		"%d connections are answered before and after, by the same servers: %v", len(conns), after)
	together, used := true, map[string]bool{}
	for network := range workersNets {
		servers := map[string]bool{}
		for host := range workersHosts {
			text, err := s.curl("client", "--interface", workersClient(network+1, host+1), "http://"+workersPersistent+"/")
			if err != nil {
				return err
			}
			first, _, _ := strings.Cut(text, "\n")
			servers[first], used[first] = true, true
		}
		together = together && len(servers) == 1
	}
	s.check(together && len(used) == 2, "clients of one network have one server, and both servers have some")
	return nil
}

// workersDial connects from one of the client's addresses.
func workersDial(s *scene, from, vip string) (c net.Conn, err error) {
	err = s.c.Do("client", func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
		ctx, cancel := context.WithTimeout(s.ctx, gentle)
		defer cancel()
		c, err = d.DialContext(ctx, "tcp", net.JoinHostPort(vip, "80"))
		return err
	})
	return c, err
}

// workersAsk sends a request on each connection, which stays open, and returns who answered.
func workersAsk(conns []net.Conn) (out []string) {
	for _, c := range conns {
		out = append(out, workersAnswer(c))
	}
	return out
}

func workersAnswer(c net.Conn) string {
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		return "error: " + err.Error()
	}
	r := bufio.NewReader(c)
	name := ""
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return "error: " + err.Error()
		case strings.HasPrefix(line, "RS"):
			name = strings.TrimSpace(line)
		case strings.HasPrefix(line, "client "):
			return name
		}
	}
}
