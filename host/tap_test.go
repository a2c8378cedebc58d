package host

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

const tapMTU = 1500

// tap opens one on a host of the node.
func (n *node) tap() (*Host, *Tap) {
	n.t.Helper()
	h := n.host()
	t, err := h.OpenTap("dirsw%d", tapMTU)
	must(n.t, err)
	n.t.Cleanup(func() { t.Close() })
	return h, t
}

// read returns the next frame that a filter accepts from a tap, nil if none comes.
func read(t *testing.T, tap *Tap, accept func([]byte) bool) []byte {
	t.Helper()
	buf := make([]byte, 65536)
	for deadline := time.Now().Add(testenv.Patience); time.Now().Before(deadline); {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(tap.FD), Events: unix.POLLIN}}, 100); err != nil || n == 0 {
			continue
		}
		n, err := unix.Read(tap.FD, buf)
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		must(t, err)
		if accept(buf[:n]) {
			return slices.Clone(buf[:n])
		}
	}
	return nil
}

func tcp4(f []byte) bool {
	return len(f) >= 54 && f[12] == 8 && f[13] == 0 && f[23] == unix.IPPROTO_TCP
}

// syn returns an Ethernet frame with a SYN.
func syn(to [6]byte, src, dst netip.AddrPort) []byte {
	f := make([]byte, 54)
	copy(f, to[:])
	f[6], f[12] = 2, 8
	ip, tcp := f[14:34], f[34:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], 40)
	copy(ip[12:], src.Addr().AsSlice())
	copy(ip[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], onesSum(ip))
	binary.BigEndian.PutUint16(tcp, src.Port())
	binary.BigEndian.PutUint16(tcp[2:], dst.Port())
	tcp[12], tcp[13] = 0x50, 2
	binary.BigEndian.PutUint16(tcp[16:], onesSum(pseudo(ip, tcp)))
	return f
}

func pseudo(ip, segment []byte) []byte {
	return append(append(slices.Clone(ip[12:20]), 0, ip[9], byte(len(segment)>>8), byte(len(segment))), segment...)
}

// onesSum is the Internet checksum (RFC 1071).
func onesSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// listen accepts connections in the node.
func (n *node) listen(network, addr string) net.Listener {
	n.t.Helper()
	var l net.Listener
	n.do(func() {
		var err error
		l, err = net.Listen(network, addr)
		must(n.t, err)
	})
	n.t.Cleanup(func() { l.Close() })
	return l
}

func TestTap(t *testing.T) {
	n := newNode(t)
	_, tap := n.tap()
	l, err := n.nl.LinkByIndex(tap.Link.Index)
	must(t, err)
	a := l.Attrs()
	if a.Name != "dirsw0" || a.MTU != tapMTU || a.RawFlags&unix.IFF_NOARP == 0 || a.RawFlags&unix.IFF_UP == 0 {
		t.Errorf("the interface is %s, MTU %d, flags %#x", a.Name, a.MTU, a.RawFlags)
	}
	if tap.Link.MAC == ([6]byte{}) || tap.Link.MAC[0]&1 != 0 {
		t.Errorf("its address is %x", tap.Link.MAC)
	}
	addrs, err := n.nl.AddrList(l, netlink.FAMILY_ALL)
	must(t, err)
	if len(addrs) > 0 {
		t.Errorf("it has addresses: %v", addrs)
	}
	for name, want := range map[string]string{"accept_local": "1", "route_localnet": "1", "forwarding": "0"} {
		n.do(func() {
			got, err := os.ReadFile("/proc/sys/net/ipv4/conf/dirsw0/" + name)
			must(t, err)
			if strings.TrimSpace(string(got)) != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		})
	}
	must(t, tap.Close())
	must(t, tap.Close())
	if _, err := n.nl.LinkByName("dirsw0"); err == nil {
		t.Error("the interface is there after Close")
	}
}

// TestTapDelivers opens a connection to a program on 127.0.0.1 from outside, by a tap. All that the program's side sends
// comes back by it, with checksums that are right and in packets that are no longer than the MTU.
func TestTapDelivers(t *testing.T) {
	n := newNode(t)
	h, tap := n.tap()
	server := n.listen("tcp4", "127.0.0.1:8080")
	client, to := netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("127.0.0.1:8080")

	answer := func() []byte {
		_, err := unix.Write(tap.FD, syn(tap.Link.MAC, client, to))
		must(t, err)
		return read(t, tap, tcp4)
	}
	must(t, h.Divert(tap.Link.Index, []Endpoint{{Addr: to.Addr()}}))
	f := answer()
	if f == nil {
		t.Fatal("the program's host does not answer by the tap")
	}
	ip, tcp := f[14:34], f[34:]
	if tcp[13] != 0x12 || netip.AddrFrom4([4]byte(ip[12:16])) != to.Addr() || netip.AddrFrom4([4]byte(ip[16:20])) != client.Addr() {
		t.Fatalf("the answer is % x", f)
	}
	ack := syn(tap.Link.MAC, client, to)
	seg := ack[34:]
	binary.BigEndian.PutUint32(seg[4:], 1)
	binary.BigEndian.PutUint32(seg[8:], binary.BigEndian.Uint32(tcp[4:])+1)
	seg[13], seg[14], seg[15] = 0x10, 0xff, 0xff
	seg[16], seg[17] = 0, 0
	binary.BigEndian.PutUint16(seg[16:], onesSum(pseudo(ack[14:34], seg)))
	_, err := unix.Write(tap.FD, ack)
	must(t, err)
	c, err := server.Accept()
	must(t, err)
	defer c.Close()
	if got := c.RemoteAddr().String(); got != client.String() {
		t.Errorf("the program sees the client %s, want %s", got, client)
	}
	go func() { _, _ = c.Write(make([]byte, 20000)) }()
	for range 4 {
		f := read(t, tap, func(f []byte) bool { return tcp4(f) && len(f) > 200 })
		if f == nil {
			t.Fatal("no data come by the tap")
		}
		if len(f) > 14+tapMTU {
			t.Errorf("a frame of %d bytes", len(f))
		}
		if sum := onesSum(pseudo(f[14:34], f[34:])); sum != 0 {
			t.Errorf("the transport checksum is wrong by %#x", sum)
		}
	}
}

