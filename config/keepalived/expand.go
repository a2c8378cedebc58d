package keepalived

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"strings"
	"unicode/utf8"

	"dirsw/config"
)

// What a text may grow to.
const (
	maxDepth    = 100     // of parameters in parameters, and of files in files
	maxRepeats  = 1 << 20 // of one ~SEQ
	maxExpanded = maxSize // bytes in all
	maxLines    = 1 << 22 // lines that are looked at
	maxReplaced = 1000    // parameters in one line
	maxLine     = 1 << 16 // bytes of a line with what its parameters stand for
	longestLine = 1023    // bytes that keepalived reads of a line
)

// expander makes one text of a configuration, of the files that it includes, and of what its parameters, conditions and
// repetitions say. It works on lines, before these are words, as keepalived does.
type expander struct {
	Options
	text   string // where nothing is to be expanded
	out    assembly
	errs   config.Errors
	notes  []config.Note
	params map[string]*parameter
	files  []*reading // being read, innermost last
	rand   *rand.Rand
	depth  int
	told   map[string]bool // notes and complaints that are made once
	lines  int
	full   bool // the text has become too long, or takes too long
}

// reading is a file being read, line by line.
type reading struct {
	name  string
	pos   config.Pos
	rest  string
	check strictness
}

// expand returns the text of a configuration with its origins. Where nothing is to be expanded, it is the text itself.
func expand(name, src string, o Options) *expander {
	e := &expander{Options: o, params: map[string]*parameter{}, rand: random(o.Seed), told: map[string]bool{}}
	if special(src) {
		e.file(name, src, 0)
		return e
	}
	e.text = src
	for f := (&reading{name: name, pos: config.Pos{File: name, Line: 1, Col: 1}, rest: src}); f.rest != ""; {
		e.next(f) // tells of long lines
	}
	return e
}

// expanded returns the text and its origins.
func (e *expander) expanded() (text string, marks []mark) {
	if e.text != "" {
		return e.text, nil
	}
	return e.out.b.String(), e.out.marks
}

