package host

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// unhex reads hexadecimal digits, with white space between them.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	must(t, err)
	return b
}

// frames hears every frame that a link of the namespace receives.
func (n *node) frames(link string) int {
	n.t.Helper()
	fd, limit := -1, unix.NsecToTimeval(int64(testenv.Patience))
	n.do(func() {
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		must(n.t, err)
		n.t.Cleanup(func() { unix.Close(fd) })
		must(n.t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
		must(n.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
		must(n.t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: n.link(link).Attrs().Index, Protocol: networkOrder(unix.ETH_P_ALL)}))
	})
	return fd
}

// next returns the next frame that ok accepts.
func next(t *testing.T, tap int, ok func([]byte) bool) []byte {
	t.Helper()
	buf := make([]byte, 2000)
	for {
		n, _, err := unix.Recvfrom(tap, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("no such frame: %v", err)
		}
		if ok(buf[:n]) {
			return buf[:n]
		}
	}
}

// The frames are those that keepalived 2.2.7 sent with these addresses; see testdata/keepalived.txt.
func TestFramesAreKeepalived(t *testing.T) {
	text, err := os.ReadFile("testdata/keepalived.txt")
	must(t, err)
	golden := map[string][]byte{}
	for _, line := range strings.Split(string(text), "\n") {
		if name, frame, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			golden[name] = unhex(t, frame)
		}
	}
	here, there := newNode(t), newNode(t)
	here.wire("veth0", there, "peer0")
	must(t, here.nl.LinkSetDown(here.link("veth0")))
	must(t, here.nl.LinkSetHardwareAddr(here.link("veth0"), net.HardwareAddr{2, 0, 0, 0, 0, 1}))
	must(t, here.nl.LinkSetUp(here.link("veth0"))) // it gets fe80::ff:fe00:1
	here.addr("veth0", "10.0.0.1/24")
	h := here.host()
	v := here.vrrp(h)
	eventually(t, "the link has its own address", func() bool {
		v.Receive(0)
		return len(v.Link("veth0").Addrs) > 1
	})
	tap := there.frames("peer0")
	for _, c := range []struct {
		name string
		send func() error
	}{
		{"gratuitous ARP", func() error { return v.Announce("veth0", ip("10.0.0.220")) }},
		{"unsolicited NA", func() error { return v.Announce("veth0", ip("2001:db8:5::57")) }},
		{"unsolicited NA, link scope", func() error { return v.Announce("veth0", ip("fe80::5:57")) }},
		{"advert v3", func() error {
			_, err := v.Add(1, Path{Link: "veth0", Group: ip("224.0.0.18")})
			must(t, err)
			return v.Send(1, ip("224.0.0.18"), advert4("10.0.0.1", "224.0.0.18", 2, string(golden["advert v3"][34:])))
		}},
		{"advert v3, IPv6", func() error {
			src, err := v.Add(2, Path{Link: "veth0", IPv6: true, Group: ip("ff02::12")})
			must(t, err)
			if src != ip("fe80::ff:fe00:1") {
				t.Errorf("the source is %v", src)
			}
			return v.Send(2, ip("ff02::12"), golden["advert v3, IPv6"][54:])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := golden[c.name]
			if want == nil {
				t.Fatal("not in testdata/keepalived.txt")
			}
			must(t, c.send())
			kind := want[12:14]
			got := next(t, tap, func(f []byte) bool {
				return bytes.Equal(f[12:14], kind) && bytes.Equal(f[:6], want[:6]) && (kind[1] != 0xdd || f[20] == want[20])
			})
			if c.name == "advert v3, IPv6" { // the flow label is a hash of the kernel's; we send none
				want[15] &= 0xf0
				want[16], want[17] = 0, 0
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}

func TestAnnouncementOfARouterSaysSo(t *testing.T) {
	here, there, h := pair(t)
	v := here.vrrp(h)
	tap := there.frames("peer0")
	isNA := func(f []byte) bool {
		return len(f) > 60 && f[12] == 0x86 && f[20] == icmpv6 && f[54] == neighborAdvertisement
	}
	for i, want := range []byte{0x20, 0xa0, 0xa0, 0x20} {
		if i == 1 || i == 3 {
			_, err := h.setSysctl("ipv6", "veth0", "forwarding", map[int]string{1: "1", 3: "0"}[i])
			must(t, err)
			v.Receive(0)
			for range 10 {
				v.Receive(0)
			}
		}
		must(t, v.Announce("veth0", ip("2001:db8::200")))
		if f := next(t, tap, func(f []byte) bool {
			return isNA(f) && f[77] == 0 && netip.AddrFrom16([16]byte(f[62:78])) == ip("2001:db8::200")
		}); f[58] != want {
			t.Errorf("announcement %d has the flags %x, want %x", i, f[58], want)
		}
	}
}
