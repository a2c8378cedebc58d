package host

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// watched starts a Watch that counts its calls.
func watched(t *testing.T, h *Host) *atomic.Int64 {
	t.Helper()
	var calls atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	must(t, h.Watch(ctx, func() { calls.Add(1) }))
	eventually(t, "the first call", func() bool { return calls.Load() > 0 })
	settle(&calls)
	return &calls
}

// settle waits until no call has come for 300 ms, and returns how many there were.
func settle(calls *atomic.Int64) int64 {
	for {
		was := calls.Load()
		if !within(300*time.Millisecond, func() bool { return calls.Load() != was }) {
			return was
		}
	}
}

func TestWatchTellsOfEveryKindOfChange(t *testing.T) {
	here, there, h := pair(t)
	calls := watched(t, h)
	link := here.link("veth0").Attrs().Index
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"a route", func() { here.route(unix.RTN_UNICAST, "198.51.100.0/24", "192.0.2.2", "") }},
		{"an IPv6 route", func() { here.route(unix.RTN_UNICAST, "2001:db8:1::/64", "2001:db8::2", "") }},
		{"an address", func() { here.addr("veth0", "192.0.2.9/24") }},
		{"an IPv6 address", func() { here.addr("veth0", "2001:db8::9/64") }},
		{"a new link", func() { must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})) }},
		{"an MTU", func() { must(t, here.nl.LinkSetMTU(here.link("veth0"), 1400)) }},
		{"a neighbour that answers", func() { must(t, h.Resolve(nextHop(t, h, "192.0.2.2"))) }},
		{"an IPv6 neighbour that answers", func() { must(t, h.Resolve(nextHop(t, h, "2001:db8::2"))) }},
		{"a MAC", func() {
			must(t, here.nl.NeighSet(&netlink.Neigh{LinkIndex: link, IP: net.IP{192, 0, 2, 2}, State: netlink.NUD_REACHABLE, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
		}},
		{"a neighbour that is forgotten", func() { must(t, here.nl.NeighDel(&netlink.Neigh{LinkIndex: link, IP: net.IP{192, 0, 2, 2}})) }},
		{"a carrier that is lost", func() { must(t, there.nl.LinkSetDown(there.link("peer0"))) }},
	} {
		was := settle(calls)
		c.do()
		if !within(testenv.Patience, func() bool { return calls.Load() > was }) {
			t.Errorf("%s: not told", c.name)
		}
	}
}

func TestWatchIsSilentAboutMereConfirmation(t *testing.T) {
	here, _, h := pair(t)
	calls := watched(t, h)
	must(t, h.Resolve(nextHop(t, h, "192.0.2.2")))
	eventually(t, "resolved", func() bool { return nextHop(t, h, "192.0.2.2").Resolved })
	if n := unasked(calls, func() {
		for _, state := range []int{netlink.NUD_STALE, netlink.NUD_REACHABLE, netlink.NUD_DELAY, netlink.NUD_STALE} {
			setState(t, here, h, "192.0.2.2", state)
		}
	}); n > 0 {
		t.Errorf("%d calls for changes that change no answer", n)
	}
}

// unasked returns how many calls do leads to. What the kernel does on its own time may lead to some as well, but not again
// and again.
func unasked(calls *atomic.Int64, do func()) (n int64) {
	for range 5 {
		was := settle(calls)
		do()
		if n = settle(calls) - was; n == 0 {
			break
		}
	}
	return n
}

func TestWatchIsSilentAboutARefreshedAddress(t *testing.T) {
	_, _, h := pair(t)
	calls := watched(t, h)
	for _, vip := range []string{"192.0.2.200/32", "2001:db8::200/128"} {
		p := netip.MustParsePrefix(vip)
		was := settle(calls)
		o := hold(t, h, p, "", time.Minute)
		a := []Address{{Link: "veth0", Prefix: p, NoDAD: p.Addr().Is6(), Deprecated: p.Addr().Is6()}}
		if !within(testenv.Patience, func() bool { return calls.Load() > was }) {
			t.Errorf("%s: not told that it is there", vip)
		}
		if n := unasked(calls, func() {
			for range 5 {
				must(t, o.Prolong(a, time.Minute))
			}
		}); n > 0 {
			t.Errorf("%s: %d calls for more time: who refreshes when told would never rest", vip, n)
		}
		was = calls.Load()
		must(t, o.Release(a))
		if !within(testenv.Patience, func() bool { return calls.Load() > was }) {
			t.Errorf("%s: not told that it is gone", vip)
		}
	}
}

func TestAnnouncementOfANeighbourIsToldAndSeen(t *testing.T) {
	for _, addr := range []string{"192.0.2.2", "2001:db8::2"} {
		t.Run(addr, func(t *testing.T) {
			here, there, h := pair(t)
			must(t, h.Resolve(nextHop(t, h, addr)))
			eventually(t, "resolved", func() bool { return nextHop(t, h, addr).Resolved })
			calls := watched(t, h)
			mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x77}
			must(t, there.nl.LinkSetHardwareAddr(there.link("peer0"), mac))
			was := settle(calls)
			peer := there.host()
			announce(t, peer, "peer0", ip(addr))
			if !within(testenv.Patience, func() bool { return nextHop(t, h, addr).MAC == [6]byte(mac) }) {
				t.Fatalf("long after the announcement: got %+v, want MAC %v", nextHop(t, h, addr), mac)
			}
			if !within(testenv.Patience, func() bool { return calls.Load() > was }) {
				t.Error("not told of it")
			}
			_ = here
		})
	}
}

