package config

import "slices"

// marks puts the rules and chains that commands made among those of the file: each behind as many rules of the file as it
// stood behind before. A rule that the file has in the same chain now is the file's from then on.
func (m *merger) marks(running *Marks) {
	for _, ipv6 := range []bool{false, true} {
		was, is := running.Table(ipv6), m.out.Marks.Table(ipv6)
		for i := range was.Chains {
			c := &was.Chains[i]
			to := is.Chain(c.Name)
			if to == nil {
				if c.Origin != FromCommand && !BuiltIn(c.Name) && !slices.ContainsFunc(c.Rules, func(r MarkRule) bool { return r.Origin == FromCommand }) {
					continue
				}
				to = is.Add(MarkChain{Pos: c.Pos, Origin: c.Origin, Name: c.Name})
			}
			m.markRules(c, to)
		}
		is.Tidy()
	}
}

// markRules puts the rules that commands made into what the file says of their chain.
func (m *merger) markRules(was, is *MarkChain) {
	file := is.Rules
	var out []MarkRule
	before := 0 // rules of the file
	for i := range was.Rules {
		r := was.Rules[i]
		if r.Origin != FromCommand {
			if before < len(file) {
				out = append(out, file[before])
				before++
			}
			continue
		}
		if twin := twinOf(file, &r); twin != nil {
			m.say(twin.Pos, "the rule was made by a command; from now on it is as the file says")
			continue
		}
		out = append(out, r)
	}
	is.Rules = append(out, file[before:]...)
}
