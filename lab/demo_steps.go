package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// showPersistence is step 1: with persistence_timeout one server answers a client, and dirsw says why.
func (d *demo) showPersistence() error {
	d.begin("With " + persistence + " every request of a client goes to one server.")
	d.did("%d requests for http://%v/ from %v", demoRequests, d.vip.Addr(), d.addr(demoClient))
	servers, err := d.fetch(demoRequests)
	if err != nil {
		return err
	}
	d.saw("%s", strings.Join(servers, " "))
	slices.Sort(servers)
	d.check(servers[0] == servers[len(servers)-1], "one server answered all of them")

	flow := fmt.Sprintf("tcp %v:40000 > %v", d.addr(demoClient), d.vip)
	d.did("dirsw explain '%s'", flow)
	text, err := d.dirsw("explain", flow)
	if err != nil {
		return err
	}
	d.saw("%s", text)
	real := d.real(servers[0])
	because := lineWith(text, "because:", "template", d.addr(demoClient).String(), real.String())
	d.check(because != "", "the reason is the persistence template of the client, to %v", real)
	left := 0
	if m := regexp.MustCompile(`(\d+) s left`).FindStringSubmatch(because); m != nil {
		left, _ = strconv.Atoi(m[1]) // digits, by the expression
	}
	d.check(left > 0 && left <= 50, "it says how long the template lasts: %d s", left)

	d.did("dirsw ipvsadm -Lnc")
	if text, err = d.dirsw("ipvsadm", "-Lnc"); err != nil {
		return err
	}
	d.saw("%s", text)
	// A template has no port of a client's; its state is NONE or ASSURED (ip_vs_state_name, net/netfilter/ipvs/ip_vs_proto.c).
	d.check(lineWith(text, " "+d.addr(demoClient).String()+":0 ", real.String()) != "", "the template is listed")
	return nil
}

// showReload is step 2: without the line, after a reload, the requests alternate.
func (d *demo) showReload() error {
	d.begin("Without that line requests alternate: rr is what it says.")
	d.did("the line commented out, SIGHUP to dirsw")
	text := strings.Replace(Pasted, persistence, "# "+persistence, 1)
	if err := os.WriteFile(d.conf, []byte(text), 0o600); err != nil {
		return err
	}
	if err := d.d.cmd.Process.Signal(unix.SIGHUP); err != nil {
		return fmt.Errorf("dirsw has ended: %w", err)
	}
	err := poll(d.ctx, d.c.clk, ample, func() (bool, error) {
		listing, err := d.dirsw("ipvsadm", "-Ln")
		return lineWith(listing, d.vip.String()) != "" && lineWith(listing, "persistent") == "", err
	})
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	d.must(err, "dirsw ipvsadm -Ln lists the service without persistence")

	d.did("%d requests", demoRequests)
	servers, err := d.fetch(demoRequests)
	if err != nil {
		return err
	}
	d.saw("%s", strings.Join(servers, " "))
	alternate := true
	for i := 1; i < len(servers); i++ {
		alternate = alternate && servers[i] != servers[i-1]
	}
	d.check(alternate, "each was answered by the other server than the one before")

	d.did("dirsw ipvsadm -Ln --stats")
	conns := 0
	count := func() (bool, error) { // a listing shows the counters as they were at the last of the looks every two seconds
		if text, err = d.dirsw("ipvsadm", "-Ln", "--stats"); err != nil {
			return false, err
		}
		if f := strings.Fields(lineWith(text, "TCP", d.vip.String())); len(f) > 2 {
			conns, _ = strconv.Atoi(f[2]) // 0 if it is not a number, which then is not what it must be
		}
		return conns == d.requests, nil
	}
	if waited := poll(d.ctx, d.c.clk, ample, count); waited != nil && !errors.Is(waited, errLate) {
		return waited
	}
	d.saw("%s", text)
	d.check(conns == d.requests, "every connection since the start is counted, across the reload: %d of %d", conns, d.requests)
	return nil
}

