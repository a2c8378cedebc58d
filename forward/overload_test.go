package forward_test

import (
	"fmt"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// losing is a lane that says that it has lost frames.
type losing struct {
	*forwardtest.Lane
	lost uint64
}

func (l *losing) Counters() forward.LaneCounters {
	c := l.Lane.Counters()
	c.RxDropped += l.lost
	return c
}

// overloaded is a worker on a losing lane.
type overloaded struct {
	t    *testing.T
	w    *forward.Worker
	lane *losing
	now  clock.Mono
	next int // client
	told int // by the observer
}

func newOverloaded(t *testing.T) *overloaded {
	x := &overloaded{t: t, lane: &losing{Lane: forwardtest.New(t, forwardtest.Options{})}, now: clock.Mono(time.Hour)}
	w, err := forward.NewWorker(0, x.lane, forward.Options{Table: conntrack.Options{MaxConns: 1 << 14},
		Observer: func(_ *packet.Frame, m *packet.Meta, v forward.Verdict) {
			if v.Drop == packet.DropOverload && m.TCPFlags == packet.SYN {
				x.told++
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	w.Publish(compiled(t, 1, "-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g",
		"-A -u 192.0.2.100:53 -s rr", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 -g"))
	x.w = w
	return x
}

// breath lets n packets with these flags in, of new clients or of the first, and returns how many leave.
func (x *overloaded) breath(n int, flags uint8, fresh bool, after time.Duration) int {
	x.t.Helper()
	for range n {
		client := 0
		if fresh {
			x.next++
			client = x.next
		}
		x.lane.Inject(0, packet.Build(nil, packet.Spec{TCPFlags: flags, SrcMAC: clientMAC, DstMAC: directorMAC,
			Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("198.51.%d.%d:4000", client>>8, client&0xff), "192.0.2.100:80")}))
	}
	x.now = x.now.Add(after)
	if _, err := x.w.Step(x.now); err != nil {
		x.t.Fatal(err)
	}
	return len(x.lane.Sent(1))
}

func (x *overloaded) dropped() int {
	var c forward.Counters
	x.w.ReadCounters(&c)
	return int(c.Drops[packet.DropOverload])
}

func TestOverload(t *testing.T) {
	x := newOverloaded(t)
	const n = packet.BatchSize
	x.breath(1, packet.SYN, false, time.Millisecond)
	if got := x.breath(n, packet.SYN, true, time.Millisecond); got != n {
		t.Fatalf("%d of %d SYNs went on before anything was lost", got, n)
	}
	var through []int
	for range 20 { // it goes on losing
		x.lane.lost += 100
		through = append(through, x.breath(n, packet.SYN, true, time.Millisecond))
		if got := x.breath(n, packet.ACK, false, time.Millisecond); got != n {
			t.Fatalf("%d of %d packets of a connection went on", got, n)
		}
	}
	if through[2] >= n*3/4 || through[19] > n/16 || through[18]+through[19] == 0 {
		t.Errorf("SYNs that went on while more and more was lost: %v of %d", through, n)
	}
	if got := x.breath(n, packet.SYN|packet.ACK, false, time.Millisecond); got != n {
		t.Errorf("%d of %d SYNs with ACK of a connection went on", got, n)
	}
	x.breath(0, 0, false, time.Millisecond)
	if d := x.dropped(); d == 0 || x.told != d {
		t.Errorf("%d drops are counted, the observer was told of %d", d, x.told)
	}
	for range 400 { // nothing is lost any more
		x.breath(1, packet.ACK, false, 10*time.Millisecond)
	}
	if got := x.breath(n, packet.SYN, true, time.Millisecond); got != n {
		t.Errorf("%d of %d SYNs went on long after the last loss", got, n)
	}
}

// TestOverloadInBatches has SYNs among packets of a connection: those leave, whole and in their order.
func TestOverloadInBatches(t *testing.T) {
	x := newOverloaded(t)
	x.breath(1, packet.SYN, false, time.Millisecond)
	for range 30 {
		x.lane.lost++
		x.breath(1, packet.ACK, false, time.Millisecond)
	}
	for i := range packet.BatchSize {
		s := packet.Spec{TCPFlags: packet.ACK, Seq: uint32(i), SrcMAC: clientMAC, DstMAC: directorMAC,
			Tuple: tuple(packet.ProtoTCP, "198.51.0.0:4000", "192.0.2.100:80")}
		if i%2 == 1 {
			s.TCPFlags, s.SrcPort = packet.SYN, uint16(5000+i)
		}
		x.lane.Inject(0, packet.Build(nil, s))
	}
	x.now = x.now.Add(time.Millisecond)
	if _, err := x.w.Step(x.now); err != nil {
		t.Fatal(err)
	}
	var m packet.Meta
	next := uint32(0)
	for _, f := range x.lane.Sent(1) {
		if r := packet.Parse(f, &m); r != packet.NoDrop {
			t.Fatalf("% x leaves: %v", f, r)
		}
		if m.TCPFlags&packet.SYN != 0 {
			continue
		}
		if got := packet.TCP(f[m.L4:]).Seq(); got != next {
			t.Fatalf("packet %d leaves where %d should", got, next)
		}
		next += 2
	}
	if next != packet.BatchSize {
		t.Errorf("%d packets of the connection left, want %d", next/2, packet.BatchSize/2)
	}
}
