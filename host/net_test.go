package host

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// node is a network namespace without a name: it ends with the last reference.
type node struct {
	t  *testing.T
	ns netns.NsHandle
	nl *netlink.Handle
}

// newNode makes a namespace with its loopback up.
func newNode(t *testing.T) *node {
	t.Helper()
	testenv.NeedNetAdmin(t)
	n := &node{t: t}
	onThread(t, func() {
		must(t, unix.Unshare(unix.CLONE_NEWNET))
		// Until duplicate address detection of the link's own address is over, nothing is solicited.
		must(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0))
		var err error
		n.ns, err = netns.Get()
		must(t, err)
		n.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		must(t, err)
	})
	t.Cleanup(func() { n.nl.Close(); n.ns.Close() })
	n.up("lo")
	return n
}

// onThread runs f on a thread whose namespace is put back afterwards.
func onThread(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	here, err := netns.Get()
	must(t, err)
	defer func() {
		must(t, netns.Set(here))
		here.Close()
		runtime.UnlockOSThread()
	}()
	f()
}

// do runs f in the namespace.
func (n *node) do(f func()) {
	n.t.Helper()
	onThread(n.t, func() {
		must(n.t, netns.Set(n.ns))
		f()
	})
}

// host opens a Host in the namespace.
func (n *node) host() *Host {
	n.t.Helper()
	var h *Host
	n.do(func() {
		var err error
		h, err = Open(Options{})
		must(n.t, err)
	})
	n.t.Cleanup(func() { h.Close() })
	return h
}

// wire connects n with other by a veth whose ends are called a and b; it returns when both have carrier.
func (n *node) wire(a string, other *node, b string) {
	n.t.Helper()
	must(n.t, n.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b, PeerNamespace: netlink.NsFd(other.ns),
	}))
	n.up(a)
	other.up(b)
	for _, end := range []struct {
		*node
		name string
	}{{n, a}, {other, b}} {
		eventually(n.t, end.name+" has carrier", func() bool {
			return end.link(end.name).Attrs().OperState == netlink.OperUp
		})
	}
}

func (n *node) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.nl.LinkByName(name)
	must(n.t, err)
	return l
}

func (n *node) up(name string) { n.t.Helper(); must(n.t, n.nl.LinkSetUp(n.link(name))) }

// mac returns the MAC of a link.
func (n *node) mac(name string) [6]byte { return [6]byte(n.link(name).Attrs().HardwareAddr) }

// addr adds an address without duplicate address detection.
func (n *node) addr(link, prefix string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	must(n.t, err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	must(n.t, n.nl.AddrAdd(n.link(link), a))
	if a.IP.To4() != nil {
		return
	}
	// The kernel makes the local route of an IPv6 address, and joins its group, a moment after it has added the address.
	if !within(testenv.Patience, func() bool {
		r, err := n.nl.RouteGet(a.IP)
		return err == nil && len(r) > 0 && r[0].Type == unix.RTN_LOCAL
	}) {
		n.t.Fatalf("%s has not become an address of this namespace", prefix)
	}
}

// route adds a route of a kind; gw and link may be empty.
func (n *node) route(kind int, dst, gw, link string) {
	n.t.Helper()
	_, to, err := net.ParseCIDR(dst)
	must(n.t, err)
	r := &netlink.Route{Dst: to, Type: kind, Gw: net.ParseIP(gw)}
	if link != "" {
		r.LinkIndex = n.link(link).Attrs().Index
	}
	must(n.t, n.nl.RouteAdd(r))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for the kernel; these tests run on real time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testenv.Await(t, what, ok)
}

// within polls ok for d.
func within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// pair is two namespaces on one wire, with 192.0.2.1 and 2001:db8::1 on the side of the Host, .2 and ::2 on the other.
func pair(t *testing.T) (here, there *node, h *Host) {
	t.Helper()
	here, there = newNode(t), newNode(t)
	here.wire("veth0", there, "peer0")
	here.addr("veth0", "192.0.2.1/24")
	here.addr("veth0", "2001:db8::1/64")
	there.addr("peer0", "192.0.2.2/24")
	there.addr("peer0", "2001:db8::2/64")
	return here, there, here.host()
}
