package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
	"dirsw/lab"
)

// arms is a cluster with two directors that have an interface towards the client and one towards the servers.
func arms() lab.Spec {
	node := func(name string, role lab.Role, last byte, addrs ...string) lab.NodeSpec {
		n := lab.NodeSpec{Name: name, Role: role, Interface: "eth0", MAC: net.HardwareAddr{8, 0, 0x27, 0, 0x59, last}}
		for _, a := range addrs {
			n.Addrs = append(n.Addrs, netip.MustParsePrefix(a))
		}
		return n
	}
	director := func(name string, last byte) lab.NodeSpec {
		n := node(name, lab.Director, last, fmt.Sprintf("192.0.2.%d/24", last))
		n.More = []lab.Wire{{Net: "in", Interface: "eth1", MAC: net.HardwareAddr{8, 0, 0x27, 0, 0x5a, last},
			Addrs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/24", last))}}}
		return n
	}
	server := func(name, page string, last byte) lab.NodeSpec {
		n := node(name, lab.RealServer, last, fmt.Sprintf("203.0.113.%d/24", last))
		n.Net, n.Page, n.Listen = "in", page, ":80"
		n.Gateways = []netip.Addr{netip.MustParseAddr("203.0.113.254")}
		return n
	}
	return lab.Spec{Nodes: []lab.NodeSpec{node("client", lab.Client, 1, "192.0.2.1/24", "192.0.2.2/24"), director("lb1", 101),
		director("lb2", 102), server("rs1", "RS1", 11), server("rs2", "RS2", 12)}}
}

// armsConf is the configuration of one of the directors.
func armsConf(priority string) string {
	conf := `global_defs {
    lvs_sync_daemon eth1 VI
}
vrrp_instance VI {
    state BACKUP
    interface eth0
    virtual_router_id 59
    priority ` + priority + `
    version 3
    advert_int 0.25
    nopreempt
    virtual_ipaddress {
        192.0.2.200/24
        203.0.113.254/24 dev eth1
    }
}
`
	for _, s := range []struct{ port, more string }{{"80", "persistence_timeout 300"}, {"7", ""}} {
		conf += "virtual_server 192.0.2.200 " + s.port + " {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n" + s.more + "\n"
		for _, a := range []string{"203.0.113.11", "203.0.113.12"} {
			conf += " real_server " + a + " " + s.port + " {\n  weight 1\n }\n"
		}
		conf += "}\n"
	}
	return conf
}

// drip serves, on port 7 of a server, a page that has no end until the test does: a line each few milliseconds.
func (r *rig) drip(node, addr string) {
	r.t.Helper()
	l, err := r.c.Listen(node, addr+":7")
	if err != nil {
		r.t.Fatal(err)
	}
	end, stop := context.WithCancel(context.Background())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 1; end.Err() == nil; i++ {
			fmt.Fprintln(w, i)
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})}
	go s.Serve(l) //nolint:errcheck // it ends with the test
	r.t.Cleanup(func() { stop(); s.Close() })
}

// download is a page of drip on its way to a client.
type download struct {
	lines atomic.Int64
	ended chan error
}

