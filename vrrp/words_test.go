package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestWordsLikeKeepalived sends bad packets whose answers were recorded from keepalived 2.2.7: its words are ours.
func TestWordsLikeKeepalived(t *testing.T) {
	base := Advert{Version: 2, VRID: 51, Priority: 50, AuthType: AuthPass, Auth: [8]byte([]byte("secret12")), Interval: time.Second,
		Addrs: []netip.Addr{addr("10.0.0.100")}}
	for _, c := range []struct {
		name   string
		advert func(*Advert)
		bytes  func([]byte) []byte
		ttl    int
		want   Reject
		line   string
	}{
		{"version", func(a *Advert) { a.Version = 3 }, nil, 255, RejectVersion, "(V) wrong version. Received 3 and expect 2"},
		{"no authentication", func(a *Advert) { a.AuthType, a.Auth = AuthNone, [8]byte{} }, nil, 255, RejectAuthType, "(V) received a 0 auth, expecting 1!"},
		{"password", func(a *Advert) { a.Auth[0]++ }, nil, 255, RejectAuthData, "(V) received an invalid passwd!"},
		{"interval", func(a *Advert) { a.Interval *= 2 }, nil, 255, RejectInterval, "(V) advertisement interval mismatch mine=1 sec rcv'd=2 sec"},
		{"ttl", nil, nil, 254, RejectTTL, "(V) invalid TTL/HL. Received 254 and expect 255"},
		{"type", nil, func(b []byte) []byte { b[0] = 0x22; b[6]--; return b }, 255, RejectType, "(V) Invalid packet type. 2 and expect 1"},
		{"checksum", nil, func(b []byte) []byte { b[7]++; return b }, 255, RejectChecksum, "(V) Invalid VRRPv2 checksum"},
		{"short", nil, func(b []byte) []byte { return b[:len(b)-4] }, 255, RejectLength, "(V) vrrp packet too short, length 36 and expect 40"},
		{"long", nil, func(b []byte) []byte { return append(b, "xxx"...) }, 255, RejectLength, "(V) vrrp packet too long, length 43 and expect 40"},
		{"unknown authentication", func(a *Advert) { a.AuthType = 9 }, nil, 255, RejectAuthUnknown, "(V) Invalid auth type: 9"},
		{"another address", func(a *Advert) { a.Addrs = []netip.Addr{addr("10.0.0.110")} }, nil, 255, RejectAddrs,
			"(V) ip address associated with VRID 51 not present in MASTER advert: 10.0.0.100"},
		{"more addresses", func(a *Advert) { a.Addrs = []netip.Addr{addr("10.0.0.100"), addr("10.0.0.110")} }, nil, 255, Accepted,
			"(V) received an unexpected ip number count 2, expected 1!"},
		{"lower priority", nil, nil, 255, Accepted, "(V) Received advert from 10.0.0.2 with lower priority 50, ours 150, forcing new election"},
		{"priority 0", func(a *Advert) { a.Priority = 0 }, nil, 255, Accepted, "(V) Master received priority 0 message"},
		{"higher priority", func(a *Advert) { a.Priority = 200 }, nil, 255, Accepted, "(V) Master received advert from 10.0.0.2 with higher priority 200, ours 150"},
		{"equal priority", func(a *Advert) { a.Priority = 150 }, nil, 255, Accepted,
			"(V) Master received advert from 10.0.0.2 with same priority 150 but higher IP address than ours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t, 1)
			n := s.add("a", 1, "eth0")
			s.at(time.Second, func() {
				n.boot(simple(150, quiet, func(c *Config) { c.Auth = AuthPass; copy(c.Password[:], "secret12") }))
			})
			s.runTo(5 * time.Second)
			a := base
			if c.advert != nil {
				c.advert(&a)
			}
			p := Packet{Src: addr("10.0.0.2"), Dst: Group4(), TTL: c.ttl, Protocol: ProtocolVRRP, Header: make([]byte, 20)}
			p.Data = a.Append(nil, Pseudo{Src: p.Src, Dst: p.Dst})
			if c.bytes != nil {
				p.Data = c.bytes(p.Data)
			}
			before := len(n.lines)
			n.inject(p)
			n.inject(p)
			s.runTo(5*time.Second + time.Millisecond)
			found := 0
			for _, l := range n.lines[before:] {
				if _, text, _ := strings.Cut(l, " "); text == c.line {
					found++
				}
			}
			if found != 1 {
				t.Errorf("the line %q is there %d times, want once: %q", c.line, found, n.lines[before:])
			}
			if got := n.stats("V").Rejects[c.want]; c.want != Accepted && got != 2 {
				t.Errorf("%v counted %d times, want 2", c.want, got)
			}
			if st := n.state("V"); (st == Master) != (c.name != "higher priority" && c.name != "equal priority") {
				t.Errorf("state %v", st)
			}
		})
	}
}

