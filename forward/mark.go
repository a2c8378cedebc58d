package forward

import (
	"bytes"
	"encoding/binary"
	"slices"

	"dirsw/conntrack"
	"dirsw/packet"
)

// Marks gives packets their firewall marks, as the rules of iptables' table mangle would on their way to IPVS. It is
// compiled from the rules that the operator wrote, and immutable.
//
// The kernel's IPVS sees a packet behind the routing decision, and only if that says that it is for this host (the hook
// LOCAL_IN). So a mark counts only for such packets; which they are is said by Snapshot.Local, Nets and Everywhere.
type Marks struct {
	IPv4, IPv6 MarkProgram
	Nets       []LocalNet
	Everywhere bool // it is not known what is local: everything counts
}

// LocalNet is a network that the director's routing takes for its own although the addresses are on none of its
// interfaces (ip route add local …), perhaps only for packets with certain marks (ip rule … fwmark).
type LocalNet struct {
	Addr       packet.Addr
	Free       uint8 // bits at the end of Addr that stand for any, as in FilterKey
	Mark, Mask uint32
}

// MarkProgram are the rules of one address family.
type MarkProgram struct {
	Rules []MarkRule // of all chains, one chain after the other
	// Prerouting and Input are the built-in chains; both may be empty.
	Prerouting, Input MarkSpan
}

// MarkSpan is a part of MarkProgram.Rules: a chain.
type MarkSpan struct{ From, To uint32 }

// MarkRule is a rule: where all conditions hold, its target happens.
type MarkRule struct {
	Src, Dst MarkAddr
	Ports    uint64 // set of lane ports that a packet may have come from, by index; later ones are in none
	Proto    uint8  // 0: any
	NotProto bool
	Conds    []MarkCond

	Target      MarkTarget
	Value, Mask uint32   // of MarkSet
	Chain       MarkSpan // of MarkJump and MarkGoto
}

// MarkAddr is an address of which the bits in Mask count. The zero value is any.
type MarkAddr struct {
	Addr, Mask [2]uint64 // network order as two words, the upper one first
	Not        bool
}

// MarkTarget is what a rule does.
type MarkTarget uint8

// The targets.
const (
	MarkNext   MarkTarget = iota // go on with the next rule
	MarkSet                      // the mark becomes mark&^Mask^Value; go on
	MarkAccept                   // leave the built-in chain
	MarkReturn                   // go back to where a jump came from
	MarkJump
	MarkGoto // jump, and come back to where the chain of this rule would have gone back to
)

// MarkCondKind is what a condition looks at.
type MarkCondKind uint8

// What conditions look at.
const (
	MarkSource MarkCondKind = iota // the source port is in one of Ranges
	MarkDest                       // so the destination port
	MarkEither                     // so one of them
	MarkFlags                      // TCP flags: flags & Mask == Value
	MarkSoFar                      // the mark that earlier rules gave: mark & Mask == Value
	MarkNever                      // does not hold
)

// MarkCond is a condition other than addresses, protocol and interface.
type MarkCond struct {
	Kind        MarkCondKind
	Not         bool
	Ranges      []MarkRange
	Value, Mask uint32
}

// MarkRange is a range of ports, both ends included.
type MarkRange struct{ Low, High uint16 }

// markDepth is how many chains may be entered from one another.
const markDepth = 16

// mark is the firewall mark of a packet that belongs to no connection; 0 for none, or one that does not count.
func (w *Worker) mark(f *packet.Frame, m *packet.Meta) uint32 {
	if w.snap.Marks == nil {
		return 0
	}
	return w.snap.mark(f.Port, m)
}

// mark is Worker.mark for a packet that came by a port. The snapshot has Marks. IPVS schedules nothing but TCP, UDP and
// SCTP by mark.
func (s *Snapshot) mark(port uint8, m *packet.Meta) uint32 {
	p := &s.Marks.IPv4
	if m.Family == packet.IPv6Family {
		p = &s.Marks.IPv6
	}
	if len(p.Rules) == 0 || m.Proto != packet.ProtoTCP && m.Proto != packet.ProtoUDP && m.Proto != packet.ProtoSCTP {
		return 0
	}
	k := markPacket{Meta: m, src: addrWords(&m.Src), dst: addrWords(&m.Dst)}
	if port < 64 {
		k.port = 1 << port
	}
	mark := p.run(p.Prerouting, &k, 0)
	if !s.local(&m.Dst, mark) {
		return 0
	}
	return p.run(p.Input, &k, mark)
}

