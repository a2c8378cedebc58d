package conntrack

import (
	"testing"
	"time"

	"dirsw/clock"
)

// TestLife: a connection may live shorter at first than its state says, until its next packet.
func TestLife(t *testing.T) {
	tbl, err := New(Options{MaxConns: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer tbl.Close()
	now := clock.Mono(time.Hour)
	s := Spec{State: UDPNormal, Life: 3 * time.Second}
	s.Tuple.Family, s.Tuple.Proto = 4, 17
	c, err := tbl.Insert(&s, tbl.Hash(&s.Tuple), now)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Left(now); got != 3*time.Second {
		t.Errorf("left %v, want 3s", got)
	}
	tbl.Advance(c, FromClient, UDPAny, now)
	if got := c.Left(now); got != 5*time.Minute {
		t.Errorf("left %v after a packet, want 5m", got)
	}
}
