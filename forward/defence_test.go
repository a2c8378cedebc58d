package forward_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

// settle publishes settings; change begins from the kernel's defaults.
func (b *bench) settle(change func(*forward.Settings)) {
	b.t.Helper()
	b.edit(func(s *forward.Snapshot) {
		s.Settings = forward.DefaultSettings()
		change(&s.Settings)
	})
}

// opened opens n connections from clients that are new and writes which came through: '.' or 'x'.
func (b *bench) opened(from, n int) string {
	b.t.Helper()
	var s strings.Builder
	for i := range n {
		if b.tcp(fmt.Sprintf("203.0.113.7:%d", from+i), vip, packet.SYN) != "" {
			s.WriteByte('.')
		} else if b.last.Drop != packet.DropDefence {
			b.t.Fatalf("dropped: %v", b.last.Drop)
		} else {
			s.WriteByte('x')
		}
	}
	return s.String()
}

// TestDropPacket: as a kernel with drop_packet=3 dropped.
func TestDropPacket(t *testing.T) {
	for _, c := range []struct {
		rate uint32
		want string
	}{{0, "............"}, {1, "xxxxxxxxxxxx"}, {3, "x..x..x..x.."}, {10, "x.........x."}} {
		b := newBench(t, forward.Options{}, twoServers...)
		b.settle(func(s *forward.Settings) { s.DropPacket, s.AMDropRate = forward.Always, c.rate })
		if got := b.opened(1000, len(c.want)); got != c.want {
			t.Errorf("am_droprate %d: %s, want %s", c.rate, got, c.want)
		}
		if n := int(b.counters().Drops[packet.DropDefence]); n != strings.Count(c.want, "x") {
			t.Errorf("am_droprate %d: %d drops counted", c.rate, n)
		}
	}
}

// TestDropPacketAutomatic: the less room, the more is dropped, and nothing with room enough.
func TestDropPacketAutomatic(t *testing.T) {
	b := newBench(t, forward.Options{Table: conntrack.Options{MaxConns: 100}}, twoServers...)
	b.settle(func(s *forward.Settings) { s.DropPacket, s.AMemThresh = forward.Automatic, 40 })
	if got := b.opened(1000, 61); strings.Contains(got, "x") {
		t.Errorf("with room for 40 and more: %s", got)
	}
	if got := b.tcp(client(1000), vip, packet.ACK); got == "" {
		t.Errorf("an established connection suffers: %v", b.last.Drop)
	}
	b.now = b.now.Add(time.Second) // room for 39: one in 40
	if got, want := b.opened(2000, 20), strings.Repeat(".", 20); got != want {
		t.Errorf("a little short: %s, want %s", got, want)
	}
	b.now = b.now.Add(time.Second) // room for 19: one in 40/21
	if got, want := b.opened(3000, 5), "xxxxx"; got != want {
		t.Errorf("half of the threshold: %s, want %s", got, want)
	}
	b.now = b.now.Add(61 * time.Second) // the half open ones are over
	b.step()
	b.now = b.now.Add(time.Second)
	if got := b.opened(4000, 20); strings.Contains(got, "x") {
		t.Errorf("with room again: %s", got)
	}
}

// TestSYNFlood: a table that is full of half open connections takes new ones as fast as drop_entry ends the old, and who
// was established stays.
func TestSYNFlood(t *testing.T) {
	b := newBench(t, forward.Options{Table: conntrack.Options{MaxConns: 512}}, twoServers...)
	b.settle(func(s *forward.Settings) { s.DropEntry, s.AMemThresh = forward.Automatic, 256 })
	for p := range 64 {
		b.tcp(client(1000+p), vip, packet.SYN)
		b.tcp(client(1000+p), vip, packet.ACK)
	}
	full, came := 0, 0
	for s := range 40 { // seconds
		for i := range 40 {
			if b.tcp(fmt.Sprintf("198.51.100.%d:%d", s+1, 1000+i), vip, packet.SYN) != "" {
				came++
			} else if b.last.Drop == packet.DropTableFull {
				full++
			}
		}
		for p := range 64 {
			if b.tcp(client(1000+p), vip, packet.ACK) == "" || b.last.Why != forward.WhyConnection {
				t.Fatalf("second %d: connection %d suffers: %v", s, p, b.last.Drop)
			}
		}
		b.now = b.now.Add(time.Second)
	}
	c := b.counters()
	if c.Shed < 300 || came < 512-64+int(c.Shed)-16 || full == 0 || c.Drops[packet.DropTableFull] != uint64(full) {
		t.Errorf("%d ended, %d came through, %d found the table full, %d counted", c.Shed, came, full,
			c.Drops[packet.DropTableFull])
	}
	if n := uint64(b.snap.Dests[0].Load.Active() + b.snap.Dests[1].Load.Active()); n != c.Connections {
		t.Errorf("%d connections on the servers, %d in the table", n, c.Connections)
	}
	b.settle(func(*forward.Settings) {})
	b.now = b.now.Add(5 * time.Second)
	b.step()
	if again := b.counters().Shed; again != c.Shed {
		t.Errorf("%d more ended without drop_entry", again-c.Shed)
	}
}

