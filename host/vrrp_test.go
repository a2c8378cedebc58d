package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

var _ readable = (*ear)(nil)

// vrrp opens a VRRP in the namespace.
func (n *node) vrrp(h *Host) *VRRP {
	n.t.Helper()
	v, err := h.OpenVRRP()
	must(n.t, err)
	n.t.Cleanup(func() { must(n.t, v.Close()) })
	return v
}

// advert4 is an IPv4 header before a message, as the sender of adverts writes it.
func advert4(src, dst string, id uint16, msg string) []byte {
	b := []byte{0x45, 0xc0, 0, 0, 0, 0, 0, 0, 255, ipVRRP, 0, 0}
	binary.BigEndian.PutUint16(b[4:], id)
	b = append(append(b, ip(src).AsSlice()...), ip(dst).AsSlice()...)
	return append(b, msg...)
}

// await returns the next event of a kind.
func await(t *testing.T, v *VRRP, kind EventKind) Event {
	t.Helper()
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); {
		if e, ok := v.Receive(100 * time.Millisecond); ok && e.Kind == kind {
			return e
		}
	}
	t.Fatalf("no event of the kind %v", kind)
	return Event{}
}

// silent fails if an event of a kind comes within 100 ms.
func silent(t *testing.T, v *VRRP, kind EventKind) {
	t.Helper()
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		if e, ok := v.Receive(20 * time.Millisecond); ok && e.Kind == kind {
			t.Fatalf("got %+v, want silence", e)
		}
	}
}

func linkLocal(t *testing.T, v *VRRP, link string) netip.Addr {
	t.Helper()
	for _, a := range v.Link(link).Addrs {
		if a.IsLinkLocalUnicast() && a.Is6() {
			return a
		}
	}
	t.Fatalf("%s has no link-local address among %v", link, v.Link(link).Addrs)
	return netip.Addr{}
}

func TestAdvertsCrossTheWire(t *testing.T) {
	here, there, h := pair(t)
	a, b := here.vrrp(h), there.vrrp(there.host())
	for _, c := range []struct {
		name     string
		from, to Path
		dst      netip.Addr
	}{
		{"multicast", Path{Link: "veth0", Group: ip("224.0.0.18")}, Path{Link: "peer0", Group: ip("224.0.0.18")}, ip("224.0.0.18")},
		{"another group", Path{Link: "veth0", Group: ip("224.0.0.19")}, Path{Link: "peer0", Group: ip("224.0.0.19")}, ip("224.0.0.19")},
		{"unicast", Path{Link: "veth0"}, Path{Link: "peer0"}, ip("192.0.2.2")},
		{"unicast without a link", Path{Source: ip("192.0.2.1")}, Path{}, ip("192.0.2.2")},
		{"multicast over IPv6", Path{Link: "veth0", IPv6: true, Group: ip("ff02::12")}, Path{Link: "peer0", IPv6: true, Group: ip("ff02::12")}, ip("ff02::12")},
		{"unicast over IPv6", Path{Link: "veth0", IPv6: true, Source: ip("2001:db8::1")}, Path{Link: "peer0", IPv6: true}, ip("2001:db8::2")},
		{"unicast over IPv6 without a link", Path{IPv6: true, Source: ip("2001:db8::1"), TTL: 9}, Path{IPv6: true}, ip("2001:db8::2")},
		{"authentication header", Path{Link: "veth0", AH: true, Group: ip("224.0.0.18")}, Path{Link: "peer0", AH: true, Group: ip("224.0.0.18")}, ip("224.0.0.18")},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, err := a.Add(1, c.from)
			must(t, err)
			defer a.Remove(1)
			if _, err := b.Add(7, c.to); err != nil {
				t.Fatal(err)
			}
			defer b.Remove(7)
			want := ip("192.0.2.1")
			if c.from.IPv6 {
				if want = c.from.Source; !want.IsValid() {
					want = linkLocal(t, a, "veth0")
				}
			}
			if src != want {
				t.Errorf("the source is %v, want %v", src, want)
			}
			msg, ttl, proto := []byte("an advert"), 255, uint8(ipVRRP)
			if c.from.TTL != 0 {
				ttl = c.from.TTL
			}
			if !c.from.IPv6 {
				msg = advert4(src.String(), c.dst.String(), 17, "an advert")
			}
			if c.from.AH {
				proto, msg[9] = ipAH, ipAH
			}
			must(t, a.Send(1, c.dst, msg))
			p := await(t, b, AdvertCame).Packet
			if string(p.Data) != "an advert" || p.Src != src || p.Dst != c.dst || p.TTL != ttl || p.Link != "peer0" || !slices.Equal(p.Paths, []int{7}) || p.Protocol != proto {
				t.Errorf("got %+v", p)
			}
			if !c.from.IPv6 && (len(p.Header) != 20 || p.Header[1] != 0xc0 || binary.BigEndian.Uint16(p.Header[4:]) != 17 || p.Header[6] != 0) {
				t.Errorf("got the header %x, want TOS c0, identification 17 and no flags", p.Header)
			}
			silent(t, a, AdvertCame) // not even our own
		})
	}
}

