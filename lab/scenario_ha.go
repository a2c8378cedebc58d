package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
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

// pair is the scenario under way.
type pair struct {
	*scene                // as seen from the first director
	second *scene         // as seen from the second
	vip    netip.AddrPort // the service
}

func haPlay(s *scene) error {
	p := &pair{scene: s, vip: netip.MustParseAddrPort(haVIP + ":80")}
	p.second = s.at(s.newMachine("lb2"))
	defer stopAll(p.second.machine)
	for _, step := range []func() error{p.election, p.death, p.preemption, p.farewell, p.noPreemption, p.serverLost, p.serverBack, p.sorry, p.mark} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// url is the page.
func (p *pair) url() string { return "http://" + p.vip.String() + "/" }

// said waits until a director has logged a line with all words, after the first n bytes of its log.
func (s *scene) said(n int, within time.Duration, words ...string) error {
	err := poll(s.ctx, s.c.clk, within, func() (bool, error) { return lineWith(s.d.log.since(n), words...) != "", nil })
	if err != nil {
		return fmt.Errorf("%s does not log %q: %w", s.node, strings.Join(words, " … "), err)
	}
	return nil
}

// election is step 1.
func (p *pair) election() error {
	p.begin("The one with the higher priority is master, the other its backup.")
	p.did("in lb2: dirsw run with the same file, but BACKUP and priority 100")
	if err := p.second.boot(haConf("lb2")); err != nil {
		return err
	}
	if err := pause(p.ctx, p.c.clk, 4500*time.Millisecond); err != nil { // longer than it waits for adverts
		return err
	}
	p.saw("lb1: %s", lineWith(p.d.log.text(), "Entering MASTER STATE"))
	p.saw("lb2: %s", lineWith(p.second.d.log.text(), "Entering BACKUP STATE"))
	p.check(!strings.Contains(p.second.d.log.text(), "Entering MASTER STATE"), "lb2 has not become master in 4.5 s")
	if err := p.holder("lb1"); err != nil {
		return err
	}
	servers, err := p.pages(demoClient, p.url(), demoRequests)
	p.saw("%d requests: %s", demoRequests, strings.Join(servers, " "))
	n := counted(servers)
	p.must(err, "every request is answered")
	p.check(n["RS1"] == n["RS2"], "each web server answers half of them")
	return nil
}

// holder checks that a director, and nobody else, answers for the virtual address.
func (p *pair) holder(node string) error {
	macs, err := p.c.WhoHas(p.ctx, demoClient, p.vip.Addr(), 300*time.Millisecond)
	if err != nil {
		return err
	}
	mac, err := p.c.MAC(node, demoInterface)
	if err != nil {
		return err
	}
	p.check(len(macs) == 1 && macs[0].String() == mac.String(), "%s alone answers ARP for %v: %v", node, p.vip.Addr(), macs)
	return nil
}

// during runs f while somebody asks for the page, and waits until the director there is master. It returns the requests and
// when f was called.
func (p *pair) during(there *scene, f func() error) ([]asked, clock.Mono, error) {
	n := 0
	if there.d != nil {
		n = there.d.log.size()
	}
	w := p.watch(demoClient, p.url(), haEvery)
	err := pause(p.ctx, p.c.clk, 300*time.Millisecond)
	begin := p.c.clk.Now()
	err = errors.Join(err, f())
	if err == nil {
		err = there.said(n, 15*time.Second, "Entering MASTER STATE")
	}
	err = errors.Join(err, pause(p.ctx, p.c.clk, 500*time.Millisecond))
	return w.end(), begin, err
}

// told says what the requests of a failover saw, and checks how long nobody was answered.
func (p *pair) told(list []asked, begin clock.Mono, most time.Duration) error {
	gap, err := outage(list, begin)
	if err != nil {
		return err
	}
	p.saw("%d requests, %d not answered; the first answer came %.2f s after", len(list), len(failures(list, begin, begin.Add(time.Minute))),
		gap.Seconds())
	p.check(gap <= most, "that is within %.2f s", most.Seconds())
	return nil
}

// Of the configuration: advert_int, and the skew of the backup (RFC 9568, section 6.1).
const (
	haAdvert = time.Second
	haSkew   = haAdvert * (256 - 100) / 256
	haMargin = 200 * time.Millisecond
)

// death is step 2.
func (p *pair) death() error {
	p.begin("The master dies: the backup takes over.")
	p.did("a request every 10 ms from client; kill -9 of dirsw in lb1")
	list, begin, err := p.during(p.second, func() error { return p.d.stop(unix.SIGKILL, final) })
	if err != nil {
		return err
	}
	if err := p.told(list, begin, 3*haAdvert+haSkew+haMargin); err != nil {
		return err
	}
	err = poll(p.ctx, p.c.clk, 10*time.Second, func() (bool, error) {
		macs, err := p.c.WhoHas(p.ctx, demoClient, p.vip.Addr(), 100*time.Millisecond)
		return len(macs) == 1, err
	})
	p.must(err, "the kernel of lb1 has given up %v %.1f s after the kill", p.vip.Addr(), p.c.clk.Now().Sub(begin).Seconds())
	return p.holder("lb2")
}

// preemption is step 3.
func (p *pair) preemption() error {
	p.begin("The first returns and is master again: its priority is higher.")
	p.did("a request every 10 ms; dirsw run in lb1")
	fresh := p.at(p.newMachine("lb1"))
	list, begin, err := p.during(fresh, func() error { return fresh.boot(haConf("lb1")) })
	p.machine = fresh.machine
	if err != nil {
		return err
	}
	failed := failures(list, begin, begin.Add(time.Minute))
	p.saw("%d requests, %d not answered", len(list), len(failed))
	p.check(len(failed) <= len(list)/20, "the change back costs next to nothing")
	return p.holder("lb1")
}

// farewell is step 4.
func (p *pair) farewell() error {
	p.begin("The master is stopped: it says so, and nobody waits.")
	p.did("a request every 10 ms; SIGTERM to dirsw in lb1")
	list, begin, err := p.during(p.second, func() error { return p.d.stop(unix.SIGTERM, gentle) })
	if err != nil {
		return err
	}
	if err := p.told(list, begin, haMargin); err != nil {
		return err
	}
	return p.holder("lb2")
}

// noPreemption is step 5.
func (p *pair) noPreemption() error {
	p.begin("With nopreempt the one that returns stays backup.")
	p.did("in lb1: dirsw run with state BACKUP and nopreempt")
	if err := p.boot(haConf("lb1", "state MASTER ", "state BACKUP\n    nopreempt ")); err != nil {
		return err
	}
	if err := pause(p.ctx, p.c.clk, 4500*time.Millisecond); err != nil {
		return err
	}
	p.check(!strings.Contains(p.d.log.text(), "Entering MASTER STATE"), "lb1 with priority 200 has not become master in 4.5 s")
	return p.holder("lb2")
}

// serverLost is step 6.
func (p *pair) serverLost() error {
	p.begin("A web server stops: it is taken out, and no request fails from then on.")
	p.did("a request every 10 ms; the web server of rs1 stopped")
	n := p.second.d.log.size()
	w := p.watch(demoClient, p.url(), haEvery)
	begin := p.c.clk.Now()
	p.c.StopServer("rs1")
	err := p.second.said(n, 15*time.Second, "Removing service [192.168.56.103]:tcp:80 from VS [192.168.56.200]:tcp:80")
	found := p.c.clk.Now()
	err = errors.Join(err, pause(p.ctx, p.c.clk, time.Second))
	list := w.end()
	if err != nil {
		return err
	}
	p.saw("%s", lineWith(p.second.d.log.since(n), "Removing service [192.168.56.103]:tcp:80 from VS [192.168.56.200]:tcp:80"))
	after := failures(list, found, found.Add(time.Minute))
	p.saw("%d requests, %d not answered in the %.1f s until then, %d after", len(list), len(failures(list, begin, found)),
		found.Sub(begin).Seconds(), len(after))
	p.check(len(after) == 0, "no request fails after it was taken out")
	listing, err := p.second.dirsw("ipvsadm", "-Ln")
	p.saw("%s", listing)
	p.check(err == nil && !strings.Contains(listing, "192.168.56.103:80"), "ipvsadm does not list it any more")
	return err
}

// serverBack is step 7.
func (p *pair) serverBack() error {
	p.begin("It comes back: it is put in, and no request fails.")
	p.did("a request every 10 ms; the web server of rs1 started")
	n := p.second.d.log.size()
	w := p.watch(demoClient, p.url(), haEvery)
	begin := p.c.clk.Now()
	err := p.c.StartServer("rs1")
	if err == nil {
		err = p.second.said(n, 15*time.Second, "Adding service [192.168.56.103]:tcp:80 to VS [192.168.56.200]:tcp:80")
	}
	took := p.c.clk.Now().Sub(begin)
	err = errors.Join(err, pause(p.ctx, p.c.clk, time.Second))
	list := w.end()
	if err != nil {
		return err
	}
	p.saw("put in after %.1f s; %d requests, answered by %s", took.Seconds(), len(list), strings.Join(serversOf(list), " and "))
	p.check(len(failures(list, 0, begin.Add(time.Hour))) == 0, "every request was answered")
	p.check(len(serversOf(list)) == 2, "both web servers answer")
	return nil
}

// sorry is step 8.
func (p *pair) sorry() error {
	p.begin("No web server is left: another says sorry.")
	p.did("both web servers stopped")
	n := p.second.d.log.size()
	p.c.StopServer("rs1")
	p.c.StopServer("rs2")
	if err := p.second.said(n, 15*time.Second, "Adding sorry server [192.168.56.105]:tcp:80 to VS [192.168.56.200]:tcp:80"); err != nil {
		return err
	}
	p.saw("%s", lineWith(p.second.d.log.since(n), "Lost quorum", "192.168.56.200"))
	servers, err := p.pages(demoClient, p.url(), 4)
	p.saw("4 requests: %s", strings.Join(servers, " "))
	p.must(err, "every request is answered")
	p.check(counted(servers)["SORRY"] == 4, "by the sorry server")
	p.did("both web servers started")
	n = p.second.d.log.size()
	if err := errors.Join(p.c.StartServer("rs1"), p.c.StartServer("rs2")); err != nil {
		return err
	}
	for _, words := range [][]string{{"Removing sorry server"}, {"Adding service [192.168.56.103]:tcp:80"}, {"Adding service [192.168.56.104]:tcp:80"}} {
		if err := p.second.said(n, 15*time.Second, words...); err != nil {
			return err
		}
	}
	servers, err = p.pages(demoClient, p.url(), 4)
	p.saw("4 requests: %s", strings.Join(servers, " "))
	p.must(err, "every request is answered")
	p.check(counted(servers)["SORRY"] == 0, "by the web servers again")
	return nil
}

// mark is step 9.
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
