package bfd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
)

const ms = time.Millisecond

func fast(name string) Config {
	return Config{Name: name, Neighbor: netip.MustParseAddr("192.0.2.2"), MinRx: 50 * ms, MinTx: 50 * ms, Multiplier: 3}
}

// wire is two sessions and the way between them, played by events in the order of time.
type wire struct {
	t       *testing.T
	now     clock.Mono
	end     [2]*Session
	flight  []flying
	delay   time.Duration
	lose    func(from int, now clock.Mono) bool
	story   []string // changes of state: "12.5 a Up"
	sent    [2]int
	longest [2]time.Duration
	last    [2]clock.Mono
}

type flying struct {
	to     int
	at     clock.Mono
	packet Packet
}

func newWire(t *testing.T, a, b Config, random func() float64) *wire {
	return &wire{t: t, end: [2]*Session{NewSession(a, 1, 0, random), NewSession(b, 2, 0, random)}, delay: ms}
}

// run plays until a time.
func (w *wire) run(until time.Duration) {
	for {
		at, who := clock.Mono(until), -1
		for i, s := range w.end {
			if s.Next() < at {
				at, who = s.Next(), i
			}
		}
		first := -1
		for i, f := range w.flight {
			if f.at <= at && (first < 0 || f.at < w.flight[first].at) {
				first = i
			}
		}
		switch {
		case first >= 0:
			f := w.flight[first]
			w.flight = append(w.flight[:first], w.flight[first+1:]...)
			w.now = max(w.now, f.at)
			w.act(f.to, w.end[f.to].Receive(w.now, f.packet))
		case who >= 0:
			w.now = max(w.now, at)
			w.act(who, w.end[who].Tick(w.now))
		default:
			w.now = clock.Mono(until)
			return
		}
	}
}

// act carries out what a session asked for, through the codec.
func (w *wire) act(who int, a Action) {
	if a.From != a.To {
		w.story = append(w.story, fmt.Sprintf("%c %v", 'a'+who, a.To))
	}
	if !a.Send {
		return
	}
	if w.sent[who] > 0 {
		w.longest[who] = max(w.longest[who], w.now.Sub(w.last[who]))
	}
	w.sent[who]++
	w.last[who] = w.now
	if w.lose != nil && w.lose(who, w.now) {
		return
	}
	p, reject := Parse(a.Packet.Append(nil))
	if reject != 0 {
		w.t.Fatalf("%v sent what is rejected: %v, %+v", w.now, reject, a.Packet)
	}
	w.flight = append(w.flight, flying{to: 1 - who, at: w.now.Add(w.delay), packet: p})
}

func (w *wire) expect(story string) {
	w.t.Helper()
	if got := strings.Join(w.story, ", "); got != story {
		w.t.Errorf("at %v: %s\nwant %s", time.Duration(w.now), got, story)
	}
	w.story = nil
}

func half() float64 { return 0.5 }

// TestSessionComesUp needs no more than the first packets' way: a change is told at once.
func TestSessionComesUp(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(10 * ms)
	w.expect("b Init, a Init, a Up, b Up")
	if w.end[0].interval() != 50*ms || w.end[0].detection() != 150*ms {
		t.Errorf("interval %v, detection %v; want 50ms, 150ms", w.end[0].interval(), w.end[0].detection())
	}
	w.sent = [2]int{}
	w.run(2 * time.Second)
	w.expect("")
	for i, n := range w.sent { // 2 s of 50 ms less 12.5 %
		if n < 44 || n > 47 {
			t.Errorf("%c sent %d packets in 2 s", 'a'+i, n)
		}
	}
	if w.end[0].polling || w.end[1].polling {
		t.Error("polls are not over")
	}
}

// TestSessionDetects cuts the way: both sides are down within the detection time, and up soon after it is mended.
func TestSessionDetects(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(time.Second)
	w.expect("b Init, a Init, a Up, b Up")
	cut := true
	w.lose = func(int, clock.Mono) bool { return cut }
	w.run(time.Second + 151*ms)
	w.expect("a Down, b Down")
	for _, s := range w.end {
		if s.diag != DiagExpired || s.remote != 0 {
			t.Errorf("diagnostic %v, remote discriminator %d", s.diag, s.remote)
		}
	}
	cut = false
	w.run(2500 * ms)
	if w.end[0].State() != Up || w.end[1].State() != Up {
		t.Errorf("states %v, %v after the way is mended", w.end[0].State(), w.end[1].State())
	}
}