func TestPathsShareASocketAndKeepApart(t *testing.T) {
	here, there, h := pair(t)
	a, b := here.vrrp(h), there.vrrp(there.host())
	for id, p := range []Path{
		{Link: "peer0", Group: ip("224.0.0.18")}, {Link: "peer0", Group: ip("224.0.0.18")}, {Link: "peer0", Group: ip("224.0.0.77")}, {Link: "peer0"},
	} {
		_, err := b.Add(id, p)
		must(t, err)
	}
	if len(b.ears) != 1 {
		t.Errorf("got %d sockets, want 1", len(b.ears))
	}
	_, err := a.Add(1, Path{Link: "veth0"})
	must(t, err)
	for _, c := range []struct {
		dst  string
		want []int
	}{{"224.0.0.18", []int{0, 1}}, {"224.0.0.77", []int{2}}, {"192.0.2.2", []int{3}}} {
		must(t, a.Send(1, ip(c.dst), advert4("192.0.2.1", c.dst, 1, "x")))
		if p := await(t, b, AdvertCame).Packet; !slices.Equal(p.Paths, c.want) {
			t.Errorf("what was sent to %s came to %v, want %v", c.dst, p.Paths, c.want)
		}
	}
	b.Remove(0) // the group is left with the last that wants it
	must(t, a.Send(1, ip("224.0.0.18"), advert4("192.0.2.1", "224.0.0.18", 1, "x")))
	if p := await(t, b, AdvertCame).Packet; !slices.Equal(p.Paths, []int{1}) {
		t.Errorf("got %v, want [1]", p.Paths)
	}
	b.Remove(1)
	must(t, a.Send(1, ip("224.0.0.18"), advert4("192.0.2.1", "224.0.0.18", 1, "x")))
	silent(t, b, AdvertCame)
	b.Remove(2)
	b.Remove(3)
	if len(b.ears)+len(b.mouths) != 0 {
		t.Errorf("sockets are left: %v %v", b.ears, b.mouths)
	}
}

func TestWakeEndsReceive(t *testing.T) {
	here, _, h := pair(t)
	v := here.vrrp(h)
	receive := func(wait time.Duration) time.Duration { // what is to be said about links comes at times of its own
		start := time.Now()
		for {
			if e, ok := v.Receive(wait); !ok {
				return time.Since(start)
			} else if e.Kind != LinkChanged {
				t.Errorf("got %+v, want nothing", e)
			}
		}
	}
	receive(100 * time.Millisecond)
	v.Wake() // before
	if took := receive(2 * testenv.Patience); took > testenv.Patience {
		t.Errorf("got nothing after %v, want it at once", took)
	}
	time.AfterFunc(50*time.Millisecond, v.Wake) // during
	if took := receive(2 * testenv.Patience); took > testenv.Patience {
		t.Errorf("got nothing after %v, want it after 50 ms", took)
	}
	slept := time.Duration(0)
	for range 10 { // news that are none end a wait early
		slept = max(slept, receive(30*time.Millisecond))
	}
	if slept < 30*time.Millisecond {
		t.Errorf("a wait of 30 ms took %v", slept)
	}
	receive(0)
}

