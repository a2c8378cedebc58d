package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dirsw/host"
	"dirsw/internal/testenv"
)

// pathNet is a director and a server on one link, each with the virtual addresses on its loopback.
type pathNet struct {
	director, server *testenv.Namespace
	host             *host.Host
}

func newPathNet(t *testing.T) *pathNet {
	n := &pathNet{director: testenv.NewNamespace(t), server: testenv.NewNamespace(t)}
	testenv.Veth(t,
		testenv.End{In: n.director, Name: "d", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"}},
		testenv.End{In: n.server, Name: "s", Addrs: []string{"192.0.2.11/24", "2001:db8::11/64", "fe80::11/64"}})
	n.hold(t, n.director)
	n.director.Do(t, func() {
		var err error
		if n.host, err = host.Open(host.Options{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { n.host.Close() })
	return n
}

// hold puts the virtual addresses on the loopback.
func (n *pathNet) hold(t *testing.T, in *testenv.Namespace) {
	t.Helper()
	for _, a := range []string{"198.51.100.1/32", "2001:db8:1::1/128"} {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		addr.Flags = 2 // IFA_F_NODAD
		lo, err := in.Links.LinkByName("lo")
		if err == nil {
			err = in.Links.AddrAdd(lo, addr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listen accepts connections on the server.
func (n *pathNet) listen(t *testing.T, addr string) {
	t.Helper()
	var l net.Listener
	n.server.Do(t, func() {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { l.Close() })
}

func (n *pathNet) open(server netip.Addr, vip netip.AddrPort, port uint16, direct bool) (Wire, error) {
	w, err := n.host.OpenPath(server, vip, port, direct)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func TestPathCheckOnTheWire(t *testing.T) {
	n := newPathNet(t)
	check := func(server, vip string, timeout time.Duration) error {
		c := PathCheck{
			Open: n.open, Server: netip.MustParseAddr(server), VIP: netip.MustParseAddrPort(vip), Timeout: timeout,
		}
		return c.Check(context.Background())
	}
	if err := check("192.0.2.11", "198.51.100.1:80", time.Second); !errors.Is(err, ErrTimeout) {
		t.Errorf("the server does not hold the address: %v, want %v", err, ErrTimeout)
	}
	n.hold(t, n.server)
	if err := check("192.0.2.11", "198.51.100.1:80", testenv.Patience); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody listens: %v, want %v", err, ErrRefused)
	}
	n.listen(t, ":80")
	for range 3 {
		if err := check("192.0.2.11", "198.51.100.1:80", testenv.Patience); err != nil {
			t.Errorf("IPv4: %v", err)
		}
		if err := check("2001:db8::11", "[2001:db8:1::1]:80", testenv.Patience); err != nil {
			t.Errorf("IPv6: %v", err)
		}
	}
	if err := check("192.0.2.77", "198.51.100.1:80", 300*time.Millisecond); !errors.Is(err, ErrUnreach) {
		t.Errorf("nobody has the server's address: %v, want %v", err, ErrUnreach)
	}
	if err := check("203.0.113.7", "198.51.100.1:80", 300*time.Millisecond); !errors.Is(err, ErrUnreach) {
		t.Errorf("no route: %v, want %v", err, ErrUnreach)
	}
}

// scriptedWire is a Wire that answers in memory.
type scriptedWire struct {
	client  netip.Addr
	sent    [][]byte
	replies [][]byte
	closed  bool
}

func (w *scriptedWire) Source() netip.Addr { return netip.MustParseAddr("192.0.2.1") }
func (w *scriptedWire) Client() netip.Addr { return w.client }
func (w *scriptedWire) Close() error       { w.closed = true; return nil }

func (w *scriptedWire) Send(p []byte) error {
	w.sent = append(w.sent, p)
	return nil
}

func (w *scriptedWire) Receive(buf []byte, _ time.Time) (int, error) {
	if len(w.replies) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	b := w.replies[0]
	w.replies = w.replies[1:]
	return copy(buf, b), nil
}

func TestPathCheckThroughATunnel(t *testing.T) {
	w := &scriptedWire{client: netip.MustParseAddr("192.0.2.1")}
	var asked struct {
		vip    netip.AddrPort
		port   uint16
		direct bool
	}
	c := PathCheck{
		Server: netip.MustParseAddr("203.0.113.11"), VIP: vip4, Tunnel: TunnelIPIP, Timeout: time.Second,
		Open: func(_ netip.Addr, vip netip.AddrPort, port uint16, direct bool) (Wire, error) {
			asked.vip, asked.port, asked.direct = vip, port, direct
			return w, nil
		},
	}
	syn := segment{Src: netip.AddrPortFrom(w.client, 61000), Dst: vip4, Seq: 5, Flags: tcpSYN}
	answer := func(ack uint32, flags byte, from netip.AddrPort) []byte {
		return segment{Src: from, Dst: syn.Src, Seq: 99, Ack: ack, Flags: flags}.packet()
	}
	stranger := netip.MustParseAddrPort("198.51.100.1:81")
	w.replies = [][]byte{
		answer(5, tcpSYN|tcpACK, vip4), answer(6, tcpSYN|tcpACK, stranger), answer(6, tcpACK, vip4), nil, {0x45},
		answer(6, tcpSYN|tcpACK, vip4),
	}
	if err := c.shake(context.Background(), w, syn); err != nil {
		t.Fatalf("shake: %v", err)
	}
	if len(w.sent) != 2 || len(w.replies) != 0 {
		t.Fatalf("%d packets sent, %d answers left, want 2 and 0", len(w.sent), len(w.replies))
	}
	for i, want := range []segment{syn, {Src: syn.Src, Dst: vip4, Seq: 6, Flags: tcpRST}} {
		if got, ok := parseSegment(w.sent[i][20:]); !ok || got != want || w.sent[i][9] != protoIPIP {
			t.Errorf("packet %d carries %+v, want %+v", i, got, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Check(ctx); !errors.Is(err, ErrTimeout) || !w.closed {
		t.Errorf("no answer: %v, closed %t", err, w.closed)
	}
	if asked.vip != vip4 || asked.port < pathPorts || asked.direct {
		t.Errorf("opened for %+v", asked)
	}
}
