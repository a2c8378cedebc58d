package forward

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dirsw/packet"
)

// markWorld is a director with the addresses 192.0.2.1 and 2001:db8::1 and rules.
func markWorld(rules ...MarkRule) *Snapshot {
	return &Snapshot{
		Local: []packet.Addr{addrOf("192.0.2.1"), addrOf("2001:db8::1")},
		Marks: &Marks{IPv4: MarkProgram{Rules: rules, Prerouting: MarkSpan{To: uint32(len(rules))}},
			IPv6: MarkProgram{Rules: rules, Prerouting: MarkSpan{To: uint32(len(rules))}}},
	}
}

func addrOf(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// markTo is a condition on the destination.
func markTo(prefix string, not bool) MarkAddr {
	p := netip.MustParsePrefix(prefix)
	a := MarkAddr{Addr: words(packet.AddrFrom(p.Masked().Addr())), Not: not}
	var mask packet.Addr
	for i := range 128 - p.Addr().BitLen() + p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	a.Mask = words(mask)
	return a
}

func words(a packet.Addr) [2]uint64 { return addrWords(&a) }

func set(mark uint32) MarkRule {
	return MarkRule{Ports: ^uint64(0), Target: MarkSet, Value: mark, Mask: ^uint32(0)}
}

func with(r MarkRule, change func(*MarkRule)) MarkRule {
	change(&r)
	return r
}

// metaOf is a TCP packet between two endpoints.
func metaOf(src, dst string) *packet.Meta {
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	m := &packet.Meta{Tuple: packet.Tuple{Src: packet.AddrFrom(from.Addr()), Dst: packet.AddrFrom(to.Addr()), SrcPort: from.Port(),
		DstPort: to.Port(), Proto: packet.ProtoTCP, Family: packet.IPv4Family}, TCPFlags: packet.SYN}
	if from.Addr().Is6() {
		m.Family = packet.IPv6Family
	}
	return m
}

func TestMark(t *testing.T) {
	const client, client6 = "203.0.113.9:40000", "[2001:db8:9::9]:40000"
	dport := func(not bool, ports ...uint16) func(*MarkRule) {
		return func(r *MarkRule) {
			c := MarkCond{Kind: MarkDest, Not: not}
			for i := 0; i < len(ports); i += 2 {
				c.Ranges = append(c.Ranges, MarkRange{ports[i], ports[i+1]})
			}
			r.Conds = append(r.Conds, c)
		}
	}
	for _, row := range []struct {
		name     string
		rules    []MarkRule
		src, dst string
		want     uint32
	}{
		{"no condition", []MarkRule{set(7)}, client, "192.0.2.1:80", 7},
		{"IPv6", []MarkRule{set(7)}, client6, "[2001:db8::1]:80", 7},
		{"not to the director", []MarkRule{set(7)}, client, "192.0.2.2:80", 0},
		{"destination", []MarkRule{with(set(7), func(r *MarkRule) { r.Dst = markTo("192.0.2.0/24", false) })}, client, "192.0.2.1:80", 7},
		{"another destination", []MarkRule{with(set(7), func(r *MarkRule) { r.Dst = markTo("192.0.3.0/24", false) })}, client, "192.0.2.1:80", 0},
		{"not a destination", []MarkRule{with(set(7), func(r *MarkRule) { r.Dst = markTo("192.0.3.0/24", true) })}, client, "192.0.2.1:80", 7},
		{"source", []MarkRule{with(set(7), func(r *MarkRule) { r.Src = markTo("203.0.113.8/31", false) })}, client, "192.0.2.1:80", 7},
		{"port", []MarkRule{with(set(7), dport(false, 80, 80, 443, 443))}, client, "192.0.2.1:443", 7},
		{"another port", []MarkRule{with(set(7), dport(false, 80, 80, 443, 443))}, client, "192.0.2.1:444", 0},
		{"not a port", []MarkRule{with(set(7), dport(true, 80, 90))}, client, "192.0.2.1:91", 7},
		{"last range", []MarkRule{with(set(7), dport(false, 80, 90, 65535, 65535))}, client, "192.0.2.1:65535", 7},
		{"protocol", []MarkRule{with(set(7), func(r *MarkRule) { r.Proto = packet.ProtoUDP })}, client, "192.0.2.1:80", 0},
		{"not a protocol", []MarkRule{with(set(7), func(r *MarkRule) { r.Proto, r.NotProto = packet.ProtoUDP, true })}, client, "192.0.2.1:80", 7},
		{"port of the lane", []MarkRule{with(set(7), func(r *MarkRule) { r.Ports = 1 << 2 })}, client, "192.0.2.1:80", 7},
		{"another port of the lane", []MarkRule{with(set(7), func(r *MarkRule) { r.Ports = ^uint64(0) &^ (1 << 2) })}, client, "192.0.2.1:80", 0},
		{"flags", []MarkRule{with(set(7), func(r *MarkRule) { r.Conds = []MarkCond{{Kind: MarkFlags, Mask: 0x17, Value: 2}} })}, client, "192.0.2.1:80", 7},
		{"last one wins", []MarkRule{set(7), set(8)}, client, "192.0.2.1:80", 8},
		{"accepted before", []MarkRule{set(7), {Ports: ^uint64(0), Target: MarkAccept}, set(8)}, client, "192.0.2.1:80", 7},
		{"returned before", []MarkRule{set(7), {Ports: ^uint64(0), Target: MarkReturn}, set(8)}, client, "192.0.2.1:80", 7},
		{"by bits", []MarkRule{set(0xf0), {Ports: ^uint64(0), Target: MarkSet, Value: 0x3, Mask: 0x33}}, client, "192.0.2.1:80", 0xc3},
		{"mark so far", []MarkRule{set(7), with(set(8), func(r *MarkRule) { r.Conds = []MarkCond{{Kind: MarkSoFar, Mask: 3, Value: 3}} })},
			client, "192.0.2.1:80", 8},
		{"not the mark so far", []MarkRule{set(7), with(set(8), func(r *MarkRule) { r.Conds = []MarkCond{{Kind: MarkSoFar, Mask: 3, Value: 3, Not: true}} })},
			client, "192.0.2.1:80", 7},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := markWorld(row.rules...).mark(2, metaOf(row.src, row.dst)); got != row.want {
				t.Errorf("mark %d, want %d", got, row.want)
			}
		})
	}
}