func TestPathFollowsItsLink(t *testing.T) {
	here, there, h := pair(t)
	a, b := here.vrrp(h), there.vrrp(there.host())
	_, err := a.Add(1, Path{Link: "veth0", Group: ip("224.0.0.18")})
	must(t, err)
	_, err = b.Add(2, Path{Link: "peer0", Group: ip("224.0.0.18")})
	must(t, err)
	if src, err := a.Add(3, Path{Link: "later0", Group: ip("224.0.0.18")}); !errors.Is(err, ErrNoLink) || src.IsValid() {
		t.Errorf("got %v, %v; want %v", src, err, ErrNoLink)
	}
	advert := advert4("192.0.2.1", "224.0.0.18", 1, "x")
	if err := a.Send(3, ip("224.0.0.18"), advert); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v, want %v", err, ErrNoLink)
	}
	must(t, a.Send(1, ip("224.0.0.18"), advert))
	await(t, b, AdvertCame)

	old := here.link("veth0").Attrs().Index
	must(t, here.nl.LinkDel(here.link("veth0")))
	if e := awaitLink(t, a, "veth0", func(s LinkState) bool { return !s.Exists }); e.Index != 0 {
		t.Errorf("got %+v", e)
	}
	if err := a.Send(1, ip("224.0.0.18"), advert); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v of a link that is gone, want %v", err, ErrNoLink)
	}
	must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "filler"}})) // so that the index differs
	here.wire("veth0", there, "peer0")
	here.wire("later1", there, "peer1")
	here.addr("veth0", "192.0.2.1/24")
	if here.link("veth0").Attrs().Index == old {
		t.Log("the index has not changed")
	}
	awaitLink(t, a, "veth0", func(s LinkState) bool { return s.Up && slices.Contains(s.Addrs, ip("192.0.2.1")) })
	awaitLink(t, b, "peer0", func(s LinkState) bool { return s.Up && s.Index == there.link("peer0").Attrs().Index })
	if src := a.Source(1); src != ip("192.0.2.1") {
		t.Errorf("got the source %v", src)
	}
	must(t, a.Send(1, ip("224.0.0.18"), advert))
	await(t, b, AdvertCame)

	must(t, here.nl.LinkSetDown(here.link("later1"))) // a link is renamed to the name that is waited for
	must(t, here.nl.LinkSetName(here.link("later1"), "later0"))
	must(t, here.nl.LinkSetUp(here.link("later0")))
	awaitLink(t, a, "later1", func(s LinkState) bool { return !s.Exists })
	awaitLink(t, a, "later0", func(s LinkState) bool { return s.Up })
	must(t, a.Send(3, ip("224.0.0.18"), advert))
}

// awaitLink waits for a LinkState.
func awaitLink(t *testing.T, v *VRRP, name string, ok func(LinkState) bool) LinkState {
	t.Helper()
	if s := v.Link(name); ok(s) {
		return s
	}
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); {
		if e, got := v.Receive(50 * time.Millisecond); got && e.Kind == LinkChanged && e.Link.Name == name && ok(e.Link) {
			return e.Link
		}
	}
	t.Fatalf("not told of %s, of which is known: %+v", name, v.Link(name))
	return LinkState{}
}

func TestLinksAreHeardOf(t *testing.T) {
	here, there := newNode(t), newNode(t)
	// The kernel delays news of a carrier by up to a second when there was other news within that second, unless the link
	// has another one's carrier, which it tells by the indices being unequal (linkwatch_urgent_event, net/core/link_watch.c).
	must(t, there.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "filler"}}))
	here.wire("veth0", there, "peer0")
	h := here.host()
	v := here.vrrp(h)
	must(t, h.VMACs().Make(VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}))
	awaitLink(t, v, "vrrp.51", func(s LinkState) bool { return s.Up })
	worst := time.Duration(0)
	for range 5 {
		for _, up := range []bool{false, true} {
			set := there.nl.LinkSetDown
			if up {
				set = there.nl.LinkSetUp
			}
			must(t, set(there.link("peer0")))
			start := time.Now()
			seen := map[string]bool{}
			eventually(t, fmt.Sprintf("told of both links that their carrier is %v", up), func() bool {
				if e, ok := v.Receive(time.Second); ok && e.Kind == LinkChanged && e.Link.Up == up {
					seen[e.Link.Name] = true
				}
				return len(seen) == 2
			})
			worst = max(worst, time.Since(start))
		}
	}
	t.Logf("told within %v", worst)
}

