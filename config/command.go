package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Command is a program of the operator's with its arguments, and as whom it runs: what keepalived.conf writes as
// `"/path/to/program argument" user group`. The zero Command is none.
type Command struct {
	Args  []string // the program first
	User  string   // empty: the one of script_user, or its default
	Group string   // empty: the user's
}

// IsZero reports whether there is nothing to run.
func (c Command) IsZero() bool { return len(c.Args) == 0 }

// Equal reports whether two commands are the same in all.
func (c Command) Equal(o Command) bool {
	return c.User == o.User && c.Group == o.Group && slices.Equal(c.Args, o.Args)
}

// Line returns the program and its arguments on one line, as keepalived.conf writes them between quotation marks: arguments
// with blanks, quotation marks or backslashes are quoted, and what is no text is written as octal digits.
func (c Command) Line() string {
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		words[i] = a
		if a == "" || strings.ContainsFunc(a, unsafeInCommand) {
			words[i] = quoteArgument(a)
		}
	}
	return strings.Join(words, " ")
}

// unsafeInCommand reports whether a character means something else than itself in a command line.
func unsafeInCommand(r rune) bool {
	return r <= ' ' || r == 0x7F || r == '"' || r == '\'' || r == '\\' || r == utf8.RuneError
}

func quoteArgument(a string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(a); {
		r, size := utf8.DecodeRuneInString(a[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7F || r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "\\%03o", a[i])
		default:
			b.WriteString(a[i : i+size])
		}
		i += size
	}
	b.WriteByte('"')
	return b.String()
}

// String returns Line, and as whom it runs.
func (c Command) String() string {
	s := c.Line()
	if c.User != "" || c.Group != "" {
		s += " as " + strings.TrimSuffix(c.User+":"+c.Group, ":")
	}
	return s
}