func (e *expander) fail(pos config.Pos, fix, format string, args ...any) {
	e.errs = append(e.errs, config.Error{Pos: pos, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (e *expander) note(key string, pos config.Pos, format string, args ...any) {
	if !e.told[key] {
		e.told[key] = true
		e.notes = append(e.notes, config.Note{Pos: pos, Text: fmt.Sprintf(format, args...)})
	}
}

// readText returns the text of a file, or says what is wrong with it.
func readText(name string, r io.Reader) (string, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	start := config.Pos{File: name, Line: 1, Col: 1}
	switch {
	case len(src) > maxSize:
		return "", config.Errors{{Pos: start, Message: "the file is larger than 64 MB", Fix: "give a keepalived.conf"}}
	case bytesHavePrefix(src, "\xff\xfe"), bytesHavePrefix(src, "\xfe\xff"):
		return "", config.Errors{{Pos: start, Message: "this is UTF-16 text", Fix: "save the file as UTF-8"}}
	}
	return string(src), nil
}

// file reads one file to its end.
func (e *expander) file(name, src string, check strictness) {
	f := &reading{name: name, pos: config.Pos{File: name, Line: 1, Col: 1}, rest: src, check: check}
	e.files = append(e.files, f)
	for f.rest != "" && !e.full {
		e.line(e.next(f))
	}
	e.files = e.files[:len(e.files)-1]
}

// next takes a line off the file.
func (e *expander) next(f *reading) piece {
	text, rest, _ := strings.Cut(f.rest, "\n")
	var p piece
	if e.text == "" {
		p = written(text, f.pos)
	}
	if len(text) > longestLine {
		e.note("long "+f.name, f.pos, "a line of %d bytes is read as one; keepalived takes what is after %d bytes for another line", len(text), longestLine)
	}
	f.rest = rest
	f.pos.Line++
	return p
}

// current is the file being read.
func (e *expander) current() *reading { return e.files[len(e.files)-1] }

// emit gives a line to the lexer.
func (e *expander) emit(p piece) {
	if e.full {
		return
	}
	e.out.add(p)
	if e.out.b.Len() > maxExpanded {
		e.full = true
		e.fail(p.posAt(0), "repeat less", "the parameters of this file make more than 64 MB of it")
	}
}

// line handles a line of a file, or of the value of a parameter.
func (e *expander) line(p piece) {
	if e.lines++; e.lines > maxLines && !e.full {
		e.full = true
		e.fail(p.posAt(0), "repeat less", "the parameters of this file make more than %d lines of it", maxLines)
	}
	if e.full {
		return
	}
	if !special(p.text) {
		e.emit(p)
		return
	}
	if e.depth++; e.depth > maxDepth {
		e.fail(p.posAt(0), "let no parameter lead to itself", "the parameters here refer to each other without end")
		e.depth--
		return
	}
	defer func() { e.depth-- }()
	body := p.trim()
	switch {
	case strings.HasPrefix(body.text, "@"):
		e.condition(body)
	case strings.HasPrefix(body.text, "~SEQ"), strings.HasPrefix(body.text, "~LST"):
		e.repeat(body)
	case definitionName(body.text) != "":
		e.define(body)
	case includeWord(body.text) != "":
		e.include(body)
	case prescient(body.text):
		e.setting(body)
		e.emit(p)
	default:
		e.ordinary(p)
	}
}

// special reports whether a line may be one that keepalived handles before it looks for keywords.
func special(text string) bool {
	return strings.ContainsAny(text, "$~@\\") || strings.Contains(text, "include") || strings.Contains(text, "random_seed")
}

// ordinary handles a line that holds keywords, or begins with a parameter.
func (e *expander) ordinary(p piece) {
	p, comment := splitComment(p)
	if body := p.trim(); strings.HasSuffix(body.text, `\`) && !strings.HasSuffix(body.text, `\\`) && comment.text == "" {
		e.note("continued "+p.posAt(0).File, body.posAt(len(body.text)-1),
			`a line that ends in \ goes on in the next one; keepalived has that in definitions only`)
		e.line(body.sub(0, len(body.text)-1).plus(written(" ", body.posAt(len(body.text)-1))).plus(e.next(e.current()).trim()))
		return
	}
	if cut := residue(p.text); cut > 0 {
		e.line(p.sub(0, cut))
		e.line(p.sub(cut, len(p.text)).plus(comment))
		return
	}
	if !strings.Contains(p.text, "$") {
		e.emit(p.plus(comment))
		return
	}
	lines, changed := e.substitute(p)
	if !changed {
		e.emit(p.plus(comment))
		return
	}
	if len(lines) == 1 && !begins(lines[0].trim().text) {
		e.emit(lines[0].plus(comment))
		return
	}
	for _, l := range lines {
		e.line(l)
	}
}

// begins reports whether a text begins like a line that is no ordinary one.
func begins(text string) bool {
	return text != "" && strings.IndexByte("@~$", text[0]) >= 0 || includeWord(text) != ""
}

// condition handles @ID and @^ID: the rest of the line is for the directors of that name, or for all others.
func (e *expander) condition(p piece) {
	end := strings.IndexFunc(p.text, blankish)
	if end < 0 {
		end = len(p.text)
	}
	id, not := strings.CutPrefix(p.text[1:end], "^")
	if id == "" {
		e.fail(p.posAt(0), "write @ and the name of a director without a blank", "@ without a name")
		return
	}
	if (id == e.ConfigID) != not {
		e.line(p.sub(end, len(p.text)).trim())
	}
}

// splitComment returns a line up to its comment, and the comment.
func splitComment(p piece) (text, comment piece) {
	i := commentAt(p)
	return p.sub(0, i), p.sub(i, len(p.text))
}

// commentAt returns where the comment of a line begins: at the first # or ! outside of quotation marks and of text that
// stands for parameters. In a line of iptables a ! that stands alone begins none.
func commentAt(p piece) int {
	first, _, _ := strings.Cut(strings.TrimLeftFunc(p.text, blankish), " ")
	rules := first == "iptables" || first == "ip6tables"
	var q quoting
	for i := 0; i < len(p.text); i++ {
		c := p.text[i]
		if q.inside(p.text, &i) || p.fixedAt(i) {
			continue
		}
		if c == '#' || c == '!' && !(rules && i+1 < len(p.text) && isBlank(rune(p.text[i+1]))) {
			return i
		}
	}
	return len(p.text)
}

// quoting follows quotation marks through a text, as the lexer does: double ones anywhere, in which a backslash keeps a
// mark or a backslash from its meaning, and single ones at the beginning of words.
type quoting struct{ mark byte }

// inside reports whether the byte at i is a quotation mark or between two. It moves i on over escapes.
func (q *quoting) inside(text string, i *int) bool {
	c := text[*i]
	switch {
	case q.mark == 0:
		if c == '"' || c == '\'' && (*i == 0 || isBlank(rune(text[*i-1])) || text[*i-1] == '{' || text[*i-1] == '}') {
			q.mark = c
			return true
		}
		return false
	case c == q.mark:
		q.mark = 0
	case c == '\\' && q.mark == '"' && *i+1 < len(text) && (text[*i+1] == '"' || text[*i+1] == '\\'):
		*i++
	}
	return true
}

// fixedAt reports whether the byte at i stands for a parameter.
func (p piece) fixedAt(i int) bool {
	fixed := false
	for _, m := range p.marks {
		if m.at > i {
			break
		}
		fixed = m.fixed
	}
	return fixed
}

// residue returns where, after a brace, something begins that keepalived looks for at the beginning of lines; 0: nowhere.
// It reads what follows a brace like a line of its own.
func residue(text string) int {
	var q quoting
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case q.inside(text, &i):
		case c == '{' && i > 0 && text[i-1] == '$':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return 0
			}
			i += end
		case c == '{' || c == '}':
			rest := strings.TrimLeftFunc(text[i+1:], blankish)
			if strings.HasPrefix(rest, "@") || strings.HasPrefix(rest, "~SEQ") || strings.HasPrefix(rest, "~LST") || definitionName(rest) != "" {
				return i + 1
			}
		}
	}
	return 0
}

// dir is the directory of the file being read.
func (e *expander) dir() string {
	d := path.Dir(e.current().name)
	if !path.IsAbs(d) && e.Dir != "" {
		d = path.Join(e.Dir, d)
	}
	return d
}

// firstWord returns the word at the beginning of a text without blanks before it.
func firstWord(text string) string {
	if i := strings.IndexFunc(text, blankish); i >= 0 {
		return text[:i]
	}
	return text
}

// prescient reports whether a line holds a keyword whose effect is on the lines after it.
func prescient(text string) bool {
	w := firstWord(text)
	return w == "random_seed" || w == "include_check"
}

// runeLen is the length of the first character in bytes.
func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}
