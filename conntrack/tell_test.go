package conntrack

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"dirsw/clock"
	"dirsw/packet"
)

// slowTeller is what Due promises, step by step as the kernel goes (ip_vs_sync_conn_needed).
type slowTeller struct {
	Telling
	old     State
	endtime clock.Mono
	retries int
}

func (s *slowTeller) due(state State, template, persistent bool, life time.Duration, packets uint32, now clock.Mono) bool {
	set := func(retries int) bool {
		s.old, s.endtime, s.retries = state, now.Add(life), retries
		return true
	}
	established := state == TCPEstablished || state == SCTPEstablished || state == UDPNormal
	if !template {
		if s.Persist && persistent {
			return false
		}
		switch state {
		case TCPEstablished, TCPFinWait, TCPClose, TCPCloseWait, TCPTimeWait, UDPNormal:
		case SCTPEstablished, SCTPShutdownSent, SCTPShutdownReceived, SCTPShutdownAckSent, SCTPClosed:
		default:
			return false
		}
		if state != s.old && !established {
			return set(0)
		}
	}
	retries := 0
	if s.Refresh > 0 {
		diff := now.Add(life).Sub(s.endtime).Abs()
		if diff < min(s.Refresh, max(life/2, 10*time.Second)) {
			if s.retries >= int(s.Retries) || now < s.endtime.Add(s.Refresh/8-life) {
				return false
			}
			retries = s.retries + 1
		}
	}
	if s.Period > 0 {
		if !template && packets%s.Period != s.Threshold {
			return false
		}
	} else if s.Refresh == 0 && packets != s.Threshold {
		return false
	}
	return set(retries)
}

// TestDue compares random connections and templates with the slow way, for random settings.
func TestDue(t *testing.T) {
	for range 300 {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 1))
		pick := func(n ...int) int { return n[rnd.IntN(len(n))] }
		o := Telling{Period: uint32(pick(0, 1, 2, 7, 50, 1<<31-1)), Retries: uint8(rnd.IntN(4)), Persist: rnd.IntN(3) == 0,
			Refresh: time.Duration(pick(0, 0, 1, 10, 300)) * time.Second}
		if o.Threshold = uint32(rnd.IntN(5)); o.Period > 0 {
			o.Threshold %= o.Period
		}
		t.Run(fmt.Sprintf("seed=%#x", seed), func(t *testing.T) { checkDue(t, o, rnd, pick) })
	}
}

func checkDue(t *testing.T, o Telling, rnd *rand.Rand, pick func(...int) int) {
	x := newTable(t, Options{MaxConns: 16})
	x.SetTelling(o, nil)
	now := clock.Mono(time.Hour)
	k := tcp("198.51.100.1", 1)
	if rnd.IntN(2) == 0 {
		k.Proto = packet.ProtoUDP
	}
	ev := func() Event {
		if k.Proto == packet.ProtoUDP {
			return UDPAny
		}
		return []Event{TCPSyn, TCPAck, TCPAck, TCPAck, TCPFin, TCPRst}[rnd.IntN(6)]
	}
	c, _ := x.Insert(&Spec{Tuple: k, Event: ev(), Flags: Flags(rnd.IntN(2)) * OneWay}, x.Hash(&k), now)
	slow, slowTemplate := slowTeller{Telling: o, endtime: now}, slowTeller{Telling: o, endtime: now}
	var p *Conn
	if rnd.IntN(2) == 0 {
		k := k
		k.SrcPort = 0
		p, _ = x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), time.Duration(pick(3, 60))*time.Second, now)
		x.Control(c, p, now)
	}
	told := 0
	for i := range 400 {
		now = now.Add(time.Duration(rnd.Int64N(int64(40*time.Second))) >> rnd.IntN(30))
		x.Advance(c, FromClient, ev(), now)
		life := c.Left(now)
		want := slow.due(c.State(), false, p != nil, life, c.Packets, now)
		if got := x.Due(c, c.Packets, now); got != want {
			t.Fatalf("%+v, packet %d in %v: due %v, want %v", o, c.Packets, c.State(), got, want)
		}
		if want {
			told++
		}
		if p == nil {
			continue
		}
		p.Packets++
		want = slowTemplate.due(p.State(), true, false, x.Lifetime(p), p.Packets, now)
		if got := x.Due(p, p.Packets, now); got != want || !c.Led() {
			t.Fatalf("%+v, packet %d of the template %d: due %v, want %v", o, i, p.Packets, got, want)
		}
	}
	if o.Period > 0 && o.Period < 50 && !o.Persist && o.Refresh == 0 && k.Proto == packet.ProtoUDP && told == 0 {
		t.Error("nothing was ever due")
	}
}

