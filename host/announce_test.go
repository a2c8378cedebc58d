package host

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// The frames are written down as the RFCs draw them.
func TestFramesOfAnnouncementAndSolicitation(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ARP announcement, RFC 5227 section 3", arpRequest(mac, ip("192.0.2.200"), ip("192.0.2.200")), `
			ffffffffffff 020000000001 0806  0001 0800 06 04 0001
			020000000001 c00002c8  000000000000 c00002c8
			000000000000000000000000000000000000`},
		{"ARP request", arpRequest(mac, ip("192.0.2.1"), ip("192.0.2.2")), `
			ffffffffffff 020000000001 0806  0001 0800 06 04 0001
			020000000001 c0000201  000000000000 c0000202
			000000000000000000000000000000000000`},
		{"unsolicited advertisement, RFC 4861 section 7.2.6",
			neighborFrame(mac, []byte(allNodes), ip("2001:db8::c8"), netip.IPv6LinkLocalAllNodes(), advertisement(mac, ip("2001:db8::c8"))), `
			333300000001 020000000001 86dd  60000000 0020 3a ff
			20010db80000000000000000000000c8 ff020000000000000000000000000001
			88 00 f79c 20000000 20010db80000000000000000000000c8 02 01 020000000001`},
	} {
		want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
		must(t, err)
		if !bytes.Equal(c.got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", c.name, c.got, want)
		}
	}
	if got := solicitedNode(ip("2001:db8::1:2345:6789")); got != ip("ff02::1:ff45:6789") {
		t.Errorf("solicited-node group: got %v", got)
	}
}

func TestAnnouncementMovesAnAddress(t *testing.T) {
	for _, vip := range []string{"192.0.2.200", "2001:db8::200"} {
		t.Run(vip, func(t *testing.T) {
			here, there, h := pair(t)
			hold(t, h, netip.PrefixFrom(ip(vip), ip(vip).BitLen()), "", time.Minute)
			peer := there.host()
			must(t, peer.Resolve(nextHop(t, peer, vip)))
			eventually(t, "the peer knows it", func() bool { return nextHop(t, peer, vip).Resolved })

			mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x55} // as if another director took over
			must(t, here.nl.LinkSetHardwareAddr(here.link("veth0"), mac))
			if got := nextHop(t, peer, vip).MAC; got == [6]byte(mac) {
				t.Fatal("the peer knows the new MAC before it is announced")
			}
			announce(t, h, "veth0", ip(vip))
			if !within(testenv.Patience, func() bool { return nextHop(t, peer, vip).MAC == [6]byte(mac) }) {
				t.Errorf("long after the announcement the peer has %x, want %x", nextHop(t, peer, vip).MAC, mac)
			}
		})
	}
}

// announce tells the neighbours on a link where an address is.
func announce(t *testing.T, h *Host, link string, a netip.Addr) {
	t.Helper()
	v, err := h.OpenVRRP()
	must(t, err)
	defer v.Close()
	must(t, v.Announce(link, a))
}
