package keepalived

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"dirsw/config"
)

// parameter is what $NAME= defined.
type parameter struct {
	pos   config.Pos
	lines []piece // at least one
}

// definitionName returns NAME if the text begins with $NAME=, else "".
func definitionName(text string) string {
	if !strings.HasPrefix(text, "$") {
		return ""
	}
	n := nameLen(text[1:])
	if n > 0 && strings.HasPrefix(text[1+n:], "=") {
		return text[1 : 1+n]
	}
	return ""
}

// nameLen returns how many bytes at the beginning of a text are the name of a parameter.
func nameLen(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}

// define reads $NAME=VALUE. A value that ends in \ goes on in the next line, up to one that does not, or to an empty one.
func (e *expander) define(p piece) {
	name := definitionName(p.text)
	if strings.HasPrefix(name, "_") {
		e.note("reserved "+name, p.posAt(0), "names that begin with _, as $%s, are reserved for what keepalived defines itself", name)
	}
	def := &parameter{pos: p.posAt(0)}
	value, more := e.valueLine(p.sub(len(name)+2, len(p.text)))
	if value.text != "" || !more {
		def.lines = append(def.lines, value)
	}
	for more {
		f := e.current()
		if f.rest == "" {
			break
		}
		if value, more = e.valueLine(e.next(f)); value.text != "" {
			def.lines = append(def.lines, value)
		}
	}
	if def.lines == nil {
		def.lines = []piece{{}}
	}
	e.params[name] = def
}

// valueLine returns a line of a value without comment, blanks around it, and the \ at its end.
func (e *expander) valueLine(p piece) (value piece, more bool) {
	text, comment := splitComment(p)
	value = text.trim()
	if comment.text != "" && value.text == "" { // the line holds nothing else: it says only whether more follows
		return value, strings.HasSuffix(strings.TrimRightFunc(comment.text, blankish), `\`)
	}
	if more = strings.HasSuffix(value.text, `\`); more {
		value = value.sub(0, len(value.text)-1).trim()
	}
	return value, more
}

// substitute replaces the parameters of a line, and those in what they stand for. Values of several lines make several
// lines of it: these are still to be read as lines. Of a line that has no end nothing is left.
func (e *expander) substitute(p piece) (lines []piece, changed bool) {
	from := 0
	for n := 0; ; n++ {
		i := strings.IndexByte(p.text[from:], '$')
		if i < 0 {
			return []piece{p}, changed
		}
		i += from
		ref, size := reference(p.text[i:])
		if size == 0 {
			from = i + 1
			continue
		}
		if n > maxReplaced || len(p.text) > maxLine {
			e.fail(p.posAt(i), "let no parameter lead to itself", "the parameter %s refers to itself without end", ref)
			return nil, true
		}
		value, ok := e.value(ref, p, i)
		switch {
		case !ok:
			from = i + size
		case len(value) > 1:
			lines = append(lines, p.sub(0, i).plus(value[0]))
			lines = append(lines, value[1:len(value)-1]...)
			return append(lines, value[len(value)-1].plus(p.sub(i+size, len(p.text)))), true
		default:
			p = p.sub(0, i).plus(standing(value[0].text, p.posAt(i))).plus(p.sub(i+size, len(p.text)))
			from, changed = i, true
			if value[0].text == "" && p.text == "" {
				return []piece{{text: "", marks: []mark{{pos: p.posAt(0)}}}}, true
			}
		}
	}
}

// standing returns a text that stands for what is at pos.
func standing(text string, pos config.Pos) piece {
	return piece{text: text, marks: []mark{{pos: pos, fixed: true}}}
}

// reference returns what a $ begins: the NAME of $NAME before a blank or the end, what is between the braces of ${…}; size
// 0 if it begins neither.
func reference(text string) (ref string, size int) {
	if strings.HasPrefix(text, "${") {
		end := strings.IndexByte(text, '}')
		if end < 0 || nameLen(text[2:]) == 0 {
			return "", 0
		}
		return text[2:end], end + 1
	}
	n := nameLen(text[1:])
	if n == 0 || n+1 < len(text) && !blankish([]rune(text[n+1 : n+1+runeLen(text[n+1:])])[0]) {
		return "", 0
	}
	return text[1 : n+1], n + 1
}

// value returns what a reference at byte i of a line stands for.
func (e *expander) value(ref string, p piece, i int) ([]piece, bool) {
	if def := e.params[ref]; def != nil {
		return def.lines, true
	}
	if text, ok := e.predefined(ref, p, i); ok {
		return []piece{{text: text}}, true
	}
	e.undefined(ref, p, i)
	return nil, false
}

// predefined returns the value of what needs no definition.
func (e *expander) predefined(ref string, p piece, i int) (string, bool) {
	name, args, _ := strings.Cut(ref, " ")
	args = strings.TrimSpace(args)
	switch name {
	case "_PWD":
		return e.dir(), args == ""
	case "_INSTANCE":
		return e.ConfigID, args == ""
	case "_HASH":
		return "#", args == ""
	case "_BANG":
		return "!", args == ""
	case "_ENV":
		return e.environment(args, p, i)
	case "_RANDOM":
		return e.randomNumber(args, p, i)
	}
	return "", false
}

func (e *expander) environment(name string, p piece, i int) (string, bool) {
	if e.Env != nil {
		if v, ok := e.Env(name); ok {
			return v, true
		}
	}
	if key := "env " + name; !e.told[key] {
		e.told[key] = true
		e.fail(p.posAt(i), "set it where dirsw is started", "the environment has no variable %s", show(name))
	}
	return "", true
}

// randomNumber returns the value of _RANDOM [MIN [MAX]], both included.
func (e *expander) randomNumber(args string, p piece, i int) (string, bool) {
	limits := [2]uint64{0, 32767}
	words := strings.Fields(args)
	for k, w := range words {
		n, err := strconv.ParseUint(w, 10, 32)
		if err != nil || k > 1 {
			e.fail(p.posAt(i), "write ${_RANDOM MIN MAX}", "malformed ${_RANDOM %s}", args)
			return "0", true
		}
		limits[k] = n
	}
	if limits[1] < limits[0] {
		e.fail(p.posAt(i), "write the lower number first", "${_RANDOM %s} has nothing to choose from", args)
		return "0", true
	}
	return strconv.FormatUint(limits[0]+e.rand.Uint64N(limits[1]-limits[0]+1), 10), true
}

// undefined tells of a name that stands for nothing. Inside quotation marks it may be meant for a shell, unless it comes
// near to one that is defined; inside a word, and in a password, a $ is more likely one.
func (e *expander) undefined(ref string, p piece, i int) {
	near := ""
	if len(ref) > 2 {
		near = config.Nearest(ref, maps.Keys(e.params))
	}
	quoted := strings.Count(p.text[:i], `"`)%2 == 1 || strings.Count(p.text[:i], `'`)%2 == 1
	inWord := p.text[i+1] != '{' && i > 0 && !blankish(rune(p.text[i-1]))
	if quoted && near == "" || nameLen(ref) != len(ref) || inWord || firstWord(strings.TrimLeftFunc(p.text, blankish)) == "auth_pass" {
		return
	}
	hint := ""
	if near != "" {
		hint = fmt.Sprintf("; is $%s meant?", near)
	}
	e.note("undefined "+ref, p.posAt(i), "the parameter %s is not defined, and stays as it is written%s", ref, hint)
}
