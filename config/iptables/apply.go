package iptables

import (
	"slices"

	"dirsw/config"
)

// Apply carries out a command on the marks. Rules and chains that it makes get the origin. What cannot be done is a
// config.Error, and m is then as it was.
func (c *Command) Apply(m *config.Marks, origin config.Origin) error {
	t := m.Table(c.IPv6)
	defer t.Tidy()
	switch c.Op {
	case OpNew:
		if config.BuiltIn(c.Chain) || t.Chain(c.Chain) != nil {
			return fail(c.Pos, "name it otherwise", "Chain already exists: %s", c.Chain)
		}
		t.Add(config.MarkChain{Pos: c.Pos, Origin: origin, Name: c.Chain})
		return nil
	case OpFlush, OpRemove, OpZero, OpRules, OpList, OpPolicy:
		return c.chains(t)
	case OpRename:
		return c.rename(t)
	}
	chain := t.Chain(c.Chain)
	if chain == nil && config.BuiltIn(c.Chain) {
		if c.Op == OpAppend || c.Op == OpInsert && c.Number == 1 {
			chain = t.Add(config.MarkChain{Pos: c.Pos, Origin: origin, Name: c.Chain})
		} else {
			chain = &config.MarkChain{Name: c.Chain}
		}
	}
	if chain == nil {
		return c.noChain(c.Chain)
	}
	return c.rules(t, chain, origin)
}

// noChain complains of a chain that there is not.
func (c *Command) noChain(name string) error {
	return fail(c.Pos, "make it first: -N "+name, "No chain/target/match by that name: chain %q does not exist", name)
}

// rules carries out a command on the rules of a chain.
func (c *Command) rules(t *config.MarkTable, chain *config.MarkChain, origin config.Origin) error {
	list := make([]config.MarkRule, len(c.Rules))
	for i, r := range c.Rules {
		r.Origin = origin
		if k := r.Target.Kind; k == config.TargetJump || k == config.TargetGoto {
			if err := c.jump(t, chain, r.Target.Chain); err != nil {
				return err
			}
		}
		list[i] = r
	}
	n := c.Number
	switch c.Op {
	case OpAppend:
		chain.Rules = append(chain.Rules, list...)
	case OpInsert:
		if n > len(chain.Rules)+1 {
			return fail(c.Pos, "append it with -A", "Index of insertion too big: chain %s has %d rules", chain.Name, len(chain.Rules))
		}
		slices.Reverse(list) // each is inserted before the one that came before it
		chain.Rules = slices.Insert(chain.Rules, n-1, list...)
	case OpReplace:
		if n > len(chain.Rules) {
			return fail(c.Pos, "count from 1", "Index of replacement too big: chain %s has %d rules", chain.Name, len(chain.Rules))
		}
		chain.Rules[n-1] = list[0]
	case OpDeleteNum:
		if n > len(chain.Rules) {
			return fail(c.Pos, "count from 1", "Index of deletion too big: chain %s has %d rules", chain.Name, len(chain.Rules))
		}
		chain.Rules = slices.Delete(chain.Rules, n-1, n)
	case OpDelete, OpCheck:
		return c.delete(chain, list)
	}
	return nil
}

// jump checks that a rule may lead to a chain.
func (c *Command) jump(t *config.MarkTable, from *config.MarkChain, to string) error {
	switch {
	case config.BuiltIn(to) || noBuiltIn(to) != "":
		return fail(c.Pos, "jump to a chain of your own (-N NAME)", "the rule jumps to the built-in chain %s", to)
	case t.Chain(to) == nil:
		return fail(c.Pos, "make it first (-N "+to+"), or write MARK, ACCEPT or RETURN", "Chain '%s' does not exist", to)
	case to == from.Name || leads(t, to, from.Name, map[string]bool{}):
		return fail(c.Pos, "jump elsewhere, or RETURN", "Too many links: chain %q leads back to chain %q", to, from.Name)
	}
	return nil
}