// TestLearn: the state, the time and the place in the wheel are those that were told, and the packets go on from there.
func TestLearn(t *testing.T) {
	x := newTable(t, Options{MaxConns: 16})
	x.SetTelling(Telling{Threshold: 3, Period: 50}, nil)
	now := clock.Mono(time.Hour)
	k := tcp("198.51.100.1", 1)
	c, _ := x.Insert(&Spec{Tuple: k, Flags: OneWay | Synced}, x.Hash(&k), now)
	if was := x.Learn(c, TCPEstablished, 500*time.Second, now); was != None || c.State() != TCPEstablished || c.Left(now) != 500*time.Second ||
		c.Flags() != OneWay|Synced {
		t.Errorf("was %v, is %v for %v, flags %v", was, c.State(), c.Left(now), c.Flags())
	}
	x.Learn(c, TCPTimeWait, 7*time.Second, now)
	if x.Due(c, 4, now) {
		t.Error("what another director has told is told again")
	}
	if x.Expire(now.Add(6900*time.Millisecond), 100, nil); x.Len() != 1 {
		t.Error("ended early")
	}
	if x.Expire(now.Add(7100*time.Millisecond), 100, nil); x.Len() != 0 {
		t.Error("lives on")
	}
	if err := x.verify(); err != nil {
		t.Error(err)
	}
	c, _ = x.Insert(&Spec{Tuple: k, Flags: Synced}, x.Hash(&k), now)
	if x.Learn(c, TCPFinWait, 0, now); c.Left(now) != 2*time.Minute {
		t.Errorf("without a time it lives for %v", c.Left(now))
	}
	if x.Learn(c, TCPEstablished, 1<<62, now); c.Left(now) != maxLearned*time.Second {
		t.Errorf("with an absurd time it lives for %v", c.Left(now))
	}
	k.SrcPort = 0
	p, _ := x.InsertTemplate(&Spec{Tuple: k, Flags: Synced}, x.HashTemplate(&k), time.Second, now)
	if x.Learn(p, Assured, 0, now); p.Left(now) != 3*time.Minute || x.Lifetime(p) != 3*time.Minute || p.State() != Assured {
		t.Errorf("a template lives for %v in %v", p.Left(now), p.State())
	}
	if x.Learn(p, None, 1<<62, now); p.Left(now) != maxLearned*time.Second {
		t.Errorf("a template with an absurd time lives for %v", p.Left(now))
	}
}

// TestKept: an entry whose time is over and that lives on for those that it controls is named once a minute.
func TestKept(t *testing.T) {
	x := newTable(t, Options{MaxConns: 16})
	now := clock.Mono(time.Hour)
	k := tcp("198.51.100.1", 1)
	c, _ := x.Insert(&Spec{Tuple: k, Event: TCPAck, Flags: OneWay}, x.Hash(&k), now)
	k.SrcPort = 0
	p, _ := x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), 10*time.Second, now)
	x.Control(c, p, now)
	kept := 0
	x.SetTelling(Telling{}, func(c *Conn) {
		if c != p || c.Left(now) != time.Minute {
			t.Errorf("%v kept for %v", c.Tuple(), c.Left(now))
		}
		kept++
	})
	for range 140 {
		now = now.Add(time.Second)
		x.Expire(now, 100, nil)
	}
	if kept != 3 { // after 10, 70 and 130 seconds
		t.Errorf("kept %d times, want 3", kept)
	}
	x.StopTelling()
	now = now.Add(time.Minute)
	if x.Expire(now, 100, nil); kept != 3 {
		t.Error("told after StopTelling")
	}
}

func TestHeardSize(t *testing.T) {
	if got := unsafe.Sizeof(heard{}); got != heardSize {
		t.Errorf("%d bytes, want %d", got, heardSize)
	}
	x := newTable(t, Options{MaxConns: 1000})
	before := x.MemoryBytes()
	if x.SetTelling(Telling{}, nil); x.MemoryBytes() < before+1000*heardSize {
		t.Error("what was told is not counted as memory")
	}
}