// TestMarkChains walks through chains, each of which sets a bit: PREROUTING jumps to A, which jumps to B; INPUT comes after.
func TestMarkChains(t *testing.T) {
	const before, b, a, after, input = 0x01, 0x02, 0x04, 0x08, 0x10
	or := func(bit uint32) MarkRule { return MarkRule{Ports: ^uint64(0), Target: MarkSet, Value: bit, Mask: bit} }
	to := func(kind MarkTarget, from, to uint32) MarkRule {
		return MarkRule{Ports: ^uint64(0), Target: kind, Chain: MarkSpan{from, to}}
	}
	for _, row := range []struct {
		outer, inner MarkTarget // of PREROUTING and of A
		end          MarkTarget // of B
		want         uint32
	}{
		{MarkJump, MarkJump, MarkNext, before | b | a | after | input},
		{MarkGoto, MarkJump, MarkNext, before | b | a | input},
		{MarkJump, MarkGoto, MarkNext, before | b | after | input},
		{MarkGoto, MarkGoto, MarkNext, before | b | input},
		{MarkJump, MarkJump, MarkReturn, before | b | a | after | input},
		{MarkJump, MarkJump, MarkAccept, before | b | input},
		{MarkGoto, MarkGoto, MarkReturn, before | b | input},
	} {
		rules := []MarkRule{
			or(b), {Ports: ^uint64(0), Target: row.end}, // B is 0:2
			to(row.inner, 0, 2), or(a), // A is 2:4
			or(before), to(row.outer, 2, 4), or(after), // PREROUTING is 4:7
			or(input), // INPUT is 7:8
		}
		s := &Snapshot{Marks: &Marks{Everywhere: true, IPv4: MarkProgram{Rules: rules, Prerouting: MarkSpan{4, 7}, Input: MarkSpan{7, 8}}}}
		if got := s.mark(0, metaOf("203.0.113.9:1", "192.0.2.9:1")); got != row.want {
			t.Errorf("%v %v %v: mark %#x, want %#x", row.outer, row.inner, row.end, got, row.want)
		}
	}
}

