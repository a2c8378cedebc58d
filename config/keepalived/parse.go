package keepalived

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dirsw/config"
)

// maxSize is more than any configuration; what is larger is no configuration.
const maxSize = 64 << 20

// maxComplaints is how many complaints about one text are told.
const maxComplaints = 1000

// maxGuesses is after how many complaints no more guesses are made what an unknown keyword may stand for: such a text is
// no keepalived.conf, and guessing takes time.
const maxGuesses = 1000

// Parse reads a keepalived.conf. name is what positions call the file; open opens the files that it names to be read
// (iptables_save), and may be nil where there are none.
//
// The Model is never nil and holds all that was understood. The error is a config.Errors with every complaint about the
// text; whether the Model makes sense is for its Validate to say. Notes tell what was mended, taken by default or has no
// effect yet.
func Parse(name string, r io.Reader, open func(string) (io.ReadCloser, error)) (*config.Model, []config.Note, error) {
	p := &parser{name: name, open: open, model: &config.Model{}, words: newVocabulary(), idle: map[topic]*idleNote{}}
	src, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return p.model, nil, fmt.Errorf("read %s: %w", name, err)
	}
	start := config.Pos{File: name, Line: 1, Col: 1}
	if len(src) > maxSize {
		return p.model, nil, config.Errors{{Pos: start, Message: "the file is larger than 64 MB", Fix: "give a keepalived.conf"}}
	}
	if bytesHavePrefix(src, "\xff\xfe") || bytesHavePrefix(src, "\xfe\xff") {
		return p.model, nil, config.Errors{{Pos: start, Message: "this is UTF-16 text", Fix: "save the file as UTF-8"}}
	}
	l := lex(name, string(src))
	if l.binary {
		return p.model, nil, l.errs.Or() // no keepalived.conf: what else there is to complain about is noise
	}
	tree, errs := build(l.toks, p.words)
	p.errs = append(l.errs, errs...)
	p.file(tree)
	p.notes = append(p.notes, l.notes()...)
	p.notes = append(p.notes, p.idleNotes()...)
	slices.SortStableFunc(p.notes, func(a, b config.Note) int { return a.Pos.Compare(b.Pos) })
	return p.model, p.notes, limit(p.errs).Or()
}

// limit leaves out what nobody would read: after maxComplaints it says how many more there are.
func limit(errs config.Errors) config.Errors {
	more := len(errs) - maxComplaints
	if more <= 0 {
		return errs
	}
	_ = errs.Or() // sorts
	last := errs[maxComplaints-1]
	return append(errs[:maxComplaints], config.Error{Pos: last.Pos, Message: fmt.Sprintf("%d more complaints are left out", more),
		Fix: "is this a keepalived.conf at all?"})
}

func bytesHavePrefix(b []byte, prefix string) bool {
	return strings.HasPrefix(string(b[:min(len(b), 4)]), prefix)
}

// parser gives a tree its meaning.
type parser struct {
	name  string
	open  func(string) (io.ReadCloser, error) // may be nil
	model *config.Model
	words vocabulary
	errs  config.Errors
	notes []config.Note
	idle  map[topic]*idleNote
	dedup map[string]bool // notes told once in a file
}

// idleNote collects the keywords of a topic.
type idleNote struct {
	first config.Pos
	names []string // in the order of their first appearance
}

func (p *parser) fail(pos config.Pos, fix, format string, args ...any) {
	p.errs = append(p.errs, config.Error{Pos: pos, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (p *parser) note(pos config.Pos, format string, args ...any) {
	p.notes = append(p.notes, config.Note{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// noteOnce is note, for what would be said again and again: key names it within the file.
func (p *parser) noteOnce(key string, pos config.Pos, format string, args ...any) {
	if p.dedup[key] {
		return
	}
	if p.dedup == nil {
		p.dedup = map[string]bool{}
	}
	p.dedup[key] = true
	p.note(pos, format, args...)
}

// noteIdle remembers that a keyword has no effect.
func (p *parser) noteIdle(t topic, name string, pos config.Pos) {
	n := p.idle[t]
	if n == nil {
		n = &idleNote{first: pos}
		p.idle[t] = n
	}
	if !slices.Contains(n.names, name) {
		n.names = append(n.names, name)
	}
}

func (p *parser) idleNotes() []config.Note {
	var notes []config.Note
	for t := noTopic; t <= legacyIdle; t++ {
		if n := p.idle[t]; n != nil {
			notes = append(notes, config.Note{Pos: n.first, Text: strings.Join(n.names, ", ") + ": " + t.why()})
		}
	}
	return notes
}

// each calls serve for every statement of the block whose keyword is served there; the others are told about.
func (p *parser) each(b *block, serve func(s *statement)) {
	if b == nil {
		return
	}
	for _, s := range b.statements {
		name := s.name()
		if s.words[0].quoted || p.preprocessor(s) {
			if s.words[0].quoted {
				p.fail(s.pos(), "write the keyword without quotation marks", "a quoted text where a keyword is expected")
			}
			continue
		}
		k, ok := p.words[b.kind][name]
		switch {
		case !ok:
			p.unknown(b, s)
			continue
		case k.use == refused:
			p.fail(s.pos(), k.fix, "%q is not served yet", name)
			continue
		case s.block != nil && k.block == "":
			p.fail(s.block.brace, "remove the block", "%q takes no block", name)
			continue
		case k.use == idle:
			p.noteIdle(k.topic, name, s.pos())
			continue
		}
		serve(s)
	}
}

// preprocessor tells about lines that keepalived handles before it looks at keywords.
func (p *parser) preprocessor(s *statement) bool {
	name := s.name()
	switch {
	case name == "":
		return true // a brace without keyword, told already
	case name[0] == '$':
		p.fail(s.pos(), "write the value where it is used", "definitions (%s) are not served yet", name)
	case name[0] == '@':
		p.fail(s.pos(), "keep the lines of this director only, without the @word", "conditional lines (%s) are not served yet", name)
	case name[0] == '~':
		p.fail(s.pos(), "write the lines out", "repeated lines (%s) are not served yet", name)
	default:
		return false
	}
	return true
}

// unknown complains about a keyword that the block does not have.
func (p *parser) unknown(b *block, s *statement) {
	name := s.name()
	where := "here"
	if b.owner != nil {
		where = "in " + b.owner.name()
	}
	fix := ""
	near := ""
	if len(p.errs) < maxGuesses {
		near = p.words.nearest(b.kind, name)
	}
	if near != "" {
		fix = "write " + near
	} else if _, ok := p.words[""][name]; ok {
		fix = fmt.Sprintf("it stands by itself, outside %s", b.owner.name())
	} else if homes := p.words.home(name); len(homes) > 0 {
		fix = "it belongs in " + strings.Join(homes[:min(len(homes), 3)], ", ")
	} else if !isASCII(name) {
		fix = "write # before a comment"
	} else {
		fix = "remove it"
	}
	p.fail(s.pos(), fix, "unknown keyword %s %s", show(name), where)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// show quotes what stands in the file, short enough for a message.
func show(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
