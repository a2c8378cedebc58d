package keepalived

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"dirsw/config"
)

// firstRule is the priority of the first rule that has none; the next ones go before it.
const firstRule = 16384

// rules reads the lines of virtual_rules or static_rules.
func (p *parser) rules(s *statement) []config.Rule {
	var out []config.Rule
	for _, line := range p.values(s) {
		if r, ok := p.rule(line); ok {
			out = append(out, r)
		}
	}
	return out
}

// ruleReader reads one rule.
type ruleReader struct {
	reader
	config.Rule
	six, four, priority bool
}

// rule reads a line as `ip rule add` takes it.
func (p *parser) rule(line *statement) (config.Rule, bool) {
	r := &ruleReader{reader: reader{p: p, words: line.words, what: "a rule"},
		Rule: config.Rule{Pos: line.pos(), SuppressPrefixLen: -1, SuppressGroup: -1}}
	for r.more() && !r.bad {
		w := r.next()
		if !r.selector(w) && !r.ports(w) && !r.action(w) {
			r.bad = true
			p.stray(w, "from, to, table or another word of ip-rule(8)", r.what)
		}
	}
	r.finish()
	return r.Rule, !r.bad
}

// selector reads which packets the rule is for.
func (r *ruleReader) selector(w token) bool {
	switch w.text {
	case "not":
		r.Not = true
	case "from":
		r.prefix(&r.From)
	case "to":
		r.prefix(&r.To)
	case "iif", "dev":
		r.link(&r.IIF)
	case "oif":
		r.link(&r.OIF)
	case "fwmark":
		r.mark()
	case "tos", "dsfield":
		r.tos(&r.TOS)
	case "tun_id":
		if v, ok := r.value(); ok {
			n, ok := r.p.unsigned(v, math.MaxUint64)
			r.TunnelID, r.bad = n, r.bad || !ok
		}
	case "l3mdev":
		r.L3MDev = true
	case "inet", "inet6":
		r.six, r.four = w.text == "inet6", w.text == "inet"
	default:
		return false
	}
	return true
}

// ports reads who sends the packets.
func (r *ruleReader) ports(w token) bool {
	switch w.text {
	case "uidrange":
		r.span(&r.UIDs, math.MaxUint32)
	case "ipproto", "ip_proto":
		if r.text(&r.IPProto); r.IPProto != "" {
			r.IPProto = strings.ToLower(r.IPProto)
		}
	case "sport":
		r.span(&r.SrcPorts, math.MaxUint16)
	case "dport":
		r.span(&r.DstPorts, math.MaxUint16)
	default:
		return false
	}
	return true
}

// action reads what becomes of the packets.
func (r *ruleReader) action(w token) bool {
	switch w.text {
	case "table", "lookup":
		r.act(w, "lookup")
		r.table(&r.Table)
	case "goto":
		r.act(w, "goto")
		r.number(&r.Goto)
	case "nop", "blackhole", "unreachable", "prohibit":
		r.act(w, w.text)
	case "priority", "preference", "order", "pref":
		r.priority = true
		r.number(&r.Priority)
	case "realms":
		r.text(&r.Realm)
	case "protocol":
		r.text(&r.Protocol)
	case "suppress_prefixlength", "suppress_prefixlen":
		r.small(&r.SuppressPrefixLen, 128)
	case "suppress_ifgroup":
		r.small(&r.SuppressGroup, math.MaxInt32)
	case "no_track":
		r.NoTrack = true
	case "track_group":
		r.p.noteIdle(staticTracking, w.text, w.pos)
		r.text(&r.TrackGroup)
	default:
		return false
	}
	return true
}

// act stores what becomes of the packets.
func (r *ruleReader) act(w token, action string) {
	if r.Action != "" {
		r.bad = true
		r.p.fail(w.pos, "write one of them", "both %s and %s in a rule", r.Action, action)
	}
	r.Action = action
}