// TestMarkLocal tells which packets a mark counts for.
func TestMarkLocal(t *testing.T) {
	s := markWorld(set(7))
	s.Marks.Nets = []LocalNet{{Addr: addrOf("198.51.100.0"), Free: 8}, {Addr: addrOf("0.0.0.0"), Free: 32, Mark: 6, Mask: 0xe},
		{Addr: addrOf("203.0.113.0"), Free: 24, Mark: 1, Mask: ^uint32(0)}}
	for dst, want := range map[string]uint32{"192.0.2.1:80": 7, "198.51.100.255:80": 7, "198.51.101.1:80": 7, "[2001:db8::1]:80": 7, "[2001:db8::2]:80": 0} {
		src := "203.0.113.9:1"
		if dst[0] == '[' {
			src = "[2001:db8:9::9]:1"
		}
		if got := s.mark(0, metaOf(src, dst)); got != want {
			t.Errorf("to %s: mark %d, want %d", dst, got, want)
		}
	}
	s.Marks.Nets = s.Marks.Nets[:1]
	if got := s.mark(0, metaOf("203.0.113.9:1", "198.51.101.1:80")); got != 0 {
		t.Errorf("outside the net: mark %d", got)
	}
	m := metaOf("203.0.113.9:1", "192.0.2.1:80")
	if m.Proto = packet.ProtoICMP; s.mark(0, m) != 0 {
		t.Error("ICMP has a mark")
	}
}

// TestMarkFilter lists what the packet filter takes for services by mark.
func TestMarkFilter(t *testing.T) {
	port := func(low, high uint16) func(*MarkRule) {
		return func(r *MarkRule) {
			r.Proto, r.Conds = packet.ProtoTCP, append(r.Conds, MarkCond{Kind: MarkDest, Ranges: []MarkRange{{low, high}}})
		}
	}
	dst := func(p string, not bool) func(*MarkRule) { return func(r *MarkRule) { r.Dst = markTo(p, not) } }
	all := func(changes ...func(*MarkRule)) MarkRule {
		r := set(7)
		for _, c := range changes {
			c(&r)
		}
		return r
	}
	for _, row := range []struct {
		name  string
		rules []MarkRule
		want  string
	}{
		{"address and port", []MarkRule{all(dst("192.0.2.1/32", false), port(80, 80))}, "192.0.2.1/0 6 80"},
		{"any address", []MarkRule{all(port(80, 81))}, "192.0.2.1/0 6 80, 192.0.2.1/0 6 81, 198.51.100.0/8 6 80, 198.51.100.0/8 6 81"},
		{"many ports", []MarkRule{all(dst("192.0.2.0/24", false), port(1000, 2000))}, "192.0.2.1/0 6 0"},
		{"a part of a net", []MarkRule{all(dst("198.51.100.16/28", false), port(80, 80))}, "198.51.100.16/4 6 80"},
		{"another address", []MarkRule{all(dst("203.0.113.1/32", false), port(80, 80))}, ""},
		{"all but an address", []MarkRule{all(dst("192.0.2.1/32", true), port(80, 80))}, "192.0.2.1/0 6 80, 198.51.100.0/8 6 80"},
		{"any protocol", []MarkRule{all(dst("192.0.2.1/32", false))}, "192.0.2.1/0 6 0, 192.0.2.1/0 17 0, 192.0.2.1/0 50 0, 192.0.2.1/0 51 0, 192.0.2.1/0 132 0"},
		{"a protocol of no service", []MarkRule{all(func(r *MarkRule) { r.Proto = packet.ProtoICMP })}, ""},
		{"no mark is given", []MarkRule{{Ports: ^uint64(0), Target: MarkAccept}}, ""},
		{"by a chain", []MarkRule{all(dst("192.0.2.0/24", false), func(r *MarkRule) { r.Target, r.Chain = MarkJump, MarkSpan{1, 2} }), all(port(80, 80))},
			"192.0.2.1/0 6 80"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := markWorld(row.rules...)
			s.Marks.IPv4.Prerouting.To = 1
			s.Marks.Nets = []LocalNet{{Addr: addrOf("198.51.100.0"), Free: 8}}
			s.Lookup = map[ServiceKey]ServiceID{MarkKey(7, packet.IPv4Family): 0}
			var got []string
			for _, k := range s.Filter().Keys {
				got = append(got, fmt.Sprintf("%s/%d %d %d", k.Addr.Netip(), k.Free, k.Proto, k.Port))
			}
			if g := strings.Join(got, ", "); g != row.want {
				t.Errorf("got  %s\nwant %s", g, row.want)
			}
		})
	}
	s := markWorld(set(7))
	s.Lookup = map[ServiceKey]ServiceID{MarkKey(7, packet.IPv6Family): 0}
	s.Marks.Everywhere = true
	if got := s.Filter().Keys; len(got) != 5 || got[0].Free != 128 {
		t.Errorf("everywhere: %+v", got)
	}
	delete(s.Lookup, MarkKey(7, packet.IPv6Family))
	if got := s.Filter().Keys; len(got) != 0 {
		t.Errorf("no service by mark: %+v", got)
	}
}

