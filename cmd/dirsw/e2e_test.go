package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
	"dirsw/lab"
)

// These tests run the real program in a lab of network namespaces, against real HTTP servers.

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "dirsw-e2e-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "dirsw")
	out, err := exec.Command("go", "build", "-tags", "invariants", "-o", bin, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := buildOnce(); err == nil && code >= 0 {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// rig is a lab, a directory for files, and the program.
type rig struct {
	t    *testing.T
	c    *lab.Cluster
	bin  string
	conf string
	sock string
	vip  string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, lab.DefaultSpec())
}

func newRigOf(t *testing.T, spec lab.Spec) *rig {
	t.Helper()
	testenv.NeedNetAdmin(t)
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	c, err := lab.Up(spec, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	r := &rig{t: t, c: c, bin: bin, conf: filepath.Join(dir, "keepalived.conf"), sock: filepath.Join(dir, "control.sock"),
		vip: "192.168.56.200:80"}
	r.write(plain())
	return r
}

// plain is the pasted configuration without persistence, and with an election that takes no three seconds.
func plain() string {
	return strings.NewReplacer("persistence_timeout 50", "# persistence_timeout 50", "router_id LVS_MASTER", "vrrp_version 3",
		"advert_int 1 ", "advert_int 0.05 ").Replace(lab.Pasted)
}

func (r *rig) write(conf string) {
	r.t.Helper()
	if err := os.WriteFile(r.conf, []byte(conf), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// process is a dirsw run.
type process struct {
	r    *rig
	conf string // its file
	cmd  *lab.Cmd
	mu   sync.Mutex
	log  bytes.Buffer
	more *sync.Cond
	done chan struct{}
	err  error
}

func (r *rig) run(args ...string) *process {
	r.t.Helper()
	return r.runIn("lb1", r.conf, r.sock, args...)
}

// runIn runs dirsw in a node.
func (r *rig) runIn(node, conf, sock string, args ...string) *process {
	r.t.Helper()
	p := &process{r: r, conf: conf, done: make(chan struct{})}
	p.more = sync.NewCond(&p.mu)
	p.cmd = r.c.Command(context.Background(), node, r.bin, append([]string{"run", "-f", conf, "--socket", sock}, args...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go p.read(out)
	r.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if r.t.Failed() {
			r.t.Logf("dirsw said:\n%s", p.log.String())
		}
	})
	return p
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		fmt.Fprintln(&p.log, lines.Text())
		p.mu.Unlock()
		p.more.Broadcast()
	}
	p.err = p.cmd.Wait()
	p.mu.Lock()
	close(p.done)
	p.mu.Unlock()
	p.more.Broadcast()
}

// patience is how long dirsw may take to say something before the test gives up.
const patience = testenv.Patience

// said waits until the log holds a text that many times.
func (p *process) said(text string, times int) {
	p.r.t.Helper()
	limit := time.Now().Add(testenv.Patience)
	wake := time.AfterFunc(testenv.Patience, p.more.Broadcast)
	defer wake.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for strings.Count(p.log.String(), text) < times {
		select {
		case <-p.done:
			p.r.t.Fatalf("dirsw ended (%v) and has not said %q %d times:\n%s", p.err, text, times, p.log.String())
		default:
		}
		if time.Now().After(limit) {
			p.r.t.Fatalf("dirsw has not said %q %d times:\n%s", text, times, p.log.String())
		}
		p.more.Wait()
	}
}

// ready waits until it forwards, and is master if it is to be at once.
func (p *process) ready() *process {
	p.r.t.Helper()
	p.said(`"forwarding"`, 1)
	if conf, err := os.ReadFile(p.conf); err == nil && strings.Contains(string(conf), "state MASTER") {
		p.said("Entering MASTER STATE", 1)
	}
	return p
}

// text is all that it has logged.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *process) signal(s syscall.Signal) {
	p.r.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.r.t.Fatal(err)
	}
}

// fetch gets the page from the virtual address and returns which server said it.
func (r *rig) fetch(addr string) (string, error) {
	return lab.Fetch(context.Background(), r.c.HTTPClient("client"), "http://"+addr+"/")
}

func (r *rig) mustFetch() string {
	r.t.Helper()
	who, err := r.fetch(r.vip)
	if err != nil {
		r.t.Fatal(err)
	}
	return who
}

// tool runs another command of dirsw in lb1.
func (r *rig) tool(args ...string) (string, int) {
	r.t.Helper()
	out, err := r.c.Command(context.Background(), "lb1", r.bin, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// inside opens a netlink handle in a node and finds the node's interface. The caller closes the handle.
func (r *rig) inside(node string) (*netlink.Handle, netlink.Link) {
	r.t.Helper()
	h, err := r.c.Netlink(node)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := h.LinkByName("enp0s8")
	if err != nil {
		h.Close()
		r.t.Fatal(err)
	}
	return h, l
}

// link looks at enp0s8 of lb1: its XDP program (0: none) and whether the virtual address is on it.
func (r *rig) link() (prog uint32, vip bool) {
	r.t.Helper()
	h, l := r.inside("lb1")
	defer h.Close()
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		prog = x.ProgId
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range addrs {
		vip = vip || a.IP.String() == "192.168.56.200"
	}
	return prog, vip
}

func TestStopLeavesNothing(t *testing.T) {
	r := newRig(t)
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		p := r.run().ready()
		r.mustFetch()
		if prog, vip := r.link(); prog == 0 || !vip {
			t.Fatalf("while it runs: program %d, address %v", prog, vip)
		}
		p.signal(s)
		<-p.done
		if p.err != nil {
			t.Errorf("%v: %v", s, p.err)
		}
		if prog, vip := r.link(); prog != 0 || vip {
			t.Errorf("%v: program %d is left, address left: %v", s, prog, vip)
		}
		if _, err := os.Stat(r.sock); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: the socket is left: %v", s, err)
		}
	}
}

// TestReloadLosesNoConnection talks over one connection before, during and after reloads that change the service under it.
func TestReloadLosesNoConnection(t *testing.T) {
	r := newRig(t)
	p := r.run().ready()
	conn, err := r.c.Dial(context.Background(), "client", "tcp", r.vip)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func() string {
		t.Helper()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: vip\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return page(t, in)
	}
	first := ask()
	for i, conf := range []string{
		lab.Pasted, // persistence comes
		strings.ReplaceAll(plain(), "weight 1", "weight 3"),
		strings.Replace(plain(), "lb_algo rr", "lb_algo wlc", 1),
		plain() + strings.Replace(plain()[strings.Index(plain(), "virtual_server"):], "200 80", "200 8080", 1),
		plain(),
	} {
		r.write(conf)
		p.signal(unix.SIGHUP)
		p.said(`"reloaded"`, i+1)
		if got := ask(); got != first {
			t.Errorf("after reload %d the connection is answered by %q, before by %q", i+1, got, first)
		}
		r.mustFetch()
	}
}

// page reads one HTTP answer and returns the first line of its body.
func page(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	length := -1
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
		if v, ok := strings.CutPrefix(strings.ToLower(line), "content-length: "); ok {
			if _, err := fmt.Sscan(v, &length); err != nil {
				t.Fatal(err)
			}
		}
	}
	if length < 0 {
		t.Fatal("an answer without a length")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(body), "\n")
	return first
}

