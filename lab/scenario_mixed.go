package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mixedScenario is a site that moves over: two directors with keepalived, of which one after the other gets dirsw. This
// kernel need not have IPVS: keepalived elects (-P) and holds the address, and the directors serve a page themselves.
func mixedScenario() scenario {
	return scenario{name: "mixed", title: "A pair with keepalived moves over to dirsw, one director after the other.", spec: mixedSpec,
		steps: []func(*scene) error{mixedPlay}}
}

// mixedSpec is two directors, each with a page of its own, and a client.
func mixedSpec() Spec {
	s := DefaultSpec()
	s.Nodes = s.Nodes[:2]
	second := s.Nodes[1]
	second.Name, second.MAC, second.Addrs = "lb2", net.HardwareAddr{8, 0, 0x27, 0xfb, 0x6e, 0x22}, prefixes("192.168.56.102/24")
	s.Nodes = append(s.Nodes, second)
	for i := range s.Nodes[1:] {
		n := &s.Nodes[1+i]
		n.Page, n.Listen = strings.ToUpper(n.Name), ":80"
	}
	return s
}

// mixedConf is what the file of a director says to both programs.
func mixedConf(node string) string {
	state, priority := "MASTER", 200
	if node == "lb2" {
		state, priority = "BACKUP", 100
	}
	return fmt.Sprintf(`vrrp_instance VI_1 {
    state %s
    interface enp0s8
    virtual_router_id 62
    priority %d
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        %s
    }
}
`, state, priority, haVIP)
}

// mixed is the scenario under way.
type mixed struct {
	*pair
	site *site
}

// other is the program that a site moves over from.
const other = "keepalived"

func mixedPlay(s *scene) error {
	if _, err := exec.LookPath(other); err != nil {
		return fmt.Errorf("the other director of this scenario: %w", err)
	}
	one := &site{instance: "VI_1", theirs: "VI_1", url: "http://" + haVIP + "/", vip: netip.MustParseAddr(haVIP), link: demoInterface,
		reclaims: true, own: true, limit: [2]time.Duration{haTakeover(200), haTakeover(100)}, lives: addressLives}
	m := &mixed{site: one, pair: &pair{scene: s, lbs: [2]*scene{s, s.at(s.newMachine("lb2"))}, sites: []*site{one}, every: haEvery,
		runs: map[string]string{"lb1": other, "lb2": other}}}
	m.launch = m.start
	defer stopAll(m.lbs[1].machine)
	for _, step := range []func() error{
		m.before, m.backup, m.otherDies,
		func() error { return m.comeback(0) },
		func() error { return m.farewell(0) },
		m.moved, m.wayBack,
		func() error { return m.death(0) },
		func() error { return m.comeback(0) },
		m.complete,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// start runs what a director is to run, with the same file.
func (m *mixed) start(lb *scene) (err error) {
	if m.runs[lb.node] == "" {
		return lb.boot(mixedConf(lb.node))
	}
	if err := os.WriteFile(lb.conf, []byte(mixedConf(lb.node)), 0o600); err != nil {
		return err
	}
	pid := func(which string) string { return filepath.Join(lb.dir, lb.node+"."+which) }
	lb.d, err = lb.c.startProcess(lb.ctx, lb.node, "Entering BACKUP STATE (init)", other, "-P", "-n", "-l", "-D", "-f", lb.conf,
		"-p", pid("pid"), "-r", pid("vrrp"))
	return err
}

// before is the pair as it was.
func (m *mixed) before() error {
	m.begin("Both directors run keepalived.")
	m.did("keepalived.conf, in lb2 with BACKUP and priority 100:\n%s", mixedConf("lb1"))
	for _, lb := range m.lbs {
		m.did("in %s: keepalived -P -f keepalived.conf", lb.node)
		if err := m.launch(lb); err != nil {
			return err
		}
	}
	if err := m.lbs[0].said(place{}, ample, masterLine("VI_1")...); err != nil {
		return err
	}
	if err := pause(m.ctx, m.c.clk, haAdvert); err != nil {
		return err
	}
	return m.holder(m.site)
}

// exchange stops what the second director runs, starts the other program with the same file, and checks that nobody notices.
func (m *mixed) exchange(program string) error {
	lb := m.lbs[1]
	m.did("a request every 10 ms; in lb2: %s stopped, %s started with the same file", m.program(lb), orDirsw(program))
	w := m.watch(demoClient, m.site.url, haEvery)
	err := lb.d.stop(unix.SIGTERM, gentle)
	m.runs["lb2"] = program
	if err == nil {
		err = m.launch(lb)
	}
	err = errors.Join(err, pause(m.ctx, m.c.clk, m.silence(1, m.sites)))
	list := w.end()
	if err != nil {
		return err
	}
	m.check(len(failures(list, 0, w.clk.Now())) == 0, "all %d requests were answered, by %s", len(list), strings.Join(serversOf(list), " and "))
	m.check(lineWith(lb.d.log.text(), masterLine("VI_1")...) == "", "lb2 is backup: it hears the adverts of %s in lb1", m.program(m.lbs[0]))
	return m.holder(m.site)
}

func orDirsw(program string) string {
	if program == "" {
		return "dirsw"
	}
	return program
}

// backup gives the second director dirsw.
func (m *mixed) backup() error {
	m.begin("The backup moves over first.")
	return m.exchange("")
}

// otherDies kills keepalived.
func (m *mixed) otherDies() error {
	m.begin("keepalived dies: dirsw takes over.")
	m.did("a request every 10 ms; kill -9 of both processes of keepalived in lb1")
	if _, _, err := m.killed(0, func() error { return m.kill(m.lbs[0]) }); err != nil {
		return err
	}
	m.saw("keepalived has left its address behind: in lb1 %v, in lb2 %v", m.has("lb1", m.site.vip), m.has("lb2", m.site.vip))
	return nil
}

// kill ends keepalived in a way that leaves it no time to say so: its child would else hear of the end of its parent.
func (m *mixed) kill(lb *scene) error {
	b, err := os.ReadFile(filepath.Join(lb.dir, lb.node+".vrrp"))
	if err != nil {
		return err
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("read the pid of keepalived: %w", err)
	}
	if err := errors.Join(lb.d.cmd.Process.Signal(unix.SIGSTOP), unix.Kill(child, unix.SIGKILL)); err != nil {
		return err
	}
	return lb.d.stop(unix.SIGKILL, final)
}

// moved gives the first director dirsw, too.
func (m *mixed) moved() error {
	m.runs["lb1"] = ""
	return m.comeback(0)
}

// wayBack gives the second director keepalived again: the way back is open.
func (m *mixed) wayBack() error {
	m.begin("The way back: the backup runs keepalived again.")
	return m.exchange(other)
}

// complete gives the second director dirsw for good.
func (m *mixed) complete() error {
	m.begin("The backup moves over for good.")
	return m.exchange("")
}