// TestSessionDetectsOneWay cuts one direction: who hears nothing says so, and the other goes down for that.
func TestSessionDetectsOneWay(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(time.Second)
	w.story = nil
	w.lose = func(from int, _ clock.Mono) bool { return from == 0 }
	w.run(time.Second + 155*ms)
	w.expect("b Down, a Down")
	if w.end[0].diag != DiagNeighborDown || w.end[1].diag != DiagExpired {
		t.Errorf("diagnostics %v, %v", w.end[0].diag, w.end[1].diag)
	}
	w.run(10 * time.Second)
	for _, line := range w.story {
		if strings.HasSuffix(line, "Up") {
			t.Errorf("%s over a way that goes one way", line)
		}
	}
}

// TestSessionPassive says nothing first.
func TestSessionPassive(t *testing.T) {
	a, b := fast("a"), fast("b")
	a.Passive, b.Passive = true, true
	w := newWire(t, a, b, half)
	w.run(10 * time.Second)
	if w.sent != [2]int{} {
		t.Errorf("passive sides sent %v packets", w.sent)
	}
	b.Passive = false
	w = newWire(t, a, b, half)
	w.run(time.Second)
	w.expect("a Init, b Up, a Up")
}

// TestSessionCloses tells the neighbour, which goes down at once and stays so.
func TestSessionCloses(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(time.Second)
	w.story = nil
	p, tell := w.end[0].Close()
	if !tell || p.State != AdminDown || p.Diag != DiagAdminDown {
		t.Fatalf("Close: %+v, %v", p, tell)
	}
	w.act(0, Action{Send: true, Packet: p})
	w.run(time.Second + 2*ms)
	w.expect("b Down")
	if w.end[1].diag != DiagNeighborDown {
		t.Errorf("diagnostic %v", w.end[1].diag)
	}
	w.run(time.Minute)
	w.expect("")
}

// TestSessionRestarts has a neighbour that starts anew while up: the other side notices by its first packet.
func TestSessionRestarts(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(time.Second)
	w.story, w.flight = nil, nil
	w.end[0] = NewSession(fast("a"), 7, w.now, half)
	w.run(time.Second + 20*ms)
	w.expect("b Down, a Init, b Up, a Up")
}

// TestSessionPace changes intervals while up: nobody goes down, and both keep the new pace.
func TestSessionPace(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(time.Second)
	w.story = nil
	slow := fast("a")
	slow.MinRx, slow.MinTx, slow.Multiplier = 400*ms, 400*ms, 2
	for _, c := range []Config{slow, fast("a"), slow, fast("a")} {
		a := w.end[0].Configure(w.now, c)
		if !a.Poll {
			t.Error("no poll")
		}
		w.act(0, a)
		w.run(time.Duration(w.now) + 3*time.Second)
		if got := w.end[1].remoteMinTx; got != c.MinTx {
			t.Errorf("the other side knows %v, want %v", got, c.MinTx)
		}
		if w.end[0].polling || w.end[0].desiredInForce != c.MinTx || w.end[0].requiredInForce != c.MinRx || w.end[1].detection() != time.Duration(c.Multiplier)*c.MinTx {
			t.Errorf("not in force: %+v", w.end[0])
		}
	}
	w.expect("")
	if a := w.end[0].Configure(w.now, fast("a")); a != (Action{From: Up, To: Up}) {
		t.Errorf("the same again: %+v", a)
	}
}

// TestSessionSlowsByPollOnly keeps the old pace while the poll is not answered (RFC 5880, 6.8.3).
func TestSessionSlowsByPollOnly(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), half)
	w.run(time.Second)
	w.story = nil
	slow := fast("a")
	slow.MinTx = time.Second
	w.act(0, w.end[0].Configure(w.now, slow))
	w.lose = func(from int, _ clock.Mono) bool { return from == 1 } // its answers do not arrive
	w.run(time.Second + 140*ms)
	if w.longest[0] > 50*ms {
		t.Errorf("a pause of %v before the poll is answered", w.longest[0])
	}
}

// TestSessionJitter stays within what RFC 5880, 6.8.7, allows, also where one lost packet is the end.
func TestSessionJitter(t *testing.T) {
	for _, tt := range []struct {
		multiplier  uint8
		least, most time.Duration
	}{{3, 75 * ms, 100 * ms}, {1, 75 * ms, 90 * ms}} {
		c := fast("a")
		c.MinTx, c.Multiplier = 100*ms, tt.multiplier
		s := NewSession(c, 1, 0, rand.New(rand.NewPCG(1, 2)).Float64)
		s.desiredInForce = 100 * ms
		low, high := time.Hour, time.Duration(0)
		for range 10_000 {
			j := s.jittered()
			low, high = min(low, j), max(high, j)
		}
		if low < tt.least || high > tt.most || low > tt.least+ms || high < tt.most-ms {
			t.Errorf("multiplier %d: %v to %v, want %v to %v", tt.multiplier, low, high, tt.least, tt.most)
		}
	}
}

