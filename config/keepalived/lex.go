package keepalived

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dirsw/config"
)

// kind is what a token is.
type kind uint8

const (
	word kind = iota
	open
	closing
	newline
	end
)

// token is a word, a brace or the end of a line.
type token struct {
	kind   kind
	pos    config.Pos
	text   string
	quoted bool // at least a part of it stood in quotes
	cut    bool // a comment follows without a blank: `pa!ss`
	// raw is the word as it is written, with quotation marks and escapes, where that is something else than text.
	raw string
}

// lexer makes tokens of a text. It never fails: what it cannot make sense of goes to errs.
type lexer struct {
	src string
	at  int // byte offset of the next character
	pos config.Pos
	// marks tell where the text comes from; the first of them is the next to be reached. fixed: see mark.
	marks []mark
	fixed bool
	toks  []token
	line  int // index of the first token of this line, or after the last brace
	errs  config.Errors
	seen  map[sight]*sighting
	bad   bool // a complaint about the encoding was made
	// binary is set by a NUL: the text is none
	binary bool
}

// sight is an oddity in one file.
type sight struct {
	odd  config.Oddity
	file string
}

// sighting counts the characters of one oddity.
type sighting struct {
	first config.Pos
	count int
	which []rune // different ones, at most a few
}

// lex returns the tokens of a text, ending with one of kind end. marks tell where the text comes from; start is where it
// begins.
func lex(src string, marks []mark, start config.Pos) *lexer {
	l := &lexer{src: src, pos: start, marks: marks, seen: map[sight]*sighting{}, toks: make([]token, 0, len(src)/6+16)}
	l.locate()
	for l.at < len(l.src) {
		l.step()
	}
	l.emit(token{kind: newline, pos: l.pos})
	l.emit(token{kind: end, pos: l.pos})
	return l
}

// locate takes the position from the marks that have been reached.
func (l *lexer) locate() {
	for len(l.marks) > 0 && l.marks[0].at <= l.at {
		l.pos, l.fixed = l.marks[0].pos, l.marks[0].fixed
		l.marks = l.marks[1:]
	}
}

func (l *lexer) emit(t token) {
	l.toks = append(l.toks, t)
	if t.kind != word {
		l.line = len(l.toks)
	}
}

// peek returns the next character, folded, and its length in bytes.
func (l *lexer) peek() (r rune, o config.Oddity, size int) {
	raw, size := utf8.DecodeRuneInString(l.src[l.at:])
	r, o = config.Fold(raw)
	return r, o, size
}

// take consumes the next character of size bytes, remembering what is odd about it.
func (l *lexer) take(o config.Oddity, size int) {
	if o != config.Plain {
		raw, _ := utf8.DecodeRuneInString(l.src[l.at:])
		key := sight{o, l.pos.File}
		s := l.seen[key]
		if s == nil {
			s = &sighting{first: l.pos}
			l.seen[key] = s
		}
		s.count++
		if len(s.which) < 4 && !slices.Contains(s.which, raw) {
			s.which = append(s.which, raw)
		}
	}
	l.advance(size)
}

// advance moves over the next character without judging it.
func (l *lexer) advance(size int) {
	switch {
	case l.fixed:
	case l.src[l.at] == '\n':
		l.pos.Line++
		l.pos.Col = 1
	default:
		l.pos.Col++
	}
	l.at += size
	l.locate()
}

// step consumes one token, comment or blank.
func (l *lexer) step() {
	r, o, size := l.peek()
	switch {
	case r == '\n':
		pos := l.pos
		l.take(o, size)
		l.emit(token{kind: newline, pos: pos})
	case isBlank(r) || o == config.Invisible:
		l.take(o, size)
	case r == '!' && l.negates(size):
		l.emit(token{kind: word, pos: l.pos, text: "!"})
		l.take(o, size)
	case (r == '#' || r == '!') && !l.fixed:
		l.take(o, size)
		l.comment()
	case r == '{' || r == '}':
		k := open
		if r == '}' {
			k = closing
		}
		l.emit(token{kind: k, pos: l.pos})
		l.take(o, size)
	case !l.simple():
		l.word()
	}
}

// negates reports whether the exclamation mark that is next turns a condition of iptables round, instead of beginning a
// comment: it stands alone in a line of iptables.
func (l *lexer) negates(size int) bool {
	if after := l.at + size; after == len(l.src) || l.src[after] != ' ' && l.src[after] != '\t' {
		return false
	}
	return l.line < len(l.toks) && (l.toks[l.line].text == "iptables" || l.toks[l.line].text == "ip6tables")
}

// simple consumes a word of the characters that mean nothing else, which most words are; if the word has others it
// consumes nothing and reports false.
func (l *lexer) simple() bool {
	n := l.at
	for n < len(l.src) && isSimple(l.src[n]) {
		n++
	}
	if n == l.at || n < len(l.src) && l.src[n] != ' ' && l.src[n] != '\t' && l.src[n] != '\n' ||
		l.fixed || len(l.marks) > 0 && l.marks[0].at < n {
		return false
	}
	l.emit(token{kind: word, pos: l.pos, text: l.src[l.at:n]})
	l.pos.Col += n - l.at
	l.at = n
	l.locate()
	return true
}

func isSimple(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' || c == ':' || c == '/'
}

