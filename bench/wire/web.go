package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// Web is what a director did for HTTP with a connection for each request.
type Web struct {
	PerSecond    float64 // requests a second; the client and the server on the other processor may be what bounds it
	PerCPUSecond float64 // requests for each second of processor time of the director
	Process      float64 // microseconds of that for a request: of the director's process, the kernel's work in its name included,
	Receive      float64 // and of the threads that receive on its interfaces
	Frames       float64 // that the director's interfaces received for a request
	Sleeps       float64 // of the director's process for a request
	Polls        float64 // wake-ups of the threads that receive, for a request
	P99          float64 // of a request, in milliseconds
}

// WebContender is a director for TCP connections.
type WebContender struct {
	Name string
	Ours bool
	// Limit names the one of ours that this peer does nothing more than receive and send for: it is the limit of that one,
	// and held against the other peers itself.
	Limit  string
	direct bool // servers answer their clients past the director
	own    bool // servers have the virtual address themselves: frames reach them with it
	start  func(ctx context.Context, r *rig) (*process, error)
}

const (
	clientAddr  = "198.18.0.1"
	connections = 64 // that the client has open at once
	// webWait is how often the forwarder in C looks for frames before it sleeps.
	webWait = pollAtOnce
	// streamModule is where Debian puts the module of nginx that balances connections.
	streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"
)

// WebContenders returns those that this machine has, ours first, and why the others are missing.
func (b *Bench) WebContenders() (all []*WebContender, missing []error) {
	build := func(ours bool, name, program, method string) {
		all = append(all, &WebContender{Name: name + method, Ours: ours, direct: method == DR, own: method == DR,
			start: func(ctx context.Context, r *rig) (*process, error) {
				return b.startDirsw(ctx, r, program, "sleep", r.configuration(method, "TCP"))
			}})
	}
	for _, method := range []string{DR, NAT} {
		if b.o.Dirsw == "" {
			missing = append(missing, errors.New("the program dirsw is not there"))
			break
		}
		build(true, "dirsw ", b.o.Dirsw, method)
		if b.o.Other != "" {
			build(false, "other dirsw ", b.o.Other, method)
		}
	}
	if b.forwarder == "" {
		missing = append(missing, errNoCompiler)
	} else {
		plain := func(name, method string, both bool) *WebContender {
			return &WebContender{Name: "AF_XDP in C, " + name, Limit: "dirsw " + method, direct: !both, own: true,
				start: func(ctx context.Context, r *rig) (*process, error) { return b.startForwarder(ctx, r, webWait, both) }}
		}
		all = append(all, plain("DR", DR, false), plain("both ways", NAT, true))
	}
	if haproxy, err := exec.LookPath("haproxy"); err != nil {
		missing = append(missing, errors.New("the program haproxy is not there; install it"))
	} else {
		all = append(all, &WebContender{Name: "HAProxy", start: func(ctx context.Context, r *rig) (*process, error) {
			return b.startProxy(ctx, r, "haproxy.cfg", r.haproxy(), haproxy, "-db", "-f")
		}})
	}
	if _, err := os.Stat(streamModule); err != nil {
		missing = append(missing, errors.New("nginx has no module stream; install libnginx-mod-stream"))
	} else {
		all = append(all, &WebContender{Name: "nginx stream", start: func(ctx context.Context, r *rig) (*process, error) {
			return b.startProxy(ctx, r, "stream.conf", r.stream(), "nginx", "-e", "stderr", "-p", b.o.Dir, "-c")
		}})
	}
	for _, needed := range []string{"wrk", "nginx", "taskset", "ethtool"} {
		if _, err := exec.LookPath(needed); err != nil {
			return nil, []error{fmt.Errorf("the program %s is not there; install it", needed)}
		}
	}
	return all, missing
}

// startProxy starts a program with a configuration file as its last argument, on the director's processor.
func (b *Bench) startProxy(ctx context.Context, r *rig, file, text, program string, args ...string) (*process, error) {
	return b.startOn(ctx, r.director, b.last, file, text, program, args...)
}

// startOn is that in any namespace, on any processor.
func (b *Bench) startOn(ctx context.Context, n *namespace, cpu int, file, text, program string, args ...string) (*process, error) {
	path := filepath.Join(b.o.Dir, file)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return nil, err
	}
	all := append([]string{"-c", strconv.Itoa(cpu), program}, args...)
	return startProcess(n, program, exec.CommandContext(ctx, "taskset", append(all, path)...))
}