// TestSecureTCP: the states of new packets change with the setting, and with the room.
func TestSecureTCP(t *testing.T) {
	b := newBench(t, forward.Options{Table: conntrack.Options{MaxConns: 4}}, twoServers...)
	open := func(port int, want conntrack.State) {
		t.Helper()
		b.tcp(client(port), vip, packet.SYN)
		if b.last.State != want {
			t.Errorf("connection %d is %v, want %v", port, b.last.State, want)
		}
	}
	open(1, conntrack.TCPSynRecv)
	b.settle(func(s *forward.Settings) { s.SecureTCP = forward.Always })
	open(2, conntrack.TCPSynAck)
	b.settle(func(s *forward.Settings) { s.SecureTCP, s.AMemThresh = forward.Automatic, 2 })
	open(3, conntrack.TCPSynRecv)
	b.now = b.now.Add(time.Second)
	open(4, conntrack.TCPSynAck)
}

// TestExpireNodest: the connections and templates of a removed server end with it, those of others stay.
func TestExpireNodest(t *testing.T) {
	b := newBench(t, forward.Options{}, sticky...)
	b.settle(func(s *forward.Settings) { s.ExpireNodest = true })
	const n = 400
	for p := range n {
		b.tcp(fmt.Sprintf("198.51.%d.%d:1", p/250, 1+p%250), vip, packet.SYN)
	}
	if got := len(b.conns()); got != 2*n {
		t.Fatalf("%d entries, want %d", got, 2*n)
	}
	b.publish("-d -t 192.0.2.100:80 -r 172.16.0.11:80")
	for range 2*n/256 + 2 {
		b.step()
	}
	left := b.conns()
	if len(left) != n {
		t.Errorf("%d entries left, want %d", len(left), n)
	}
	for _, c := range left {
		if c.Dest.String() != "172.16.0.12" {
			t.Errorf("%v of %v is still there", c.Tuple, c.Dest)
		}
	}
	for i := range b.snap.Dests {
		l := b.snap.Dests[i].Load
		want := 0
		if !b.snap.Dests[i].Gone {
			want = n / 2
		}
		if l.Active() != want || l.Inactive() != 0 || l.Persistent() != want {
			t.Errorf("%v: active %d inactive %d persistent %d, want %d, 0 and %d", b.snap.Dests[i].Addr, l.Active(),
				l.Inactive(), l.Persistent(), want, want)
		}
	}
}

// TestEndsWithWeight: the connections and templates of a server whose weight has become 0 end where the service says so
// (expire_quiescent_conn), those of others stay, and a client with a template gets another server.
func TestEndsWithWeight(t *testing.T) {
	b := newBench(t, forward.Options{}, sticky...)
	const n = 400
	clients := make([]string, n)
	for p := range n {
		clients[p] = fmt.Sprintf("198.51.%d.%d", p/250, 1+p%250)
		b.tcp(clients[p]+":1", vip, packet.SYN)
	}
	first := b.tcp(clients[0]+":1", vip, packet.ACK)
	b.publish("-e -t 192.0.2.100:80 -r " + first + ":80 -w 0")
	b.step()
	if got := len(b.conns()); got != 2*n {
		t.Fatalf("%d entries with weight 0 alone, want %d", got, 2*n)
	}
	b.edit(func(s *forward.Snapshot) {
		for i := range s.Dests {
			s.Dests[i].Ends = s.Dests[i].Weight == 0
		}
	})
	if got := b.tcp(clients[0]+":2", vip, packet.SYN); got == first || got == "" {
		t.Errorf("a new connection of a client with a template goes to %q by %v", got, b.last.Why)
	}
	for range 2*n/256 + 2 {
		b.step()
	}
	left := b.conns()
	if len(left) != n+2 {
		t.Errorf("%d entries left, want %d", len(left), n+2)
	}
	for _, c := range left {
		if c.Dest.String() == first {
			t.Errorf("%v of %v is still there", c.Tuple, c.Dest)
		}
	}
	if got := b.tcp(clients[0]+":1", vip, packet.ACK); got != "" || b.last.Drop != packet.DropNoConnection {
		t.Errorf("a packet of an ended connection went to %q, %v", got, b.last.Drop)
	}
}