// TestMarkFilterTakesWhatHasAMark compares the filter with the rules on random packets: it may take more, never less.
func TestMarkFilterTakesWhatHasAMark(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	marked := 0
	for range 300 {
		s := randomMarks(rnd)
		s.Lookup = map[ServiceKey]ServiceID{MarkKey(1, packet.IPv4Family): 0}
		f := s.Filter()
		for range 50 {
			m := randomMeta(rnd)
			if s.mark(uint8(rnd.IntN(3)), m) == 0 {
				continue
			}
			marked++
			if !f.Takes(nil, m) {
				t.Fatalf("seed %d: %+v has a mark and is not taken\nrules %+v\nfilter %+v", seed, m.Tuple, s.Marks.IPv4, f)
			}
		}
	}
	if marked < 100 {
		t.Errorf("only %d packets had a mark", marked)
	}
}

// randomMarks is a director with random rules in PREROUTING, INPUT and two chains.
func randomMarks(rnd *rand.Rand) *Snapshot {
	s := markWorld()
	s.Marks.Nets = []LocalNet{{Addr: addrOf("198.51.100.0"), Free: 8}}
	var rules []MarkRule
	var spans [4]MarkSpan // B, A, INPUT, PREROUTING: each jumps to those before it
	for c := range spans {
		from := uint32(len(rules))
		for range rnd.IntN(4) {
			r := randomRule(rnd)
			if r.Target >= MarkJump {
				if r.Chain = spans[rnd.IntN(2)]; c == 0 || c == 1 {
					r.Chain = spans[0]
				}
				if c == 0 {
					r.Target = MarkReturn
				}
			}
			rules = append(rules, r)
		}
		spans[c] = MarkSpan{from, uint32(len(rules))}
	}
	s.Marks.IPv4 = MarkProgram{Rules: rules, Input: spans[2], Prerouting: spans[3]}
	return s
}