func TestWatchGoesOnAfterAnOverflow(t *testing.T) {
	here, _, h := pair(t)
	hold, entered := make(chan struct{}), make(chan struct{}, 1)
	var calls atomic.Int64
	must(t, h.Watch(t.Context(), func() {
		if calls.Add(1) == 1 {
			entered <- struct{}{}
			<-hold // meanwhile more is to tell than there is room for
		}
	}))
	<-entered
	link := here.link("veth0").Attrs().Index
	for i := range 12000 { // some 2 MB as the kernel counts it, for a buffer of 2 MB
		must(t, here.nl.NeighSet(&netlink.Neigh{
			LinkIndex: link, IP: net.IP{198, 18, 0, byte(i)}, State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)},
		}))
	}
	if !here.netlinkDrops() {
		t.Fatal("nothing was dropped: the test makes too little noise")
	}
	close(hold)
	eventually(t, "told after the overflow", func() bool { return calls.Load() >= 2 })
	was := settle(&calls)
	if was > 200 {
		t.Errorf("%d calls: they are not gathered", was)
	}
	here.route(unix.RTN_UNICAST, "198.51.100.0/24", "192.0.2.2", "")
	if !within(testenv.Patience, func() bool { return calls.Load() > was }) {
		t.Error("after an overflow changes are no longer told")
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	here, _, h := pair(t)
	var calls atomic.Int64
	before := runtime.NumGoroutine()
	sockets := descriptors(t)
	ctx, cancel := context.WithCancel(t.Context())
	must(t, h.Watch(ctx, func() { calls.Add(1) }))
	eventually(t, "the first call", func() bool { return calls.Load() > 0 })
	cancel()
	eventually(t, "its goroutine and socket are gone", func() bool {
		return runtime.NumGoroutine() <= before && descriptors(t) <= sockets
	})
	was := calls.Load()
	here.route(unix.RTN_UNICAST, "198.51.100.0/24", "192.0.2.2", "")
	if within(200*time.Millisecond, func() bool { return calls.Load() != was }) {
		t.Error("called after its context ended")
	}
}

// netlinkDrops reports whether a netlink socket in the namespace has lost messages.
func (n *node) netlinkDrops() bool {
	lost := false
	n.do(func() {
		b, err := os.ReadFile("/proc/thread-self/net/netlink")
		must(n.t, err)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 8 && f[0] != "sk" && f[8] != "0" {
				lost = true
			}
		}
	})
	return lost
}
