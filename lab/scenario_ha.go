package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// haScenario is the whole exercise of the articles: two directors and two web servers, of which one after the other fails
// and comes back, while somebody asks for the page a hundred times a second.
func haScenario() scenario {
	return scenario{name: "ha", title: "Two directors and two web servers, each of which dies and comes back.", spec: haSpec,
		conf: haConf("lb1"), steps: []func(*scene) error{haPlay}}
}

const (
	haVIP   = "192.168.56.200"
	haEvery = 10 * time.Millisecond
)

// haSpec is the cluster of DefaultSpec with a second director and a server that says sorry.
func haSpec() Spec {
	s := DefaultSpec()
	second, sorry := s.Nodes[1], s.Nodes[3]
	second.Name, second.MAC, second.Addrs = "lb2", net.HardwareAddr{8, 0, 0x27, 0xfb, 0x6e, 0x22}, prefixes("192.168.56.102/24")
	sorry.Name, sorry.MAC, sorry.Addrs, sorry.Page = "sorry", net.HardwareAddr{8, 0, 0x27, 0, 1, 5}, prefixes("192.168.56.105/24"), "SORRY"
	s.Nodes = append(s.Nodes, second, sorry)
	return s
}

// haConf is the article's configuration for the director of a node: that of the first is as printed there, that of the second
// differs from it in what the article says. Persistence is left out, checks are made every second, and a server says sorry
// when there is nobody else. The same servers are a service by firewall mark as well.
func haConf(node string, more ...string) string {
	replace := []string{persistence, "# " + persistence, "delay_loop 3 ", "delay_loop 1 ", "retry 3　　　　　　 ", "retry 1 ", "retry 3\n", "retry 1\n",
		"delay_before_retry 3", "delay_before_retry 1", "protocol TCP\n", "protocol TCP\n    sorry_server 192.168.56.105 80\n"}
	if node == "lb2" {
		replace = append(replace, "LVS_MASTER", "LVS_BACKUP", "state MASTER", "state BACKUP", "priority 200", "priority 100")
	}
	return strings.NewReplacer(append(more, replace...)...).Replace(Pasted) + haMark
}

// haMark is what stands in the block dataplane: a connection whose server was taken out is forgotten when its port is used
// again, and the mark of another article's exercise, with the addresses of this one.
const haMark = `
dataplane {
    sysctl net.ipv4.vs.expire_nodest_conn 1
    iptables -t mangle -A PREROUTING -d 192.168.56.200 -p tcp -m multiport --dports 8080,443 -j MARK --set-mark 6666
}
virtual_server fwmark 6666 {
    delay_loop 1
    lb_algo rr
    lb_kind DR
    persistence_timeout 300
    protocol TCP
    real_server 192.168.56.103 0 {
        weight 1
        TCP_CHECK {
            connect_port 80
            connect_timeout 1
        }
    }
    real_server 192.168.56.104 0 {
        weight 1
        TCP_CHECK {
            connect_port 80
            connect_timeout 1
        }
    }
}
`