func TestBadReloadIsRefused(t *testing.T) {
	r := newRig(t)
	p := r.run().ready()
	for i, c := range []struct{ name, from, to, want string }{
		{"unknown scheduler", "lb_algo rr", "lb_algo rrr", "unknown scheduler"},
		{"malformed address", "192.168.56.104 80", "192.168.56.1O4 80", "192.168.56.1O4"},
		{"server of another family", "192.168.56.104 80", "2001:db8::104 80", "is of another address family"},
		{"brace missing", "TCP_CHECK {", "TCP_CHECK", "TCP_CHECK"},
	} {
		r.write(strings.Replace(plain(), c.from, c.to, 1))
		p.signal(unix.SIGHUP)
		p.said("stays in force", i+1)
		p.said(c.want, 1)
		r.mustFetch()
	}
	out, code := r.tool("reload", "--socket", r.sock)
	if code != exitConfig || !strings.Contains(out, "TCP_CHECK") {
		t.Errorf("dirsw reload: exit %d, %s", code, out)
	}
	r.write(plain())
	if out, code = r.tool("reload", "--socket", r.sock); code != 0 || out != "nothing has changed\n" {
		t.Errorf("dirsw reload of the old file: exit %d, %s", code, out)
	}
}

func TestRefusesToStart(t *testing.T) {
	r := newRig(t)
	good := plain()
	for _, c := range []struct {
		name, conf string
		args       []string
		code       int
		want       string
	}{
		{"unknown scheduler", strings.Replace(good, "lb_algo rr", "lb_algo rrr", 1), nil, exitConfig, "keepalived.conf:24:13: unknown scheduler"},
		{"malformed address", strings.Replace(good, "56.104 80", "56.1O4 80", 1), nil, exitConfig, "malformed address"},
		{"no such interface", good, []string{"--interface", "nosuch0"}, exitFailed, "nosuch0"},
		{"bad flag", good, []string{"--mode", "quick"}, exitUsage, "write one of"},
		{"more queues than there are", good, []string{"--queues", "64"}, exitFailed, "queues"},
		{"core that is not there", good, []string{"--cores", "4095"}, exitFailed, "core 4095 is not there, or this process may not use it"},
		{"core without end", good, []string{"--cores", "99999999999"}, exitFailed, "core 99999999999"},
		{"core twice", good, []string{"--cores", "0,0"}, exitUsage, "core 0 is named twice"},
		{"interface without a name", good, []string{"--interface", "enp0s8,"}, exitUsage, "empty name"},
		{"fewer queues than none", good, []string{"--queues", "-1"}, exitUsage, "-1 queues"},
		{"fewer connections than none", good, []string{"--connections", "-5"}, exitUsage, "room for -5 connections"},
		{"flows of a service by NAT", strings.Replace(good, "lb_kind DR", "lb_kind NAT", 1), []string{"--steer", "flow"}, exitUsage,
			"reaches 192.168.56.103:80 by NAT"},
		{"flows of a persistent service", lab.Pasted, []string{"--steer", "flow"}, exitUsage, "is persistent"},
		{"more workers than queues", good, []string{"--workers", "2"}, exitFailed, "too few for 2 workers"},
		{"zero-copy that veth cannot", good, []string{"--zero-copy", "on"}, exitFailed, "zero_copy auto"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.write(c.conf)
			out, code := r.tool(append([]string{"run", "-f", r.conf, "--socket", r.sock}, c.args...)...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit %d, want %d, and %q in\n%s", code, c.code, c.want, out)
			}
			if prog, vip := r.link(); prog != 0 || vip {
				t.Errorf("left behind: program %d, address %v", prog, vip)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		out, code := r.tool("run", "-f", r.conf+".not")
		if code != exitConfig || !strings.Contains(out, "cannot be read") {
			t.Errorf("exit %d\n%s", code, out)
		}
	})
	t.Run("not root", func(t *testing.T) {
		dir := t.TempDir()
		for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		conf := filepath.Join(dir, "keepalived.conf")
		if err := os.WriteFile(conf, []byte(good), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(r.bin), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := r.c.Command(context.Background(), "lb1", r.bin, "run", "-f", conf, "--socket", filepath.Join(dir, "s"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "run it as root") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("second director", func(t *testing.T) {
		r.write(good)
		r.run().ready()
		out, code := r.tool("run", "-f", r.conf, "--socket", r.sock)
		if code != exitFailed || !strings.Contains(out, r.sock) {
			t.Errorf("on the same socket: exit %d\n%s", code, out)
		}
		out, code = r.tool("run", "-f", r.conf, "--socket", r.sock+"2")
		if code != exitFailed || !strings.Contains(out, "another dirsw runs on interface enp0s8") {
			t.Errorf("on the same interface: exit %d\n%s", code, out)
		}
		r.mustFetch()
	})
}

func TestListings(t *testing.T) {
	r := newRig(t)
	r.run().ready()
	who := r.mustFetch()
	server := map[string]string{"RS1": "192.168.56.103", "RS2": "192.168.56.104"}[who]
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-Ln"}, []string{"IP Virtual Server version 1.2.1 (size=4096)", "TCP  192.168.56.200:80 rr",
			"  -> 192.168.56.103:80            Route   1      "}},
		{[]string{"-Ln", "--stats"}, []string{"TCP  192.168.56.200:80                   1 "}},
		{[]string{"-Lnc"}, []string{"pro expire state       source             virtual            destination", "FIN_WAIT    192.168.56.1:",
			server + ":80"}},
		{[]string{"-L", "-t", "192.168.56.200:80"}, []string{"TCP  192.168.56.200:http rr"}},
		{[]string{"-Ln", "--timeout"}, []string{"Timeout (tcp tcpfin udp): 900 120 300"}},
		{[]string{"-S", "-n"}, []string{"-A -t 192.168.56.200:80 -s rr", "-a -t 192.168.56.200:80 -r 192.168.56.103:80 -g -w 1"}},
	} {
		args := append([]string{"ipvsadm", "--socket", r.sock}, c.args...)
		out, code := r.tool(args...)
		for end := time.Now().Add(testenv.Patience); !strings.Contains(out, c.want[0]) && time.Now().Before(end); {
			out, code = r.tool(args...) // counters are looked at every two seconds
		}
		for _, want := range c.want {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("ipvsadm %v: exit %d, %q is not in\n%s", c.args, code, want, out)
			}
		}
	}
	out, code := r.tool("stats", "--socket", r.sock)
	for _, want := range []string{"interface enp0s8: up, native, copy, 1 queues", "connections: 1 and 0 templates of 1048576",
		"192.168.56.103", " by enp0s8", "with their checksum finished"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("stats: exit %d, %q is not in\n%s", code, want, out)
		}
	}
	if out, code = r.tool("stats", "--socket", r.sock, "-json"); code != 0 || !strings.Contains(out, `"generation": `) {
		t.Errorf("stats -json: exit %d, %s", code, out)
	}
	if fi, err := os.Stat(r.sock); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", fi, err)
	}
}

