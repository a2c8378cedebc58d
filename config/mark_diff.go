package config

import (
	"fmt"
	"slices"
)

// marks adds what turns the one set of rules into the other: rules have no names, so each that is not in both goes or
// comes, and a chain whose remaining rules stand in another order has changed.
func (d *differ) marks(old, new *Marks) {
	for _, ipv6 := range []bool{false, true} {
		was, is := old.Table(ipv6), new.Table(ipv6)
		for i := range was.Chains {
			c := &was.Chains[i]
			now := is.Chain(c.Name)
			if now == nil {
				now = &MarkChain{Name: c.Name}
				if !BuiltIn(c.Name) {
					d.add(Removed, chainChange(ipv6, c), "with "+count(len(c.Rules), "rule", "s"))
					continue
				}
			}
			d.markRules(ipv6, c, now)
		}
		for i := range is.Chains {
			c := &is.Chains[i]
			if was.Chain(c.Name) != nil {
				continue
			}
			if !BuiltIn(c.Name) {
				d.add(Added, chainChange(ipv6, c), "")
			}
			d.markRules(ipv6, &MarkChain{Name: c.Name}, c)
		}
	}
}

// markRules compares the rules of a chain. A rule may be there several times.
func (d *differ) markRules(ipv6 bool, old, new *MarkChain) {
	stay := make([]bool, len(new.Rules))
	var at []int // where in new the rules of old are
	for i := range old.Rules {
		r := &old.Rules[i]
		k := slices.IndexFunc(new.Rules, func(n MarkRule) bool { return n.Same(r) })
		for k >= 0 && stay[k] {
			if next := slices.IndexFunc(new.Rules[k+1:], func(n MarkRule) bool { return n.Same(r) }); next >= 0 {
				k += 1 + next
			} else {
				k = -1
			}
		}
		if k < 0 {
			d.add(Removed, ruleChange(ipv6, old, r), "")
			continue
		}
		stay[k] = true
		at = append(at, k)
	}
	for i := range new.Rules {
		if !stay[i] {
			d.add(Added, ruleChange(ipv6, new, &new.Rules[i]), "")
		}
	}
	if !slices.IsSorted(at) {
		d.add(Changed, chainChange(ipv6, new), "rules in another order")
	}
}

// program is what changes the rules of a family.
func program(ipv6 bool) string {
	if ipv6 {
		return "ip6tables"
	}
	return "iptables"
}

func chainChange(ipv6 bool, c *MarkChain) Change {
	return Change{Kind: KindMarkChain, Name: fmt.Sprintf("%s %s", program(ipv6), c.Name)}
}

func ruleChange(ipv6 bool, c *MarkChain, r *MarkRule) Change {
	return Change{Kind: KindMarkRule, Name: fmt.Sprintf("%s -A %s %s", program(ipv6), c.Name, r)}
}
