package keepalived

import (
	"fmt"
	"io"
	"maps"
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

// Parse reads a keepalived.conf. name is what positions call the file; o says what it may ask of the machine, and may be
// nil.
//
// The Model is never nil and holds all that was understood. The error is a config.Errors with every complaint about the
// text; whether the Model makes sense is for its Validate to say. Notes tell what was mended, taken by default or has no
// effect yet.
func Parse(name string, r io.Reader, o *Options) (*config.Model, []config.Note, error) {
	if o == nil {
		o = &Options{}
	}
	p := &parser{name: name, open: o.Open, model: &config.Model{}, words: newVocabulary(), idle: map[topic]*idleNote{}}
	src, err := readText(name, r)
	if err != nil {
		return p.model, nil, err
	}
	e := expand(name, src, *o)
	if e.full { // whatever else is wrong with so much text is noise
		return p.model, nil, e.errs.Or()
	}
	text, marks := e.expanded()
	l := lex(text, marks, config.Pos{File: name, Line: 1, Col: 1})
	if l.binary {
		return p.model, nil, l.errs.Or() // no keepalived.conf: what else there is to complain about is noise
	}
	tree, errs := build(l.toks, p.words)
	p.errs = slices.Concat(e.errs, l.errs, errs)
	p.notes = append(p.notes, e.notes...)
	p.file(tree)
	p.settle()
	p.notes = append(p.notes, l.notes()...)
	p.notes = append(p.notes, p.idleNotes()...)
	p.errs, p.notes = once(p.errs), once(p.notes)
	slices.SortStableFunc(p.notes, func(a, b config.Note) int { return a.Pos.Compare(b.Pos) })
	return p.model, p.notes, limit(p.errs).Or()
}

// once leaves out what is said again of the same place: a line that is repeated has its mistakes repeated, too.
func once[T config.Error | config.Note](list []T) []T {
	seen := make(map[T]bool, len(list))
	return slices.DeleteFunc(list, func(e T) bool {
		again := seen[e]
		seen[e] = true
		return again
	})
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
	name      string
	open      func(string) (io.ReadCloser, error) // may be nil
	model     *config.Model
	words     vocabulary
	errs      config.Errors
	notes     []config.Note
	idle      map[topic]*idleNote
	dedup     map[string]bool // notes told once in a file
	groups    map[string]*group
	instances map[string]bool       // names of the vrrp_instances
	where     map[string]config.Pos // keywords of global_defs
	given     map[string]bool       // keywords of global_defs that the file has
	vrrp      []*draft              // the vrrp_instances, as far as they are read
	// turned holds the lines of track_ blocks that say reverse or noreverse.
	turned map[config.Pos]bool
	rule4  uint32 // how many rules of IPv4 got a priority, and of IPv6
	rule6  uint32
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

// noteAt is note, for what would be said several times of one place.
func (p *parser) noteAt(pos config.Pos, format string, args ...any) {
	p.noteOnce(pos.String(), pos, format, args...)
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
	for _, t := range slices.Sorted(maps.Keys(p.idle)) {
		n := p.idle[t]
		notes = append(notes, config.Note{Pos: n.first, Text: strings.Join(n.names, ", ") + ": " + t.why()})
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
		if s.words[0].quoted || p.leftover(s) {
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
		if k.topic != noTopic { // it reaches the Model, and waits there
			p.noteIdle(k.topic, name, s.pos())
		}
		serve(s)
	}
}

// leftover tells about words that would have been something else if they were written well.
func (p *parser) leftover(s *statement) bool {
	name := s.name()
	switch {
	case name == "":
		return true // a brace without keyword, told already
	case name[0] == '$' && nameLen(name[1:]) == len(name)-1 && len(s.words) > 1 && strings.HasPrefix(s.words[1].text, "="):
		p.fail(s.pos(), "write "+name+"= without a blank before =", "a definition of %s with a blank", name)
	case name[0] == '$':
		p.fail(s.pos(), "define it before, on a line of its own: $NAME=VALUE", "%s is not defined", name)
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