// comment skips to the end of the line.
func (l *lexer) comment() {
	for l.at < len(l.src) && l.src[l.at] != '\n' {
		_, size := utf8.DecodeRuneInString(l.src[l.at:])
		l.advance(size)
	}
}

// word consumes a word: up to a blank, a brace, or the beginning of a comment; parts of it may be quoted.
func (l *lexer) word() {
	t := token{kind: word, pos: l.pos}
	start := l.at
	var b strings.Builder
	braces := wordBraces{}
	for l.at < len(l.src) {
		r, o, size := l.peek()
		if isBlank(r) || r == '\n' {
			break
		}
		if (r == '#' || r == '!') && !l.fixed {
			t.cut = true
			break
		}
		if r == '{' || r == '}' {
			if b.Len() == 0 || !braces.inside(l, r) {
				break
			}
		}
		if r == '"' || r == '\'' && b.Len() == 0 {
			opener := l.pos
			l.take(o, size)
			l.quoted(&b, r, opener)
			t.quoted = true
			continue
		}
		l.encoding()
		if o != config.Invisible {
			b.WriteString(printable(r, l.src[l.at:l.at+size]))
		}
		l.take(o, size)
	}
	t.text = b.String()
	if raw := l.src[start:l.at]; strings.ContainsAny(raw, `"'\`) {
		t.raw = raw
	}
	if t.text != "" || t.quoted {
		l.emit(t)
	}
}

// printable returns the folded character, or the bytes themselves where they are no character at all.
func printable(r rune, raw string) string {
	if r == utf8.RuneError {
		return raw
	}
	return string(r)
}

// wordBraces tells the braces that belong to a word, `${NAME}`, `[a-f]{2}`, from those of blocks.
type wordBraces struct {
	depth int // of those that belong to the word
	last  int // offset of the last closing brace before the next blank; 0: not looked for yet
}

// inside reports whether the brace r, which is next and has a part of the word before it, belongs to the word. One that
// has no partner in the word does not.
func (w *wordBraces) inside(l *lexer, r rune) bool {
	if r == '}' {
		w.depth--
		return w.depth >= 0
	}
	if w.last == 0 {
		w.last = -1
		for i, c := range l.src[l.at:] {
			c, _ = config.Fold(c)
			if isBlank(c) || c == '\n' {
				break
			}
			if c == '}' {
				w.last = l.at + i
			}
		}
	}
	w.depth++
	return w.last > l.at
}

// quoted consumes up to the mark that closes the one at opener, and must be on the same line. Inside double ones, \" and \\ stand
// for the second character. Nothing is folded: what is quoted is meant.
func (l *lexer) quoted(b *strings.Builder, mark rune, opener config.Pos) {
	for l.at < len(l.src) && l.src[l.at] != '\n' {
		raw, size := utf8.DecodeRuneInString(l.src[l.at:])
		folded, o := config.Fold(raw)
		if folded == mark && (o == config.Plain || o == config.QuoteMark) {
			l.take(o, size)
			return
		}
		l.encoding()
		if raw == '\\' && mark == '"' && l.at+1 < len(l.src) && strings.IndexByte(`"\`, l.src[l.at+1]) >= 0 {
			l.advance(size)
			raw, size = utf8.DecodeRuneInString(l.src[l.at:])
		}
		if raw != '\r' {
			b.WriteString(printable(raw, l.src[l.at:l.at+size]))
		}
		l.advance(size)
	}
	l.errs = append(l.errs, config.Error{Pos: opener, Message: "the quotation mark is never closed on this line",
		Fix: fmt.Sprintf("write %c at the end of the text", mark)})
}

// encoding complains, once, if the next character is no text.
func (l *lexer) encoding() {
	r, size := utf8.DecodeRuneInString(l.src[l.at:])
	l.binary = l.binary || r == 0
	if l.bad || r != 0 && (r != utf8.RuneError || size > 1) {
		return
	}
	l.bad = true
	l.errs = append(l.errs, config.Error{Pos: l.pos, Message: "this is not UTF-8 text", Fix: "save the file as UTF-8"})
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\v' || r == '\f' }

// notes tells what was folded, one note for each oddity in each file.
func (l *lexer) notes() []config.Note {
	var notes []config.Note
	for key, s := range l.seen {
		var one, many, understood string
		switch key.odd {
		case config.Blank:
			one, many = "1 blank that is no ASCII space", "%d blanks that are no ASCII spaces"
			understood = "read as blanks; keepalived takes them for text"
		case config.Invisible:
			one, many, understood = "1 invisible character", "%d invisible characters", "skipped; keepalived takes them for text"
		case config.Dash:
			one, many, understood = "1 dash that is no '-'", "%d dashes that are no '-'", "read as '-'"
		case config.Wide:
			one, many, understood = "1 full-width character", "%d full-width characters", "read as their ASCII twins"
		case config.QuoteMark:
			one, many, understood = "1 typographic quotation mark", "%d typographic quotation marks", "read as plain ones"
		}
		if s.count > 1 {
			one = fmt.Sprintf(many, s.count)
		}
		var names []string
		for _, r := range s.which {
			names = append(names, fmt.Sprintf("U+%04X", r))
		}
		notes = append(notes, config.Note{Pos: s.first,
			Text: fmt.Sprintf("%s (%s) in this file, the first one here: %s", one, strings.Join(names, ", "), understood)})
	}
	return notes
}
