package config

import (
	"errors"
	"slices"
	"strings"
)

// Error is one complaint about a configuration.
type Error struct {
	Pos     Pos
	Message string // what is wrong: `unknown scheduler "rrr"`
	Fix     string // what to do instead, an imperative: `write "rr"`; empty if nothing can be proposed
}

// Error returns the complaint in one line, `file:line:column: message; fix`.
func (e Error) Error() string {
	s := e.Message
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	if e.Pos == (Pos{}) {
		return s
	}
	return e.Pos.String() + ": " + s
}

// Errors is every complaint about one configuration, in the order of their positions.
type Errors []Error

// Error returns one complaint per line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each complaint to errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i := range e {
		errs[i] = e[i]
	}
	return errs
}

// Or returns e sorted by position, or nil (an untyped one) if there is no complaint.
func (e Errors) Or() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b Error) int { return a.Pos.Compare(b.Pos) })
	return e
}

// Join merges the complaints of several steps into one Errors, sorted by position. What is not a complaint about a
// configuration becomes one without a position. It returns nil if all are nil.
func Join(errs ...error) error {
	var all Errors
	for _, err := range errs {
		var list Errors
		var one Error
		switch {
		case err == nil:
		case errors.As(err, &list):
			all = append(all, list...)
		case errors.As(err, &one):
			all = append(all, one)
		default:
			all = append(all, Error{Message: err.Error()})
		}
	}
	return all.Or()
}

// Note is something that was understood, and is worth saying: a spelling that was mended, a default that was taken, a
// keyword that does nothing yet.
type Note struct {
	Pos  Pos
	Text string
}

// String returns the note in one line, `file:line:column: text`.
func (n Note) String() string {
	if n.Pos == (Pos{}) {
		return n.Text
	}
	return n.Pos.String() + ": " + n.Text
}

// Compare orders positions by file, line and column.
func (p Pos) Compare(q Pos) int {
	if c := strings.Compare(p.File, q.File); c != 0 {
		return c
	}
	if p.Line != q.Line {
		return p.Line - q.Line
	}
	return p.Col - q.Col
}