func (r *rig) haproxy() string {
	var s strings.Builder
	s.WriteString("global\n maxconn 8192\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n")
	fmt.Fprintf(&s, "frontend web\n bind %s:%d backlog 4096\n default_backend servers\nbackend servers\n balance roundrobin\n", virtual, servicePort)
	for i := range servers {
		fmt.Fprintf(&s, " server s%d %s:%d\n", i, r.serverAddr(i+1), servicePort)
	}
	return s.String()
}

// alone has nginx be one process.
const alone = "daemon off;\nmaster_process off;\npid nginx-%s.pid;\nerror_log stderr crit;\nevents { worker_connections 8192; }\n"

func (r *rig) stream() string {
	var s strings.Builder
	fmt.Fprintf(&s, "load_module %s;\n"+alone+"stream {\n upstream servers {\n", streamModule, "stream")
	for i := range servers {
		fmt.Fprintf(&s, "  server %s:%d;\n", r.serverAddr(i+1), servicePort)
	}
	fmt.Fprintf(&s, " }\n server { listen %s:%d backlog=4096; proxy_pass servers; }\n}\n", virtual, servicePort)
	return s.String()
}

// page is the configuration of the servers: they answer by a hundred bytes.
func page() string {
	return fmt.Sprintf(alone+"http { access_log off; server { listen %d backlog=4096; location / { return 200 \"%s\"; } } }\n",
		"servers", servicePort, strings.Repeat("0123456789", 10))
}

// MeasureWeb lets a client make connections through a director for the window.
func (b *Bench) MeasureWeb(ctx context.Context, c *WebContender) (w Web, err error) {
	b.rigs++
	r, err := newNetwork(2, b.rigs)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.ends(c); err != nil {
		return w, err
	}
	web, err := b.startOn(ctx, r.server, b.first, "web.conf", page(), "nginx", "-e", "stderr", "-p", b.o.Dir, "-c")
	if err != nil {
		return w, err
	}
	defer web.stop()
	dut, err := c.start(ctx, r)
	if err != nil {
		return w, err
	}
	defer dut.stop()
	if err := b.threads(ctx, r, c.Limit == ""); err != nil {
		return w, err
	}
	failure := func() error { return errors.Join(web.failure(), dut.failure()) }
	if err := b.awaitPages(ctx, r, failure); err != nil {
		return w, fmt.Errorf("no page came through %s: %w", c.Name, err)
	}
	return b.webWindow(ctx, r, dut, failure)
}

