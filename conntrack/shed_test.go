package conntrack

import (
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// shed looks at the whole table once and returns how many ended.
func shed(t *testing.T, x *Table, now clock.Mono) (ended int) {
	t.Helper()
	for range shedShare {
		x.OweShed()
		ended += x.Shed(now, 1<<20, nil, nil)
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
	return ended
}

// TestShed: which of many connections in one state end. All have had the packets of ev, and nothing since.
func TestShed(t *testing.T) {
	tcpEvents := func(more ...Event) []Event { return append([]Event{TCPSyn}, more...) }
	const n = 24
	for _, r := range []struct {
		name  string
		proto uint8
		ev    []Event
		idle  time.Duration
		want  int // of n
	}{
		{"half open", packet.ProtoTCP, tcpEvents(), 0, n},
		{"established just now", packet.ProtoTCP, tcpEvents(TCPAck), 59 * time.Second, 0},
		{"established, two packets a minute ago", packet.ProtoTCP, tcpEvents(TCPAck), time.Minute, n / 2},
		{"established, four packets", packet.ProtoTCP, tcpEvents(TCPAck, TCPAck, TCPAck), 5 * time.Minute, n / 4},
		{"established, eight packets", packet.ProtoTCP, tcpEvents(TCPAck, TCPAck, TCPAck, TCPAck, TCPAck, TCPAck, TCPAck), time.Minute, n / 8},
		{"established, nine packets", packet.ProtoTCP, tcpEvents(TCPAck, TCPAck, TCPAck, TCPAck, TCPAck, TCPAck, TCPAck, TCPAck), time.Minute, 0},
		{"closing", packet.ProtoTCP, tcpEvents(TCPAck, TCPFin), time.Minute, 0},
		{"closed", packet.ProtoTCP, tcpEvents(TCPAck, TCPRst), 9 * time.Second, 0},
		{"udp, one packet just now", packet.ProtoUDP, []Event{UDPAny}, 59 * time.Second, 0},
		{"udp, one packet a minute ago", packet.ProtoUDP, []Event{UDPAny}, time.Minute, n},
		{"udp, three packets", packet.ProtoUDP, []Event{UDPAny, UDPAny, UDPAny}, 2 * time.Minute, n / 3},
		{"sctp init", packet.ProtoSCTP, []Event{SCTPChunkInit}, 0, n},
		{"sctp established", packet.ProtoSCTP, []Event{SCTPChunkInit, SCTPChunkCookieEcho}, time.Minute, n / 2},
		{"sctp shutdown", packet.ProtoSCTP, []Event{SCTPChunkInit, SCTPChunkCookieEcho, SCTPChunkShutdown}, 0, 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			x := newTable(t, Options{MaxConns: n})
			for i := range uint16(n) {
				k := tcp("198.51.100.1", 4000+i)
				k.Proto = r.proto
				c, err := x.Insert(&Spec{Tuple: k, Flags: OneWay, Event: r.ev[0]}, x.Hash(&k), start)
				if err != nil {
					t.Fatal(err)
				}
				for _, ev := range r.ev[1:] {
					x.Advance(c, FromClient, ev, start)
				}
			}
			if got := shed(t, x, start.Add(r.idle)); got != r.want || x.Len() != n-r.want {
				t.Errorf("%d ended, %d left, want %d and %d", got, x.Len(), r.want, n-r.want)
			}
		})
	}
}

// TestShedIsBounded: 1/32 of the table in a second, limit entries in a call, every entry in its turn.
func TestShedIsBounded(t *testing.T) {
	x := newTable(t, Options{MaxConns: 1000})
	for i := range uint16(640) {
		k := tcp("198.51.100.1", 4000+i)
		if _, err := x.Insert(&Spec{Tuple: k, Flags: OneWay, Event: TCPSyn}, x.Hash(&k), start); err != nil {
			t.Fatal(err)
		}
	}
	if n := x.Shed(start, 100, nil, nil); n != 0 {
		t.Errorf("%d ended without need", n)
	}
	x.OweShed()
	if a, b, c := x.Shed(start, 15, nil, nil), x.Shed(start, 15, nil, nil), x.Shed(start, 15, nil, nil); a != 15 || b != 5 || c != 0 {
		t.Errorf("%d, %d and %d ended, want 15, 5 and 0", a, b, c)
	}
	for range shedShare - 1 {
		x.OweShed()
		x.Shed(start, 1000, nil, nil)
	}
	if x.Len() != 0 {
		t.Errorf("%d were never looked at", x.Len())
	}
	if x.Room() != 1000 {
		t.Errorf("room for %d, want 1000", x.Room())
	}
}

// TestShedLimited: what has a limit of its own is not taken for idle because less than the usual time is left to it.
func TestShedLimited(t *testing.T) {
	const life = 90 * time.Second
	for idle, want := range map[time.Duration]int{0: 0, 59 * time.Second: 0, time.Minute: 1} {
		x := newTable(t, Options{MaxConns: 8})
		k := tcp("198.51.100.1", 4000)
		c, err := x.Insert(&Spec{Tuple: k, Flags: OneWay, Event: TCPAck}, x.Hash(&k), start)
		if err != nil {
			t.Fatal(err)
		}
		if x.Limit(c, life, start); c.Left(start) != life {
			t.Fatalf("%v left, want %v", c.Left(start), life)
		}
		for range shedShare {
			x.OweShed()
		}
		if n := x.Shed(start.Add(idle), 100, func(*Conn) time.Duration { return life }, nil); n != want {
			t.Errorf("%v after its packet %d ended, want %d", idle, n, want)
		}
	}
}

func TestShedTemplates(t *testing.T) {
	for _, r := range []struct {
		name        string
		flags       Flags
		conn        bool // one through it
		established bool
		packets     int // scheduled through it and left nothing
		idle        time.Duration
		want        int
	}{
		{"nobody came through", 0, false, false, 0, 0, 1},
		{"a half open connection", 0, true, false, 0, 0, 2},
		{"an established connection", 0, true, true, 0, 0, 0},
		{"an established connection, idle", 0, true, true, 0, time.Minute, 1}, // it is assured
		{"one packet, just now", OnePacket, false, false, 1, 59 * time.Second, 0},
		{"one packet, a minute ago", OnePacket, false, false, 1, time.Minute, 1},
		{"nine packets, a minute ago", OnePacket, false, false, 9, time.Minute, 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			x := newTable(t, Options{MaxConns: 8})
			k := tcp("198.51.100.1", 0)
			p, err := x.InsertTemplate(&Spec{Tuple: k, Flags: r.flags}, x.HashTemplate(&k), 5*time.Minute, start)
			if err != nil {
				t.Fatal(err)
			}
			for range r.packets {
				x.Touch(p, start)
			}
			if r.conn {
				k.SrcPort = 4000
				c, err := x.Insert(&Spec{Tuple: k, Flags: OneWay, Event: TCPSyn}, x.Hash(&k), start)
				if err != nil {
					t.Fatal(err)
				}
				x.Control(c, p, start)
				if r.established {
					x.Advance(c, FromClient, TCPAck, start)
					x.shed.turns[c.Packets] = 1
				}
			}
			if got := shed(t, x, start.Add(r.idle)); got != r.want {
				t.Errorf("%d ended, want %d; %d connections and %d templates left", got, r.want, x.Len(), x.Templates())
			}
		})
	}
}

// TestTouch: the time of a template begins again with each packet scheduled through it.
func TestTouch(t *testing.T) {
	x := newTable(t, Options{MaxConns: 1})
	k := tcp("198.51.100.1", 0)
	p, err := x.InsertTemplate(&Spec{Tuple: k, Flags: OnePacket}, x.HashTemplate(&k), 10*time.Second, start)
	if err != nil {
		t.Fatal(err)
	}
	now := start.Add(7 * time.Second)
	x.Touch(p, now)
	x.Expire(now.Add(9*time.Second), 10, nil)
	if x.Templates() != 1 || p.Packets != 1 || p.Left(now) != 10*time.Second || p.Users() != 0 {
		t.Errorf("%d templates, %d packets, left %v, want 1, 1 and 10s", x.Templates(), p.Packets, p.Left(now))
	}
	x.Expire(now.Add(10*time.Second+tick), 10, nil)
	if x.Templates() != 0 {
		t.Errorf("not gone after its time")
	}
}
