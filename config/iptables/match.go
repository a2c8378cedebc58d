package iptables

import (
	"fmt"
	"strings"

	"dirsw/config"
)

// maxComment is the longest comment (XT_MAX_COMMENT_LEN with its NUL).
const maxComment = 255

// maxPorts is how many ports a multiport condition has room for; a range takes two (XT_MULTI_PORTS).
const maxPorts = 15

// loadMatch reads what -m takes.
func (p *parser) loadMatch(v Word) error {
	options, ok := extensionOptions(v.Text)
	if !ok || v.Text == "MARK" {
		return refuseMatch(v)
	}
	m := config.MarkMatch{}
	switch v.Text {
	case "multiport":
		m.Kind = config.MatchMultiport
	case "mark":
		m.Kind = config.MatchMark
	case "comment":
		m.Kind = config.MatchComment
	default:
		m.Kind = config.MatchTransport
		m.Proto, _ = config.ProtocolNumber(v.Text)
	}
	p.exts = append(p.exts, &extension{name: v.Text, match: len(p.rule.Matches), options: options, given: map[string]bool{}})
	p.rule.Matches = append(p.rule.Matches, m)
	return nil
}

// implyProtocol loads the extension that goes with -p, once, because an option that nothing has may be one of its. It
// reports whether it did.
func (p *parser) implyProtocol() bool {
	name := config.ProtocolName(p.rule.Proto.Number)
	if _, ok := extensionOptions(name); !ok || p.implied {
		return false
	}
	p.implied = true
	return p.loadMatch(Word{Text: name}) == nil
}

// extensionOption handles an option of a match or of the target.
func (p *parser) extensionOption(f found, w, v Word) error {
	not := p.invert()
	e := f.ext
	if e.given[f.key] {
		return fail(w.Pos, "keep one of them", "%s: option \"--%s\" can only be used once", e.name, f.name)
	}
	e.given[f.key] = true
	if e.match < 0 {
		if not {
			return fail(p.notPos, "remove the !", "%s: option \"--%s\" cannot be inverted", e.name, f.name)
		}
		return p.markOption(f, w, v)
	}
	m := &p.rule.Matches[e.match]
	switch m.Kind {
	case config.MatchMultiport:
		return p.multiport(m, f, not, w, v)
	case config.MatchMark:
		var err error
		m.Value, m.Mask, err = value(v, f.name)
		m.Not = not
		return err
	case config.MatchComment:
		if not {
			return fail(p.notPos, "remove the !", "comment: option \"--comment\" cannot be inverted")
		}
		if len(v.Text) > maxComment {
			return fail(v.Pos, fmt.Sprintf("write at most %d bytes", maxComment), "the comment has %d bytes", len(v.Text))
		}
		if strings.ContainsAny(v.Text, "\n\r\x00") {
			return fail(v.Pos, "write it on one line", "the comment has several lines")
		}
		m.Text = v.Text
	case config.MatchTransport:
		return p.transport(m, f, not, w, v)
	}
	return nil
}

// transport handles an option of -m tcp, -m udp or -m sctp.
func (p *parser) transport(m *config.MarkMatch, f found, not bool, w, v Word) error {
	switch f.key {
	case "sport", "dport":
		r, err := portRange(v.Text, v.Pos, true)
		if err != nil || r == (config.PortRange{High: 65535}) && !not { // any port
			return err
		}
		to := &m.Source
		if f.key == "dport" {
			to = &m.Dest
		}
		*to = config.MarkPort{Given: true, Not: not, Range: r}
		return nil
	case "syn":
		if m.Flags != (config.MarkTCPFlags{}) {
			return fail(w.Pos, "keep one of them", "Only one of `--syn' or `--tcp-flags'  allowed")
		}
		m.Flags = config.MarkTCPFlags{Mask: 0x17, Set: 0x02, Not: not}
		return nil
	case "tcp-flags":
		return p.tcpFlags(m, not, w, v)
	}
	return fail(w.Pos, "leave it out", "the option \"--%s\" cannot be honoured", f.name)
}

