package keepalived

import (
	"strconv"
	"strings"
)

// repeat handles ~SEQ, ~SEQx and ~LST: the rest of the line is read again for each value.
func (e *expander) repeat(p piece) {
	open := strings.IndexByte(p.text, '(')
	kind := ""
	if open > 0 {
		kind = p.text[:open]
	}
	if kind != "~SEQ" && kind != "~SEQx" && kind != "~LST" {
		e.fail(p.posAt(0), "write ~SEQ(NAME, FIRST, LAST), ~SEQx(…) or ~LST(NAME, VALUE, …)", "malformed %s", show(firstWord(p.text)))
		return
	}
	end := closingParen(p.text, open)
	if end < 0 {
		e.fail(p.posAt(0), "write ) after the values", "%s( is never closed on this line", kind)
		return
	}
	inner, rest := p.sub(open+1, end), p.sub(end+1, len(p.text)).trim()
	if lines, changed := e.substitute(inner); changed && len(lines) == 1 {
		inner = lines[0]
	}
	args := splitList(inner.text)
	if kind == "~LST" {
		e.list(args, inner, rest)
		return
	}
	e.sequence(kind == "~SEQx", args, inner, rest)
}

// closingParen returns where the parenthesis at open is closed.
func closingParen(text string, open int) int {
	depth := 0
	for i := open; i < len(text); i++ {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// splitList takes a list apart at the commas that stand in no braces.
func splitList(text string) (list []string) {
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth == 0 {
				list = append(list, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		}
	}
	return append(list, strings.TrimSpace(text[from:]))
}

// sequence handles ~SEQ(NAME, [[FIRST,] STEP,] LAST).
func (e *expander) sequence(hex bool, args []string, at, rest piece) {
	if len(args) < 2 || len(args) > 4 || nameLen(args[0]) != len(args[0]) || args[0] == "" {
		e.fail(at.posAt(0), "write ~SEQ(NAME, FIRST, STEP, LAST), ~SEQ(NAME, FIRST, LAST) or ~SEQ(NAME, LAST)", "malformed sequence %s", show(at.text))
		return
	}
	var n [3]int64
	for i, a := range args[1:] {
		v, err := strconv.ParseInt(a, 0, 32)
		if err != nil {
			e.fail(at.posAt(0), "write whole numbers, in digits or with 0x before them", "malformed number %s in a sequence", show(a))
			return
		}
		n[i] = v
	}
	first, step, last := n[0], n[1], n[2]
	switch len(args) {
	case 2:
		last, first, step = n[0], 1, 1
		if last < 0 {
			first, step = -1, -1
		}
	case 3:
		last, step = n[1], 1
		if last < first {
			step = -1
		}
	}
	if step == 0 || (last-first)/step > maxRepeats {
		e.fail(at.posAt(0), "write another step", "the sequence %s has no end, or more than a million values", show(at.text))
		return
	}
	if (last-first)*step < 0 {
		e.note("empty "+at.posAt(0).String(), at.posAt(0), "the sequence %s is empty: what follows it is not read", show(at.text))
		return
	}
	base := 10
	if hex {
		base = 16
	}
	for v := first; (last-v)*step >= 0 && !e.full; v += step {
		e.set(args[0], strconv.FormatInt(v, base), at)
		e.line(rest)
	}
}

// list handles ~LST(NAME, VALUE, …) and ~LST({NAME, NAME}, {VALUE, VALUE}, …).
func (e *expander) list(args []string, at, rest piece) {
	names := tuple(args[0])
	for _, name := range names {
		if nameLen(name) != len(name) || name == "" || len(args) < 2 {
			e.fail(at.posAt(0), "write ~LST(NAME, VALUE, …) or ~LST({NAME, NAME}, {VALUE, VALUE}, …)", "malformed list %s", show(at.text))
			return
		}
	}
	for _, a := range args[1:] {
		values := []string{a}
		if len(names) > 1 || strings.HasPrefix(a, "{") {
			values = tuple(a)
		}
		if len(values) != len(names) {
			e.fail(at.posAt(0), "write as many values as names", "%d values for %d names in a list: %s", len(values), len(names), show(a))
			return
		}
		for i, name := range names {
			e.set(name, values[i], at)
		}
		e.line(rest)
	}
}

// tuple returns the parts of {a, b}, or the text itself.
func tuple(text string) []string {
	inner, ok := strings.CutPrefix(text, "{")
	if !ok {
		return []string{text}
	}
	return splitList(strings.TrimSuffix(inner, "}"))
}

// set gives a parameter a value.
func (e *expander) set(name, value string, at piece) {
	e.params[name] = &parameter{pos: at.posAt(0), lines: []piece{{text: value}}}
}