func randomRule(rnd *rand.Rand) MarkRule {
	r := MarkRule{Ports: ^uint64(0), Target: MarkTarget(rnd.IntN(6)), Value: uint32(rnd.IntN(4)), Mask: uint32(rnd.IntN(4))}
	if rnd.IntN(2) == 0 {
		r.Dst = markTo([]string{"192.0.2.0/24", "192.0.2.1/32", "198.51.100.16/28", "203.0.113.0/24"}[rnd.IntN(4)], rnd.IntN(4) == 0)
	}
	if rnd.IntN(4) == 0 {
		r.Src = markTo("203.0.113.0/25", rnd.IntN(2) == 0)
	}
	if rnd.IntN(3) == 0 {
		r.Proto, r.NotProto = []uint8{6, 17}[rnd.IntN(2)], rnd.IntN(3) == 0
	}
	if rnd.IntN(5) == 0 {
		r.Ports = uint64(1 << rnd.IntN(3))
	}
	if rnd.IntN(2) == 0 {
		low := uint16(rnd.IntN(100))
		r.Conds = append(r.Conds, MarkCond{Kind: MarkCondKind(rnd.IntN(5)), Not: rnd.IntN(4) == 0,
			Ranges: []MarkRange{{low, low + uint16(rnd.IntN(100))}, {443, 443}}, Value: uint32(rnd.IntN(4)), Mask: 3})
	}
	return r
}

func randomMeta(rnd *rand.Rand) *packet.Meta {
	dst := []string{"192.0.2.1", "198.51.100.17", "198.51.100.40", "203.0.113.7"}[rnd.IntN(4)]
	m := metaOf(fmt.Sprintf("203.0.113.%d:%d", rnd.IntN(256), rnd.IntN(200)), fmt.Sprintf("%s:%d", dst, []int{rnd.IntN(200), 443}[rnd.IntN(2)]))
	m.Proto = []uint8{6, 17}[rnd.IntN(2)]
	m.TCPFlags = uint8(rnd.IntN(4))
	return m
}

// TestMarkAgainstTwin compares the program with rules taken by hand, recursively.
func TestMarkAgainstTwin(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range 2000 {
		s := randomMarks(rnd)
		p := &s.Marks.IPv4
		m, port := randomMeta(rnd), uint8(rnd.IntN(3))
		want := uint32(0)
		twinChain(p, p.Prerouting, m, port, &want)
		if dst := m.Dst.Netip().String(); dst != "192.0.2.1" && !strings.HasPrefix(dst, "198.51.100.") {
			want = 0
		} else {
			twinChain(p, p.Input, m, port, &want)
		}
		if got := s.mark(port, m); got != want {
			t.Fatalf("seed %d: mark %d, want %d\nrules %+v\npacket %+v", seed, got, want, *p, *m)
		}
	}
}

// twinChain is a chain; it reports whether the packet was accepted.
func twinChain(p *MarkProgram, c MarkSpan, m *packet.Meta, port uint8, mark *uint32) bool {
	for _, r := range p.Rules[c.From:c.To] {
		if !twinHolds(&r, m, port, *mark) {
			continue
		}
		switch r.Target {
		case MarkSet:
			*mark = *mark&^r.Mask ^ r.Value
		case MarkAccept:
			return true
		case MarkReturn:
			return false
		case MarkJump, MarkGoto:
			if twinChain(p, r.Chain, m, port, mark) {
				return true
			}
			if r.Target == MarkGoto {
				return false
			}
		}
	}
	return false
}

func twinHolds(r *MarkRule, m *packet.Meta, port uint8, mark uint32) bool {
	in := func(a MarkAddr, x packet.Addr) bool {
		var addr, mask packet.Addr
		for i := range 2 {
			binary.BigEndian.PutUint64(addr[8*i:], a.Addr[i])
			binary.BigEndian.PutUint64(mask[8*i:], a.Mask[i])
		}
		for i := range x {
			if x[i]&mask[i] != addr[i]&mask[i] {
				return a.Not
			}
		}
		return !a.Not
	}
	ok := in(r.Src, m.Src) && in(r.Dst, m.Dst) && r.Ports>>port&1 == 1
	if r.Proto != 0 {
		ok = ok && (r.Proto == m.Proto) != r.NotProto
	}
	for _, c := range r.Conds {
		has := func(p uint16) bool {
			return slices.ContainsFunc(c.Ranges, func(r MarkRange) bool { return r.Low <= p && p <= r.High })
		}
		holds := map[MarkCondKind]bool{MarkSource: has(m.SrcPort), MarkDest: has(m.DstPort), MarkEither: has(m.SrcPort) || has(m.DstPort),
			MarkFlags: uint32(m.TCPFlags)&c.Mask == c.Value, MarkSoFar: mark&c.Mask == c.Value}[c.Kind]
		ok = ok && holds != c.Not
	}
	return ok
}

