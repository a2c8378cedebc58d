package iptables

import (
	"strconv"
	"strings"

	"dirsw/config"
)

// Op is what a command does.
type Op uint8

// The commands, with their letters.
const (
	OpNone      Op = iota
	OpAppend       // -A
	OpInsert       // -I
	OpReplace      // -R
	OpDelete       // -D with a rule
	OpDeleteNum    // -D with a number
	OpCheck        // -C
	OpFlush        // -F
	OpNew          // -N
	OpRemove       // -X
	OpRename       // -E
	OpPolicy       // -P, which can be ACCEPT only
	OpZero         // -Z
	OpRules        // -S
	OpList         // -L
)

// Command is a command line that has been read.
type Command struct {
	Pos    config.Pos
	IPv6   bool
	Op     Op
	Chain  string // empty: all, where that is possible
	Number int    // of a rule, from 1; of OpInsert 1 unless it is given
	To     string // of OpRename: the new name
	// Rules are those of OpAppend, OpInsert, OpReplace, OpDelete and OpCheck: one for each pair of addresses.
	Rules []config.MarkRule
}

// Changes reports whether the command changes rules or chains.
func (c *Command) Changes() bool { return c.Op != OpCheck && c.Op != OpRules && c.Op != OpList }

// Parse reads what follows iptables, or ip6tables, on a command line. The error is a config.Error, without a position if
// the words have none.
func Parse(ipv6 bool, words []Word) (Command, error) { return parse(ipv6, "", words) }

// parse is Parse, for a table that is named already if it is not empty.
func parse(ipv6 bool, table string, words []Word) (Command, error) {
	p := &parser{ipv6: ipv6, table: table, words: words}
	if len(words) > 0 {
		p.cmd.Pos = words[0].Pos
	}
	p.cmd.IPv6 = ipv6
	if err := p.run(); err != nil {
		return p.cmd, err
	}
	return p.cmd, p.finish()
}

// command handles the option that says what to do.
func (p *parser) command(letter byte, w, v Word) error {
	if p.cmd.Op != OpNone {
		return fail(w.Pos, "write one command on a line", "Cannot use -%c with another command", letter)
	}
	p.cmd.Chain = v.Text
	ops := map[byte]Op{'A': OpAppend, 'I': OpInsert, 'R': OpReplace, 'D': OpDelete, 'C': OpCheck, 'F': OpFlush, 'N': OpNew, 'X': OpRemove,
		'E': OpRename, 'P': OpPolicy, 'Z': OpZero, 'S': OpRules, 'L': OpList}
	p.cmd.Op = ops[letter]
	switch letter {
	case 'I', 'R', 'D', 'S', 'L', 'Z':
		n, ok := p.optional()
		if ok && v.Text != "" {
			return p.ruleNumber(n)
		}
		if p.cmd.Number = 1; letter == 'R' {
			return fail(w.Pos, "write -R CHAIN NUMBER RULE", "-R requires a rule number")
		}
	case 'N':
		if v.Text == "MARK" || v.Text == "ACCEPT" || v.Text == "RETURN" || v.Text == "DROP" {
			return fail(v.Pos, "name it otherwise", "chain name may not clash with target name")
		}
		return chainName(v)
	case 'E':
		to, err := p.next(w)
		p.cmd.To = to.Text
		if err == nil {
			err = chainName(to)
		}
		return err
	case 'P':
		to, err := p.next(w)
		switch {
		case err != nil:
		case to.Text == "DROP":
			return fail(to.Pos, "drop such packets before the director: dirsw marks, it does not filter", "the policy DROP cannot be honoured")
		case to.Text != "ACCEPT":
			return fail(to.Pos, "write ACCEPT", "Bad policy name %s", show(to.Text))
		}
		return err
	}
	return nil
}

// ruleNumber reads the number of a rule.
func (p *parser) ruleNumber(w Word) error {
	n, err := strconv.ParseUint(w.Text, 10, 31)
	if err != nil || n == 0 {
		return fail(w.Pos, "count rules from 1", "Invalid rule number `%s'", w.Text)
	}
	p.cmd.Number = int(n)
	if p.cmd.Op == OpDelete {
		p.cmd.Op = OpDeleteNum
	}
	return nil
}

// finish checks the line as a whole and makes its rules.
func (p *parser) finish() error {
	c := &p.cmd
	switch {
	case p.other:
		return fail(c.Pos, "write ip6tables for IPv6, iptables for IPv4", "the option is of the other address family")
	case c.Op == OpNone:
		return fail(c.Pos, "write -A CHAIN, -I CHAIN, -D CHAIN …", "no command specified")
	case p.table == "" && !strings.Contains(p.seen, "t"):
		return fail(c.Pos, "write -t mangle", "no table is named: without -t it is the table filter, which gives no marks")
	case noBuiltIn(c.Chain) != "":
		return fail(c.Pos, "write PREROUTING", "rules in %s: %s", c.Chain, noBuiltIn(c.Chain))
	}
	switch c.Op {
	case OpAppend, OpInsert, OpReplace, OpDelete, OpCheck:
		return p.finishRule()
	}
	if p.seen != "" && strings.Trim(p.seen, "tc") != "" || len(p.exts) > 0 {
		return fail(c.Pos, "leave the conditions out", "a rule where the command takes none")
	}
	return nil
}

// finishRule makes a rule for each pair of addresses, source first.
func (p *parser) finishRule() error {
	if err := p.finishMatches(); err != nil {
		return err
	}
	if e := p.markTarget(); e != nil && p.rule.Target.Kind == config.TargetNone {
		return fail(p.cmd.Pos, "write --set-mark N after -j MARK", "MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required")
	}
	if p.cmd.Op == OpReplace && (len(p.src) > 1 || len(p.dst) > 1) {
		return fail(p.cmd.Pos, "write one address", "Replacement rule does not specify a unique address")
	}
	if n := len(orAny(p.src)) * len(orAny(p.dst)); n > maxExpansion {
		return fail(p.cmd.Pos, "write networks", "the addresses make %d rules of one", n)
	}
	p.rule.Pos = p.cmd.Pos
	for _, src := range orAny(p.src) {
		for _, dst := range orAny(p.dst) {
			r := p.rule
			r.Src, r.Dst = src, dst
			p.cmd.Rules = append(p.cmd.Rules, r)
		}
	}
	return nil
}

// maxExpansion is how many rules one line may make.
const maxExpansion = 4096

// orAny is the list, or one address that stands for all.
func orAny(list []config.MarkAddr) []config.MarkAddr {
	if len(list) == 0 {
		return []config.MarkAddr{{}}
	}
	return list
}
