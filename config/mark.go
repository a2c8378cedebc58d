package config

import (
	"cmp"
	"net/netip"
	"slices"
)

// Marks is what gives packets their firewall marks: the mangle table of iptables and that of ip6tables, as far as packets
// pass it before IPVS sees them.
type Marks struct {
	IPv4, IPv6 MarkTable
}

// MarkTable is the mangle table of one address family.
type MarkTable struct {
	// Chains are in the order in which iptables lists them: the built-in ones that have rules, then the operator's by name.
	Chains []MarkChain
}

// The built-in chains that packets pass before IPVS, in this order.
const (
	ChainPrerouting = "PREROUTING"
	ChainInput      = "INPUT" // only packets to this host
)

// MarkChain is a chain of the mangle table.
type MarkChain struct {
	Pos    Pos
	Origin Origin // who made it; means nothing for a built-in one
	Name   string
	Rules  []MarkRule
}

// MarkRule is a rule: where all of its conditions hold, its target happens. The zero value of a condition always holds.
type MarkRule struct {
	Pos    Pos
	Origin Origin

	Src, Dst MarkAddr
	In       MarkInterface
	Proto    MarkProtocol
	Fragment MarkFragment
	Matches  []MarkMatch // in the order they were written
	Target   MarkTarget
}

// MarkAddr is the condition -s or -d. Mask may have holes; bits of Addr that it does not have are 0.
type MarkAddr struct {
	Addr, Mask netip.Addr // both invalid: any
	Not        bool
}

// MarkInterface is the condition -i: the name of an interface, or the beginning of one followed by "+".
type MarkInterface struct {
	Name string // empty: any
	Not  bool
}

// MarkProtocol is the condition -p: the number of an IP protocol.
type MarkProtocol struct {
	Number uint8 // 0: any
	Not    bool
}

// MarkFragment is the condition -f, of IPv4 only.
type MarkFragment uint8

// What -f asks for.
const (
	AnyFragment   MarkFragment = iota
	LaterFragment              // -f: the second part of a datagram or one after it
	NoFragment                 // ! -f: a whole datagram, or the first part of one
)

// MarkMatchKind names an extension that conditions are made with.
type MarkMatchKind uint8

// The extensions that are understood.
const (
	MatchTransport MarkMatchKind = iota + 1 // -m tcp, -m udp, -m sctp
	MatchMultiport                          // -m multiport
	MatchMark                               // -m mark: the mark that the packet has so far
	MatchComment                            // -m comment: always holds
)

// MarkMatch is a condition made with an extension.
type MarkMatch struct {
	Kind MarkMatchKind

	Proto        uint8        // of MatchTransport: the protocol that it is named after
	Source, Dest MarkPort     // of MatchTransport
	Flags        MarkTCPFlags // of MatchTransport with TCP

	Side  MarkSide    // of MatchMultiport
	Ports []PortRange // of MatchMultiport: one of them must hold

	Value, Mask uint32 // of MatchMark: mark & Mask == Value

	Not bool // of MatchMultiport and MatchMark

	Text string // of MatchComment
}

// MarkPort is the condition --sport or --dport.
type MarkPort struct {
	Given bool // else any port
	Not   bool
	Range PortRange
}

// PortRange is a range of ports, both ends included.
type PortRange struct {
	Low, High uint16
}

// MarkTCPFlags is the condition --tcp-flags: of the flags in Mask exactly those in Set are set. Bits are those of the
// TCP header (RFC 9293, section 3.1).
type MarkTCPFlags struct {
	Mask, Set uint8 // both 0: any
	Not       bool
}

// MarkSide says which port of a packet multiport compares.
type MarkSide uint8

// The sides, as multiport has them: --sports, --dports, --ports.
const (
	SourcePorts MarkSide = iota
	DestPorts
	EitherPorts
)

// MarkTargetKind is what a rule does.
type MarkTargetKind uint8

// The targets.
const (
	TargetNone   MarkTargetKind = iota // go on with the next rule
	TargetMark                         // -j MARK: change the mark and go on with the next rule
	TargetAccept                       // -j ACCEPT: no further rule of this built-in chain
	TargetReturn                       // -j RETURN: back to the chain that jumped here; in a built-in one as ACCEPT
	TargetJump                         // -j NAME: the rules of a chain of the operator's, then the next one
	TargetGoto                         // -g NAME: the rules of a chain of the operator's instead of those that follow
)

// MarkTarget is what a rule does. TargetMark makes mark&^Mask^Value of the mark, which is --set-xmark Value/Mask.
type MarkTarget struct {
	Kind        MarkTargetKind
	Value, Mask uint32
	Chain       string // of TargetJump and TargetGoto
}

// Table returns the table of a family.
func (m *Marks) Table(ipv6 bool) *MarkTable {
	if ipv6 {
		return &m.IPv6
	}
	return &m.IPv4
}

// Chain returns the chain of that name, nil if there is none. It points into t.
func (t *MarkTable) Chain(name string) *MarkChain {
	for i := range t.Chains {
		if t.Chains[i].Name == name {
			return &t.Chains[i]
		}
	}
	return nil
}

// Add puts a chain in its place and returns it. There must be none of its name.
func (t *MarkTable) Add(c MarkChain) *MarkChain {
	i, _ := slices.BinarySearchFunc(t.Chains, c.Name, func(c MarkChain, name string) int {
		return cmp.Or(cmp.Compare(chainRank(c.Name), chainRank(name)), cmp.Compare(c.Name, name))
	})
	t.Chains = slices.Insert(t.Chains, i, c)
	return &t.Chains[i]
}

func chainRank(name string) int {
	switch name {
	case ChainPrerouting:
		return 0
	case ChainInput:
		return 1
	}
	return 2
}

// Tidy leaves out built-in chains that have no rules.
func (t *MarkTable) Tidy() {
	t.Chains = slices.DeleteFunc(t.Chains, func(c MarkChain) bool { return BuiltIn(c.Name) && len(c.Rules) == 0 })
}

// BuiltIn reports whether a chain of that name is there without being made.
func BuiltIn(chain string) bool { return chain == ChainPrerouting || chain == ChainInput }

// Empty reports whether there is no rule.
func (t *MarkTable) Empty() bool {
	for i := range t.Chains {
		if len(t.Chains[i].Rules) > 0 {
			return false
		}
	}
	return true
}

// Clone returns a copy that shares nothing with m that commands change.
func (m *Marks) Clone() Marks {
	return Marks{IPv4: m.IPv4.Clone(), IPv6: m.IPv6.Clone()}
}

// Clone returns a copy that shares nothing with t that commands change.
func (t *MarkTable) Clone() MarkTable {
	c := MarkTable{Chains: slices.Clone(t.Chains)}
	for i := range c.Chains {
		c.Chains[i].Rules = slices.Clone(c.Chains[i].Rules)
	}
	return c
}

// Same reports whether two rules ask for the same: positions and origins do not count.
func (r *MarkRule) Same(o *MarkRule) bool {
	return r.Src == o.Src && r.Dst == o.Dst && r.In == o.In && r.Proto == o.Proto && r.Fragment == o.Fragment &&
		r.Target == o.Target && slices.EqualFunc(r.Matches, o.Matches, sameMatch)
}

func sameMatch(a, b MarkMatch) bool {
	return slices.Equal(a.Ports, b.Ports) && a.Kind == b.Kind && a.Proto == b.Proto && a.Source == b.Source && a.Dest == b.Dest && a.Flags == b.Flags &&
		a.Side == b.Side && a.Value == b.Value && a.Mask == b.Mask && a.Not == b.Not && a.Text == b.Text
}
