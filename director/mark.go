package director

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// marks compiles the rules that give packets their firewall marks; nil if there are none.
func marks(in *Inputs) *forward.Marks {
	m := &in.Model.Marks
	if m.IPv4.Empty() && m.IPv6.Empty() {
		return nil
	}
	out := &forward.Marks{
		IPv4:       markProgram(&m.IPv4, in.Names),
		IPv6:       markProgram(&m.IPv6, in.Names),
		Nets:       in.Nets,
		Everywhere: len(in.Local) == 0,
	}
	for i := range in.Model.Instances {
		for _, a := range in.Model.Instances[i].Addresses { // the director holds them as soon as the snapshot is in force
			out.Nets = append(out.Nets[:len(out.Nets):len(out.Nets)], forward.LocalNet{Addr: packet.AddrFrom(a.Prefix.Addr())})
		}
	}
	return out
}

// markProgram puts the chains of a table one after the other: those that packets come to, each once.
func markProgram(t *config.MarkTable, names []string) forward.MarkProgram {
	c := markCompiler{t: t, names: names, spans: map[string]forward.MarkSpan{}}
	return forward.MarkProgram{Prerouting: c.chain(config.ChainPrerouting), Input: c.chain(config.ChainInput), Rules: c.rules}
}

// markCompiler collects the rules of a table. Chains that a chain leads to come before it.
type markCompiler struct {
	t     *config.MarkTable
	names []string
	rules []forward.MarkRule
	spans map[string]forward.MarkSpan // of the chains that were compiled
}

func (c *markCompiler) chain(name string) forward.MarkSpan {
	if span, ok := c.spans[name]; ok {
		return span
	}
	chain := c.t.Chain(name)
	if chain == nil {
		return forward.MarkSpan{}
	}
	var list []forward.MarkRule
	for i := range chain.Rules {
		if r, ok := c.rule(&chain.Rules[i]); ok {
			list = append(list, r)
		}
	}
	span := forward.MarkSpan{From: uint32(len(c.rules)), To: uint32(len(c.rules) + len(list))}
	c.rules = append(c.rules, list...)
	c.spans[name] = span
	return span
}

// rule compiles a rule; false for one that does nothing: it has no target, or is for later fragments, whose marks are lost
// when the datagram is put together.
func (c *markCompiler) rule(m *config.MarkRule) (r forward.MarkRule, ok bool) {
	if m.Target.Kind == config.TargetNone || m.Fragment == config.LaterFragment {
		return r, false
	}
	r = forward.MarkRule{Src: markAddr(m.Src), Dst: markAddr(m.Dst), Ports: c.ports(m.In), Proto: m.Proto.Number,
		NotProto: m.Proto.Not, Value: m.Target.Value, Mask: m.Target.Mask}
	for i := range m.Matches {
		r.Conds = append(r.Conds, markConds(&m.Matches[i])...)
	}
	switch m.Target.Kind {
	case config.TargetMark:
		r.Target = forward.MarkSet
	case config.TargetAccept:
		r.Target = forward.MarkAccept
	case config.TargetReturn:
		r.Target = forward.MarkReturn
	case config.TargetJump:
		r.Target, r.Chain = forward.MarkJump, c.chain(m.Target.Chain)
	case config.TargetGoto:
		r.Target, r.Chain = forward.MarkGoto, c.chain(m.Target.Chain)
	}
	return r, true
}

// markAddr writes an address as forward compares it. The upper bits of an IPv4 address are the same for all.
func markAddr(m config.MarkAddr) (a forward.MarkAddr) {
	if !m.Addr.IsValid() {
		return a
	}
	addr, mask := packet.AddrFrom(m.Addr), packet.AddrFrom(m.Mask)
	if m.Mask.Is4() {
		for i := range 12 {
			mask[i] = 0xff
		}
	}
	for i := range 2 {
		a.Addr[i] = binary.BigEndian.Uint64(addr[8*i:])
		a.Mask[i] = binary.BigEndian.Uint64(mask[8*i:])
	}
	a.Not = m.Not
	return a
}

