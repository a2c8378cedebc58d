package keepalived

import (
	"errors"
	"path"

	"dirsw/config"
	"dirsw/config/iptables"
)

// iptables reads a command line of iptables or ip6tables as it is typed, and carries it out on the marks.
func (p *parser) iptables(s *statement) {
	var words []iptables.Word
	for _, w := range s.args() {
		words = append(words, iptables.Word{Text: w.text, Pos: w.pos})
	}
	c, err := iptables.Parse(s.name() == "ip6tables", words)
	if c.Pos == (config.Pos{}) {
		c.Pos = s.pos()
	}
	switch {
	case err != nil:
	case !c.Changes():
		p.fail(c.Pos, "remove the line", "a line of %s that changes nothing", s.name())
	default:
		err = c.Apply(&p.model.Marks, config.FromFile)
	}
	p.take(s.pos(), err)
}

// take adds the complaints of somebody else; those without a position get one.
func (p *parser) take(pos config.Pos, err error) {
	var list config.Errors
	var one config.Error
	switch {
	case err == nil:
	case errors.As(err, &list):
		p.errs = append(p.errs, list...)
	case errors.As(err, &one):
		if one.Pos == (config.Pos{}) {
			one.Pos = pos
		}
		p.errs = append(p.errs, one)
	default:
		p.fail(pos, "", "%v", err)
	}
}

// iptablesSave reads a file of iptables-save or ip6tables-save, as iptables-restore does: what lines before said is gone,
// so there must be none. A relative name is looked for beside the configuration.
func (p *parser) iptablesSave(b *block, s *statement) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return
	}
	ipv6 := s.name() == "ip6tables_save"
	if t := p.model.Marks.Table(ipv6); len(t.Chains) > 0 {
		p.fail(s.pos(), "write it before the lines of iptables", "%s replaces the rules before it", s.name())
		return
	}
	file := args[0].text
	if !path.IsAbs(file) {
		file = path.Join(path.Dir(args[0].pos.File), file)
	}
	if p.open == nil {
		p.fail(args[0].pos, "write its rules as lines of iptables", "%s cannot be read here", show(file))
		return
	}
	f, err := p.open(file)
	if err != nil {
		p.fail(args[0].pos, "", "%v", err)
		return
	}
	defer f.Close()
	t, notes, err := iptables.ReadSave(file, f, ipv6)
	*p.model.Marks.Table(ipv6) = t
	p.notes = append(p.notes, notes...)
	p.take(args[0].pos, err)
}

// marks writes the rules as lines of iptables and ip6tables: chains first, for rules lead to them.
func (p *printer) marks(m *config.Marks) {
	for _, ipv6 := range []bool{false, true} {
		program := "iptables"
		if ipv6 {
			program = "ip6tables"
		}
		t := m.Table(ipv6)
		for i := range t.Chains {
			if name := t.Chains[i].Name; !config.BuiltIn(name) {
				p.rule(program, "-t", "mangle", "-N", name)
			}
		}
		for i := range t.Chains {
			c := &t.Chains[i]
			for k := range c.Rules {
				p.rule(append([]string{program, "-t", "mangle", "-A", c.Name}, c.Rules[k].Words()...)...)
			}
		}
	}
}

// rule writes a line of iptables, in which an exclamation mark begins no comment.
func (p *printer) rule(words ...string) {
	p.indent()
	for i, w := range words {
		if i > 0 {
			p.w.WriteByte(' ')
		}
		if w != "!" {
			w = quote(w)
		}
		p.w.WriteString(w)
	}
	p.w.WriteByte('\n')
}
