package conntrack

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// start is a time with nothing special about it.
const start = clock.Mono(12345 * time.Second)

func newTable(t testing.TB, o Options) *Table {
	t.Helper()
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func tcp(client string, port uint16) packet.Tuple {
	return packet.Tuple{Src: addr(client), SrcPort: port, Dst: addr("192.0.2.100"), DstPort: 80,
		Proto: packet.ProtoTCP, Family: packet.IPv4Family}
}

func TestLookupBothDirections(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	k := tcp("198.51.100.1", 4000)
	s := Spec{Tuple: k, Real: addr("203.0.113.7"), RealPort: 8080, Event: TCPSyn, Dest: 3, Service: 9}
	c, err := x.Insert(&s, x.Hash(&k), start)
	if err != nil {
		t.Fatal(err)
	}
	if got, d := x.Lookup(&k, x.Hash(&k)); got != c || d != FromClient {
		t.Errorf("Lookup of the request: %p %v, want %p", got, d, c)
	}
	back := packet.Tuple{Src: s.Real, SrcPort: 8080, Dst: k.Src, DstPort: 4000, Proto: k.Proto, Family: k.Family}
	if got, d := x.Lookup(&back, x.Hash(&back)); got != c || d != FromServer {
		t.Errorf("Lookup of the reply: %p %v, want %p", got, d, c)
	}
	rev := k.Reverse()
	if got, _ := x.Lookup(&rev, x.Hash(&rev)); got != nil {
		t.Errorf("Lookup from the virtual address: %v, want none", got)
	}
	if c.Tuple() != k || c.Real() != s.Real || c.RealPort() != 8080 || c.Dest != 3 || c.Service != 9 ||
		c.State() != TCPSynRecv || c.Packets != 1 || c.Left(start) != time.Minute || x.Len() != 1 {
		t.Errorf("entry %+v", c)
	}
	x.Remove(c)
	if got, _ := x.Lookup(&k, x.Hash(&k)); got != nil || x.Len() != 0 {
		t.Errorf("found after Remove")
	}
	if got, _ := x.Lookup(&back, x.Hash(&back)); got != nil {
		t.Errorf("reply found after Remove")
	}
}

func TestFull(t *testing.T) {
	x := newTable(t, Options{MaxConns: 3})
	for p := uint16(1); p <= 3; p++ {
		k := tcp("198.51.100.1", p)
		if _, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn}, x.Hash(&k), start); err != nil {
			t.Fatal(err)
		}
	}
	k := tcp("198.51.100.1", 4)
	s := Spec{Tuple: k, Event: TCPSyn}
	if _, err := x.Insert(&s, x.Hash(&k), start); !errors.Is(err, ErrFull) {
		t.Errorf("Insert into a full table: %v, want %v", err, ErrFull)
	}
	if _, err := x.InsertTemplate(&s, x.HashTemplate(&k), time.Minute, start); !errors.Is(err, ErrFull) {
		t.Errorf("InsertTemplate into a full table: %v, want %v", err, ErrFull)
	}
	k = tcp("198.51.100.1", 2)
	c, _ := x.Lookup(&k, x.Hash(&k))
	if was, is := x.Advance(c, FromClient, TCPAck, start); was != TCPSynRecv || is != TCPEstablished {
		t.Errorf("Advance in a full table: %v to %v", was, is)
	}
	x.Remove(c)
	if _, err := x.Insert(&s, x.Hash(&s.Tuple), start); err != nil {
		t.Errorf("Insert after Remove: %v", err)
	}
}

func TestExpireOnTime(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	k := tcp("198.51.100.1", 4000)
	if _, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn, Flags: OneWay}, x.Hash(&k), start); err != nil {
		t.Fatal(err)
	}
	gone := 0
	end := start.Add(time.Minute)
	for _, now := range []clock.Mono{start, end - 1, end.Add(17 * time.Millisecond)} {
		if gone != 0 {
			t.Fatalf("gone early")
		}
		x.Expire(now, 100, func(c *Conn) { gone++; _ = c.Tuple() })
	}
	if gone != 1 || x.Len() != 0 {
		t.Errorf("gone %d, left %d, want 1 and 0", gone, x.Len())
	}
}
