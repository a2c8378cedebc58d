package vrrp

import (
	"slices"
	"testing"
	"time"
)

// pair is two nodes with one instance, the first of them master.
func pair(t testing.TB, edit ...func(*Config)) (s *sim, a, b *node) {
	s = newSim(t, 1)
	a, b = s.add("a", 1, "eth0"), s.add("b", 2, "eth0")
	s.at(time.Second, func() { a.boot(simple(150, edit...)); b.boot(simple(100, edit...)) })
	s.runTo(5 * time.Second)
	if m := s.masters("V"); !slices.Equal(m, []string{"a"}) {
		t.Fatalf("masters %v, want a", m)
	}
	return s, a, b
}

// inject gives a node a packet out of the blue.
func (n *node) inject(p Packet) {
	for id := range n.paths {
		p.IDs = append(p.IDs, id)
	}
	p.Link = "eth0"
	n.inbox = append(n.inbox, p)
}

// FuzzHostile: without the key, no packet whatsoever changes a state or the rhythm of the adverts.
func FuzzHostile(f *testing.F) {
	for i, c := range capturedAdverts(f) {
		if i%40 == 0 {
			f.Add(c.pkt.Header, c.pkt.Data, c.pkt.Protocol == ProtocolAH, uint8(c.pkt.TTL))
		}
	}
	f.Add([]byte{}, []byte{0x21, 51, 255, 1, 2, 1}, true, uint8(255))
	f.Fuzz(func(t *testing.T, header, data []byte, auth bool, ttl uint8) {
		s, a, b := pair(t, func(c *Config) { c.Auth = AuthAH; copy(c.Password[:], "kept") })
		p := Packet{Src: addr("10.0.0.9"), Dst: Group4(), TTL: int(ttl), Protocol: ProtocolVRRP, Header: header, Data: data}
		if auth {
			p.Protocol = ProtocolAH
		}
		sent := len(a.sent)
		for at := 5000; at < 9000; at += 100 {
			s.at(time.Duration(at)*time.Millisecond, func() { a.inject(p); b.inject(p) })
		}
		s.runTo(9*time.Second + 500*time.Millisecond)
		if m := s.masters("V"); !slices.Equal(m, []string{"a"}) {
			t.Errorf("masters %v, want a", m)
		}
		if n := len(a.sent) - sent; n < 4 || n > 5 || len(b.sent) != 0 {
			t.Errorf("a sent %d adverts in 4.5 s and b %d, want 4 or 5 and none", n, len(b.sent))
		}
	})
}

// TestFlood: ten thousand adverts a second, good and bad, do not hold back ours, and get few answers.
func TestFlood(t *testing.T) {
	for _, c := range []struct {
		name     string
		priority uint8
		version  uint8
		want     Reject
		answers  int
	}{
		{"lower priority", 50, 2, Accepted, 5 * 4},
		{"priority 0", 0, 2, Accepted, 5 * 4},
		{"wrong version", 200, 3, RejectVersion, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, a, _ := pair(t)
			adv := Advert{Version: c.version, VRID: 51, Priority: c.priority, Interval: time.Second}
			adv.Addrs = append(adv.Addrs, addr("10.0.0.100"))
			p := Packet{Src: addr("10.0.0.9"), Dst: Group4(), TTL: 255, Protocol: ProtocolVRRP, Header: make([]byte, 20)}
			p.Data = adv.Append(nil, Pseudo{Src: p.Src, Dst: p.Dst})
			sent, lines := len(a.sent), len(a.lines)
			var again func()
			at, left := 5*time.Second, 50_000
			again = func() {
				a.inject(p)
				if left--; left > 0 {
					at += 100 * time.Microsecond
					s.at(at, again)
				}
			}
			s.at(at, again)
			s.runTo(10 * time.Second)
			if a.state("V") != Master {
				t.Fatalf("state %v", a.state("V"))
			}
			own := len(a.sent) - sent
			if own < 5 || own > 6+c.answers {
				t.Errorf("%d adverts in 5 s, want one each second and at most %d answers", own, c.answers)
			}
			for i := sent + 1; i < len(a.sent); i++ {
				if gap := a.sent[i].at.Sub(a.sent[i-1].at); gap > time.Second+time.Millisecond {
					t.Errorf("%v between adverts", gap)
				}
			}
			if n := len(a.lines) - lines; n > 8*c.answers+15 {
				t.Errorf("%d log lines, want few", n)
			}
			if got := a.stats("V").Rejects[c.want]; c.want != Accepted && got != 50_000 {
				t.Errorf("%d counted as %v, want 50000", got, c.want)
			}
		})
	}
}

// TestReplay: what was recorded of the master does not count again, neither as its life nor as its end.
func TestReplay(t *testing.T) {
	s, a, b := pair(t, func(c *Config) { c.Auth = AuthAH; copy(c.Password[:], "kept") })
	old := packetOf(slices.Clone(a.sent[len(a.sent)-1].msg))
	a.kill()
	for at := 5200; at < 12000; at += 500 {
		s.at(time.Duration(at)*time.Millisecond, func() { b.inject(old) })
	}
	s.runTo(12 * time.Second)
	if b.state("V") != Master {
		t.Errorf("the backup believes in recordings: %v", b.state("V"))
	}
	if b.stats("V").Rejects[RejectReplay] == 0 {
		t.Error("no replay counted")
	}
}