// download has curl get the page without an end.
func (r *rig) download() *download {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := r.c.Command(ctx, "client", "curl", "-sSN", "http://192.0.2.200:7/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	d := &download{ended: make(chan error, 1)}
	go func() {
		in := bufio.NewScanner(out)
		for in.Scan() {
			if want := fmt.Sprint(d.lines.Add(1)); in.Text() != want {
				d.ended <- fmt.Errorf("line %s is %q", want, in.Text())
				return
			}
		}
		d.ended <- fmt.Errorf("after %d lines curl ended: %v %s", d.lines.Load(), cmd.Wait(), complaint.String())
	}()
	r.t.Cleanup(stop)
	return d
}

// goes waits until more of the page has come.
func (d *download) goes(t *testing.T, on string) {
	t.Helper()
	want := d.lines.Load() + 20
	testenv.AwaitOr(t, func() bool {
		select {
		case err := <-d.ended:
			t.Fatalf("%s: %v", on, err)
		default:
		}
		return d.lines.Load() >= want
	}, func() { t.Fatalf("%s: the page has stopped at line %d", on, d.lines.Load()) })
}

// talk is a held connection to the virtual address that the server has answered on.
type talk struct {
	net.Conn
	in *bufio.Reader
}

// ask gets a page over the connection and returns who answered.
func (c *talk) ask(t *testing.T, when string) string {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: vip\r\n\r\n"); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	return page(t, c.in)
}

// toolIn runs a command of dirsw for the director of a node.
func (r *rig) toolIn(node string, args ...string) string {
	r.t.Helper()
	sock := r.sock
	if node == "lb2" {
		sock += "2"
	}
	out, err := r.c.Command(context.Background(), node, r.bin, append([]string{args[0], "--socket", sock}, args[1:]...)...).CombinedOutput()
	if err != nil {
		r.t.Errorf("dirsw %s in %s: %v\n%s", strings.Join(args, " "), node, err, out)
	}
	return string(out)
}

// tells waits until a command of dirsw in a node says a text.
func (r *rig) tells(node, text string, args ...string) {
	r.t.Helper()
	var out string
	testenv.AwaitOr(r.t, func() bool {
		out = r.toolIn(node, args...)
		return strings.Contains(out, text) || r.t.Failed()
	}, func() { r.t.Fatalf("dirsw %s in %s does not say %q:\n%s", strings.Join(args, " "), node, text, out) })
}

// TestConnectionsSurvive kills a master while curl downloads a page by NAT and another connection is held, and lets the one
// that comes back take over in its turn, by a stop. Both go on, and persistent clients keep their servers.
func TestConnectionsSurvive(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, arms())
	r.drip("rs1", "203.0.113.11")
	r.drip("rs2", "203.0.113.12")
	r.write(armsConf("200"))
	lb1 := r.run().ready()
	lb1.said("Entering MASTER STATE", 1)
	lb2 := r.other(armsConf("150"))
	lb2.said(`"forwarding"`, 1)
	r.tells("lb1", "master sync daemon (mcast=eth1, syncid=59, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)", "ipvsadm", "-L", "--daemon")
	r.tells("lb2", "backup sync daemon (mcast=eth1, syncid=59, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)", "ipvsadm", "-L", "--daemon")

	get := func(from string) string {
		t.Helper()
		out, err := r.c.Command(t.Context(), "client", "curl", "-sS", "--max-time", "30", "--interface", from, "http://192.0.2.200/").Output()
		if err != nil {
			t.Fatalf("curl from %s: %v", from, err)
		}
		who, _, _ := strings.Cut(string(out), "\n")
		return who
	}
	first, second := get("192.0.2.1"), get("192.0.2.2")
	if first == second {
		t.Fatalf("two persistent clients have the server %s", first)
	}
	// Three packets of the client, as sync_threshold says: SYN, ACK, request.
	conn, err := r.c.Dial(t.Context(), "client", "tcp", "192.0.2.200:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	held := &talk{conn, bufio.NewReader(conn)}
	holder := held.ask(t, "at first")
	d := r.download()
	d.goes(t, "at first")

	awaitLearned := func(node string) {
		t.Helper()
		var out string
		testenv.AwaitOr(t, func() bool {
			out = r.toolIn(node, "proc", "ip_vs_conn_sync")
			return strings.Count(out, "ESTABLISHED SYNC") == 2 && strings.Count(out, "ASSURED     SYNC") == 2
		}, func() {
			t.Fatalf("%s has not learned of two connections and two templates:\n%s\n%s", node, out, r.toolIn(node, "sync"))
		})
	}
	awaitLearned("lb2")

	check := func(when string) {
		t.Helper()
		since := time.Now()
		d.goes(t, when) // the client says nothing: the way to it is found without it
		t.Logf("%s the page went on for 20 lines after %v", when, time.Since(since).Round(time.Millisecond))
		if got := held.ask(t, when); got != holder {
			t.Errorf("%s: %s answers on the held connection, it was %s", when, got, holder)
		}
		if got := get("192.0.2.2"); got != second { // the other order: a scheduler without memory would change them
			t.Errorf("%s: the second client has %s, it had %s", when, got, second)
		}
		if got := get("192.0.2.1"); got != first {
			t.Errorf("%s: the first client has %s, it had %s", when, got, first)
		}
	}
	check("before the fault")
	lb1.signal(unix.SIGKILL)
	<-lb1.done
	lb2.said("Entering MASTER STATE", 1)
	check("after the master was killed")
	r.tells("lb2", "master sync daemon", "ipvsadm", "-L", "--daemon")

	lb1 = r.run().ready()
	r.tells("lb1", "backup sync daemon", "ipvsadm", "-L", "--daemon")
	lb2.said("a backup of connection synchronisation is told of everything", 1)
	var out string
	testenv.AwaitOr(t, func() bool {
		out = r.toolIn("lb1", "proc", "ip_vs_conn_sync")
		return strings.Count(out, "ESTABLISHED SYNC") >= 2 && strings.Count(out, "ASSURED     SYNC") == 2
	}, func() { t.Fatalf("lb1 has not learned of all:\n%s", out) })
	if out := r.toolIn("lb2", "sync", "send"); !strings.Contains(out, "connections and templates told") {
		t.Errorf("dirsw sync send: %s", out)
	}
	r.tells("lb1", "backup  eth1       59      224.0.0.81 port 8848", "sync")
	r.tells("lb2", "synchronisation: master on eth1, ", "stats")
	lb2.stop()
	lb1.said("Entering MASTER STATE", 1)
	check("after the second master was stopped")
}

// TestSyncByCommand starts daemons as ipvsadm does, over an IPv6 group of its own, and stops them.
func TestSyncByCommand(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	conf := instance("VI", "51", "200", vipBlock) + service("", "")
	r.write(conf)
	lb1 := r.run().ready()
	lb1.said("Entering MASTER STATE", 1)
	lb2 := r.other(strings.Replace(conf, "200", "150", 1))
	lb2.said(`"forwarding"`, 1)
	at := []string{"--mcast-interface", "enp0s8", "--mcast-group", "ff02::82", "--mcast-port", "9000", "--sync-maxlen", "1100"}
	start := func(node, role, id string) {
		t.Helper()
		r.toolIn(node, append([]string{"ipvsadm", "--start-daemon", role, "--syncid", id}, at...)...)
	}
	start("lb2", "backup", "0")
	start("lb1", "master", "3")
	start("lb1", "backup", "9")
	r.tells("lb1", "master sync daemon (mcast=enp0s8, syncid=3, maxlen=1100, group=ff02::82, port=9000, ttl=1)\n"+
		"backup sync daemon (mcast=enp0s8, syncid=9, maxlen=1100, group=ff02::82, port=9000, ttl=1)\n", "ipvsadm", "-L", "--daemon")
	talks := func(n int) {
		t.Helper()
		for range n {
			conn, err := r.c.Dial(t.Context(), "client", "tcp", r.vip)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			(&talk{conn, bufio.NewReader(conn)}).ask(t, "over a connection that is held")
		}
	}
	learned := func(n int) {
		t.Helper()
		var out string
		testenv.AwaitOr(t, func() bool {
			out = r.toolIn("lb2", "proc", "ip_vs_conn_sync")
			return strings.Count(out, "ESTABLISHED SYNC") == n
		}, func() { t.Fatalf("not %d connections were learned:\n%s\n%s", n, out, r.toolIn("lb2", "sync")) })
	}
	talks(40) // more than a message holds
	learned(40)
	for i, set := range []string{"sync_version=0", "sync_ports=4"} {
		r.toolIn("lb2", "sysctl", "net.ipv4.vs."+set)
		r.toolIn("lb1", "sysctl", "net.ipv4.vs."+set)
		talks(5)
		learned(45 + 5*i)
	}
	r.toolIn("lb1", "ipvsadm", "--stop-daemon", "master")
	r.tells("lb1", "backup sync daemon", "ipvsadm", "-L", "--daemon")
	if out := r.toolIn("lb1", "ipvsadm", "-L", "--daemon"); strings.Contains(out, "master") {
		t.Errorf("a daemon that was stopped is listed:\n%s", out)
	}
	talks(1)
	learned(50)
	if out, code := r.tool("sync", "--socket", r.sock, "send"); code == 0 || !strings.Contains(out, "no master daemon") {
		t.Errorf("sync send without a master: exit %d\n%s", code, out)
	}
}
