package conntrack

import (
	"errors"
	"net/netip"
	"testing"
	"time"
	"unsafe"

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

// TestLayout: an established packet touches one line of an entry.
func TestLayout(t *testing.T) {
	var c Conn
	if n := unsafe.Sizeof(c); n != 128 {
		t.Errorf("an entry has %d bytes, want 128", n)
	}
	first := map[string]uintptr{"client": unsafe.Offsetof(c.client), "virtual": unsafe.Offsetof(c.virtual),
		"ports": unsafe.Offsetof(c.ports), "deadline": unsafe.Offsetof(c.deadline), "armed": unsafe.Offsetof(c.armed),
		"Dest": unsafe.Offsetof(c.Dest), "Packets": unsafe.Offsetof(c.Packets), "state": unsafe.Offsetof(c.state),
		"flags": unsafe.Offsetof(c.flags)}
	for name, at := range first {
		if at >= 64 {
			t.Errorf("%s at %d, want the first line", name, at)
		}
	}
	second := map[string]uintptr{"real": unsafe.Offsetof(c.real), "realPort": unsafe.Offsetof(c.realPort),
		"next": unsafe.Offsetof(c.next), "prev": unsafe.Offsetof(c.prev), "via": unsafe.Offsetof(c.via),
		"Service": unsafe.Offsetof(c.Service), "ahead": unsafe.Offsetof(c.ahead)}
	for name, at := range second {
		if at < 64 {
			t.Errorf("%s at %d, want the second line", name, at)
		}
	}
	x := newTable(t, Options{MaxConns: 1})
	if at := uintptr(unsafe.Pointer(&x.slab[0])) % 64; at != 0 {
		t.Errorf("entries begin %d bytes into a line", at)
	}
	if at := uintptr(unsafe.Pointer(&x.index.cells[0])) % 64; at != 0 {
		t.Errorf("cells begin %d bytes into a line", at)
	}
}

// TestNothingAllocates in the life of a connection.
func TestNothingAllocates(t *testing.T) {
	x := newTable(t, Options{MaxConns: 64})
	k := tcp("198.51.100.1", 4000)
	s := Spec{Tuple: k, Real: addr("203.0.113.7"), RealPort: 8080, Event: TCPSyn}
	tk := tcp("198.51.100.1", 0)
	ts := Spec{Tuple: tk}
	hashes := make([]uint64, 2)
	now := start
	ended := 0
	gone := func(*Conn) { ended++ }
	if n := testing.AllocsPerRun(100, func() {
		hashes[0], hashes[1] = x.Hash(&k), x.HashTemplate(&tk)
		x.prefetch(hashes)
		if c, _ := x.Lookup(&k, hashes[0]); c != nil || x.Template(&tk, hashes[1]) != nil {
			t.Fatal("found before Insert")
		}
		p, _ := x.InsertTemplate(&ts, hashes[1], time.Second, now)
		c, _ := x.Insert(&s, hashes[0], now)
		x.Control(c, p, now)
		x.Advance(c, FromClient, TCPAck, now)
		x.Advance(c, FromClient, TCPFin, now)
		now = now.Add(3 * time.Minute)
		x.Expire(now, 10, gone)
		c, _ = x.Insert(&s, hashes[0], now)
		x.Remove(c)
		now = now.Add(3 * time.Minute)
		x.Expire(now, 10, gone)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if ended != 2*101 || x.Len()+x.Templates() != 0 {
		t.Errorf("%d ended, %d left, want %d and 0", ended, x.Len()+x.Templates(), 2*101)
	}
}

// TestLongGap: hours without a call cost no more than the entries there are, and lose none.
func TestLongGap(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8, Timeouts: Timeouts{TCP: 24 * time.Hour}})
	insert := func(port uint16, ev Event) *Conn {
		k := tcp("198.51.100.1", port)
		c, err := x.Insert(&Spec{Tuple: k, Event: ev}, x.Hash(&k), start)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	insert(1, TCPSyn)
	day := insert(2, TCPAck)
	now := start.Add(5 * time.Hour)
	if n := x.Expire(now, 100, nil); n > 4 || x.Len() != 1 {
		t.Errorf("after 5 hours: %d entries looked at, %d left, want at most 4 and 1", n, x.Len())
	}
	// What is inserted while Expire lags behind is not taken for old.
	now = now.Add(5 * time.Hour)
	k := tcp("198.51.100.1", 3)
	if _, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn}, x.Hash(&k), now); err != nil {
		t.Fatal(err)
	}
	x.Expire(now.Add(59*time.Second), 100, nil)
	if x.Len() != 2 || day.Left(now) != 14*time.Hour {
		t.Errorf("%d left, %v, want 2 and 14h", x.Len(), day.Left(now))
	}
	now = now.Add(30 * 24 * time.Hour)
	if n := x.Expire(now, 100, nil); n > 4 || x.Len() != 0 {
		t.Errorf("after 30 days: %d entries looked at, %d left, want at most 4 and 0", n, x.Len())
	}
	if n := x.Expire(now.Add(30*24*time.Hour), 100, nil); n != 0 {
		t.Errorf("an empty table was looked at %d times", n)
	}
}

// TestBeyondTheWheel: an entry as far ahead as the wheel reaches, and due later still, is looked at once in a turn.
func TestBeyondTheWheel(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8, Timeouts: Timeouts{UDP: 24 * time.Hour}})
	k := tcp("198.51.100.1", 1)
	if _, err := x.Insert(&Spec{Tuple: k, Event: UDPAny}, x.Hash(&k), start); err != nil {
		t.Fatal(err)
	}
	for turn := range 70 {
		now := start.Add(time.Duration(turn+1) * wheelSize * tick)
		if n := x.Expire(now, 100, nil); n != 1 || x.Len() != 1 {
			t.Fatalf("turn %d: %d looks, %d left, want 1 and 1", turn, n, x.Len())
		}
	}
}