// TestServerMovesToAnotherMAC lets the kernel learn a new link layer address; the frames must follow it.
func TestServerMovesToAnotherMAC(t *testing.T) {
	r := newRig(t)
	p := r.run().ready()
	r.mustFetch()
	h, l := r.inside("rs1")
	defer h.Close()
	mac := net.HardwareAddr{2, 0, 0, 0, 0x77, 1}
	if err := h.LinkSetHardwareAddr(l, mac); err != nil {
		t.Fatal(err)
	}
	if _, err := r.c.Ping("rs1", netip.MustParseAddr("192.168.56.101"), 1); err != nil {
		t.Fatal(err)
	}
	p.said(mac.String(), 1)
	seen := map[string]bool{}
	for range 4 {
		seen[r.mustFetch()] = true
	}
	if len(seen) != 2 {
		t.Errorf("answers came from %v only", seen)
	}
}

func TestLinkDownAndUp(t *testing.T) {
	r := newRig(t)
	r.run().ready()
	r.mustFetch()
	h, l := r.inside("lb1")
	defer h.Close()
	if err := h.LinkSetDown(l); err != nil {
		t.Fatal(err)
	}
	if _, err := r.fetchWithin(300 * time.Millisecond); err == nil {
		t.Error("a page came through an interface that is down")
	}
	if err := h.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	r.awaitFetch()
}

