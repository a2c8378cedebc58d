package track

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/internal/testenv"
)

// world answers echo requests for the addresses that are up, inside the call that sends them.
type world struct {
	mu    sync.Mutex
	up    map[netip.Addr]bool
	open  map[netip.Addr]*fakeConn
	fails map[netip.Addr]error
	asked int
}

type fakeConn struct {
	net.Conn
	w       *world
	addr    netip.Addr
	replies chan []byte
	once    sync.Once
	closed  chan struct{}
}

func (w *world) dial(addr netip.Addr) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fails[addr]; err != nil {
		return nil, err
	}
	c := &fakeConn{w: w, addr: addr, replies: make(chan []byte, 10), closed: make(chan struct{})}
	w.open[addr] = c
	return c, nil
}

func (c *fakeConn) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.asked++
	if c.w.up[c.addr] {
		c.replies <- reply(b, c.addr.Is6())
	}
	return len(b), nil
}

func (c *fakeConn) Read(b []byte) (int, error) {
	select {
	case r := <-c.replies:
		return copy(b, r), nil
	case <-c.closed:
		return 0, io.EOF
	}
}

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// reply makes the answer to a request as a raw socket gives it.
func reply(request []byte, six bool) []byte {
	b := append([]byte(nil), request...)
	if six {
		b[0] = echoReply6
		return b
	}
	b[0], b[2], b[3] = echoReply4, 0, 0
	sum := checksum(b)
	b[2], b[3] = byte(sum>>8), byte(sum)
	header := make([]byte, 24) // with an option
	header[0] = 0x46
	return append(header, b...)
}

func (w *world) set(up bool, addrs ...netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range addrs {
		w.up[a] = up
	}
}