// TestMarkClient tells whose worker a packet belongs to where services are by mark: their addresses are not among those of
// services.
func TestMarkClient(t *testing.T) {
	const client, vip, server = "203.0.113.9:1", "192.0.2.1:80", "192.0.2.20:80"
	s := markWorld(set(7))
	s.Marks.Nets = []LocalNet{{Addr: addrOf("198.51.100.0"), Free: 8, Mark: 7, Mask: ^uint32(0)}}
	s.Steer = Steer{Workers: 2, Servers: NewAddrSet([]packet.Addr{addrOf("192.0.2.20")})}
	w := &Worker{snap: s}
	for _, row := range []struct {
		name, src, dst string
		quoted         bool
		want           string
	}{
		{"request", client, vip, false, "203.0.113.9"},
		{"reply", server, client, false, "203.0.113.9"},
		{"request of a real server", server, vip, false, "192.0.2.20"},
		{"error about a reply", vip, client, true, "203.0.113.9"},
		{"error about a reply of a foreign address", "198.51.100.7:80", client, true, "203.0.113.9"},
		{"error about a request", client, server, true, "203.0.113.9"},
	} {
		m := metaOf(row.src, row.dst)
		if row.quoted {
			m.Flags |= packet.ICMPError
		}
		if got, _ := w.client(nil, m); got != addrOf(row.want) {
			t.Errorf("%s: client %v, want %s", row.name, got.Netip(), row.want)
		}
	}
}

// TestMarkKey gives the mark of a service back.
func TestMarkKey(t *testing.T) {
	for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
		if k := MarkKey(0x1a0a, family); k.Mark() != 0x1a0a || !k.ByMark() || k.Addr.Is4() != (family == packet.IPv4Family) {
			t.Errorf("family %d: %+v has the mark %d", family, k, k.Mark())
		}
	}
	if k := (ServiceKey{Addr: addrOf("192.0.2.1"), Proto: packet.ProtoTCP}); k.Mark() != 0 {
		t.Errorf("a service by address has the mark %d", k.Mark())
	}
}

// TestMarkDoesNotAllocate classifies by 100 rules.
func TestMarkDoesNotAllocate(t *testing.T) {
	s, m := hundredRules(), metaOf("203.0.113.9:1", "192.0.2.1:80")
	if n := testing.AllocsPerRun(100, func() { s.mark(0, m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// hundredRules is a director with 100 rules of which the last one holds.
func hundredRules() *Snapshot {
	var rules []MarkRule
	for i := range 100 {
		rules = append(rules, with(set(uint32(i+1)), func(r *MarkRule) {
			r.Dst, r.Proto = markTo("192.0.2.1/32", false), packet.ProtoTCP
			r.Conds = []MarkCond{{Kind: MarkDest, Ranges: []MarkRange{{uint16(1000 - i), uint16(1000 - i)}, {uint16(2000 - i), uint16(2000 - i)}}}}
		}))
	}
	rules[99].Conds[0].Ranges[0] = MarkRange{80, 80}
	return markWorld(rules...)
}

func BenchmarkMark100Rules(b *testing.B) {
	s, m := hundredRules(), metaOf("203.0.113.9:1", "192.0.2.1:80")
	b.ReportAllocs()
	for b.Loop() {
		if s.mark(0, m) != 100 {
			b.Fatal("another mark")
		}
	}
}
