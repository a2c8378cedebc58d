package ipvsadm

import (
	"strings"
)

// item is an option with its value, or a word that is none.
type item struct {
	name  string // long name of the option; empty: a word
	given string // as it was written, for messages
	value string
	has   bool // a value was given
}

// scanner takes options from words the way popt does: short ones may be joined, values may be joined to them or follow,
// words that are no options may stand anywhere.
type scanner struct {
	words []string
	specs []spec
	rest  string // of a word of joined short options
	given string // that word
	plain bool   // after "--": no more options
}

// next returns the next item; ok is false at the end.
func (s *scanner) next() (it item, ok bool, err *Error) {
	if s.rest != "" {
		return s.short()
	}
	if len(s.words) == 0 {
		return item{}, false, nil
	}
	w := s.words[0]
	s.words = s.words[1:]
	switch {
	case s.plain || len(w) < 2 || w[0] != '-':
		return item{value: w}, true, nil
	case w == "--":
		s.plain = true
		return s.next()
	case strings.HasPrefix(w, "--"):
		return s.long(w)
	}
	s.rest, s.given = w[1:], w
	return s.short()
}

// long takes --name, --name=value or --name value.
func (s *scanner) long(w string) (item, bool, *Error) {
	name, value, joined := strings.Cut(w[2:], "=")
	for _, o := range s.specs {
		if o.long != name {
			continue
		}
		if o.arg == noArg && joined {
			break
		}
		it := item{name: name, given: w, value: value, has: joined}
		err := s.value(&it, o.arg)
		return it, true, err
	}
	return item{}, false, &Error{Message: w + ": unknown option", Exit: 255, goesOn: true}
}

// short takes the first of joined short options.
func (s *scanner) short() (item, bool, *Error) {
	c := s.rest[0]
	s.rest = s.rest[1:]
	if c == 'l' {
		c = 'L'
	}
	for _, o := range s.specs {
		if o.short != c {
			continue
		}
		it := item{name: o.long, given: s.given}
		if o.arg != noArg && s.rest != "" {
			it.value, it.has = strings.TrimPrefix(s.rest, "="), true
			s.rest = ""
			return it, true, nil
		}
		err := s.value(&it, o.arg)
		return it, true, err
	}
	s.rest = ""
	return item{}, false, &Error{Message: s.given + ": unknown option", Exit: 255, goesOn: true}
}

// value takes the value of an option from the words that follow.
func (s *scanner) value(it *item, arg argument) *Error {
	switch {
	case it.has || arg == noArg:
	case arg == needArg && len(s.words) == 0:
		return &Error{Message: it.given + ": missing argument", Exit: 255, goesOn: true}
	case arg == needArg || len(s.words) > 0 && !strings.HasPrefix(s.words[0], "-"):
		it.value, it.has = s.words[0], true
		s.words = s.words[1:]
	}
	return nil
}
