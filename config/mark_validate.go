package config

import "fmt"

// maxMarkDepth is how many chains may be entered from one another.
const maxMarkDepth = 16

// Validate reports rules that lead nowhere and chains without end, as an Errors.
func (m *Marks) Validate() error {
	v := &validator{}
	v.marks(m)
	return v.errs.Or()
}

// marks checks that the rules lead somewhere and come to an end.
func (v *validator) marks(m *Marks) {
	for _, t := range []*MarkTable{&m.IPv4, &m.IPv6} {
		first := map[string]Pos{}
		for i := range t.Chains {
			c := &t.Chains[i]
			if p, ok := first[c.Name]; ok {
				v.fail(c.Pos, "name it otherwise", "the chain %q is there twice%s", c.Name, at(p))
				continue
			}
			first[c.Name] = c.Pos
			v.chain(t, c)
		}
		d := descent{v: v, t: t, height: map[string]int{}}
		for _, name := range []string{ChainPrerouting, ChainInput} {
			if c := t.Chain(name); c != nil && d.chain(c) > maxMarkDepth {
				v.fail(c.Pos, "put the rules into fewer chains", "more than %d chains within one another, from %s on", maxMarkDepth, name)
			}
		}
	}
}

// chain checks the targets of a chain's rules.
func (v *validator) chain(t *MarkTable, c *MarkChain) {
	for i := range c.Rules {
		r := &c.Rules[i]
		to := &r.Target
		switch {
		case to.Kind != TargetJump && to.Kind != TargetGoto:
		case BuiltIn(to.Chain):
			v.fail(r.Pos, "jump to a chain of your own (-N NAME)", "the rule jumps to the built-in chain %s", to.Chain)
		case t.Chain(to.Chain) == nil:
			v.fail(r.Pos, fmt.Sprintf("make it first (-N %s), or write MARK, ACCEPT or RETURN", to.Chain), "chain %q does not exist", to.Chain)
		}
	}
}

// descent looks for chains that lead back to themselves, visiting each once.
type descent struct {
	v      *validator
	t      *MarkTable
	height map[string]int // of a chain: how many are within one another from it on; 0 while it is being visited
}

// chain returns the height of a chain, and complains of the rules that make it endless.
func (d *descent) chain(c *MarkChain) int {
	d.height[c.Name] = 0
	highest := 0
	for i := range c.Rules {
		r := &c.Rules[i]
		to := d.t.Chain(r.Target.Chain)
		if to == nil || BuiltIn(to.Name) {
			continue // complained of
		}
		h, visited := d.height[to.Name]
		switch {
		case !visited:
			h = d.chain(to)
		case h == 0:
			d.v.fail(r.Pos, "jump elsewhere, or RETURN", "a rule of chain %q leads back to chain %q", c.Name, to.Name)
		}
		highest = max(highest, h)
	}
	d.height[c.Name] = highest + 1
	return highest + 1
}

// MarkNotes tells what is odd about the firewall marks of m although it can be served.
func (m *Model) MarkNotes() []Note {
	var notes []Note
	for _, ipv6 := range []bool{false, true} {
		n := markNoter{m: m, t: m.Marks.Table(ipv6), ipv6: ipv6, given: map[uint32]bool{}, asked: map[uint32]bool{}}
		n.rules()
		n.services()
		notes = append(notes, n.notes...)
	}
	return notes
}

// markNoter looks at the rules of one family.
type markNoter struct {
	m     *Model
	t     *MarkTable
	ipv6  bool
	given map[uint32]bool // marks that rules give
	asked map[uint32]bool // marks that rules look at
	parts bool            // some rules give or look at parts of a mark
	notes []Note
}

func (n *markNoter) note(pos Pos, format string, args ...any) {
	n.notes = append(n.notes, Note{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// rules goes through all rules.
func (n *markNoter) rules() {
	var marking []*MarkRule
	for i := range n.t.Chains {
		c := &n.t.Chains[i]
		for k := range c.Rules {
			r := &c.Rules[k]
			if twin := twinOf(c.Rules[:k], r); twin != nil {
				n.note(r.Pos, "the same rule is in chain %s twice%s", c.Name, at(twin.Pos))
				continue
			}
			n.look(r)
			if r.Target.Kind == TargetMark {
				marking = append(marking, r)
			}
		}
	}
	for i, r := range marking {
		switch v := r.Target.Value; {
		case r.Target.Mask != ^uint32(0) || n.parts:
		case v == 0 && i == 0:
			n.note(r.Pos, "mark 0 is no mark: the rule takes away what no rule before it has given")
		case v != 0 && !n.asked[v] && n.m.Service(ServiceKey{Mark: v, IPv6: n.ipv6}) == nil:
			n.note(r.Pos, "no virtual server is for %s: packets with this mark are served by their address", ServiceKey{Mark: v, IPv6: n.ipv6})
		}
	}
}

// look remembers the marks that a rule gives or looks at.
func (n *markNoter) look(r *MarkRule) {
	if r.Target.Kind == TargetMark {
		n.given[r.Target.Value] = true
		n.parts = n.parts || r.Target.Mask != ^uint32(0)
	}
	for i := range r.Matches {
		if m := &r.Matches[i]; m.Kind == MatchMark {
			n.asked[m.Value] = true
			n.parts = n.parts || m.Mask != ^uint32(0)
		}
	}
}

// twinOf returns the rule of the list that asks for the same, nil if there is none.
func twinOf(list []MarkRule, r *MarkRule) *MarkRule {
	for i := range list {
		if list[i].Same(r) {
			return &list[i]
		}
	}
	return nil
}

// services looks for those that no rule leads to.
func (n *markNoter) services() {
	for i := range n.m.Services {
		s := &n.m.Services[i]
		if s.Mark == 0 || s.IPv6 != n.ipv6 || n.parts || n.given[s.Mark] {
			continue
		}
		n.note(s.Pos, "no rule gives the mark of %s: write one, %s -t mangle -A PREROUTING -d ADDRESS -p tcp --dport PORT "+
			"-j MARK --set-mark %d", s.Key(), program(n.ipv6), s.Mark)
	}
}
