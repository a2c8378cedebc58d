package host

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

func TestOpenPath(t *testing.T) {
	director, server := testenv.NewNamespace(t), testenv.NewNamespace(t)
	testenv.Veth(t,
		testenv.End{In: director, Name: "d", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
		testenv.End{In: server, Name: "s", Addrs: []string{"192.0.2.11/24", "2001:db8::11/64"}})
	err := director.Links.RouteAdd(&netlink.Route{
		Dst: &net.IPNet{IP: net.IPv4(203, 0, 113, 0), Mask: net.CIDRMask(24, 32)}, Gw: net.IPv4(192, 0, 2, 11),
	})
	if err != nil {
		t.Fatal(err)
	}
	var h *Host
	director.Do(t, func() { h, err = Open(Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	vip4, vip6 := netip.MustParseAddrPort("198.51.100.1:80"), netip.MustParseAddrPort("[2001:db8:1::1]:80")
	open := func(server string, vip netip.AddrPort, direct bool) (s *PathSocket, err error) {
		within(testenv.Patience, func() bool {
			s, err = h.OpenPath(netip.MustParseAddr(server), vip, 61000, direct)
			return err == nil || !strings.Contains(err.Error(), "is not known")
		})
		return s, err
	}
	for _, tt := range []struct {
		name, server   string
		vip            netip.AddrPort
		direct         bool
		source, client string
		fails          string
	}{
		{"on the link", "192.0.2.11", vip4, true, "192.0.2.1", "192.0.2.1", ""},
		{"on the link, IPv6", "2001:db8::11", vip6, true, "2001:db8::1", "2001:db8::1", ""},
		{"by a gateway", "203.0.113.5", vip4, false, "192.0.2.1", "192.0.2.1", ""},
		{"IPv6 in IPv4", "203.0.113.5", vip6, false, "192.0.2.1", "2001:db8::1", ""},
		{"IPv4 in IPv6", "2001:db8::11", vip4, false, "2001:db8::1", "192.0.2.1", ""},
		{"by a gateway, but to its MAC", "203.0.113.5", vip4, true, "", "", "is not on a link"},
		{"this host", "192.0.2.1", vip4, false, "", "", "is an address of this host"},
		{"no route", "198.18.0.1", vip4, false, "", "", "there is no route"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := open(tt.server, tt.vip, tt.direct)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("%v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Source().String() != tt.source || s.Client().String() != tt.client {
				t.Errorf("from %v as %v, want %s as %s", s.Source(), s.Client(), tt.source, tt.client)
			}
			if _, err := s.Receive(make([]byte, 100), time.Now().Add(10*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("receive: %v, want %v", err, os.ErrDeadlineExceeded)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := s.Send([]byte{0x45}); err == nil {
				t.Error("a closed socket sends")
			}
		})
	}
}

// TestSegmentFilter runs the programs in another implementation of the machine.
func TestSegmentFilter(t *testing.T) {
	run := func(prog []unix.SockFilter, packet []byte) bool {
		var ins []bpf.Instruction
		for _, f := range prog {
			ins = append(ins, bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}.Disassemble())
		}
		vm, err := bpf.NewVM(ins)
		if err != nil {
			t.Fatal(err)
		}
		n, err := vm.Run(packet)
		return err == nil && n > 0
	}
	packet4 := func(change ...byte) []byte { // pairs of offset and value
		b := make([]byte, 44)
		b[0], b[9] = 0x46, unix.IPPROTO_TCP // a header of 24 bytes
		copy(b[12:], []byte{198, 51, 100, 1})
		copy(b[24:], []byte{0, 80, 0xee, 0x48})
		for i := 0; i < len(change); i += 2 {
			b[change[i]] = change[i+1]
		}
		return b
	}
	packet6 := func(change ...byte) []byte {
		b := make([]byte, 60)
		b[0], b[6] = 0x60, unix.IPPROTO_TCP
		a := netip.MustParseAddr("2001:db8:1::1").As16()
		copy(b[8:], a[:])
		copy(b[40:], []byte{0, 80, 0xee, 0x48})
		for i := 0; i < len(change); i += 2 {
			b[change[i]] = change[i+1]
		}
		return b
	}
	v4 := segmentFilter(netip.MustParseAddrPort("198.51.100.1:80"), 61000)
	v6 := segmentFilter(netip.MustParseAddrPort("[2001:db8:1::1]:80"), 61000)
	for _, tt := range []struct {
		name   string
		prog   []unix.SockFilter
		packet []byte
		want   bool
	}{
		{"IPv4", v4, packet4(), true},
		{"DF", v4, packet4(6, 0x40), true},
		{"first fragment", v4, packet4(6, 0x20), true},
		{"later fragment", v4, packet4(7, 1), false},
		{"no TCP", v4, packet4(9, unix.IPPROTO_UDP), false},
		{"another address", v4, packet4(15, 2), false},
		{"another port of the service", v4, packet4(25, 81), false},
		{"another port of ours", v4, packet4(27, 0x49), false},
		{"cut short", v4, packet4()[:26], false},
		{"IPv6", v6, packet6(), true},
		{"IPv6: another address", v6, packet6(23, 2), false},
		{"IPv6: another port", v6, packet6(43, 0), false},
		{"IPv6: no TCP", v6, packet6(6, unix.IPPROTO_UDP), false},
	} {
		if got := run(tt.prog, tt.packet); got != tt.want {
			t.Errorf("%s: passes %t, want %t", tt.name, got, tt.want)
		}
	}
}