// haPlay takes all steps.
func haPlay(s *scene) error {
	p, page := haPair(s)
	defer stopAll(p.lbs[1].machine)
	rs1 := p.webs[0]
	steps := []func() error{
		func() error { return p.election(page) },
		func() error { return p.reloads(page) },
		func() error { return p.death(0) },
		func() error { return p.comeback(0) },
		func() error { return p.farewell(0) },
		func() error { return p.noPreemption(page) },
		func() error { return p.serverLost(rs1) },
		func() error { return p.serverBack(rs1) },
		func() error {
			return p.sorry(apology{service: haService, url: page.url, page: "SORRY", site: page, webs: p.webs, found: haFound})
		},
		p.mark,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Of the configuration: advert_int, the skew of the backup (RFC 9568, section 6.1), and how long to wait until a web server
// that is gone or back is known to be.
const (
	haAdvert  = time.Second
	haMargin  = 200 * time.Millisecond
	haFound   = ample
	haService = "[192.168.56.200]:tcp:80"
)

// haPair is the pair of the scenario; the first director runs.
func haPair(s *scene) (*pair, *site) {
	vip := netip.MustParseAddr(haVIP)
	one := &site{instance: "VI_1", theirs: "VI_1", url: "http://" + haVIP + "/", vip: vip, link: demoInterface, reclaims: true,
		pages: []string{"RS1", "RS2"},
		limit: [2]time.Duration{haTakeover(200), haTakeover(100)}, lives: addressLives}
	p := &pair{scene: s, lbs: [2]*scene{s, s.at(s.newMachine("lb2"))}, sites: []*site{one}, every: haEvery,
		launch: func(lb *scene) error { return lb.boot(haConf(lb.node)) }}
	for _, node := range []string{"rs1", "rs2"} {
		addr := s.c.nodes[node].spec.Addrs[0].Addr()
		p.webs = append(p.webs, &web{node: node, page: strings.ToUpper(node), turns: true,
			stop: func() { s.c.StopServer(node) }, start: func() error { return s.c.StartServer(node) },
			seats: []seat{{real: fmt.Sprintf("[%v]:tcp:80", addr), service: haService, url: one.url, site: one, found: haFound}}})
	}
	return p, one
}

// haTakeover is how soon a director of a priority becomes master when another has died.
func haTakeover(priority int) time.Duration {
	return 3*haAdvert + haAdvert*time.Duration(256-priority)/256
}

// election starts the second director.
func (p *pair) election(s *site) error {
	p.begin("The one with the higher priority is master, the other its backup.")
	p.did("in lb2: dirsw run with the same file, but BACKUP and priority 100")
	if err := p.launch(p.lbs[1]); err != nil {
		return err
	}
	if err := pause(p.ctx, p.c.clk, p.silence(1, p.sites)); err != nil {
		return err
	}
	p.saw("lb1: %s", lineWith(p.lbs[0].d.log.text(), "Entering MASTER STATE"))
	p.saw("lb2: %s", lineWith(p.lbs[1].d.log.text(), "Entering BACKUP STATE"))
	p.check(lineWith(p.lbs[1].d.log.text(), masterLine(s.theirs)...) == "", "lb2 has not become master in %.1f s", p.silence(1, p.sites).Seconds())
	if err := p.holder(s); err != nil {
		return err
	}
	servers, err := p.pages(demoClient, s.url, demoRequests)
	p.saw("%d requests: %s", demoRequests, strings.Join(servers, " "))
	n := counted(servers)
	p.must(err, "every request is answered")
	p.check(n["RS1"] == n["RS2"], "each web server answers half of them")
	return nil
}

// haAdded is an address that a reload adds.
const haAdded = "192.168.56.201"

// reloads changes the configuration of the master, and of both, while somebody asks for the page.
func (p *pair) reloads(s *site) error {
	p.begin("The configuration changes while it runs: nobody notices, but who asked for it.")
	since := [2]place{p.lbs[0].here(), p.lbs[1].here()}
	w := p.watch(demoClient, s.url, haEvery)
	err := errors.Join(p.reloadPriority(), p.reloadAddress(), p.reloadNonsense())
	for _, lb := range []int{1, 0} {
		err = errors.Join(err, p.lbs[lb].reload(haConf(p.lbs[lb].node)))
	}
	list := w.end()
	if err != nil {
		return err
	}
	p.did("the first files again, and a reload of both")
	p.check(!p.has("lb1", netip.MustParseAddr(haAdded)), "lb1 has given up %s", haAdded)
	if failed := failures(list, 0, clock.Mono(1<<62)); !p.check(len(failed) == 0, "all %d requests meanwhile were answered", len(list)) {
		p.saw("%s", reasons(failed, list[0].at))
	}
	for i, lb := range p.lbs {
		p.check(lineWith(lb.logged(since[i]), "Entering") == "", "%s has not changed its state", lb.node)
	}
	return p.holder(s)
}

// reloadPriority gives the master another priority.
func (p *pair) reloadPriority() error {
	p.did("in lb1: priority 150 instead of 200, and SIGHUP")
	if err := os.WriteFile(p.conf, []byte(haConf("lb1", "priority 200", "priority 150")), 0o600); err != nil {
		return err
	}
	if err := p.d.cmd.Process.Signal(unix.SIGHUP); err != nil {
		return fmt.Errorf("dirsw has ended: %w", err)
	}
	text := ""
	err := poll(p.ctx, p.c.clk, ample, func() (ok bool, err error) {
		text, err = p.dirsw("vrrp")
		return lineWith(text, "VI_1", "MASTER", " 150 ") != "", err
	})
	p.saw("%s", text)
	p.must(err, "lb1 is master with priority 150")
	return pause(p.ctx, p.c.clk, 2*haAdvert)
}

// reloadAddress adds a virtual address to both, the backup first: adverts must name the addresses that it knows.
func (p *pair) reloadAddress() error {
	p.did("in both: %s is a second virtual address, and dirsw reload", haAdded)
	for _, lb := range []int{1, 0} {
		conf := haConf(p.lbs[lb].node, haVIP+"  ", haVIP+"\n        "+haAdded+"  ")
		if err := p.lbs[lb].reload(conf); err != nil {
			return err
		}
	}
	added := netip.MustParseAddr(haAdded)
	err := poll(p.ctx, p.c.clk, ample, func() (bool, error) { return p.has("lb1", added), nil })
	p.must(err, "lb1 has %s, and did not start anew", haAdded)
	took, err := p.c.Ping(demoClient, added, 1)
	p.must(err, "it answers ping, in %v", took.Round(time.Microsecond))
	p.check(!p.has("lb2", added), "lb2 has it not")
	return pause(p.ctx, p.c.clk, 2*haAdvert)
}

// reloadNonsense has the master read a file that cannot be.
func (p *pair) reloadNonsense() error {
	p.did("in lb1: lb_algo robin, and dirsw reload")
	err := p.reload(haConf("lb1", "lb_algo rr", "lb_algo robin"))
	if p.check(err != nil, "it is refused") {
		p.saw("%v", err)
	}
	p.check(p.has("lb1", netip.MustParseAddr(haAdded)), "lb1 goes on with what it had")
	return nil
}

// noPreemption starts the first director again, which does not want the address back.
func (p *pair) noPreemption(s *site) error {
	p.launch = func(lb *scene) error {
		return lb.boot(haConf(lb.node, "state MASTER ", "state BACKUP\n    nopreempt "))
	}
	s.reclaims = false
	return p.comeback(0)
}

// mark asks for two ports that are one service.
func (p *pair) mark() error {
	p.begin("Two ports are one service, by firewall mark 6666.")
	for _, node := range []string{"rs1", "rs2"} {
		for _, port := range []string{":8080", ":443"} {
			l, err := p.c.Listen(node, port)
			if err != nil {
				return err
			}
			go func() { _ = serve(p.ctx, l, strings.ToUpper(node)) }() // it ends with the scenario
		}
	}
	var servers []string
	p.did("curl http://%s:8080 and http://%[1]s:443, three times", haVIP)
	for range 3 {
		for _, port := range []string{"8080", "443"} {
			list, err := p.pages(demoClient, "http://"+net.JoinHostPort(haVIP, port)+"/", 1)
			if err != nil {
				return err
			}
			servers = append(servers, list...)
		}
	}
	p.saw("%s", strings.Join(servers, " "))
	p.check(len(counted(servers)) == 1, "one server answered the client on both ports")
	return nil
}