// TestSessionObeysDemand stops its packets while the neighbour wants none, and when it takes none at all.
func TestSessionObeysDemand(t *testing.T) {
	s := NewSession(fast("a"), 1, 0, half)
	p := Packet{State: Init, My: 2, Your: 1, DetectMult: 3, DesiredMinTx: 50 * ms, RequiredMinRx: 50 * ms}
	s.Receive(0, p)
	p.State, p.Final = Up, true
	s.Receive(1, p)
	if s.State() != Up || s.due() == never {
		t.Fatalf("%+v", s)
	}
	p.Final, p.Demand = false, true
	s.Receive(2, p)
	if s.due() != never {
		t.Error("packets although the neighbour demands")
	}
	p.Poll = true
	if a := s.Receive(3, p); !a.Send || !a.Packet.Final || a.Packet.Poll {
		t.Errorf("a poll is answered with %+v", a)
	}
	p.Demand, p.Poll, p.RequiredMinRx = false, false, 0
	s.Receive(4, p)
	if s.due() != never {
		t.Error("packets although the neighbour takes none")
	}
	s.Tick(s.expiry())
	if s.State() != Down || s.due() == never {
		t.Error("a neighbour that is gone keeps its wishes")
	}
}

// TestSessionFalseAlarm loses every other packet: three in a row are needed.
func TestSessionFalseAlarm(t *testing.T) {
	w := newWire(t, fast("a"), fast("b"), rand.New(rand.NewPCG(3, 4)).Float64)
	w.run(time.Second)
	w.story = nil
	n := [2]int{}
	w.lose = func(from int, _ clock.Mono) bool { n[from]++; return n[from]%2 == 0 }
	w.run(time.Minute)
	w.expect("")
}

// FuzzSessions plays two sessions over a way that loses, delays and forges packets for a while: once it is good again,
// both come up and stay up; once it is cut, both go down within the detection time.
func FuzzSessions(f *testing.F) {
	f.Add(uint64(1), uint8(50), uint8(50), uint8(3), []byte("some packets that are none of theirs"))
	f.Add(uint64(2), uint8(1), uint8(255), uint8(1), []byte{})
	f.Fuzz(func(t *testing.T, seed uint64, minA, minB, mult uint8, forged []byte) {
		random := rand.New(rand.NewPCG(seed, 0))
		a, b := fast("a"), fast("b")
		a.MinRx, a.MinTx, a.Multiplier = time.Duration(minA)*ms, time.Duration(minB)*ms, mult
		b.MinRx, b.MinTx, b.Multiplier = time.Duration(minB)*ms, time.Duration(minA)*ms, max(mult/2, 1)
		w := newWire(t, a, b, random.Float64)
		w.lose = func(int, clock.Mono) bool { return random.IntN(3) == 0 }
		for at := 0; at+2 <= len(forged) && at < 60; at += 2 { // a forger who knows the discriminators
			w.run(time.Duration(w.now) + time.Duration(forged[at])*ms)
			bits := forged[at+1]
			p := Packet{State: State(bits >> 6), Poll: bits&32 != 0, Demand: bits&8 != 0, DetectMult: bits&7 + 1, My: 1 + uint32(bits&1), Your: uint32(bits & 3),
				DesiredMinTx: time.Duration(bits) * ms, RequiredMinRx: time.Duration(bits&15) * ms}
			if _, reject := Parse(p.Append(nil)); reject == 0 {
				w.act(int(bits&1), w.end[bits&1].Receive(w.now, p))
			}
		}
		w.lose = nil
		w.run(time.Duration(w.now) + 30*time.Second)
		w.story = nil
		w.run(time.Duration(w.now) + 30*time.Second)
		if w.end[0].State() != Up || w.end[1].State() != Up {
			t.Fatalf("not up over a good way: %v, %v; %s", w.end[0].State(), w.end[1].State(), w.story)
		}
		if len(w.story) > 0 {
			t.Fatalf("changes over a good way: %s", w.story)
		}
		w.lose = func(int, clock.Mono) bool { return true }
		longest := max(w.end[0].detection(), w.end[1].detection())
		w.run(time.Duration(w.now) + longest + 5*ms)
		if w.end[0].State() != Down || w.end[1].State() != Down {
			t.Fatalf("not down %v after the cut: %v, %v", longest, w.end[0].State(), w.end[1].State())
		}
	})
}
