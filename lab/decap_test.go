package lab

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
	"dirsw/packet"
)

// decapSpec is a client and a server with addresses of both families, and a virtual address of each on the server.
func decapSpec() Spec {
	return Spec{Nodes: []NodeSpec{
		{Name: "client", Role: Client, Interface: "eth0", Addrs: prefixes("198.51.100.1/24", "2001:db8:51::1/64")},
		{Name: "rs1", Role: RealServer, Interface: "eth0", Addrs: prefixes("198.51.100.11/24", "2001:db8:51::11/64"),
			VIPs: prefixes("192.0.2.80/32", "2001:db8:100::80/128")},
	}}
}

// sendTunnelled sends a datagram from the client to a virtual address inside an outer packet, which the client's own stack
// makes and cuts as it must.
func sendTunnelled(t *testing.T, c *Cluster, tun packet.Tunnel, from, to netip.AddrPort, server netip.Addr, n int) {
	t.Helper()
	frame := packet.Build(nil, packet.Spec{Tuple: packet.Tuple{Src: packet.AddrFrom(from.Addr()), Dst: packet.AddrFrom(to.Addr()),
		SrcPort: from.Port(), DstPort: to.Port(), Proto: packet.ProtoUDP}, Payload: make([]byte, n)})
	var m packet.Meta
	if r := packet.Parse(frame, &m); r != packet.NoDrop {
		t.Fatal(r)
	}
	f := packet.MakeFrame(append(make([]byte, packet.MaxTunnelLen), frame...), packet.MaxTunnelLen, len(frame), 0, 0)
	own := netip.MustParseAddr("198.51.100.1")
	if server.Is6() {
		own = netip.MustParseAddr("2001:db8:51::1")
	}
	src, dst := packet.AddrFrom(own), packet.AddrFrom(server)
	o := packet.Outer{Src: &src, Dst: &dst, SrcPort: 40000, MayCut: true}
	if !tun.Wrap(&f, &m, &o) {
		t.Fatal("not wrapped")
	}
	outer, hlen, family := f.Bytes()[packet.EthernetLen:], packet.IPv4MinLen, unix.AF_INET
	var sa unix.Sockaddr = &unix.SockaddrInet4{Addr: as4(server)}
	proto := int(outer[9])
	if server.Is6() {
		hlen, family, sa, proto = packet.IPv6Len, unix.AF_INET6, &unix.SockaddrInet6{Addr: server.As16()}, int(outer[6])
	}
	must(t, c.Do("client", func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, outer[hlen:], 0, sa)
	}))
}

// TestDecap: what comes in a tunnel arrives at the virtual address, from the client; also if the outer packet was cut.
func TestDecap(t *testing.T) {
	testenv.NeedNetAdmin(t)
	c, err := Up(decapSpec(), Options{})
	must(t, err)
	defer func() { must(t, c.Down()) }()
	tunnels := map[string]packet.Tunnel{"ipip": {}, "gue": {Type: packet.GUE, Port: 6080}, "gre": {Type: packet.GRE}}
	d, err := c.OpenDecap("rs1", tunnels["ipip"], tunnels["gue"], tunnels["gre"])
	must(t, err)
	want := uint64(0)
	for _, vip := range []string{"192.0.2.80", "2001:db8:100::80"} {
		for _, server := range []string{"198.51.100.11", "2001:db8:51::11"} {
			for kind, tun := range tunnels {
				for _, tun.Sum = range []bool{false, true} {
					for _, n := range []int{0, 100, 3000} {
						name := fmt.Sprintf("%d bytes to %s by %s (%v) to %s", n, vip, kind, tun.Sum, server)
						to, from := netip.AddrPortFrom(netip.MustParseAddr(vip), 9999), netip.MustParseAddrPort("198.51.100.1:40001")
						if to.Addr().Is6() {
							from = netip.MustParseAddrPort("[2001:db8:51::1]:40001")
						}
						got, err := receive(c, "rs1", to, func() { sendTunnelled(t, c, tun, from, to, netip.MustParseAddr(server), n) })
						if err != nil || got.n != n || got.from != from {
							t.Errorf("%s: arrived %+v: %v", name, got, err)
						}
						want++
					}
				}
			}
		}
	}
	if taken, refused := d.Taken(); taken != want || refused != 0 {
		t.Errorf("%d packets came out, %d were refused, want %d and 0", taken, refused, want)
	}
	must(t, d.Close())
	must(t, c.Do("rs1", func() error {
		if _, err := net.InterfaceByName(tunName); err == nil {
			t.Errorf("%s is still there", tunName)
		}
		return nil
	}))
	d, err = c.OpenDecap("rs1") // and it can be made again
	must(t, err)
	must(t, d.Close())
}

type received struct {
	n    int
	from netip.AddrPort
}

// receive waits for a datagram at an address of a node while send is done.
func receive(c *Cluster, node string, at netip.AddrPort, send func()) (r received, err error) {
	var conn *net.UDPConn
	if err = c.Do(node, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		return r, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(testenv.Patience)); err != nil {
		return r, err
	}
	send()
	r.n, r.from, err = conn.ReadFromUDPAddrPort(make([]byte, 1<<16))
	r.from = netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port())
	return r, err
}

// as4 is an IPv4 address, or nothing for another.
func as4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}