// TestOldUnicastChecksum: keepalived 1.3.6 and before computed the checksum of version 3 over unicast with the address of
// the multicast group. It is learnt from a peer, and used from then on.
func TestOldUnicastChecksum(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*Config)
		learn bool
	}{
		{"learnt", func(*Config) {}, true},
		{"never", func(c *Config) { c.NeverOldUnicast = true }, false},
		{"configured", func(c *Config) { c.OldUnicast = true }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t, 1)
			n := s.add("a", 1, "eth0")
			unicast := func(c *Config) {
				c.Version, c.Group, c.Source, c.Peers = 3, netip.Addr{}, addr("10.0.0.1"), []Peer{{Addr: addr("10.0.0.2")}}
			}
			s.at(time.Second, func() { n.boot(simple(150, quiet, unicast, c.edit)) })
			a := Advert{Version: 3, VRID: 51, Priority: 50, Interval: time.Second, Addrs: []netip.Addr{addr("10.0.0.100")}}
			p := Packet{Src: addr("10.0.0.2"), Dst: addr("10.0.0.1"), TTL: 255, Protocol: ProtocolVRRP, Header: make([]byte, 20)}
			p.Data = a.Append(nil, Pseudo{Src: p.Src, Dst: Group4()})
			s.at(2*time.Second, func() { n.inject(p) })
			s.runTo(5 * time.Second)
			if got := n.stats("V").AdvertRcvd == 1; got != c.learn {
				t.Errorf("accepted: %v, want %v; rejects %v", got, c.learn, n.stats("V").Rejects)
			}
			sent := packetOf(n.sent[len(n.sent)-1].msg)
			var out Advert
			old := ParseAdvert(&out, sent.Data, Pseudo{Src: sent.Src, Dst: Group4()}) == Accepted
			now := ParseAdvert(&out, sent.Data, Pseudo{Src: sent.Src, Dst: sent.Dst}) == Accepted
			if old != c.learn || now == c.learn {
				t.Errorf("sent with the old checksum: %v, with the right one: %v", old, now)
			}
		})
	}
}

// TestValidate: what no machine can do is refused.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		want string
		edit func(*Config)
	}{
		{"", func(*Config) {}},
		{"no name", func(c *Config) { c.Name = "" }},
		{"no virtual router id", func(c *Config) { c.VRID = 0 }},
		{"version 4", func(c *Config) { c.Version = 4 }},
		{"priority 0", func(c *Config) { c.Priority = 0 }},
		{"interval 1.5s", func(c *Config) { c.Interval = 1500 * time.Millisecond }},
		{"interval 4m16s", func(c *Config) { c.Interval = 256 * time.Second }},
		{"interval 15ms", func(c *Config) { c.Version, c.Interval = 3, 15*time.Millisecond }},
		{"interval 41s", func(c *Config) { c.Version, c.Interval = 3, 41*time.Second }},
		{"down_timer_adverts 0", func(c *Config) { c.DownTimerAdverts = 0 }},
		{"256 addresses", func(c *Config) { c.Addresses = make([]Address, 256) }},
		{"authentication type 1", func(c *Config) { c.Version, c.Auth = 3, AuthPass }},
		{"authentication type 2", func(c *Config) { c.IPv6, c.Group, c.Auth = true, Group6(), AuthAH }},
		{"multicast group ff02::12", func(c *Config) { c.Group = Group6() }},
		{"multicast group 10.0.0.9", func(c *Config) { c.Group = addr("10.0.0.9") }},
		{"no interface", func(c *Config) { c.Interface = "" }},
		{"not of the instance's family", func(c *Config) { c.Addresses[0].Prefix = mustPrefix("2001:db8::1/64") }},
	} {
		p := simple(100, c.edit)
		err := p.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, c := range []struct {
		want   string
		groups []GroupConfig
	}{
		{"no instance W", []GroupConfig{{Name: "G", Members: []string{"W"}}}},
		{"is in group G", []GroupConfig{{Name: "G", Members: []string{"V"}}, {Name: "H", Members: []string{"V"}}}},
	} {
		p := simple(100)
		p.Groups = c.groups
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestNamesOfEverything: each value that is shown has a name, and no two share it.
func TestNamesOfEverything(t *testing.T) {
	seen := map[string]bool{}
	unique := func(kind, s string) {
		if s == "" || strings.Contains(s, "invalid") || strings.Contains(s, "(") || seen[kind+s] {
			t.Errorf("%s %q", kind, s)
		}
		seen[kind+s] = true
	}
	for r := range Reject(NumRejects) {
		unique("reject", r.String())
	}
	for k := StateChanged; k < numNotices; k++ {
		unique("notice", k.String())
	}
	for k := TrackInterface; k < numTrackKinds; k++ {
		unique("track", k.String())
	}
	for _, s := range []State{Init, Backup, Master, Fault, Stop, Deleted} {
		unique("state", s.String())
	}
	if Reject(200).String() != "reject(200)" || State(50).String() != "state(50)" || NoticeKind(0).String() != "invalid" || TrackKind(0).String() != "invalid" {
		t.Error("what has no name must be told apart")
	}
}
