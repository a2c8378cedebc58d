package host

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// hold sets an address of veth0 as a virtual router does.
func hold(t *testing.T, h *Host, p netip.Prefix, label string, lifetime time.Duration) *Holdings {
	t.Helper()
	o, err := h.OpenHoldings()
	must(t, err)
	t.Cleanup(func() { must(t, o.Close()) })
	must(t, o.Hold([]Address{{Link: "veth0", Prefix: p, Label: label, NoDAD: p.Addr().Is6(), Deprecated: p.Addr().Is6()}}, lifetime))
	return o
}

// has reports whether the host lists an address.
func has(t *testing.T, h *Host, a netip.Addr) bool {
	t.Helper()
	all, err := h.Addrs()
	must(t, err)
	for _, have := range all {
		if have.Addr == a {
			return true
		}
	}
	return false
}

func TestHeldAddressLapses(t *testing.T) {
	for _, s := range []string{"192.0.2.200/32", "2001:db8::200/128"} {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			_, _, h := pair(t)
			p := netip.MustParsePrefix(s)
			a := []Address{{Link: "veth0", Prefix: p, NoDAD: p.Addr().Is6(), Deprecated: p.Addr().Is6()}}
			o := hold(t, h, p, "", 5*time.Second)
			must(t, o.Prolong(a, time.Hour))
			time.Sleep(6500 * time.Millisecond) // longer than it had first, by more than the kernel adds
			if !has(t, h, p.Addr()) {
				t.Fatal("it has lapsed in spite of its prolongation")
			}
			must(t, o.Prolong(a, 2*time.Second))
			eventually(t, "the kernel removed it", func() bool { return !has(t, h, p.Addr()) })
		})
	}
}

func TestHeldAddressAnswersAtOnce(t *testing.T) {
	here, there, h := pair(t)
	hold(t, h, netip.MustParsePrefix("2001:db8::200/128"), "", time.Minute)
	hold(t, h, netip.MustParsePrefix("192.0.2.200/32"), "veth0:vip", time.Minute)
	peer := there.host()
	for _, vip := range []string{"192.0.2.200", "2001:db8::200"} {
		hop := nextHop(t, peer, vip)
		must(t, peer.Resolve(hop))
		// The kernel joins the multicast group of an IPv6 address a moment after it has added it. A solicitation that
		// comes before that is repeated a second later (RFC 4861, section 10: RETRANS_TIMER).
		if !within(testenv.Patience, func() bool { return nextHop(t, peer, vip).MAC == here.mac("veth0") }) {
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