// showDirectReplies is step 3: the replies do not pass the director.
func (d *demo) showDirectReplies() error {
	d.begin("The replies go from the real server straight to the client.")
	d.did("a capture on the switch's ports to %s and to %s, %d requests", demoDirector, demoClient, demoRequests)
	var captures [2]*Capture
	for i, port := range []string{demoDirector, demoClient} {
		var err error
		if captures[i], err = d.c.OpenCapture(switchName, port); err != nil {
			return err
		}
		defer captures[i].Close()
	}
	if _, err := d.fetch(demoRequests); err != nil {
		return err
	}
	requests, replies, _, err := d.count(captures[0])
	if err != nil {
		return err
	}
	d.saw("on the port to %s: %d frames to %v (in, and out again), %d frames from it", demoDirector, requests, d.vip, replies)
	d.check(requests > 0, "the director has the requests")
	d.check(replies == 0, "the director has none of the replies")
	_, replies, from, err := d.count(captures[1])
	if err != nil {
		return err
	}
	d.saw("on the port to %s: %d frames from %v, sent by %s", demoClient, replies, d.vip, strings.Join(from, ", "))
	var reals []string
	for _, n := range d.c.Spec().Nodes {
		if n.Role == RealServer {
			reals = append(reals, n.MAC.String())
		}
	}
	d.check(replies > 0 && slices.Equal(from, reals), "the client has them from the MACs of both real servers")
	return nil
}

// count counts the frames to and from the service in a capture, and lists the MACs that those from it came from.
func (d *demo) count(p *Capture) (requests, replies int, from []string, err error) {
	frames, complete, err := p.Frames()
	if err == nil && !complete {
		err = errors.New("the capture has lost frames")
	}
	for _, f := range frames {
		s, ok := tcpSegment(f)
		if ok && s.dst == d.vip {
			requests++
		}
		if ok && s.src == d.vip {
			replies++
			if mac := s.srcMAC.String(); !slices.Contains(from, mac) {
				from = append(from, mac)
			}
		}
	}
	slices.Sort(from)
	return requests, replies, from, err
}

// showOwnTraffic is step 4: what is not the service's is the kernel's, as before.
func (d *demo) showOwnTraffic() error {
	d.begin("The director's own addresses are the kernel's, as before.")
	id, err := d.program()
	if err != nil {
		return err
	}
	d.check(id != 0, "an XDP program is attached to %s: id %d", demoInterface, id)
	service, err := d.ownService()
	if err != nil {
		return err
	}
	defer service.Close()
	d.pingAndGreet()

	d.did("ARP request for %v from %s, answers taken for half a second", d.vip.Addr(), demoClient)
	macs, err := d.c.WhoHas(d.ctx, demoClient, d.vip.Addr(), 500*time.Millisecond)
	if err != nil {
		return err
	}
	d.saw("answers from %v", macs)
	mine, err := d.c.MAC(demoDirector, demoInterface)
	if err != nil {
		return err
	}
	d.check(len(macs) == 1 && slices.Equal(macs[0], mine), "the director's MAC answers, and no other")
	return nil
}

// showKill is step 5: after kill -9 the interface is as if dirsw had never been there.
func (d *demo) showKill() error {
	d.begin("After kill -9 the interface works as if dirsw had never been there.")
	service, err := d.ownService()
	if err != nil {
		return err
	}
	defer service.Close()
	d.did("kill -9 %d", d.d.cmd.Process.Pid)
	if err := d.d.stop(unix.SIGKILL, final); err != nil {
		return err
	}
	id, err := d.program()
	if err != nil {
		return err
	}
	d.check(id == 0, "no XDP program is attached to %s", demoInterface)
	d.pingAndGreet()

	began := d.c.clk.Now()
	err = poll(d.ctx, d.c.clk, ample, func() (bool, error) {
		has, err := d.hasVIP()
		return !has, err
	})
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	d.must(err, "the kernel has removed %v by itself: %.1f s after the kill", d.vip.Addr(), d.c.clk.Now().Sub(began).Seconds())
	return d.nothingLeft()
}