// local reports whether the director's routing takes a packet with this destination and mark for its own.
func (s *Snapshot) local(dst *packet.Addr, mark uint32) bool {
	if s.Marks.Everywhere {
		return true
	}
	if _, ok := slices.BinarySearchFunc(s.Local, dst, compareAddr); ok {
		return true
	}
	for i := range s.Marks.Nets {
		n := &s.Marks.Nets[i]
		if k := (FilterKey{Addr: n.Addr, Free: n.Free}); mark&n.Mask == n.Mark && k.covers(dst) {
			return true
		}
	}
	return false
}

func compareAddr(a packet.Addr, b *packet.Addr) int { return bytes.Compare(a[:], b[:]) }

// markPacket is a packet on its way through the rules.
type markPacket struct {
	*packet.Meta
	src, dst [2]uint64
	port     uint64 // the bit of the port that it came from
}

func addrWords(a *packet.Addr) [2]uint64 {
	return [2]uint64{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

// run takes a packet through a built-in chain and returns the mark that it has then.
func (p *MarkProgram) run(at MarkSpan, k *markPacket, mark uint32) uint32 {
	var back [markDepth]MarkSpan // what is left of the chains that jumped
	depth := 0
	for {
		if at.From == at.To {
			if depth == 0 {
				return mark
			}
			depth--
			at = back[depth]
			continue
		}
		r := &p.Rules[at.From]
		at.From++
		if !r.holds(k, mark) {
			continue
		}
		switch r.Target {
		case MarkSet:
			mark = mark&^r.Mask ^ r.Value
		case MarkAccept:
			return mark
		case MarkReturn:
			at.From = at.To
		case MarkJump:
			back[depth] = at
			depth++
			at = r.Chain
		case MarkGoto:
			at = r.Chain
		}
	}
}

// holds reports whether all conditions of a rule hold.
func (r *MarkRule) holds(k *markPacket, mark uint32) bool {
	if r.Dst.differs(&k.dst) != r.Dst.Not || r.Src.differs(&k.src) != r.Src.Not ||
		r.Proto != 0 && (r.Proto == k.Proto) == r.NotProto || r.Ports&k.port == 0 && r.Ports != ^uint64(0) {
		return false
	}
	for i := range r.Conds {
		if c := &r.Conds[i]; c.holds(k, mark) == c.Not {
			return false
		}
	}
	return true
}

func (a *MarkAddr) differs(w *[2]uint64) bool {
	return (w[0]^a.Addr[0])&a.Mask[0]|(w[1]^a.Addr[1])&a.Mask[1] != 0
}

// holds reports whether the condition holds, Not aside.
func (c *MarkCond) holds(k *markPacket, mark uint32) bool {
	switch c.Kind {
	case MarkSource:
		return c.has(k.SrcPort)
	case MarkDest:
		return c.has(k.DstPort)
	case MarkEither:
		return c.has(k.SrcPort) || c.has(k.DstPort)
	case MarkFlags:
		return uint32(k.TCPFlags)&c.Mask == c.Value
	case MarkSoFar:
		return mark&c.Mask == c.Value
	}
	return false
}

func (c *MarkCond) has(port uint16) bool {
	for _, r := range c.Ranges {
		if port >= r.Low && port <= r.High {
			return true
		}
	}
	return false
}

// bypass lets a new connection of a service by firewall mark that has found no server go where the client wanted
// (cache_bypass; kernel: ip_vs_leave), unless that is the director itself. The director's own network stack routes it.
func (w *Worker) bypass(v *Verdict, svc *Service, m *packet.Meta) {
	if svc.Bypasses && !w.snap.owns(&m.Dst) {
		v.Drop, v.Why, v.Dest = packet.NoDrop, WhyScheduler, svc.Bypass
	}
}

// owns reports whether an address is the director's own whatever mark a packet has. The kernel's stack sends nothing from
// others. Of a snapshot without Marks it is true: only those send packets for the addresses of others here.
func (s *Snapshot) owns(a *packet.Addr) bool { return s.Marks == nil || s.local(a, 0) }

// mayServe reports whether there may be a service by mark for packets to an address, depending on their marks.
func (s *Snapshot) mayServe(a *packet.Addr) bool {
	if s.Marks == nil {
		return false
	}
	if s.local(a, 0) {
		return true
	}
	for i := range s.Marks.Nets {
		n := &s.Marks.Nets[i]
		if k := (FilterKey{Addr: n.Addr, Free: n.Free}); k.covers(a) {
			return true
		}
	}
	return false
}

// foreign reports whether a packet was to an address that is not the director's own, and came to a service by its mark.
// The client is told nothing then: the kernel would have to send from that address, and does not.
func (v *Verdict) foreign(s *Snapshot, m *packet.Meta) bool {
	return v.Service != NoService && v.Dir == conntrack.FromClient && s.Services[v.Service].Key.ByMark() && !s.owns(&m.Dst)
}
