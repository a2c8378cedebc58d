package iptables

import (
	"slices"
	"strings"

	"dirsw/config"
)

// maxName is the longest name of a chain (XT_EXTENSION_MAXNAMELEN less what iptables keeps).
const maxName = 28

// target reads what -j and -g take.
func (p *parser) target(letter byte, w, v Word) error {
	t := &p.rule.Target
	if t.Kind != config.TargetNone || p.markTarget() != nil {
		return fail(w.Pos, "keep one of them", "a rule has one target")
	}
	if p.not {
		return fail(p.notPos, "write the condition that ! turns round before -"+string(letter), "cannot have ! before -%c", letter)
	}
	if letter == 'g' {
		*t = config.MarkTarget{Kind: config.TargetGoto, Chain: v.Text}
		return chainName(v)
	}
	switch v.Text {
	case "MARK":
		options, _ := extensionOptions("MARK")
		p.exts = append(p.exts, &extension{name: "MARK", match: -1, options: options, given: map[string]bool{}})
		return nil
	case "ACCEPT":
		t.Kind = config.TargetAccept
		return nil
	case "RETURN":
		t.Kind = config.TargetReturn
		return nil
	}
	if fix, ok := refused(refusedTargets(), v.Text); ok {
		return fail(v.Pos, fix, "the target %s cannot be honoured", v.Text)
	}
	if near := config.Nearest(v.Text, slices.Values([]string{"MARK", "ACCEPT", "RETURN"})); near != "" && strings.EqualFold(near, v.Text) {
		return fail(v.Pos, "write "+near, "there is no target %s", show(v.Text))
	}
	*t = config.MarkTarget{Kind: config.TargetJump, Chain: v.Text}
	return chainName(v)
}

// chainName checks the name of a chain of the operator's.
func chainName(v Word) error {
	switch {
	case v.Text == "", strings.HasPrefix(v.Text, "-"), strings.HasPrefix(v.Text, "!"), strings.ContainsAny(v.Text, " \t\n\r\v\f\"'\\\x00"):
		return fail(v.Pos, "write a name of letters and digits", "invalid chain name `%s'", v.Text)
	case len(v.Text) > maxName:
		return fail(v.Pos, "write a shorter one", "chain name `%s' too long (must be under 29 chars)", v.Text)
	}
	return nil
}

// markTarget returns the target MARK of the rule, nil if it has none.
func (p *parser) markTarget() *extension {
	for _, e := range p.exts {
		if e.match < 0 {
			return e
		}
	}
	return nil
}

// markOption handles an option of -j MARK.
func (p *parser) markOption(f found, w, v Word) error {
	t := &p.rule.Target
	if t.Kind == config.TargetMark {
		return fail(w.Pos, "keep one of them", "MARK: option \"--%s\" cannot be used together with another one", f.name)
	}
	t.Kind = config.TargetMark
	var err error
	if f.key == "set-mark" || f.key == "set-xmark" {
		t.Value, t.Mask, err = value(v, f.name)
		if f.key == "set-mark" {
			t.Mask |= t.Value
		}
		return err
	}
	n, ok := number(v.Text)
	if !ok {
		return fail(v.Pos, "write a number like 1 or 0x1", "bad value for option \"--%s\", or out of range (0-4294967295): %s", f.name, show(v.Text))
	}
	switch f.key {
	case "and-mark":
		t.Value, t.Mask = 0, ^n
	case "or-mark":
		t.Value, t.Mask = n, n
	case "xor-mark":
		t.Value, t.Mask = n, 0
	}
	return nil
}
