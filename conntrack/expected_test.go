package conntrack

import (
	"errors"
	"testing"
	"time"

	"dirsw/packet"
)

// announced is a data connection of FTP in passive mode: all is known but the client's port.
func announced() Spec {
	k := tcp("198.51.100.1", 0)
	k.DstPort = 40000
	return Spec{Tuple: k, Real: addr("203.0.113.7"), RealPort: 50000, Dest: 3, Service: 4, State: TCPListen}
}

func TestExpected(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	control := tcp("198.51.100.1", 4000)
	ctl, err := x.Insert(&Spec{Tuple: control, Real: addr("203.0.113.7"), RealPort: 21, Event: TCPAck},
		x.Hash(&control), start)
	if err != nil {
		t.Fatal(err)
	}
	s := announced()
	c, err := x.InsertExpected(&s, start)
	if err != nil {
		t.Fatal(err)
	}
	x.Control(c, ctl, start)
	if again, err := x.InsertExpected(&s, start.Add(time.Second)); again != c || err != nil {
		t.Errorf("announced again: %v, %v, want the first", again, err)
	}
	if c.State() != TCPListen || c.Left(start) != 2*time.Minute || c.ClientPort() != 0 || c.Packets != 0 || ctl.Users() != 1 {
		t.Errorf("%v left %v client port %d packets %d users %d, want LISTEN 2m 0 0 1", c.State(), c.Left(start),
			c.ClientPort(), c.Packets, ctl.Users())
	}

	zero, other := s.Tuple, s.Tuple
	other.DstPort++
	for _, k := range []packet.Tuple{zero, s.Tuple.Reverse()} {
		if got, _ := x.Lookup(&k, x.Hash(&k)); got != nil {
			t.Errorf("Lookup(%v) finds an expected connection", k)
		}
	}
	if x.Claim(&other, x.Hash(&other)) != nil {
		t.Errorf("another port claims it")
	}
	k := s.Tuple
	k.SrcPort = 4001
	if got := x.Claim(&k, x.Hash(&k)); got != c || got.ClientPort() != 4001 || got.Flags()&Expected != 0 {
		t.Fatalf("Claim: %v", got)
	}
	if got, d := x.Lookup(&k, x.Hash(&k)); got != c || d != FromClient {
		t.Errorf("not found by its flow after Claim")
	}
	r := packet.Tuple{Src: s.Real, SrcPort: s.RealPort, Dst: k.Src, DstPort: k.SrcPort, Proto: k.Proto, Family: k.Family}
	if got, d := x.Lookup(&r, x.Hash(&r)); got != c || d != FromServer {
		t.Errorf("not found by its reply after Claim")
	}
	k.SrcPort++
	if x.Claim(&k, x.Hash(&k)) != nil {
		t.Errorf("claimed twice")
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
}

// TestExpectedEnds: nobody claims it; and the connection that announced it lives as long.
func TestExpectedEnds(t *testing.T) {
	x := newTable(t, Options{MaxConns: 2})
	control := tcp("198.51.100.1", 4000)
	ctl, err := x.Insert(&Spec{Tuple: control, Real: addr("203.0.113.7"), RealPort: 21, Event: TCPSyn}, x.Hash(&control), start)
	if err != nil {
		t.Fatal(err)
	}
	s := announced()
	c, err := x.InsertExpected(&s, start)
	if err != nil {
		t.Fatal(err)
	}
	x.Control(c, ctl, start)
	third := s
	third.DstPort++
	if _, err := x.InsertExpected(&third, start); !errors.Is(err, ErrFull) {
		t.Errorf("into a full table: %v", err)
	}
	now := start.Add(time.Minute + tick) // SYN_RECV is over
	x.Expire(now, 100, nil)
	if x.Len() != 2 || ctl.Left(now) != time.Minute {
		t.Fatalf("%d connections, the control connection has %v left, want 2 and 1m", x.Len(), ctl.Left(now))
	}
	if x.Expire(now.Add(time.Minute+tick), 100, nil); x.Len() > 1 || x.Expected(&s.Tuple) != nil {
		t.Errorf("the expected connection is still there, of %d", x.Len())
	}
	x.Expire(now.Add(3*time.Minute), 100, nil)
	if x.Len() != 0 {
		t.Errorf("%d connections left", x.Len())
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
}

func TestHop(t *testing.T) {
	x := newTable(t, Options{MaxConns: 1})
	k := tcp("198.51.100.1", 4000)
	for range 2 { // the second connection in the slot knows nothing of the first
		c, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn}, x.Hash(&k), start)
		if err != nil {
			t.Fatal(err)
		}
		if port, mac := c.Hop(); port != 0 || mac != (packet.MAC{}) || c.App != 0 {
			t.Errorf("a new connection has hop %d %v, app %d", port, mac, c.App)
		}
		mac := packet.MAC{2, 0, 0, 0, 0, 7}
		c.SetHop(3, mac)
		c.App = 9
		if port, got := c.Hop(); port != 3 || got != mac {
			t.Errorf("hop %d %v, want 3 %v", port, got, mac)
		}
		x.Remove(c)
	}
}
