package host

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

func TestNextHopOfEveryKindOfRoute(t *testing.T) {
	here, there, h := pair(t)
	here.route(unix.RTN_UNICAST, "198.51.100.0/24", "192.0.2.2", "")
	here.route(unix.RTN_UNICAST, "2001:db8:1::/64", "2001:db8::2", "")
	for _, kind := range []struct {
		rtn int
		v4  string
		v6  string
	}{
		{unix.RTN_PROHIBIT, "203.0.113.0/27", "2001:db8:a::/64"},
		{unix.RTN_UNREACHABLE, "203.0.113.32/27", "2001:db8:b::/64"},
		{unix.RTN_BLACKHOLE, "203.0.113.64/27", "2001:db8:c::/64"},
	} {
		here.route(kind.rtn, kind.v4, "", "")
		here.route(kind.rtn, kind.v6, "", "lo")
	}
	via := &netlink.Route{
		Dst: &net.IPNet{IP: net.IP{203, 0, 113, 128}, Mask: net.CIDRMask(25, 32)}, LinkIndex: here.link("veth0").Attrs().Index,
		Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("2001:db8::2")},
	}
	must(t, here.nl.RouteAdd(via))
	mtu := &netlink.Route{Dst: &net.IPNet{IP: net.IP{198, 51, 100, 9}, Mask: net.CIDRMask(32, 32)}, Gw: net.IP{192, 0, 2, 2}, MTU: 1400}
	must(t, here.nl.RouteAdd(mtu))

	link := here.link("veth0").Attrs().Index
	lo := here.link("lo").Attrs().Index
	for _, c := range []struct {
		name, dst string
		want      Hop // without what the neighbour adds
	}{
		{"on the link", "192.0.2.2", Hop{Link: link, Gateway: ip("192.0.2.2"), Src: ip("192.0.2.1"), MTU: 1500}},
		{"on the link, IPv6", "2001:db8::2", Hop{Link: link, Gateway: ip("2001:db8::2"), Src: ip("2001:db8::1"), MTU: 1500}},
		{"v4-mapped", "::ffff:192.0.2.2", Hop{Link: link, Gateway: ip("192.0.2.2"), Src: ip("192.0.2.1"), MTU: 1500}},
		{"by a gateway", "198.51.100.7", Hop{Link: link, Gateway: ip("192.0.2.2"), Src: ip("192.0.2.1"), MTU: 1500}},
		{"by a gateway, IPv6", "2001:db8:1::7", Hop{Link: link, Gateway: ip("2001:db8::2"), Src: ip("2001:db8::1"), MTU: 1500}},
		{"by a gateway of the other family", "203.0.113.200", Hop{Link: link, Gateway: ip("2001:db8::2"), Src: ip("192.0.2.1"), MTU: 1500}},
		{"route with an MTU", "198.51.100.9", Hop{Link: link, Gateway: ip("192.0.2.2"), Src: ip("192.0.2.1"), MTU: 1400}},
		{"own address", "192.0.2.1", Hop{Link: lo, Gateway: ip("192.0.2.1"), Src: ip("192.0.2.1"), Local: true}},
		{"own address, IPv6", "2001:db8::1", Hop{Link: lo, Gateway: ip("2001:db8::1"), Src: ip("2001:db8::1"), Local: true}},
		{"no route", "198.18.0.1", Hop{Unreachable: true, Reason: "there is no route"}},
		{"no route, IPv6", "2001:db8:ffff::1", Hop{Unreachable: true, Reason: "there is no route"}},
		{"prohibit", "203.0.113.1", Hop{Unreachable: true, Refused: true, Reason: "its route says prohibit"}},
		{"prohibit, IPv6", "2001:db8:a::1", Hop{Unreachable: true, Refused: true, Reason: "its route says prohibit"}},
		{"unreachable", "203.0.113.33", Hop{Unreachable: true, Refused: true, Reason: "its route says unreachable"}},
		{"unreachable, IPv6", "2001:db8:b::1", Hop{Unreachable: true, Refused: true, Reason: "its route says unreachable"}},
		{"blackhole", "203.0.113.65", Hop{Unreachable: true, Refused: true, Reason: "its route says blackhole"}},
		{"blackhole, IPv6", "2001:db8:c::1", Hop{Unreachable: true, Refused: true, Reason: "its route says blackhole"}},
		{"broadcast", "192.0.2.255", Hop{Unreachable: true, Reason: "it is not the address of a machine"}},
		{"multicast", "224.0.0.18", Hop{Unreachable: true, Reason: "it is not the address of a machine"}},
		{"unspecified", "::", Hop{Unreachable: true, Reason: "it is not the address of a machine"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := h.NextHop(ip(c.dst))
			must(t, err)
			got.MAC, got.Resolved, got.Stale = [6]byte{}, false, false
			if c.want.Local { // the rest is not valid
				got.MTU = 0
			}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
	t.Run("scoped", func(t *testing.T) {
		var dst netip.Addr
		addrs, err := there.nl.AddrList(there.link("peer0"), netlink.FAMILY_V6)
		must(t, err)
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() {
				dst = fromIP(a.IP)
			}
		}
		got, err := h.NextHop(dst.WithZone("veth0"))
		must(t, err)
		if got.Unreachable || got.Link != link || got.Gateway != dst {
			t.Errorf("got %+v, want %v on link %d", got, dst, link)
		}
	})
}

func TestNeighbourIsResolvedWithoutADatagram(t *testing.T) {
	t.Parallel()
	for _, dst := range []string{"192.0.2.2", "2001:db8::2"} {
		t.Run(dst, func(t *testing.T) {
			t.Parallel()
			_, there, h := pair(t)
			hop, err := h.NextHop(ip(dst))
			must(t, err)
			if hop.Resolved {
				t.Fatalf("resolved before it was asked for: %+v", hop)
			}
			must(t, h.Resolve(hop))
			eventually(t, "resolved", func() bool { return nextHop(t, h, dst).Resolved })
			if got, want := nextHop(t, h, dst).MAC, there.mac("peer0"); got != want {
				t.Errorf("got MAC %x, want %x", got, want)
			}
			if nextHop(t, h, dst).Stale {
				t.Error("stale although it has just answered")
			}
		})
	}
}

func TestSilentNeighbourIsNotResolved(t *testing.T) {
	t.Parallel()
	_, _, h := pair(t)
	hop := nextHop(t, h, "192.0.2.77")
	must(t, h.Resolve(hop))
	k := neighbour{hop.Link, hop.Gateway}
	eventually(t, "FAILED", func() bool {
		e, err := h.neighbour(k)
		must(t, err)
		return e.state == netlink.NUD_FAILED
	})
	if hop = nextHop(t, h, "192.0.2.77"); hop.Resolved || !hop.Failed || hop.MAC != [6]byte{} {
		t.Errorf("got %+v, want it not resolved, but failed", hop)
	}
	must(t, h.Resolve(hop)) // once more is no error
}

// setState puts the entry of dst into a state, as time would.
func setState(t *testing.T, n *node, h *Host, dst string, state int) {
	t.Helper()
	hop := nextHop(t, h, dst)
	if !hop.Resolved {
		t.Fatalf("%s is not resolved", dst)
	}
	must(t, n.nl.NeighSet(&netlink.Neigh{LinkIndex: hop.Link, IP: net.IP(hop.Gateway.AsSlice()), State: state}))
}

func TestChangedMACOfAStaleNeighbour(t *testing.T) {
	t.Parallel()
	for _, dst := range []string{"192.0.2.2", "2001:db8::2"} {
		t.Run(dst, func(t *testing.T) {
			t.Parallel()
			here, there, h := pair(t)
			must(t, h.Resolve(nextHop(t, h, dst)))
			eventually(t, "resolved", func() bool { return nextHop(t, h, dst).Resolved })

			mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
			must(t, there.nl.LinkSetHardwareAddr(there.link("peer0"), mac))
			time.Sleep(1200 * time.Millisecond) // past the locktime of the entry
			setState(t, here, h, dst, netlink.NUD_STALE)
			time.Sleep(1200 * time.Millisecond)
			if got := nextHop(t, h, dst); got.MAC == [6]byte(mac) || !got.Stale {
				t.Fatalf("before Resolve: got %+v, want the old MAC, stale", got)
			}
			must(t, h.Resolve(nextHop(t, h, dst)))
			if !within(testenv.Patience, func() bool { return nextHop(t, h, dst).MAC == [6]byte(mac) }) {
				t.Fatalf("long after Resolve: got %+v, want MAC %v", nextHop(t, h, dst), mac)
			}
			if nextHop(t, h, dst).Stale {
				t.Error("still stale")
			}
		})
	}
}

func TestDeadStaleNeighbourIsGivenUp(t *testing.T) {
	t.Parallel()
	here, there, h := pair(t)
	must(t, h.Resolve(nextHop(t, h, "192.0.2.2")))
	eventually(t, "resolved", func() bool { return nextHop(t, h, "192.0.2.2").Resolved })
	must(t, there.nl.AddrDel(there.link("peer0"), &netlink.Addr{IPNet: &net.IPNet{IP: net.IP{192, 0, 2, 2}, Mask: net.CIDRMask(24, 32)}}))
	setState(t, here, h, "192.0.2.2", netlink.NUD_STALE)
	for range solicitations + 1 {
		must(t, h.Resolve(nextHop(t, h, "192.0.2.2")))
	}
	eventually(t, "given up", func() bool { return !nextHop(t, h, "192.0.2.2").Resolved })
}

func TestPermanentNeighbourIsLeftAlone(t *testing.T) {
	here, _, h := pair(t)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x42}
	link := here.link("veth0").Attrs().Index
	must(t, here.nl.NeighSet(&netlink.Neigh{LinkIndex: link, IP: net.IP{192, 0, 2, 9}, HardwareAddr: mac, State: netlink.NUD_PERMANENT}))
	hop := nextHop(t, h, "192.0.2.9")
	if !hop.Resolved || hop.Stale || hop.MAC != [6]byte(mac) {
		t.Fatalf("got %+v, want it resolved to %v", hop, mac)
	}
	must(t, h.Resolve(hop))
	if e, err := h.neighbour(neighbour{link, hop.Gateway}); err != nil || e.state != netlink.NUD_PERMANENT {
		t.Errorf("got state %#x, %v; want permanent", e.state, err)
	}
}

func TestNothingLeaks(t *testing.T) {
	_, _, h := pair(t)
	dst := ip("192.0.2.2")
	ask := func() {
		hop, err := h.NextHop(dst)
		must(t, err)
		must(t, h.Resolve(hop))
		must(t, h.solicit(hop))
		announce(t, h, "veth0", hop.Src)
		_, err = h.Links()
		must(t, err)
	}
	ask()
	before := descriptors(t)
	for range 20 {
		ask()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were before 20 rounds", after, before)
	}
}

// descriptors counts the open ones, but for what the runtime's poller may add at its first use.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	n := 0
	for _, e := range all {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "net:") {
			n++
		}
	}
	return n
}

func nextHop(t *testing.T, h *Host, dst string) Hop {
	t.Helper()
	hop, err := h.NextHop(ip(dst))
	must(t, err)
	return hop
}
