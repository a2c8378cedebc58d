package conntrack

import (
	"testing"
	"time"
)

// TestHeard: a connection of which its owner has heard lives on from then, one of which it has not ends in time.
func TestHeard(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	k, other := tcp("198.51.100.1", 4000), tcp("198.51.100.1", 4001)
	for _, k := range []*Spec{{Tuple: k, Flags: OneWay, Event: TCPAck}, {Tuple: other, Flags: OneWay, Event: TCPAck}} {
		if _, err := x.Insert(k, x.Hash(&k.Tuple), start); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	last := start.Add(800 * time.Second)
	x.AskBeforeEnd(func(c *Conn) {
		if asked++; c.Tuple() == k && last != 0 {
			x.Heard(c, 7, last, 0)
			last = 0
		}
	})
	x.Expire(start.Add(901*time.Second), 100, nil)
	c, _ := x.Lookup(&k, x.Hash(&k))
	if gone, _ := x.Lookup(&other, x.Hash(&other)); c == nil || gone != nil || asked != 2 {
		t.Fatalf("found %v and %v, asked %d times; want the one that was heard of, and 2", c, gone, asked)
	}
	if c.Packets != 8 || c.Left(start.Add(901*time.Second)) != 799*time.Second {
		t.Errorf("%d packets, %v left; want 8 and 799s", c.Packets, c.Left(start.Add(901*time.Second)))
	}
	x.Expire(start.Add(1699*time.Second), 100, nil)
	if x.Len() != 1 {
		t.Error("it ended before its time")
	}
	x.Expire(start.Add(1701*time.Second), 100, nil)
	if x.Len() != 0 {
		t.Error("it did not end")
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
}

// TestHeardWithLessTime: where what a connection has to live was made shorter, it ends when that is over, and not before what is
// heard while it is asked about.
func TestHeardWithLessTime(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	k := tcp("198.51.100.1", 4000)
	c, err := x.Insert(&Spec{Tuple: k, Flags: OneWay, Event: TCPAck}, x.Hash(&k), start)
	if err != nil {
		t.Fatal(err)
	}
	x.Heard(c, 1, start.Add(time.Second), 30*time.Second)
	if err := x.verify(); err != nil || c.Left(start.Add(time.Second)) != 30*time.Second {
		t.Fatalf("%v left, want 30s; %v", c.Left(start.Add(time.Second)), err)
	}
	asked := 0
	x.AskBeforeEnd(func(c *Conn) {
		switch asked++; asked {
		case 1:
			x.Heard(c, 1, start.Add(20*time.Second), 30*time.Second) // it lives on
		case 2:
			x.Heard(c, 1, start.Add(21*time.Second), 5*time.Second) // it should have ended long ago
		}
	})
	if x.Expire(start.Add(40*time.Second), 100, nil); x.Len() != 1 || asked != 1 {
		t.Errorf("after 40s there are %d connections, asked %d times; want 1 and 1", x.Len(), asked)
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
	if x.Expire(start.Add(51*time.Second), 100, nil); x.Len() != 0 || asked != 2 {
		t.Errorf("in the end there are %d connections, asked %d times; want 0 and 2", x.Len(), asked)
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
}
