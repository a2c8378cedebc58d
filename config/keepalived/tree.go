package keepalived

import (
	"fmt"
	"strings"

	"dirsw/config"
)

// statement is a keyword, what follows it on its line, and its block.
type statement struct {
	words []token
	block *block // nil: it has none
}

func (s *statement) name() string    { return s.words[0].text }
func (s *statement) pos() config.Pos { return s.words[0].pos }
func (s *statement) args() []token   { return s.words[1:] }

// block is what stands between two braces; the outermost is the file.
type block struct {
	kind       string // its name in the vocabulary
	owner      *statement
	brace      config.Pos // its opening brace, or the place where it is missing
	statements []*statement
}

// builder makes a tree of tokens.
type builder struct {
	toks  []token
	at    int
	words vocabulary
	stack []*block // innermost last
	errs  config.Errors
}

// build returns the tree of toks. Braces that are missing or too many are told and mended: what the keywords say about
// where they stand decides.
func build(toks []token, v vocabulary) (*block, config.Errors) {
	file := &block{}
	b := &builder{toks: toks, words: v, stack: []*block{file}}
	for b.peek().kind != end {
		b.step()
	}
	if n := len(b.stack); n > 1 {
		in := b.stack[n-1]
		msg := fmt.Sprintf("the block of %q opened here is never closed", in.owner.name())
		if n > 2 {
			msg += fmt.Sprintf(", nor the %d around it", n-2)
		}
		b.errs = append(b.errs, config.Error{Pos: in.brace, Message: msg, Fix: "write } where it ends"})
	}
	return file, b.errs
}

func (b *builder) peek() token { return b.toks[b.at] }
func (b *builder) top() *block { return b.stack[len(b.stack)-1] }

func (b *builder) next() token {
	t := b.toks[b.at]
	if t.kind != end {
		b.at++
	}
	return t
}

func (b *builder) step() {
	switch t := b.next(); t.kind {
	case word:
		b.at--
		b.statement()
	case open:
		b.errs = append(b.errs, config.Error{Pos: t.pos, Message: "{ opens a block that has no keyword",
			Fix: "write the keyword before it, or remove { and its }"})
		b.push(&statement{words: []token{{kind: word, pos: t.pos}}}, raw, t.pos)
	case closing:
		if len(b.stack) == 1 {
			b.errs = append(b.errs, config.Error{Pos: t.pos, Message: "} closes nothing", Fix: "remove it"})
			return
		}
		b.stack = b.stack[:len(b.stack)-1]
	}
}

// statement reads words up to the end of the line or a brace, and opens the block if there is one.
func (b *builder) statement() {
	s := &statement{}
	b.unwind(b.peek())
	for b.peek().kind == word {
		s.words = append(s.words, b.next())
	}
	b.top().statements = append(b.top().statements, s)
	kind := b.kindOf(s)
	if brace, ok := b.brace(); ok {
		if kind == "" {
			kind = raw
		}
		b.push(s, kind, brace)
		return
	}
	if kind == "" || b.top().kind == raw {
		return
	}
	last := s.words[len(s.words)-1].pos
	b.errs = append(b.errs, config.Error{Pos: s.pos(), Message: fmt.Sprintf("%q has no block", s.name()),
		Fix: "write { after it and } where it ends"})
	if b.entersBlock(kind) {
		b.push(s, kind, last)
	}
}

// kindOf returns the kind of block that the statement opens, "" if none.
func (b *builder) kindOf(s *statement) string {
	if b.top().kind == raw {
		return ""
	}
	return b.words[b.top().kind][s.name()].block
}

func (b *builder) push(s *statement, kind string, brace config.Pos) {
	s.block = &block{kind: kind, owner: s, brace: brace}
	b.stack = append(b.stack, s.block)
}

// brace consumes an opening brace, here or at the beginning of a later line.
func (b *builder) brace() (config.Pos, bool) {
	at := b.at
	for b.toks[at].kind == newline {
		at++
	}
	if b.toks[at].kind != open {
		return config.Pos{}, false
	}
	b.at = at + 1
	return b.toks[at].pos, true
}

// entersBlock reports whether the coming statement is at home in a block of this kind: its brace was forgotten.
func (b *builder) entersBlock(kind string) bool {
	at := b.at
	for b.toks[at].kind == newline {
		at++
	}
	t := b.toks[at]
	if t.kind != word {
		return false
	}
	_, here := b.words[b.top().kind][t.text]
	_, there := b.words[kind][t.text]
	return there && !here || kind == raw && !here
}

// unwind closes the blocks that the keyword t shows to be left open: it opens a block in one of those around, and
// means nothing in this one.
func (b *builder) unwind(t token) {
	if t.quoted || len(b.stack) == 1 {
		return
	}
	if _, ok := b.words[b.top().kind][t.text]; ok || !b.opensBlock() {
		return
	}
	for i := len(b.stack) - 2; i >= 0; i-- {
		if b.words[b.stack[i].kind][t.text].block == "" {
			continue
		}
		open := b.stack[i+1]
		b.errs = append(b.errs, config.Error{Pos: open.brace,
			Message: fmt.Sprintf("the block of %q opened here is not closed before %q in line %d", open.owner.name(), t.text, t.pos.Line),
			Fix:     fmt.Sprintf("write %s before line %d", strings.Repeat("}", len(b.stack)-1-i), t.pos.Line)})
		b.stack = b.stack[:i+1]
		return
	}
}

// opensBlock reports whether the coming statement is followed by an opening brace.
func (b *builder) opensBlock() bool {
	at := b.at
	for b.toks[at].kind == word {
		at++
	}
	for b.toks[at].kind == newline {
		at++
	}
	return b.toks[at].kind == open
}