// finish checks the rule as a whole, and gives it a priority.
func (r *ruleReader) finish() {
	switch {
	case r.bad:
		return
	case r.six && r.four:
		r.bad = true
		r.p.fail(r.Pos, "write addresses of one family", "a rule with addresses of both families")
		return
	case r.L3MDev && r.Action == "":
		r.Action = "lookup"
	case r.Action == "":
		r.bad = true
		r.p.fail(r.Pos, "write table N, goto N, blackhole, unreachable or prohibit", "a rule that says nothing of its packets")
		return
	}
	if r.Action != "lookup" && (r.SuppressPrefixLen >= 0 || r.SuppressGroup >= 0 || r.Realm != "") {
		r.bad = true
		r.p.fail(r.Pos, "remove it, or write table N", "a suppressor or realms in a rule that looks up no table")
		return
	}
	r.IPv6 = r.six
	if !r.priority {
		r.Priority = r.p.rulePriority(r.six)
		r.p.note(r.Pos, "the rule has no preference: it gets %d, as keepalived gives it", r.Priority)
	}
}

// rulePriority returns the next priority for a rule that has none.
func (p *parser) rulePriority(six bool) uint32 {
	n := &p.rule4
	if six {
		n = &p.rule6
	}
	*n++
	return firstRule + 1 - *n
}

// prefix stores a network; any, all and default stand for everything.
func (r *ruleReader) prefix(to *netip.Prefix) {
	w, ok := r.value()
	if !ok || w.text == "any" || w.text == "all" || w.text == "default" {
		return
	}
	prefix, ok := r.p.prefix(w)
	if !ok {
		r.bad = true
		return
	}
	r.six, r.four = r.six || prefix.Addr().Is6(), r.four || prefix.Addr().Is4()
	*to = prefix.Masked()
}

// mark reads N or N/MASK.
func (r *ruleReader) mark() {
	w, ok := r.value()
	if !ok {
		return
	}
	value, mask, has := strings.Cut(w.text, "/")
	n, ok := r.p.unsigned(token{text: value, pos: w.pos}, math.MaxUint32)
	r.Mark, r.Mask = uint32(n), math.MaxUint32
	if ok && has {
		n, ok = r.p.unsigned(token{text: mask, pos: w.pos}, math.MaxUint32)
		r.Mask = uint32(n)
	}
	r.bad = r.bad || !ok
}

// span reads N or N-N.
func (r *ruleReader) span(to *config.Span, most uint64) {
	w, ok := r.value()
	if !ok {
		return
	}
	first, last, has := strings.Cut(w.text, "-")
	if !has {
		last = first
	}
	a, ok1 := r.p.unsigned(token{text: first, pos: w.pos}, most)
	b, ok2 := r.p.unsigned(token{text: last, pos: w.pos}, most)
	if ok1 && ok2 && b < a {
		r.p.fail(w.pos, "write the smaller number first", "range %s is empty", show(w.text))
		ok1 = false
	}
	r.bad = r.bad || !ok1 || !ok2
	*to = config.Span{First: uint32(a), Last: uint32(b), Set: true}
}

// small stores a number from 0.
func (r *reader) small(to *int, most int64) {
	if w, ok := r.value(); ok {
		n, ok := r.p.integer(w, 0, most)
		*to, r.bad = int(n), r.bad || !ok
	}
}

// unsigned makes a number of a word: decimal, 0x hexadecimal or 0 octal.
func (p *parser) unsigned(w token, most uint64) (uint64, bool) {
	n, err := strconv.ParseUint(w.text, 0, 64)
	switch {
	case err == nil && n <= most:
		return n, true
	case err != nil && !isOutOfRange(err):
		p.fail(w.pos, "write digits", "invalid number %s", show(w.text))
	default:
		p.fail(w.pos, "write 0 to "+strconv.FormatUint(most, 10), "number %s is out of range", show(w.text))
	}
	return 0, false
}

func itoa(n int) string { return strconv.Itoa(n) }