func TestANewLinkIsToldOnce(t *testing.T) {
	here, _, h := pair(t)
	v, m := here.vrrp(h), h.VMACs()
	must(t, m.Make(VMAC{Name: "vrrp.51", Base: "veth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}))
	if s := v.Link("vrrp.51"); !s.Up {
		t.Fatalf("got %+v", s)
	}
	for {
		e, ok := v.Receive(50 * time.Millisecond)
		if !ok {
			break
		}
		if e.Kind == LinkChanged && e.Link.Name == "vrrp.51" && !e.Link.Up {
			t.Errorf("told what was before: %+v", e.Link)
		}
	}
}

func TestSendSaysWhatIsWrong(t *testing.T) {
	here, _, h := pair(t)
	v := here.vrrp(h)
	_, err := v.Add(1, Path{Link: "veth0", Group: ip("224.0.0.18")})
	must(t, err)
	for _, c := range []struct {
		id  int
		dst netip.Addr
		msg []byte
	}{{2, ip("224.0.0.18"), nil}, {1, ip("ff02::12"), nil}, {1, netip.Addr{}, nil}, {1, ip("224.0.0.18"), []byte("short")}} {
		if err := v.Send(c.id, c.dst, c.msg); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	if _, err := v.Add(1, Path{Link: "veth0"}); err == nil {
		t.Error("a number was given twice")
	}
	must(t, here.nl.LinkSetDown(here.link("veth0")))
	if err := v.Send(1, ip("224.0.0.18"), advert4("192.0.2.1", "224.0.0.18", 1, "x")); err == nil {
		t.Error("sent by a link that is down")
	}
}

func TestFloodDoesNotSilenceOthers(t *testing.T) {
	here, there, h := pair(t)
	here.wire("veth1", there, "peer1")
	here.addr("veth1", "198.51.100.1/24")
	a, b := here.vrrp(h), there.vrrp(there.host())
	for id, link := range []string{"peer0", "peer1"} {
		_, err := b.Add(id, Path{Link: link, Group: ip("224.0.0.18"), RxBuf: 4096})
		must(t, err)
		_, err = a.Add(id, Path{Link: fmt.Sprintf("veth%d", id), Group: ip("224.0.0.18")})
		must(t, err)
	}
	for range 1000 {
		must(t, a.Send(0, ip("224.0.0.18"), advert4("192.0.2.1", "224.0.0.18", 1, "flood")))
	}
	must(t, a.Send(1, ip("224.0.0.18"), advert4("198.51.100.1", "224.0.0.18", 1, "advert")))
	eventually(t, "both have come", func() bool {
		ready := 0
		for _, e := range b.ears {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}, 0)
			ready += max(n, 0)
		}
		return ready == 2
	})
	before := 0
	for {
		p := await(t, b, AdvertCame).Packet
		if string(p.Data) == "advert" {
			break
		}
		before++
	}
	if before > 2 {
		t.Errorf("%d packets of the flood came before the advert of the other link", before)
	}
	before = 0
	for seen := false; !seen && before < 1000; before++ { // a flood that does not end, and an advert that comes later
		must(t, a.Send(0, ip("224.0.0.18"), advert4("192.0.2.1", "224.0.0.18", 1, "flood")))
		if before == 100 {
			must(t, a.Send(1, ip("224.0.0.18"), advert4("198.51.100.1", "224.0.0.18", 1, "advert")))
		}
		e, _ := b.Receive(time.Second)
		seen = string(e.Packet.Data) == "advert"
	}
	if before < 100 || before == 1000 {
		t.Errorf("the advert of the other link came after %d packets of the flood of 1000, it was sent after 100", before)
	}
	for {
		if _, ok := b.Receive(10 * time.Millisecond); !ok {
			break
		}
	}
	must(t, a.Send(0, ip("224.0.0.18"), advert4("192.0.2.1", "224.0.0.18", 1, "last")))
	await(t, b, AdvertCame)
	if b.Lost() < 900 {
		t.Errorf("%d packets were lost, as it says; the buffer has room for a few of the 1000", b.Lost())
	}
}

func TestLostNewsIsAskedFor(t *testing.T) {
	here, there, h := pair(t)
	v := here.vrrp(h)
	must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	awaitLink(t, v, "br0", func(s LinkState) bool { return s.Exists })
	if _, err := v.Add(1, Path{Link: "late0", Group: ip("224.0.0.18")}); !errors.Is(err, ErrNoLink) {
		t.Fatal(err)
	}
	must(t, here.nl.LinkDel(here.link("br0")))
	here.wire("late0", there, "late1")
	here.addr("late0", "198.51.100.1/24")
	must(t, there.nl.LinkSetDown(there.link("peer0")))
	eventually(t, "veth0 is down", func() bool { return here.link("veth0").Attrs().RawFlags&unix.IFF_RUNNING == 0 })
	// All this is lost.
	buf := make([]byte, 1<<16)
	for {
		if _, _, err := unix.Recvfrom(v.news, buf, unix.MSG_DONTWAIT); err != nil {
			break
		}
	}
	v.relearn()
	got := map[string]LinkState{}
	for {
		e, ok := v.Receive(0)
		if !ok {
			break
		}
		got[e.Link.Name] = e.Link
	}
	if s, ok := got["br0"]; !ok || s.Exists {
		t.Errorf("of br0, which is gone, it says %+v, %v", s, ok)
	}
	if s := got["late0"]; !s.Exists || !slices.Contains(s.Addrs, ip("198.51.100.1")) {
		t.Errorf("of late0, which is new, it says %+v", s)
	}
	if s, ok := got["veth0"]; !ok || s.Up {
		t.Errorf("of veth0, which is down, it says %+v, %v", s, ok)
	}
	if s, ok := got["lo"]; ok {
		t.Errorf("of lo, which has not changed, it says %+v", s)
	}
	must(t, v.Send(1, ip("224.0.0.18"), advert4("198.51.100.1", "224.0.0.18", 1, "x")))
}

// What comes from the wire and from the kernel is taken apart without a crash, and within its bounds.
func FuzzParsers(f *testing.F) {
	f.Add(advert4("192.0.2.1", "224.0.0.18", 1, "x"))
	f.Add(arpRequest(make([]byte, 6), ip("192.0.2.1"), ip("192.0.2.2")))
	f.Add((&holding{key: heldAddr{3, prefix("192.0.2.1/24")}, spec: Address{Prefix: prefix("192.0.2.1/24"), Label: "veth0:1"}}).body(time.Minute))
	f.Add(neighborFrame(make([]byte, 6), []byte(allNodes), ip("fe80::1"), ip("ff02::1"), advertisement(make([]byte, 6), ip("fe80::1"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		if p.fill4(b) && len(p.Header)+len(p.Data) != len(b) {
			t.Errorf("%x: header %x, data %x", b, p.Header, p.Data)
		}
		for _, six := range []bool{false, true} {
			g := guard{key: guardKey{ipv6: six}}
			if a, ok := g.parse(b); ok && a.Addr.Is6() != six {
				t.Errorf("%x: %+v", b, a)
			}
		}
		if _, a, _, ok := parseAddress(b); ok && !a.Addr().IsValid() {
			t.Errorf("%x: %+v", b, a)
		}
		ruleIsOurs(b)
		if len(b) >= 4 {
			_ = refusalOf(unix.NLM_F_ACK_TLVS, b)
		}
	})
}

func TestCloseThenWake(t *testing.T) {
	here, _, h := pair(t)
	_ = here
	v, err := h.OpenVRRP()
	must(t, err)
	must(t, v.Close())
	v.Wake()
	if _, err := unix.FcntlInt(uintptr(0), unix.F_GETFD, 0); err != nil { // a Wake into a descriptor that another got would be worse
		t.Fatal(err)
	}
}