// nothingLeft checks that dirsw has left neither process nor mount.
func (d *demo) nothingLeft() error {
	ino, err := inode(d.c.nodes[demoDirector].ns)
	if err != nil {
		return err
	}
	left, err := inhabitants(ino)
	if err != nil {
		return err
	}
	for _, p := range left {
		d.saw("process %d: %s", p.PID, p.Command)
	}
	d.check(len(left) == 0, "no process is left in %s", demoDirector)
	mounts, err := d.ownMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		d.saw("mount %s", m)
	}
	d.check(len(mounts) == 0, "no mount is left, of a namespace or a file")
	return nil
}

// ownMounts lists the mounts of this demonstration's namespaces and files (proc_pid_mountinfo(5)); other people's come and
// go.
func (d *demo) ownMounts() ([]string, error) {
	own := []string{filepath.Dir(d.conf)}
	for _, n := range d.c.nodes {
		ino, err := inode(n.ns)
		if err != nil {
			return nil, err
		}
		own = append(own, fmt.Sprintf("net:[%d]", ino))
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if slices.ContainsFunc(own, func(s string) bool { return strings.Contains(line, s) }) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out, nil
}

// pingAndGreet checks that the director's own address answers ping and TCP.
func (d *demo) pingAndGreet() {
	lb := d.addr(demoDirector)
	d.did("5 pings and a TCP connection to port %s of %v from %s", ownPort, lb, demoClient)
	var slowest time.Duration
	var failed error
	for seq := range uint16(5) {
		took, err := d.c.Ping(demoClient, lb, seq)
		failed = errors.Join(failed, err)
		slowest = max(slowest, took)
	}
	d.must(failed, "ping is answered, the slowest in %v", slowest.Round(time.Microsecond))
	greeting, err := d.greet(net.JoinHostPort(lb.String(), ownPort))
	if err == nil && greeting != ownGreeting {
		err = fmt.Errorf("it says %q", greeting)
	}
	d.must(err, "the TCP service of %s greets", demoDirector)
}

// The TCP service of the director's own.
const (
	ownPort     = "2222"
	ownGreeting = "the director itself\n"
)

// ownService serves the greeting on the director's own address until it is closed.
func (d *demo) ownService() (io.Closer, error) {
	l, err := d.c.Listen(demoDirector, net.JoinHostPort(d.addr(demoDirector).String(), ownPort))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			_, _ = io.WriteString(conn, ownGreeting) // the client says what it got
			conn.Close()
		}
	}()
	return l, nil
}

// greet connects to the service and returns what it says.
func (d *demo) greet(addr string) (string, error) {
	ctx, cancel := context.WithTimeout(d.ctx, ample)
	defer cancel()
	conn, err := d.c.Dial(ctx, demoClient, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	b, err := io.ReadAll(io.LimitReader(conn, 1<<10))
	return string(b), err
}

// program returns the id of the XDP program on the director's interface; 0 if there is none.
func (d *demo) program() (uint32, error) {
	h, err := d.c.Netlink(demoDirector)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	l, err := h.LinkByName(demoInterface)
	if err != nil {
		return 0, err
	}
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		return x.ProgId, nil
	}
	return 0, nil
}

// hasVIP reports whether the VIP is an address of the director.
func (d *demo) hasVIP() (bool, error) {
	h, err := d.c.Netlink(demoDirector)
	if err != nil {
		return false, err
	}
	defer h.Close()
	all, err := h.AddrList(nil, unix.AF_INET)
	if err != nil {
		return false, err
	}
	for _, a := range all {
		if a.IP.Equal(d.vip.Addr().AsSlice()) {
			return true, nil
		}
	}
	return false, nil
}

// addr returns the first address of a node; it has one.
func (d *demo) addr(node string) netip.Addr { return d.c.nodes[node].spec.Addrs[0].Addr() }

// real returns the address and port of the real server with that page.
func (d *demo) real(page string) netip.AddrPort {
	for _, n := range d.c.Spec().Nodes {
		if n.Page == page {
			return netip.AddrPortFrom(n.Addrs[0].Addr(), d.vip.Port())
		}
	}
	return netip.AddrPort{}
}