func (r *rig) fetchWithin(d time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return lab.Fetch(ctx, r.c.HTTPClient("client"), "http://"+r.vip+"/")
}

// awaitFetch tries until a page comes.
func (r *rig) awaitFetch() {
	r.t.Helper()
	testenv.Await(r.t, "a page from "+r.vip, func() bool {
		_, err := r.fetchWithin(2 * time.Second)
		return err == nil
	})
}

// TestInterfaceVanishes deletes the interface under the director and makes it anew.
func TestInterfaceVanishes(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) { testInterfaceVanishes(t, workers) })
	}
}

func testInterfaceVanishes(t *testing.T, workers int) {
	spec := lab.DefaultSpec()
	for i := range spec.Nodes {
		spec.Nodes[i].Queues = workers
	}
	r := newRigOf(t, spec)
	p := r.run("--workers", fmt.Sprint(workers)).ready()
	r.mustFetch()
	mac, err := r.c.MAC("lb1", "enp0s8")
	if err != nil {
		t.Fatal(err)
	}
	h, l := r.inside("lb1")
	defer h.Close()
	if err := h.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	p.said("vanished", 1)
	sw, err := r.c.Netlink("switch")
	if err != nil {
		t.Fatal(err)
	}
	defer sw.Close()
	bridge := r.bridge(sw)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lb1", MasterIndex: bridge, NumTxQueues: workers,
		NumRxQueues: workers}, PeerName: "enp0s8",
		PeerHardwareAddr: mac}
	if err := sw.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	r.handOver(sw)
	l, err = h.LinkByName("enp0s8")
	if err != nil {
		t.Fatal(err)
	}
	own, _ := netlink.ParseAddr("192.168.56.101/24")
	if err := errors.Join(h.AddrAdd(l, own), h.LinkSetUp(l)); err != nil {
		t.Fatal(err)
	}
	p.said("interface is back", 1)
	r.awaitFetch()
	if prog, vip := r.link(); prog == 0 || !vip {
		t.Errorf("program %d, address %v", prog, vip)
	}
}

func (r *rig) bridge(sw *netlink.Handle) int {
	r.t.Helper()
	links, err := sw.LinkList()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() == "bridge" {
			return l.Attrs().Index
		}
	}
	r.t.Fatal("the switch has no bridge")
	return 0
}

// handOver moves the new end of the wire from the switch to lb1.
func (r *rig) handOver(sw *netlink.Handle) {
	r.t.Helper()
	var ns *os.File
	if err := r.c.Do("lb1", func() (err error) {
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	defer ns.Close()
	inner, err := sw.LinkByName("enp0s8")
	if err != nil {
		r.t.Fatal(err)
	}
	outer, err := sw.LinkByName("lb1")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := errors.Join(sw.LinkSetNsFd(inner, int(ns.Fd())), sw.LinkSetUp(outer)); err != nil {
		r.t.Fatal(err)
	}
}

func TestDemo(t *testing.T) {
	testenv.NeedNetAdmin(t)
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "lab", "demo")
	cmd.Env = append(os.Environ(), "DIRSW_LAB_SLACK=30s")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
