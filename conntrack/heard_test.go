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
