package testenv

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End is one end of a veth pair.
type End struct {
	In     *Namespace
	Name   string
	MAC    [6]byte  // zero: the kernel's choice
	Addrs  []string // "192.0.2.1/24", "2001:db8::1/64"; without, the end has no IPv6 at all and stays silent
	Queues int      // 0 stands for 1
	MTU    int      // bytes of the IP packet; 0 stands for 1500
}

// Veth makes a veth pair, both ends up, and waits until both have carrier and their addresses. It goes with the namespaces.
// Duplicate address detection is off.
func Veth(t testing.TB, a, b End) {
	t.Helper()
	veth := &netlink.Veth{
		LinkAttrs:        netlink.NewLinkAttrs(),
		PeerName:         b.Name,
		PeerNamespace:    netlink.NsFd(b.In.handle),
		PeerHardwareAddr: b.mac(),
		PeerMTU:          uint32(b.mtu()),
		PeerNumRxQueues:  uint32(b.queues()),
		PeerNumTxQueues:  uint32(b.queues()),
	}
	veth.Name, veth.HardwareAddr, veth.MTU = a.Name, a.mac(), a.mtu()
	veth.NumRxQueues, veth.NumTxQueues = a.queues(), a.queues()
	if err := a.In.Links.LinkAdd(veth); err != nil {
		t.Fatalf("make the veth pair %s and %s: %v", a.Name, b.Name, err)
	}
	a.up(t)
	b.up(t)
	for _, e := range []End{a, b} {
		Await(t, e.Name+" has carrier", func() bool {
			return e.Link(t).Attrs().OperState == netlink.OperUp
		})
		for _, a := range e.Addrs {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				t.Fatal(err)
			}
			Await(t, e.Name+" takes packets for "+a, func() bool { // IPv6 has the route some time after the address
				routes, err := e.In.Links.RouteGet(addr.IP)
				return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
			})
		}
	}
}

func (e *End) queues() int { return max(e.Queues, 1) }

func (e *End) mtu() int {
	if e.MTU == 0 {
		return 1500
	}
	return e.MTU
}

func (e *End) mac() net.HardwareAddr {
	if e.MAC == ([6]byte{}) {
		return nil
	}
	return e.MAC[:]
}

// up gives the end its addresses and sets it up.
func (e *End) up(t testing.TB) {
	t.Helper()
	if len(e.Addrs) == 0 {
		e.In.Sysctl(t, "ipv6.conf."+e.Name+".disable_ipv6", "1")
	} else {
		e.In.Sysctl(t, "ipv6.conf."+e.Name+".accept_dad", "0")
	}
	l := e.Link(t)
	for _, a := range e.Addrs {
		addr, err := netlink.ParseAddr(a)
		if err == nil {
			err = e.In.Links.AddrAdd(l, addr)
		}
		if err != nil {
			t.Fatalf("give %s the address %s: %v", e.Name, a, err)
		}
	}
	e.SetUp(t, true)
}

// Link returns the link as it is now.
func (e *End) Link(t testing.TB) netlink.Link {
	t.Helper()
	l, err := e.In.Links.LinkByName(e.Name)
	if err != nil {
		t.Fatalf("look for %s: %v", e.Name, err)
	}
	return l
}

// SetUp sets the end up, or down.
func (e *End) SetUp(t testing.TB, up bool) {
	t.Helper()
	set := e.In.Links.LinkSetDown
	if up {
		set = e.In.Links.LinkSetUp
	}
	if err := set(e.Link(t)); err != nil {
		t.Fatalf("set %s up or down: %v", e.Name, err)
	}
}

// Delete removes the pair.
func (e *End) Delete(t testing.TB) {
	t.Helper()
	if err := e.In.Links.LinkDel(e.Link(t)); err != nil {
		t.Fatalf("delete %s: %v", e.Name, err)
	}
}