// leads reports whether a chain leads to another.
func leads(t *config.MarkTable, from, to string, seen map[string]bool) bool {
	c := t.Chain(from)
	if c == nil || seen[from] {
		return false
	}
	seen[from] = true
	for i := range c.Rules {
		if next := c.Rules[i].Target.Chain; next != "" && (next == to || leads(t, next, to, seen)) {
			return true
		}
	}
	return false
}

// delete removes the first rule like each of the list, or with OpCheck only looks for them.
func (c *Command) delete(chain *config.MarkChain, list []config.MarkRule) error {
	rest := slices.Clone(chain.Rules)
	for i := range list {
		k := slices.IndexFunc(rest, func(r config.MarkRule) bool { return r.Same(&list[i]) })
		if k < 0 {
			return fail(c.Pos, "see the rules with -S", "Bad rule (does a matching rule exist in that chain?)")
		}
		if c.Op == OpDelete {
			rest = slices.Delete(rest, k, k+1)
		}
	}
	chain.Rules = rest
	return nil
}

// chains carries out a command on one chain or on all.
func (c *Command) chains(t *config.MarkTable) error {
	if c.Chain != "" && !config.BuiltIn(c.Chain) && t.Chain(c.Chain) == nil {
		return c.noChain(c.Chain)
	}
	switch c.Op {
	case OpFlush:
		for i := range t.Chains {
			if c.Chain == "" || t.Chains[i].Name == c.Chain {
				t.Chains[i].Rules = nil
			}
		}
	case OpRemove:
		return c.remove(t)
	case OpPolicy:
		if !config.BuiltIn(c.Chain) {
			return fail(c.Pos, "write PREROUTING or INPUT", "Bad built-in chain name: %s", c.Chain)
		}
	}
	return nil
}

// remove deletes an empty chain that nothing leads to, or all of them.
func (c *Command) remove(t *config.MarkTable) error {
	if config.BuiltIn(c.Chain) {
		return fail(c.Pos, "empty it with -F", "the built-in chain %s cannot be deleted", c.Chain)
	}
	stay := make([]config.MarkChain, 0, len(t.Chains))
	for i := range t.Chains {
		chain := &t.Chains[i]
		if config.BuiltIn(chain.Name) || c.Chain != "" && chain.Name != c.Chain {
			stay = append(stay, *chain)
			continue
		}
		if len(chain.Rules) > 0 {
			return fail(c.Pos, "empty it first: -F "+chain.Name, "Directory not empty: chain %q has rules", chain.Name)
		}
		for k := range t.Chains {
			if slices.ContainsFunc(t.Chains[k].Rules, func(r config.MarkRule) bool { return r.Target.Chain == chain.Name }) {
				return fail(c.Pos, "delete the rules that jump to it", "Too many links: chain %q leads to chain %q", t.Chains[k].Name, chain.Name)
			}
		}
	}
	t.Chains = stay
	return nil
}

// rename gives a chain another name, also where rules lead to it.
func (c *Command) rename(t *config.MarkTable) error {
	switch {
	case config.BuiltIn(c.Chain) || config.BuiltIn(c.To) || noBuiltIn(c.To) != "":
		return fail(c.Pos, "rename a chain of your own", "a built-in chain keeps its name")
	case t.Chain(c.Chain) == nil:
		return c.noChain(c.Chain)
	case t.Chain(c.To) != nil:
		return fail(c.Pos, "name it otherwise", "File exists: chain %q", c.To)
	}
	moved := *t.Chain(c.Chain)
	t.Chains = slices.DeleteFunc(t.Chains, func(chain config.MarkChain) bool { return chain.Name == c.Chain })
	moved.Name = c.To
	t.Add(moved)
	for i := range t.Chains {
		chain := &t.Chains[i]
		for k := range chain.Rules {
			if chain.Rules[k].Target.Chain == c.Chain {
				chain.Rules[k].Target.Chain = c.To
			}
		}
	}
	return nil
}
