package host

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestStrangersAnswerProbes(t *testing.T) {
	here, there, h := pair(t)
	v := here.vrrp(h)
	vips := []netip.Addr{ip("192.0.2.200"), ip("2001:db8::200")}
	for _, a := range vips {
		must(t, v.Own(Address{Link: "veth0", Prefix: netip.PrefixFrom(a, a.BitLen()), NoDAD: true}, time.Minute))
	}
	must(t, v.Guard("veth0", vips))
	probe := func() {
		for _, a := range vips {
			must(t, v.Probe("veth0", a))
		}
	}
	probe()
	silent(t, v, AnswerCame) // we have them, and nobody else
	there.addr("peer0", "192.0.2.200/32")
	there.addr("peer0", "2001:db8::200/128")
	probe()
	for seen := map[netip.Addr]bool{}; len(seen) < 2; {
		a := await(t, v, AnswerCame).Answer
		if a.MAC != there.mac("peer0") || a.Src != a.MAC || a.Link != "veth0" || a.Own {
			t.Errorf("got %+v, want the MAC address %x", a, there.mac("peer0"))
		}
		seen[a.Addr] = true
	}
	// A probe names no sender: nobody learns from it.
	neighbours, err := there.nl.NeighList(there.link("peer0").Attrs().Index, netlink.FAMILY_V4)
	must(t, err)
	for _, n := range neighbours {
		if fromIP(n.IP) == ip("192.0.2.200") {
			t.Errorf("the probe left %v", n)
		}
	}
	must(t, v.Guard("veth0", nil))
	probe()
	silent(t, v, AnswerCame)
	if len(v.guards) != 0 {
		t.Errorf("sockets are left: %v", v.guards)
	}
}

func TestStrangersAreHeardWithoutAQuestion(t *testing.T) {
	here, there, h := pair(t)
	v, stranger := here.vrrp(h), there.vrrp(there.host())
	for _, many := range []int{1, filterList + 1} { // compared by the kernel, and here
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			guarded := []netip.Addr{ip("192.0.2.200"), ip("2001:db8::200")}
			for i := range many {
				guarded = append(guarded, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))
				six := ip("2001:db8:1::").As16()
				six[14], six[15] = byte(i>>8), byte(i)
				guarded = append(guarded, netip.AddrFrom16(six))
			}
			must(t, v.Guard("veth0", guarded))
			for _, c := range []struct {
				addr string
				want bool
			}{
				{"192.0.2.200", true}, {"192.0.2.201", false}, {"198.18.0.0", true},
				{"2001:db8::200", true}, {"2001:db8::201", false}, {"2001:db8:2::200", false}, {"2001:db8:1::", true},
			} {
				must(t, stranger.Announce("peer0", ip(c.addr)))
				if !c.want {
					silent(t, v, AnswerCame)
				} else if a := await(t, v, AnswerCame).Answer; a.Addr != ip(c.addr) || a.MAC != there.mac("peer0") {
					t.Errorf("got %+v, want %s at %x", a, c.addr, there.mac("peer0"))
				}
			}
		})
	}
	must(t, v.Announce("veth0", ip("192.0.2.200"))) // our own does not count
	silent(t, v, AnswerCame)
}