// awaitPages lets the client ask until everybody listens, and then until all caches and tables are warm, too.
func (b *Bench) awaitPages(ctx context.Context, r *rig, failure func() error) error {
	const tries, pause = 25, 200 * time.Millisecond
	answered := 0.0
	for try := 1; ; try++ {
		said, err := b.wrk(ctx, r, time.Second)
		if err == nil && said.requests > 0 {
			if answered += said.requests; answered >= b.o.WarmUp || try >= tries {
				return nil
			}
			continue
		}
		if ended := failure(); ended != nil || try == tries {
			return errors.Join(ended, err)
		}
		if err := b.sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// webWindow measures one run of the client.
func (b *Bench) webWindow(ctx context.Context, r *rig, dut *process, failure func() error) (w Web, err error) {
	pid, receiving := dut.cmd.Process.Pid, append(napiThreads(r.in), napiThreads(r.out)...)
	split, err := openBooks(append(receiving, pid)...)
	if err != nil {
		return w, err
	}
	defer split.close()
	before, err := r.effort(split, pid, receiving)
	if err != nil {
		return w, err
	}
	said, err := b.wrk(ctx, r, max(b.o.Window, time.Second))
	if err = errors.Join(err, failure()); err != nil {
		return w, err
	}
	after, err := r.effort(split, pid, receiving)
	if err != nil {
		return w, err
	}
	return said.by(before, after)
}

// by is what one run of the client came to for a director that did so much before and after.
func (s said) by(before, after effort) (Web, error) {
	share := func(after, before int64) float64 { return float64(after-before) / s.requests }
	cpu, process, receive := share(after.cpu, before.cpu), share(after.process, before.process), share(after.receive, before.receive)
	if s.errors > s.requests/100 || !(cpu > 0 && process > 0 && receive > 0) {
		return Web{}, fmt.Errorf("%.0f of %.0f requests failed, and each took the director %.0f ns, %.0f in its process and %.0f to receive",
			s.errors, s.requests, cpu, process, receive)
	}
	all := process + receive // by other books than cpu, which are one percent apart
	return Web{PerSecond: s.perSecond, PerCPUSecond: 1e9 / cpu, P99: s.p99, Process: cpu * process / all / 1e3, Receive: cpu * receive / all / 1e3,
		Frames: share(after.frames, before.frames), Sleeps: share(after.sleeps, before.sleeps), Polls: share(after.polls, before.polls)}, nil
}

// effort is what a director has done since it started.
type effort struct {
	cpu              int64 // nanoseconds of processor time, of its process and of the threads that receive for it
	process, receive int64 // of the one and of the others, since there are books
	sleeps, polls    int64 // how often the one and the others have slept
	frames           int64 // received by its interfaces
}

func (r *rig) effort(split *books, pid int, receiving []int) (e effort, err error) {
	if e.process, err = split.used(pid); err != nil {
		return e, err
	}
	if e.receive, err = split.used(receiving...); err != nil {
		return e, err
	}
	e.cpu, e.sleeps, e.polls = cpuTime(append(receiving, pid)...), sleeps(pid), sleeps(receiving...)
	err = r.director.do(func() error {
		for _, dev := range []string{r.in, r.out} {
			l, err := netlink.LinkByName(dev)
			if err != nil {
				return err
			}
			if s := l.Attrs().Statistics; s != nil {
				e.frames += int64(s.RxPackets)
			}
		}
		return nil
	})
	return e, err
}

// ends gives client and servers their addresses and routes, and what a contender needs besides.
func (r *rig) ends(c *WebContender) error {
	for _, n := range []*namespace{r.client, r.director, r.server} {
		for name, value := range map[string]string{"ip_local_port_range": "1024 65535", "tcp_max_syn_backlog": "4096", "tcp_tw_reuse": "1"} {
			if err := n.set("/proc/sys/net/ipv4/"+name, value); err != nil {
				return err
			}
		}
		if err := n.set("/proc/sys/net/core/somaxconn", "4096"); err != nil {
			return err
		}
	}
	err := r.client.do(func() error {
		return errors.Join(address(r.cl, clientAddr+"/16"), route(r.cl, virtual+"/32", gateway(clientNet)),
			neighbour(r.cl, gateway(clientNet), mac(inMAC)))
	})
	if err != nil {
		return err
	}
	err = r.server.do(func() error {
		for i := range servers {
			if err := address(r.sv, r.serverAddr(i+1)+"/16"); err != nil {
				return err
			}
		}
		if c.own {
			if err := address("lo", virtual+"/32"); err != nil {
				return err
			}
		}
		return errors.Join(route(r.sv, "198.18.0.0/16", gateway(serverNet)), neighbour(r.sv, gateway(serverNet), mac(outMAC)))
	})
	if err != nil || !c.direct {
		return err
	}
	return r.shortcut()
}

// shortcut lays the way by which servers answer their clients themselves.
func (r *rig) shortcut() error {
	v := netlink.NewVeth(netlink.LinkAttrs{Name: r.shortServer(), HardwareAddr: mac(shortServerMAC), NumTxQueues: 1, NumRxQueues: 1})
	v.PeerName, v.PeerHardwareAddr, v.PeerNamespace = r.shortClient(), mac(shortClientMAC), netlink.NsFd(int(r.client.handle))
	if err := r.server.do(func() error { return netlink.LinkAdd(v) }); err != nil {
		return fmt.Errorf("lay the way back: %w", err)
	}
	if err := r.client.do(func() error { return up(r.shortClient()) }); err != nil {
		return err
	}
	return r.server.do(func() error {
		if err := up(r.shortServer()); err != nil {
			return err
		}
		l, err := netlink.LinkByName(r.shortServer())
		if err != nil {
			return err
		}
		to := net.ParseIP(clientAddr)
		return errors.Join(neighbour(r.shortServer(), to, mac(shortClientMAC)),
			netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Src: net.ParseIP(virtual),
				Dst: &net.IPNet{IP: to, Mask: net.CIDRMask(32, 32)}}))
	})
}

