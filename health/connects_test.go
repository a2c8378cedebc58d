package health

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/internal/testenv"
)

// socketsOpen is how many sockets this process has.
func socketsOpen(t *testing.T) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func TestConnectsLookLessAndLessOften(t *testing.T) {
	const start = clock.Mono(time.Second)
	ms := func(n int) clock.Mono { return start.Add(time.Duration(n) * time.Millisecond) }
	var cs connects
	defer cs.close()
	it := &item{}
	cs.begin(it, &TCP{Dial{Addr: blackHole(t), Timeout: 25 * time.Millisecond}}, start)
	for _, tt := range []struct{ at, next clock.Mono }{
		{start, ms(1)}, {ms(1), ms(2)}, {ms(2), ms(3)}, {ms(2), ms(3)}, {ms(8), ms(12)}, {ms(12), ms(18)}, {ms(18), ms(25)},
	} {
		cs.look(tt.at)
		if at, ok := cs.next(); !ok || at != tt.next {
			t.Errorf("looked at %v, looks again at %v (%t), want %v", tt.at.Sub(start), at.Sub(start), ok, tt.next.Sub(start))
		}
	}
	cs.look(ms(26))
	if _, ok := cs.next(); ok || len(cs.found) != 1 {
		t.Fatalf("%d answers, want one when connect_timeout is over", len(cs.found))
	}
	if a := cs.found[0]; a.it != it || a.start != start || a.end != ms(26) || a.err.Error() != "connect: i/o timeout" {
		t.Errorf("answer %+v, %v", a, a.err)
	}
}

func TestAConnectionThatIsResetWasAccepted(t *testing.T) {
	reset := make(chan bool)
	a := serve(t, func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
		reset <- true
	})
	d := Dial{Addr: a}
	for range 3 {
		s, err := d.socket()
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.established()
		<-reset
		if known, again := s.established(); !known || err != nil || again != nil {
			t.Errorf("known %t, %v, %v, want a connection", known, err, again)
		}
		s.close()
	}
}

// quickly are targets of addresses that are asked all the time.
func quickly(at ...netip.AddrPort) (out []Target) {
	for i, a := range at {
		out = append(out, Target{Key: fmt.Sprint(i), Weight: 1, Checks: []Check{{
			Kind: KindTCP, Checker: &TCP{Dial{Addr: a, Timeout: 50 * time.Millisecond}}, Timing: Timing{Loop: time.Millisecond},
		}}})
	}
	return out
}

func TestProberConnects(t *testing.T) {
	resets := serve(t, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) })
	targets := quickly(serve(t, silent), refusing(t), blackHole(t), resets)
	for _, i := range []int{0, 1, 3} { // where somebody answers, however late
		targets[i].Checks[0].Checker.(*TCP).Dial.Timeout = testenv.Patience
	}
	before := socketsOpen(t)
	p := NewProber(Options{Clock: clock.NewSystem(), Log: zap.NewNop()})
	p.Set(targets)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	testenv.Await(t, "each to be asked three times", func() bool {
		for _, s := range p.States() {
			if s.Checks[0].Asked < 3 {
				return false
			}
		}
		return true
	})
	for i, want := range []struct {
		up   bool
		last string
	}{{true, ""}, {false, "connect: connect: connection refused"}, {false, "connect: i/o timeout"}, {true, ""}} {
		s := p.States()[i]
		if c := s.Checks[0]; s.Up != want.up || c.Last != want.last {
			t.Errorf("server %d: up=%t, %q, want %t, %q", i, s.Up, c.Last, want.up, want.last)
		}
	}
	if took := p.States()[2].Checks[0].Took; took < 50*time.Millisecond {
		t.Errorf("one that is silent was given up after %v", took)
	}
	cancel()
	<-done
	testenv.Await(t, "the sockets to be closed", func() bool { return socketsOpen(t) <= before })
}

// TestConnectsUnderChurn changes, suspends and drops targets while connections are being made.
func TestConnectsUnderChurn(t *testing.T) {
	at := []netip.AddrPort{serve(t, silent), refusing(t), blackHole(t)}
	before := socketsOpen(t)
	var targets []Target
	for range 30 {
		targets = append(targets, quickly(at[rand.IntN(3)])...)
		targets[len(targets)-1].Key = fmt.Sprint(len(targets))
	}
	p := NewProber(Options{Clock: clock.NewSystem(), Log: zap.NewNop()})
	p.Set(targets)
	hurry(p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	for changes := 0; changes < 300 || askedSum(p) < 300; changes++ {
		key := fmt.Sprint(1 + rand.IntN(len(targets)))
		switch rand.IntN(50) {
		case 0:
			p.Set(targets[:rand.IntN(len(targets))])
			p.Set(targets)
			hurry(p)
		case 1, 2, 3:
			p.Suspend(key)
		default:
			p.Resume(key)
		}
		wait, end := context.WithTimeout(ctx, time.Millisecond)
		<-wait.Done()
		end()
	}
	cancel()
	<-done
	places(t, p)
	testenv.Await(t, "the sockets to be closed", func() bool { return socketsOpen(t) <= before })
}