// TestEstablishedTimeout: a service with a time of its own for established connections.
func TestEstablishedTimeout(t *testing.T) {
	b := newBench(t, forward.Options{}, twoServers...)
	b.edit(func(s *forward.Snapshot) {
		for i := range s.Dests {
			s.Dests[i].Established = 90
		}
	})
	left := func() time.Duration { return b.conns()[0].Left.Round(time.Second) }
	b.tcp(client(1), vip, packet.SYN)
	if got := left(); got != time.Minute {
		t.Errorf("half open it has %v, want %v", got, time.Minute)
	}
	b.tcp(client(1), vip, packet.ACK)
	if got := left(); got != 90*time.Second {
		t.Errorf("established it has %v, want %v", got, 90*time.Second)
	}
	b.now = b.now.Add(89 * time.Second)
	b.tcp(client(1), vip, packet.ACK)
	b.now = b.now.Add(91 * time.Second)
	b.step()
	if got := len(b.conns()); got != 0 {
		t.Errorf("%d connections 91 s after the last packet", got)
	}
	b.tcp(client(2), vip, packet.SYN)
	b.tcp(client(2), vip, packet.FIN)
	if got := left(); got != 2*time.Minute {
		t.Errorf("closing it has %v, want %v", got, 2*time.Minute)
	}
}

// TestNodestByPacket: a setting that came after the server had gone ends its connections one by one, at their next packet.
func TestNodestByPacket(t *testing.T) {
	b := newBench(t, forward.Options{}, twoServers...)
	b.settle(func(*forward.Settings) {})
	first := b.tcp(client(1), vip, packet.SYN)
	b.tcp(client(3), vip, packet.SYN)
	b.tcp(client(2), vip, packet.SYN)
	b.rules("-d -t 192.0.2.100:80 -r " + first + ":80")
	b.settle(func(s *forward.Settings) { s.ExpireNodest = true })
	if got := len(b.conns()); got != 3 {
		t.Fatalf("%d connections before any packet, want 3", got)
	}
	if got := b.tcp(client(1), vip, packet.ACK); got != "" || b.last.Drop != packet.DropNoConnection {
		t.Errorf("ACK went to %q, %v", got, b.last.Drop)
	}
	if got := b.tcp(client(2), vip, packet.SYN); got == "" || got == first || b.last.Why != forward.WhyScheduler {
		t.Errorf("SYN went to %q by %v (%v)", got, b.last.Why, b.last.Drop)
	}
	if got := len(b.conns()); got != 2 {
		t.Errorf("%d connections left, want 2", got)
	}
}

// TestReplacedStillCounts: while a SYN is scheduled anew its server counts the connection that it takes the place of, so
// that another one gets it.
func TestReplacedStillCounts(t *testing.T) {
	b := newBench(t, forward.Options{}, "-A -t 192.0.2.100:80 -s wlc", twoServers[1], twoServers[2])
	b.settle(func(*forward.Settings) {})
	first := b.tcp(client(1000), vip, packet.SYN)
	b.tcp(client(1000), vip, packet.FIN)
	if got := b.tcp(client(1000), vip, packet.SYN); got == "" || got == first || b.last.Why != forward.WhyScheduler {
		t.Errorf("the new connection went to %q by %v, the old one to %q", got, b.last.Why, first)
	}
	active, inactive := 0, 0
	for i := range b.snap.Dests {
		active += b.snap.Dests[i].Load.Active()
		inactive += b.snap.Dests[i].Load.Inactive()
	}
	if active != 1 || inactive != 0 || len(b.conns()) != 1 {
		t.Errorf("active %d inactive %d, %d connections, want 1, 0 and 1", active, inactive, len(b.conns()))
	}
}

// TestDefenceDoesNotAllocate: neither what ends connections nor what turns them away.
func TestDefenceDoesNotAllocate(t *testing.T) {
	b := newBench(t, forward.Options{Table: conntrack.Options{MaxConns: 4096}}, twoServers...)
	b.settle(func(s *forward.Settings) {
		s.DropEntry, s.DropPacket, s.ExpireNodest = forward.Always, forward.Always, true
	})
	for p := range 2000 {
		b.tcp(client(1000+p), vip, packet.SYN)
	}
	b.publish("-d -t 192.0.2.100:80 -r 172.16.0.11:80")
	b.step() // adopts it, and begins to look for the connections of the server that is gone
	if n := testing.AllocsPerRun(50, func() {
		b.now = b.now.Add(100 * time.Millisecond)
		if _, err := b.w.Step(b.now); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations in a breath", n)
	}
	if c := b.counters(); c.Shed == 0 {
		t.Error("nothing was ended")
	}
}
