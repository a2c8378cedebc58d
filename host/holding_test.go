package host

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (n *node) holdings(h *Host) *Holdings {
	n.t.Helper()
	o, err := h.OpenHoldings()
	must(n.t, err)
	n.t.Cleanup(func() { must(n.t, o.Close()) })
	return o
}

// find returns an address of a link, nil if it has none.
func (n *node) find(link, addr string) *netlink.Addr {
	n.t.Helper()
	all, err := n.nl.AddrList(n.link(link), netlink.FAMILY_ALL)
	must(n.t, err)
	for i := range all {
		if fromIP(all[i].IP) == ip(addr) {
			return &all[i]
		}
	}
	return nil
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestHeldAddressesHaveTheirOptions(t *testing.T) {
	here, _, h := pair(t)
	o := here.holdings(h)
	const brief = unix.IFA_F_PERMANENT
	for _, c := range []struct {
		a         Address
		lifetime  time.Duration
		flags     int // besides those that the kernel sets by itself
		valid     int
		preferred int
		want      string // as netlink.Addr prints it
	}{
		{Address{Prefix: prefix("192.0.2.10/24")}, 0, brief | unix.IFA_F_SECONDARY, 0, 0, "192.0.2.10/24 veth0"},
		{Address{Prefix: prefix("192.0.2.11/32")}, 100 * time.Second, 0, 100, 100, "192.0.2.11/32 veth0"},
		{Address{Prefix: prefix("192.0.2.12/32")}, 100100 * time.Millisecond, 0, 101, 101, "192.0.2.12/32 veth0"},
		{Address{Prefix: prefix("198.51.100.1/24"), Broadcast: ip("198.51.100.255"), Label: "veth0:vip"}, 100 * time.Second, 0, 100, 100, "198.51.100.1/24 veth0:vip"},
		{Address{Prefix: prefix("203.0.113.1/24"), Scope: unix.RT_SCOPE_LINK, NoPrefixRoute: true}, 100 * time.Second, unix.IFA_F_NOPREFIXROUTE, 100, 100, "203.0.113.1/24 veth0"},
		{Address{Prefix: prefix("203.0.113.130/32"), Peer: prefix("203.0.113.129/30")}, 100 * time.Second, 0, 100, 100, "203.0.113.130/32 veth0"},
		{Address{Prefix: prefix("2001:db8::10/64"), NoDAD: true}, 100 * time.Second, unix.IFA_F_NODAD, 100, 100, "2001:db8::10/64"},
		{Address{Prefix: prefix("2001:db8::11/128"), NoDAD: true, Deprecated: true}, 100 * time.Second, unix.IFA_F_NODAD | unix.IFA_F_DEPRECATED, 100, 0, "2001:db8::11/128"},
		{Address{Prefix: prefix("2001:db8::12/128"), NoDAD: true, Deprecated: true}, 0, unix.IFA_F_NODAD | unix.IFA_F_DEPRECATED | brief, 0, 0, "2001:db8::12/128"},
		{Address{Prefix: prefix("2001:db8:1::10/64"), NoDAD: true, Home: true, ManageTempAddr: true, NoPrefixRoute: true}, 100 * time.Second,
			unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE, 100, 100, "2001:db8:1::10/64"},
	} {
		c.a.Link = "veth0"
		t.Run(c.a.Prefix.String(), func(t *testing.T) {
			var since time.Time
			for range 2 { // the second time changes nothing
				since = time.Now()
				must(t, o.Hold([]Address{c.a}, c.lifetime))
			}
			have := here.find("veth0", c.a.Prefix.Addr().String())
			if have == nil {
				t.Fatal("it is not there")
			}
			const noise = unix.IFA_F_STABLE_PRIVACY
			if have.String() != c.want || have.Flags&^noise != c.flags || have.Scope != int(c.a.Scope) {
				t.Errorf("got %v flags %#x scope %d, want %v flags %#x scope %d", have, have.Flags, have.Scope, c.want, c.flags, c.a.Scope)
			}
			spent := 1 + int(time.Since(since)/time.Second) // seconds, as the kernel may count them
			if c.valid > 0 && (have.ValidLft < c.valid-spent || have.ValidLft > c.valid || have.PreferedLft > c.preferred || have.PreferedLft < c.preferred-spent) {
				t.Errorf("got lifetimes %d and %d, want %d and %d", have.ValidLft, have.PreferedLft, c.valid, c.preferred)
			}
			if b := c.a.Broadcast; b.IsValid() && fromIP(have.Broadcast) != b {
				t.Errorf("got the broadcast address %v, want %v", have.Broadcast, b)
			}
			if p := c.a.Peer; p.IsValid() && have.Peer.String() != p.String() {
				t.Errorf("got the peer %v, want %v", have.Peer, p)
			}
			must(t, o.Release([]Address{c.a}))
			if have := here.find("veth0", c.a.Prefix.Addr().String()); have != nil {
				t.Errorf("it is there after its release: %v", have)
			}
			must(t, o.Release([]Address{c.a}))
		})
	}
	if o.Held() != 0 || len(o.count) != 0 {
		t.Errorf("%d are held, %v", o.Held(), o.count)
	}
}

func TestWrongAddressesDoNotHinderOthers(t *testing.T) {
	here, _, h := pair(t)
	o := here.holdings(h)
	err := o.Hold([]Address{
		{Link: "veth0", Prefix: prefix("192.0.2.10/32")},
		{Link: "nosuch", Prefix: prefix("192.0.2.11/32")},
		{Link: "veth0", Prefix: prefix("192.0.2.12/32"), Label: "a label that is far too long"},
		{Link: "veth0", Prefix: prefix("2001:db8::13/64"), NoDAD: true},
	}, time.Minute)
	if !errors.Is(err, ErrNoLink) || !strings.Contains(fmt.Sprint(err), "192.0.2.12/32") {
		t.Errorf("got %v, want it to name the link and the label", err)
	}
	if here.find("veth0", "192.0.2.10") == nil || here.find("veth0", "2001:db8::13") == nil || o.Held() != 2 {
		t.Errorf("%d addresses are held, want the two that are right", o.Held())
	}
}

func TestOwnersOfAddresses(t *testing.T) {
	here, _, h := pair(t)
	here.addr("veth0", "192.0.2.50/32")
	here.addr("veth0", "2001:db8::50/128")
	first, second := here.holdings(h), here.holdings(h)
	foreign := []Address{{Link: "veth0", Prefix: prefix("192.0.2.50/32")}, {Link: "veth0", Prefix: prefix("2001:db8::50/128"), NoDAD: true}}
	must(t, first.Hold(foreign, time.Minute))
	must(t, first.Prolong(foreign, time.Minute))
	for _, a := range []string{"192.0.2.50", "2001:db8::50"} {
		if have := here.find("veth0", a); have.Flags&unix.IFA_F_PERMANENT == 0 {
			t.Errorf("%s of somebody else got a lifetime", a)
		}
	}
	must(t, first.Release(foreign))
	if here.find("veth0", "192.0.2.50") == nil || here.find("veth0", "2001:db8::50") == nil {
		t.Error("an address of somebody else was removed")
	}
	ours := []Address{{Link: "veth0", Prefix: prefix("192.0.2.60/32")}}
	must(t, first.Hold(ours, time.Minute)) // and then it was killed
	must(t, second.Hold(ours, 30*time.Second))
	if have := here.find("veth0", "192.0.2.60"); have.ValidLft > 30 {
		t.Errorf("what was left behind lives for %d s more, want 30", have.ValidLft)
	}
	must(t, second.Evict(append(foreign, ours...)))
	for _, a := range []string{"192.0.2.50", "2001:db8::50", "192.0.2.60"} {
		if have := here.find("veth0", a); have != nil {
			t.Errorf("%s was not evicted", a)
		}
	}
	must(t, second.Prolong(ours, time.Minute)) // is not held
	if have := here.find("veth0", "192.0.2.60"); have != nil {
		t.Error("prolonging set an address that was given up")
	}
}

func TestOwnedAddressesAreProlonged(t *testing.T) {
	here, _, h := pair(t)
	v := here.vrrp(h)
	a := Address{Link: "veth0", Prefix: prefix("192.0.2.70/32")}
	six := Address{Link: "veth0", Prefix: prefix("2001:db8::70/128"), NoDAD: true, Deprecated: true}
	for _, x := range []Address{a, six} {
		must(t, v.Own(x, 40*time.Second))
		must(t, v.Own(x, 100*time.Second))
	}
	eventually(t, "both are prolonged", func() bool {
		return here.find("veth0", "192.0.2.70").ValidLft > 50 && here.find("veth0", "2001:db8::70").ValidLft > 50
	})
	// Source addresses are not those that are owned.
	if got := v.Link("veth0").Addrs[0]; got != ip("192.0.2.1") {
		t.Errorf("the first address of the link is %v", got)
	}
	for _, x := range v.Link("veth0").Addrs {
		if x == a.Prefix.Addr() || x == six.Prefix.Addr() {
			t.Errorf("%v counts as an address of the link", x)
		}
	}
	must(t, here.nl.AddrDel(here.link("veth0"), here.find("veth0", "192.0.2.70"))) // by somebody else
	must(t, v.Own(a, 100*time.Second))
	eventually(t, "it is back", func() bool { return here.find("veth0", "192.0.2.70") != nil })
	must(t, v.Disown(a))
	must(t, v.Disown(six))
	must(t, v.Disown(six))
	if here.find("veth0", "192.0.2.70") != nil || here.find("veth0", "2001:db8::70") != nil {
		t.Error("disowned addresses are there")
	}
	if err := v.Own(Address{Link: "nosuch", Prefix: prefix("192.0.2.70/32")}, time.Second); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v, want %v", err, ErrNoLink)
	}
	must(t, v.Disown(Address{Link: "nosuch", Prefix: prefix("192.0.2.70/32")}))
}