// TestDivert compares what rules there are.
func TestDivert(t *testing.T) {
	n := newNode(t)
	h, tap := n.tap()
	ep := func(s string, proto uint8) Endpoint {
		a := netip.MustParseAddrPort(s)
		return Endpoint{a.Addr(), proto, a.Port()}
	}
	foreign := netlink.NewRule()
	foreign.Family, foreign.Priority, foreign.Table, foreign.Src = unix.AF_INET, 99, divertTable, ipNet(netip.MustParsePrefix("192.0.2.1/32"))
	must(t, n.nl.RuleAdd(foreign))
	rules := func() (out []Endpoint) {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			ours, err := h.diverted(family)
			must(t, err)
			for i := range ours {
				out = append(out, endpoint(&ours[i]))
			}
		}
		return out
	}
	local, four, six := ep("127.0.0.1:0", 0), ep("192.0.2.1:8080", unix.IPPROTO_TCP), ep("[2001:db8::1]:53", unix.IPPROTO_UDP)
	for _, want := range [][]Endpoint{{local}, {local, four}, {local, four}, {four, six}, {ep("192.0.2.1:0", unix.IPPROTO_TCP)}, nil} {
		must(t, h.Divert(tap.Link.Index, want))
		got := rules()
		slices.SortFunc(got, func(a, b Endpoint) int { return a.Addr.Compare(b.Addr) })
		if !slices.Equal(got, want) {
			t.Errorf("the rules are for %v, want %v", got, want)
		}
	}
	must(t, h.Divert(tap.Link.Index, []Endpoint{four}))
	must(t, tap.Close()) // as a process that dies
	if got := rules(); !slices.Equal(got, []Endpoint{four}) {
		t.Errorf("after the tap is gone the rules are for %v", got)
	}
	must(t, h.Divert(0, nil)) // as the next one, at its start
	if got := rules(); got != nil {
		t.Errorf("rules are left for %v", got)
	}
	all, err := n.nl.RuleListFiltered(unix.AF_INET, &netlink.Rule{Table: divertTable}, netlink.RT_FILTER_TABLE)
	must(t, err)
	if len(all) != 1 {
		t.Errorf("%d rules are left that lead to the table, want the foreign one", len(all))
	}
}

// TestDivertStaysHere connects within the host to a diverted address: that never leaves it.
func TestDivertStaysHere(t *testing.T) {
	n := newNode(t)
	h, tap := n.tap()
	server := n.listen("tcp4", "127.0.0.1:8081")
	must(t, h.Divert(tap.Link.Index, []Endpoint{{Addr: netip.MustParseAddr("127.0.0.1")}}))
	go func() {
		if c, err := server.Accept(); err == nil {
			_, _ = c.Write([]byte("here"))
			c.Close()
		}
	}()
	n.do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
		defer cancel()
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", "127.0.0.1:8081")
		must(t, err)
		defer c.Close()
		b := make([]byte, 4)
		if _, err := c.Read(b); err != nil || string(b) != "here" {
			t.Errorf("read %q: %v", b, err)
		}
	})
}

func TestAddrs(t *testing.T) {
	n := newNode(t)
	h := n.host()
	lo, err := n.nl.LinkByName("lo")
	must(t, err)
	for _, s := range []string{"192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"} {
		a, err := netlink.ParseAddr(s)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, n.nl.AddrAdd(lo, a))
	}
	o, err := h.OpenHoldings()
	must(t, err)
	defer o.Close()
	must(t, o.Hold([]Address{{Link: "lo", Prefix: netip.MustParsePrefix("2001:db8::2/128"), NoDAD: true, Deprecated: true}}, time.Minute))
	got, err := h.Addrs()
	must(t, err)
	want := map[string]bool{"127.0.0.1": false, "192.0.2.1": true, "192.0.2.2": false, "::1": false, "2001:db8::1": true, "2001:db8::2": false}
	if len(got) != len(want) {
		t.Errorf("the addresses are %v", got)
	}
	for _, a := range got {
		if source, ok := want[a.Addr.String()]; !ok || source != a.Source || a.Link != lo.Attrs().Index {
			t.Errorf("%v, want a source: %v", a, source)
		}
	}
}