// tcpFlags reads --tcp-flags MASK SET.
func (p *parser) tcpFlags(m *config.MarkMatch, not bool, w, v Word) error {
	second, ok := p.optional()
	if !ok {
		return fail(w.Pos, "write the flags that are looked at, and those that must be set", "--tcp-flags requires two args.")
	}
	if m.Flags != (config.MarkTCPFlags{}) {
		return fail(w.Pos, "keep one of them", "Only one of `--syn' or `--tcp-flags'  allowed")
	}
	m.Flags.Not = not
	for _, e := range []struct {
		w  Word
		to *uint8
	}{{v, &m.Flags.Mask}, {second, &m.Flags.Set}} {
		for name := range strings.SplitSeq(e.w.Text, ",") {
			bit, ok := tcpFlag(name)
			if !ok {
				return fail(e.w.Pos, "write FIN, SYN, RST, PSH, ACK, URG, ALL or NONE", "Unknown TCP flag `%s'", name)
			}
			*e.to |= bit
		}
	}
	return nil
}

// tcpFlag returns the bits of a name, as they stand in the TCP header.
func tcpFlag(name string) (uint8, bool) {
	switch strings.ToUpper(name) {
	case "FIN":
		return 1, true
	case "SYN":
		return 2, true
	case "RST":
		return 4, true
	case "PSH":
		return 8, true
	case "ACK":
		return 16, true
	case "URG":
		return 32, true
	case "ALL":
		return 63, true
	case "NONE":
		return 0, true
	}
	return 0, false
}

// multiport reads a list of ports and ranges.
func (p *parser) multiport(m *config.MarkMatch, f found, not bool, w, v Word) error {
	if m.Ports != nil {
		return fail(w.Pos, "write a second -m multiport before it",
			"multiport: option \"--%s\" cannot be used together with another list of ports", f.name)
	}
	m.Not = not
	switch f.key {
	case "dports":
		m.Side = config.DestPorts
	case "ports":
		m.Side = config.EitherPorts
	}
	room := maxPorts
	for part := range strings.SplitSeq(v.Text, ",") {
		r, err := portRange(part, v.Pos, false)
		if err != nil {
			return err
		}
		if room--; strings.Contains(part, ":") {
			room--
		}
		m.Ports = append(m.Ports, r)
	}
	if room < 0 {
		return fail(v.Pos, fmt.Sprintf("write at most %d, a range counting as two, and the others in a rule of their own", maxPorts),
			"too many ports specified")
	}
	return nil
}

// finishMatches checks what can only be known at the end.
func (p *parser) finishMatches() error {
	proto := p.rule.Proto
	for _, e := range p.exts {
		if e.match < 0 {
			continue
		}
		m := &p.rule.Matches[e.match]
		switch m.Kind {
		case config.MatchTransport:
			if proto.Number != m.Proto || proto.Not {
				return fail(p.cmd.Pos, "write -p "+e.name, "%s match requires '-p %s'", strings.ToUpper(e.name), e.name)
			}
		case config.MatchMultiport:
			if len(e.given) == 0 {
				return fail(p.cmd.Pos, "write --dports PORT,PORT after it", "multiport needs a list of ports")
			}
			if ok := proto.Number == 6 || proto.Number == 17 || proto.Number == 132 || proto.Number == 136 || proto.Number == 33; !ok || proto.Not {
				return fail(p.cmd.Pos, "write -p tcp, -p udp or -p sctp", "multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")
			}
		case config.MatchMark, config.MatchComment:
			if len(e.given) == 0 {
				return fail(p.cmd.Pos, "write it after -m "+e.name, "%s: option \"--%s\" must be specified", e.name, e.name)
			}
		}
	}
	return nil
}