func TestOwnAnswersAreTold(t *testing.T) {
	here, there := newNode(t), newNode(t)
	here.wire("veth0", there, "peer0")
	here.wire("veth1", there, "peer1") // both on one wire
	must(t, there.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	for _, port := range []string{"peer0", "peer1"} {
		must(t, there.nl.LinkSetMaster(there.link(port), there.link("br0")))
	}
	there.up("br0")
	v := here.vrrp(here.host())
	awaitLink(t, v, "veth1", func(s LinkState) bool { return s.Up })
	vip := ip("192.0.2.200")
	must(t, v.Own(Address{Link: "veth1", Prefix: prefix("192.0.2.200/32")}, time.Minute))
	must(t, v.Guard("veth0", []netip.Addr{vip}))
	must(t, v.Probe("veth0", vip))
	if a := await(t, v, AnswerCame).Answer; !a.Own || a.MAC != here.mac("veth1") {
		t.Errorf("got %+v, want that it is our own", a)
	}
}

func TestGuardsFollowTheirLink(t *testing.T) {
	here, there := newNode(t), newNode(t)
	h := here.host()
	v, stranger := here.vrrp(h), there.vrrp(there.host())
	must(t, v.Guard("veth0", []netip.Addr{ip("192.0.2.200")}))
	if err := v.Probe("veth0", ip("192.0.2.200")); err == nil {
		t.Error("asked on a link that does not exist")
	}
	for range 2 {
		here.wire("veth0", there, "peer0")
		awaitLink(t, v, "veth0", func(s LinkState) bool { return s.Up })
		awaitLink(t, stranger, "peer0", func(s LinkState) bool { return s.Up && s.Index == there.link("peer0").Attrs().Index })
		must(t, stranger.Announce("peer0", ip("192.0.2.200")))
		await(t, v, AnswerCame)
		must(t, here.nl.LinkDel(here.link("veth0")))
		awaitLink(t, v, "veth0", func(s LinkState) bool { return !s.Exists })
	}
}

func TestAnswersAreParsed(t *testing.T) {
	frame := func(s string) []byte { return unhex(t, s) }
	four, six := &guard{}, &guard{key: guardKey{ipv6: true}}
	na := `333300000001 020000000001 86dd 60000000 0020 3a ff 20010db80000000000000000000000c8 ff020000000000000000000000000001
		88 00 0000 20000000 20010db80000000000000000000000c8`
	for _, c := range []struct {
		name  string
		g     *guard
		frame []byte
		ok    bool
		addr  string
		mac   [6]byte
	}{
		{"ARP reply", four, frame("020000000009 020000000001 0806 0001 0800 06 04 0002 020000000007 c00002c8 020000000009 c0000209"), true, "192.0.2.200", [6]byte{2, 0, 0, 0, 0, 7}},
		{"ARP cut", four, frame("020000000009 020000000001 0806 0001 0800 06 04 0002 020000000007 c00002c8 020000000009 c00002"), false, "", [6]byte{}},
		{"no frame", four, frame("0200"), false, "", [6]byte{}},
		{"NA with the option", six, frame(na + "02 01 020000000005"), true, "2001:db8::c8", [6]byte{2, 0, 0, 0, 0, 5}},
		{"NA without", six, frame(na), true, "2001:db8::c8", [6]byte{2, 0, 0, 0, 0, 1}},
		{"NA with another option before", six, frame(na + "0e 01 010203040506 02 01 020000000005"), true, "2001:db8::c8", [6]byte{2, 0, 0, 0, 0, 5}},
		{"NA with an option without length", six, frame(na + "0e 00 010203040506"), true, "2001:db8::c8", [6]byte{2, 0, 0, 0, 0, 1}},
		{"NA with an option that is cut", six, frame(na + "02 02 020000000005"), true, "2001:db8::c8", [6]byte{2, 0, 0, 0, 0, 1}},
		{"NA cut", six, frame(na)[:70], false, "", [6]byte{}},
	} {
		a, ok := c.g.parse(c.frame)
		if ok != c.ok || ok && (a.Addr != ip(c.addr) || a.MAC != c.mac) {
			t.Errorf("%s: got %+v, %v", c.name, a, ok)
		}
	}
}

func TestProbeSaysWhatIsWrong(t *testing.T) {
	here, _, h := pair(t)
	v := here.vrrp(h)
	for link, a := range map[string]netip.Addr{"veth0": {}, "lo": ip("192.0.2.1"), "nosuch": ip("192.0.2.1")} {
		if err := v.Probe(link, a); err == nil {
			t.Errorf("%s %v: no error", link, a)
		}
		if err := v.Announce(link, a); err == nil {
			t.Errorf("%s %v: no error", link, a)
		}
	}
	must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}}))
	must(t, here.nl.LinkSetUp(here.link("br0")))
	here.do(func() {
		_, err := h.setSysctl("ipv6", "br0", "disable_ipv6", "1")
		must(t, err)
	})
	awaitLink(t, v, "br0", func(s LinkState) bool { return s.Exists && len(s.Addrs) == 0 })
	if err := v.Probe("br0", ip("2001:db8::1")); err == nil || !strings.Contains(err.Error(), "no IPv6 address") {
		t.Errorf("got %v", err)
	}
}