func TestArbiter(t *testing.T) {
	a1, a2, a3 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")
	w := &world{up: map[netip.Addr]bool{}, open: map[netip.Addr]*fakeConn{}, fails: map[netip.Addr]error{}}
	b := newBench(t, Options{Dial: w.dial})
	arb := Arbiter{Name: "upstream", Addresses: []netip.Addr{a1, a2, a3}, Quorum: 2, Timeout: 500 * time.Millisecond, Rise: 2, Fall: 3}
	if err := b.Set([]Object{arb}); err != nil {
		t.Fatal(err)
	}
	aw := b.watchers[arb.Key()].(*arbiterWatcher)
	// answers waits until all that are under way have been counted.
	answers := func() {
		testenv.Await(t, "all answers to be counted", func() bool {
			aw.mu.Lock()
			defer aw.mu.Unlock()
			w.mu.Lock()
			defer w.mu.Unlock()
			for i, p := range aw.peers {
				if w.up[p.addr] && p.conn != nil && !aw.answered[i] {
					return false
				}
			}
			return true
		})
	}
	const up, down, same = "[vrrp_arbiter upstream up]", "[vrrp_arbiter upstream down]", "[]"
	for i, round := range []struct {
		up   []netip.Addr
		want string
		log  string
	}{
		{[]netip.Addr{a1, a3}, up, "VRRP_Arbiter(upstream) succeeded"},
		{[]netip.Addr{a2}, same, ""},
		{[]netip.Addr{}, same, ""},
		{[]netip.Addr{a1, a2}, same, ""}, // counts anew
		{[]netip.Addr{a1}, same, ""},
		{[]netip.Addr{a1}, same, ""},
		{[]netip.Addr{a1}, down, "VRRP_Arbiter(upstream) failed (1 of 3 addresses answer, quorum 2; silent: 198.51.100.1, 2001:db8::1)"},
		{[]netip.Addr{a1, a2, a3}, same, ""},
		{[]netip.Addr{a1, a2, a3}, up, "VRRP_Arbiter(upstream) succeeded"},
	} {
		w.set(false, a1, a2, a3)
		w.set(true, round.up...)
		if i == 0 {
			b.run(t)
		} else {
			b.clk.Advance(500 * time.Millisecond)
		}
		answers()
		b.clk.Advance(500 * time.Millisecond)
		if got := fmt.Sprint(b.take()); got != round.want {
			t.Errorf("round %d: told %v, want %v", i, got, round.want)
		}
		if got := strings.Join(b.lines(), "; "); got != round.log {
			t.Errorf("round %d: log %q, want %q", i, got, round.log)
		}
	}

	// A reload keeps the result, with other limits and a socket that cannot be opened.
	w.mu.Lock()
	w.fails[a2] = errors.New("no route")
	w.up = map[netip.Addr]bool{}
	w.mu.Unlock()
	arb.Fall, arb.Timeout = 1, 0
	if err := b.Set([]Object{arb}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(b.States()); got != up {
		t.Errorf("after a reload: %v, want %v", got, up)
	}
	b.clk.Advance(time.Second) // the time of a round is the interval
	if got := fmt.Sprint(b.take()); got != down {
		t.Errorf("after a reload: told %v, want %v", got, down)
	}
	if got, want := strings.Join(b.lines(), "; "), "VRRP_Arbiter(upstream) failed (0 of 3 addresses answer, quorum 2; "+
		"silent: 192.0.2.1, 198.51.100.1 (no route), 2001:db8::1)"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := 9*3 + 2*2; w.asked != want {
		t.Errorf("%d requests, want %d", w.asked, want)
	}
}

// TestEcho: what is sent is answered by parseReply, and nothing else is.
func TestEcho(t *testing.T) {
	for _, six := range []bool{false, true} {
		e := echo{nonce: 0x0123456789abcdef, seq: 77}
		req := e.request(six)
		if _, ok := parseReply(req, six); ok {
			t.Errorf("six %v: a request is taken for an answer", six)
		}
		rep := reply(req, six)
		if got, ok := parseReply(rep, six); !ok || got != e {
			t.Errorf("six %v: got %+v, %v", six, got, ok)
		}
		for i := range rep {
			if _, ok := parseReply(rep[:i], six); ok {
				t.Errorf("six %v: %d of %d bytes are taken for an answer", six, i, len(rep))
			}
		}
		rep[len(rep)-1] ^= 1
		if got, ok := parseReply(rep, six); ok && got == e {
			t.Errorf("six %v: a changed answer is taken for ours", six)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	e := echo{1, 2}
	f.Add(reply(e.request(false), false), false)
	f.Add(reply(e.request(true), true), true)
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		if e, ok := parseReply(b, six); ok && len(b) < echoLen {
			t.Errorf("%v of %d bytes", e, len(b))
		}
	})
}

// TestArbiterReal pings addresses of a namespace's loopback.
func TestArbiterReal(t *testing.T) {
	testenv.NeedNetAdmin(t)
	ns := testenv.NewNamespace(t)
	dial := func(addr netip.Addr) (c net.Conn, err error) {
		ns.Do(t, func() { c, err = dialEcho(addr) })
		return c, err
	}
	told := make(chan string, 10)
	tr := New(Options{Clock: clock.NewSystem(), Dial: dial, Changed: func(s State) { told <- s.String() }})
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tr.Run(ctx) }()
	mk := func(name string, quorum int, addrs ...string) Arbiter {
		a := Arbiter{Name: name, Quorum: quorum, Interval: time.Second}
		for _, s := range addrs {
			a.Addresses = append(a.Addresses, netip.MustParseAddr(s))
		}
		return a
	}
	if err := tr.Set([]Object{mk("a", 3, "127.0.0.1", "127.0.0.2", "::1", "192.0.2.1"), mk("b", 3, "127.0.0.1", "::1", "192.0.2.1")}); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"vrrp_arbiter a up": true, "vrrp_arbiter b down": true}
	for len(want) > 0 {
		got := <-told
		if got == "vrrp_arbiter b up" {
			t.Error("quorum of three with two addresses that answer")
		}
		delete(want, got) // on a machine that stands still, a may be down for a while
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	testenv.Await(t, "its goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}
