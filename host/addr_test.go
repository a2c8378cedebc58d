package host

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

func TestHeldAddressLapses(t *testing.T) {
	for _, vip := range []string{"192.0.2.200/32", "2001:db8::200/128"} {
		t.Run(vip, func(t *testing.T) {
			t.Parallel()
			here, _, h := pair(t)
			p := netip.MustParsePrefix(vip)
			link := here.link("veth0").Attrs().Index
			must(t, h.HoldAddr(link, p, "", 2*time.Second))
			if name, ok := h.HasAddr(p.Addr()); !ok || name != "veth0" {
				t.Fatalf("got %q, %v; want it on veth0", name, ok)
			}
			for range 3 { // refreshed, it outlives its first lifetime
				time.Sleep(time.Second)
				must(t, h.HoldAddr(link, p, "", 2*time.Second))
			}
			if _, ok := h.HasAddr(p.Addr()); !ok {
				t.Fatal("gone although it was refreshed")
			}
			eventually(t, "the kernel removed it", func() bool { _, ok := h.HasAddr(p.Addr()); return !ok })
			must(t, h.HoldAddr(link, p, "", 2*time.Second)) // and it can come back
			if _, ok := h.HasAddr(p.Addr()); !ok {
				t.Fatal("it did not come back")
			}
			must(t, h.ReleaseAddr(link, p))
			if _, ok := h.HasAddr(p.Addr()); ok {
				t.Error("still there after its release")
			}
			must(t, h.ReleaseAddr(link, p))
		})
	}
}

func TestHeldAddressAnswersAtOnce(t *testing.T) {
	here, there, h := pair(t)
	link := here.link("veth0").Attrs().Index
	must(t, h.HoldAddr(link, netip.MustParsePrefix("2001:db8::200/128"), "", time.Minute))
	must(t, h.HoldAddr(link, netip.MustParsePrefix("192.0.2.200/32"), "veth0:vip", time.Minute))
	peer := there.host()
	for _, vip := range []string{"192.0.2.200", "2001:db8::200"} {
		hop := nextHop(t, peer, vip)
		must(t, peer.Resolve(hop))
		// The kernel joins the multicast group of an IPv6 address a moment after it has added it. A solicitation that
		// comes before that is repeated a second later (RFC 4861, section 10: RETRANS_TIMER).
		if !within(2*time.Second, func() bool { return nextHop(t, peer, vip).MAC == here.mac("veth0") }) {
			t.Errorf("%s is not answered for", vip)
		}
	}
	addrs, err := here.nl.AddrList(here.link("veth0"), unix.AF_INET)
	must(t, err)
	labels := map[string]bool{}
	for _, a := range addrs {
		labels[a.Label] = true
	}
	if !labels["veth0:vip"] {
		t.Errorf("got labels %v, want veth0:vip", labels)
	}
	if src := nextHop(t, h, "2001:db8::2").Src; src != ip("2001:db8::1") {
		t.Errorf("the kernel sends from %v, want 2001:db8::1 and not the held address", src)
	}
}

func TestAddressOfSomebodyElseIsLeftAlone(t *testing.T) {
	here, _, h := pair(t)
	here.addr("veth0", "192.0.2.200/32")
	link := here.link("veth0").Attrs().Index
	p := netip.MustParsePrefix("192.0.2.200/32")
	core, logs := observer.New(zap.InfoLevel)
	h.log = zap.New(core)
	for range 3 {
		must(t, h.HoldAddr(link, p, "", time.Second))
	}
	if logs.Len() != 1 {
		t.Errorf("it was said %d times that the address is there, want once", logs.Len())
	}
	time.Sleep(2500 * time.Millisecond)
	if _, ok := h.HasAddr(p.Addr()); !ok {
		t.Error("a permanent address was given a lifetime")
	}
	must(t, h.ReleaseAddr(link, p))
	if _, ok := h.HasAddr(p.Addr()); !ok {
		t.Error("a permanent address was taken away")
	}
}

func TestHoldAddrOnALinkThatIsGone(t *testing.T) {
	_, _, h := pair(t)
	if err := h.HoldAddr(4711, netip.MustParsePrefix("192.0.2.200/32"), "", time.Second); !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v, want %v", err, unix.ENODEV)
	}
	must(t, h.ReleaseAddr(4711, netip.MustParsePrefix("192.0.2.200/32")))
}

func TestHasAddrOfAnother(t *testing.T) {
	_, _, h := pair(t)
	if name, ok := h.HasAddr(ip("192.0.2.2")); ok {
		t.Errorf("it says that the neighbour's address is on %s", name)
	}
	if name, ok := h.HasAddr(ip("::ffff:192.0.2.1")); !ok || name != "veth0" {
		t.Errorf("v4-mapped: got %q, %v", name, ok)
	}
}