const (
	shortServerMAC = serverMAC + 1 + iota
	shortClientMAC
)

func (r *rig) shortServer() string { return "dwx" + r.cl[3:] }
func (r *rig) shortClient() string { return "dwy" + r.cl[3:] }

// gateway is the address of the director in a network.
func gateway(cidr string) net.IP {
	ip, _, _ := strings.Cut(cidr, "/")
	return net.ParseIP(ip)
}

// address gives an interface of the present namespace an address.
func address(dev, cidr string) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, a); err != nil {
		return fmt.Errorf("address %s on %s: %w", cidr, dev, err)
	}
	return nil
}

// route leads a network over a gateway.
func route(dev, cidr string, via net.IP) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return err
	}
	_, to, err := net.ParseCIDR(cidr)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: to, Gw: via}); err != nil {
		return fmt.Errorf("route to %s: %w", cidr, err)
	}
	return nil
}

// neighbour tells an interface where an address is, so that nobody need ask: the forwarder in C answers no ARP.
func neighbour(dev string, ip net.IP, at net.HardwareAddr) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return err
	}
	if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: at}); err != nil {
		return fmt.Errorf("neighbour %s: %w", ip, err)
	}
	return nil
}

// threads lets every interface receive in a thread of its own, the director's on its processor and all others on the first:
// then what the kernel does to receive is in the account of who receives, and what it does to send in that of the sender.
// With offload the ends leave checksums to be completed, as veth lets them, which every director must know but the one in C.
func (b *Bench) threads(ctx context.Context, r *rig, offload bool) error {
	sums := "off"
	if offload {
		sums = "on"
	}
	ends := []struct {
		n    *namespace
		name string
		cpu  int
	}{{r.client, r.cl, b.first}, {r.server, r.sv, b.first}, {r.director, r.in, b.last}, {r.director, r.out, b.last},
		{r.server, r.shortServer(), b.first}, {r.client, r.shortClient(), b.first}}
	for _, e := range ends {
		path := "/sys/class/net/" + e.name
		if e.n.do(func() error { _, err := os.Stat(path); return err }) != nil {
			continue // no shortcut
		}
		// veth hands over to a receiving thread only what it need not segment; else it receives at once, for the sender.
		if err := e.n.run("ethtool", "-K", e.name, "tx", sums, "gro", "on", "tso", "off"); err != nil {
			return err
		}
		if err := e.n.set(path+"/threaded", "1"); err != nil {
			return fmt.Errorf("give %s a thread for receiving: %w", e.name, err)
		}
		if err := b.pinThreads(ctx, e.name, e.cpu); err != nil {
			return err
		}
	}
	return nil
}

// said is what wrk says.
type said struct{ requests, perSecond, p99, errors float64 }

// wrk lets the client ask for pages for d.
func (b *Bench) wrk(ctx context.Context, r *rig, d time.Duration) (said, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(b.first), "wrk", "--latency", "-t", "1", "-c",
		strconv.Itoa(connections), "-d", strconv.Itoa(int(d/time.Second)), "-H", "Connection: close", fmt.Sprintf("http://%s:%d/", virtual, servicePort))
	var out []byte
	err := r.client.do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		return said{}, fmt.Errorf("wrk: %w: %w", err, firstLine(out))
	}
	return parseWrk(string(out))
}

// parseWrk reads the report of wrk.
func parseWrk(s string) (said, error) {
	var r said
	number := func(pattern string) float64 {
		m := regexp.MustCompile(pattern).FindStringSubmatch(s)
		if m == nil {
			return 0
		}
		f, _ := strconv.ParseFloat(m[1], 64)
		if len(m) > 2 {
			f *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[m[2]]
		}
		return f
	}
	r.requests, r.perSecond = number(`(\d+) requests in`), number(`Requests/sec:\s+([\d.]+)`)
	r.p99 = number(`99%\s+([\d.]+)(us|ms|s)`)
	for _, kind := range []string{"connect", "read", "write", "timeout"} {
		r.errors += number(kind + ` (\d+)`)
	}
	r.errors += number(`Non-2xx or 3xx responses: (\d+)`)
	if !strings.Contains(s, "Requests/sec:") {
		return r, fmt.Errorf("wrk says: %w", firstLine([]byte(s)))
	}
	return r, nil
}