// ports returns the lane ports whose interface has the name, or begins with it if that ends with "+".
func (c *markCompiler) ports(in config.MarkInterface) (set uint64) {
	if in.Name == "" {
		return ^uint64(0)
	}
	start, some := strings.CutSuffix(in.Name, "+")
	for i, name := range c.names[:min(len(c.names), 64)] {
		if name == in.Name || some && strings.HasPrefix(name, start) {
			set |= 1 << i
		}
	}
	if in.Not {
		set = ^set
		if len(c.names) == 0 {
			return set
		}
		for i := len(c.names); i < 64; i++ { // never all of them: that is any, also where a name is not known
			set &^= 1 << i
		}
	}
	return set
}

// markConds compiles a condition of an extension: all that come of it must hold.
func markConds(m *config.MarkMatch) (list []forward.MarkCond) {
	switch m.Kind {
	case config.MatchTransport:
		for _, e := range []struct {
			kind forward.MarkCondKind
			port config.MarkPort
		}{{forward.MarkSource, m.Source}, {forward.MarkDest, m.Dest}} {
			if e.port.Given {
				list = append(list, forward.MarkCond{Kind: e.kind, Not: e.port.Not, Ranges: markRanges([]config.PortRange{e.port.Range})})
			}
		}
		if f := m.Flags; f != (config.MarkTCPFlags{}) {
			list = append(list, forward.MarkCond{Kind: forward.MarkFlags, Not: f.Not, Mask: uint32(f.Mask), Value: uint32(f.Set)})
		}
	case config.MatchMultiport:
		kind := [...]forward.MarkCondKind{config.SourcePorts: forward.MarkSource, config.DestPorts: forward.MarkDest,
			config.EitherPorts: forward.MarkEither}[m.Side]
		list = append(list, forward.MarkCond{Kind: kind, Not: m.Not, Ranges: markRanges(m.Ports)})
	case config.MatchMark:
		list = append(list, forward.MarkCond{Kind: forward.MarkSoFar, Not: m.Not, Mask: m.Mask, Value: m.Value})
	}
	return list
}

func markRanges(list []config.PortRange) []forward.MarkRange {
	out := make([]forward.MarkRange, len(list))
	for i, r := range list {
		out[i] = forward.MarkRange{Low: r.Low, High: r.High}
	}
	return out
}

// bypass gives a service by firewall mark the destination of what finds no server, where cache_bypass asks for it. It
// stays as long as there are connections to it.
func (c *compiler) bypass(svc *forward.Service, id forward.ServiceID, m *config.Service) {
	nowhere := packet.AddrFrom(netip.IPv4Unspecified())
	if m.IPv6 {
		nowhere = packet.AddrFrom(netip.IPv6Unspecified())
	}
	svc.Bypasses = m.Mark != 0 && c.s.Settings.CacheBypass
	old, known := c.dests[destKey{id, nowhere, 0}]
	if !svc.Bypasses && (!known || c.s.Dests[old].Load.Idle()) {
		return
	}
	slot := c.destSlot(id, nowhere, 0)
	d := &c.s.Dests[slot]
	if d.Load == nil {
		*d = forward.Dest{Load: sched.NewLoad(c.in.Workers), Tally: forward.NewTally(c.in.Workers)}
	}
	d.Gone, d.Service, d.Method, d.Addr, d.Hop = false, id, forward.Bypass, nowhere, c.in.Kernel
	d.Hop.Local = true
	svc.Bypass = conntrack.DestID(slot)
}

// localNet is a network that a local route is for, with the marks for which packets come to that route.
func localNet(p netip.Prefix, mark, mask uint32) forward.LocalNet {
	p = p.Masked()
	return forward.LocalNet{Addr: packet.AddrFrom(p.Addr()), Free: uint8(p.Addr().BitLen() - p.Bits()), Mark: mark, Mask: mask}
}

// Marks returns a copy of the rules in force. Any goroutine.
func (d *Director) Marks() config.Marks {
	if now := d.now.Load(); now != nil {
		return now.model.Marks.Clone()
	}
	return d.o.Model.Marks.Clone()
}