// TestExpireBudget: a thousand that end at once are ended a few at a time.
func TestExpireBudget(t *testing.T) {
	x := newTable(t, Options{MaxConns: 1000})
	for p := range uint16(1000) {
		k := tcp("198.51.100.1", p)
		if _, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn}, x.Hash(&k), start); err != nil {
			t.Fatal(err)
		}
	}
	now := start.Add(2 * time.Minute)
	for left := 1000; left > 0; left -= 8 {
		if n := x.Expire(now, 8, nil); n != 8 || x.Len() != left-8 {
			t.Fatalf("Expire did %d, %d left, want 8 and %d", n, x.Len(), left-8)
		}
	}
}

// TestEarlierDeadline: ESTABLISHED to CLOSE brings the end forward from 15 minutes to 10 seconds.
func TestEarlierDeadline(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	k := tcp("198.51.100.1", 1)
	c, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn}, x.Hash(&k), start)
	if err != nil {
		t.Fatal(err)
	}
	x.Advance(c, FromClient, TCPAck, start)
	x.Expire(start.Add(2*time.Minute), 10, nil) // now it stands where 15 minutes have led it
	now := start.Add(3 * time.Minute)
	x.Advance(c, FromServer, TCPRst, now)
	x.Expire(now.Add(10*time.Second-1), 10, nil)
	if x.Len() != 1 {
		t.Errorf("ended before 10 s")
	}
	x.Expire(now.Add(10*time.Second+tick), 10, nil)
	if x.Len() != 0 {
		t.Errorf("not ended after 10 s")
	}
}

func TestRoom(t *testing.T) {
	for _, n := range []int{-1, 1 << 30} {
		if x, err := New(Options{MaxConns: n}); err == nil {
			t.Errorf("room for %d connections was granted", n)
			_ = x.Close()
		}
	}
	x := newTable(t, Options{MaxConns: 10_000_000})
	if n := x.MemoryBytes(); n > 250e6 {
		t.Errorf("an empty table for 10 million takes %d bytes", n)
	}
	if n := int64(10_000_000)*connSize + int64(x.index.n)*8 + tableSize; n > 1_500_000_000 {
		t.Errorf("10 million take %d bytes, want at most 1.5 GB", n)
	}
	million := int64(1_000_000)*connSize + int64(indexCells(1_000_000))*8 + tableSize
	if million > 160_000_000 {
		t.Errorf("1 million take %d bytes, want at most 160 MB", million)
	}
}

func TestAt(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	k := tcp("198.51.100.1", 1)
	c, err := x.Insert(&Spec{Tuple: k, Event: TCPSyn}, x.Hash(&k), start)
	if err != nil {
		t.Fatal(err)
	}
	slot := c.Slot()
	if x.At(slot) != c || x.At(0) != nil || x.At(slot+1) != nil || x.At(1<<31) != nil {
		t.Errorf("At(%d) = %p, want %p and nothing elsewhere", slot, x.At(slot), c)
	}
	x.Remove(c)
	if x.At(slot) != nil {
		t.Errorf("At finds a free slot")
	}
}

// TestEventOf: the cases that no transcript has.
func TestEventOf(t *testing.T) {
	for _, r := range []struct {
		name string
		spec packet.Spec
		want Event
	}{
		{"later fragment", packet.Spec{FragmentOffset: 64, Payload: []byte("later part")}, Keep},
		{"urgent", packet.Spec{TCPFlags: packet.URG}, TCPBare},
		{"syn and rst", packet.Spec{TCPFlags: packet.SYN | packet.RST | packet.ACK}, TCPSynRst},
		{"abort behind cookie echo", sctp(10, 0, 0, 5, 1, 0, 0, 0, 6, 0, 0, 4), SCTPChunkAbort},
		{"data behind cookie echo", sctp(10, 0, 0, 4, 0, 3, 0, 4), SCTPChunkCookieEcho},
		{"abort behind data", sctp(0, 3, 0, 4, 6, 0, 0, 4), SCTPChunkData},
		{"cookie echo longer than the packet", sctp(10, 0, 255, 255, 6, 0, 0, 4), SCTPChunkCookieEcho},
		{"cookie echo of length 0", sctp(10, 0, 0, 0, 6, 0, 0, 4), SCTPChunkCookieEcho},
		{"unknown chunk", sctp(0xc1, 0, 0, 4), SCTPChunkData},
		{"no chunk", sctp(), Keep},
		{"half a chunk header", sctp(1, 0, 0), Keep},
	} {
		t.Run(r.name, func(t *testing.T) {
			if r.spec.Proto == 0 {
				r.spec.Proto = packet.ProtoTCP
			}
			k := tcp("198.51.100.1", 1)
			k.Proto = r.spec.Proto
			r.spec.Tuple = k
			var m packet.Meta
			frame := packet.Build(nil, r.spec)
			if why := packet.Parse(frame, &m); why != packet.NoDrop {
				t.Fatal(why)
			}
			if got := EventOf(frame, &m); got != r.want {
				t.Errorf("event %d, want %d", got, r.want)
			}
		})
	}
}

func sctp(chunks ...byte) packet.Spec {
	s := packet.Spec{Payload: chunks}
	s.Proto = packet.ProtoSCTP
	return s
}