func TestThousandsOfAddresses(t *testing.T) {
	here, _, h := pair(t)
	v := here.vrrp(h)
	var all []Address
	for i := range 2000 {
		all = append(all, Address{Link: "veth0", Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)})
	}
	timed := func(what string, f func()) {
		start := time.Now()
		f()
		t.Logf("%s: %v", what, time.Since(start))
	}
	timed("Hold", func() { must(t, v.Hold(all, time.Minute)) })
	timed("Hold again", func() { must(t, v.Hold(all, time.Minute)) })
	timed("Prolong", func() { must(t, v.Prolong(all, time.Minute)) })
	timed("Own, of what is held", func() {
		for _, a := range all {
			must(t, v.Own(a, time.Minute))
		}
	})
	longest := time.Duration(0)
	timed("Receive, all news", func() {
		for {
			start := time.Now()
			v.Receive(0)
			if longest = max(longest, time.Since(start)); len(v.ready) == 0 {
				return
			}
		}
	})
	t.Logf("the longest Receive took %v", longest)
	timed("Release", func() { must(t, v.Release(all)) })
	if v.Held() != 0 {
		t.Errorf("%d are held", v.Held())
	}
	timed("Own, one by one", func() {
		for _, a := range all {
			must(t, v.Own(a, time.Minute))
		}
	})
	timed("Announce, one by one", func() {
		for _, a := range all {
			must(t, v.Announce("veth0", a.Prefix.Addr()))
		}
	})
	timed("Disown, one by one", func() {
		for _, a := range all {
			must(t, v.Disown(a))
		}
	})
}
