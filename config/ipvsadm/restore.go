package ipvsadm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"dirsw/config"
)

// Line is a line of ipvsadm -R that is not empty.
type Line struct {
	Number  int // from 1
	Text    string
	Command Command
	Err     error // it is no command
}

// Restore parses the lines of ipvsadm -R: a command each, with or without the word ipvsadm before it; empty lines are
// skipped, and with comments those that begin with '#'. It yields them one by one; a line that is no command is the last
// one, but for one with an unknown option or without the value of one, as with ipvsadm. An error of the table is the caller's to tell: ipvsadm goes on after it.
func (r Resolver) Restore(in io.Reader, comments bool) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		scan := bufio.NewScanner(in)
		l := Line{}
		for scan.Scan() {
			l.Number++
			if comments && strings.HasPrefix(scan.Text(), "#") {
				continue
			}
			words := strings.Fields(scan.Text())
			if len(words) > 0 && words[0] == "ipvsadm" {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			l.Text = strings.Join(words, " ")
			l.Command, l.Err = r.ParseArgs(words)
			if !yield(l) || l.Err != nil && !goesOn(l.Err) {
				return
			}
		}
		if err := scan.Err(); err != nil {
			yield(Line{Number: l.Number + 1, Err: err})
		}
	}
}

func goesOn(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.goesOn
}

// restore carries out the lines of standard input as one change of the table: no packet ever meets a half of it. As with
// ipvsadm, a line that the table refuses is told and left out, one that is no command ends the file as a rule, and the exit status
// is that of the last line. Atomic: if there is such a line, nothing changes. Replace: what is there goes first, and there may be
// comments, as with ipvsadm-restore.
func (r *run) restore(atomic, replace bool) error {
	var lines []Line
	if replace {
		lines = append(lines, Line{Command: Command{Op: OpClear}})
	}
	for l := range r.Resolver.Restore(r.stdin, replace) {
		if lines = append(lines, l); l.Err != nil && atomic {
			return r.refused(l, l.Err)
		}
	}
	if atomic {
		return r.together(lines)
	}
	var last error
	for len(lines) > 0 {
		n := 0
		for n < len(lines) && edits(&lines[n]) {
			n++
		}
		if n > 0 {
			var err error
			if last, err = r.inTurn(lines[:n]); err != nil {
				return err
			}
			lines = lines[n:]
			continue
		}
		l := lines[0]
		lines = lines[1:]
		if last = l.Err; last == nil && l.Command.Op != OpRestore { // -R in a file: its lines follow anyway
			last = r.do(l.Command)
		}
		if last != nil {
			r.hint(at(l))
			if errors.Is(last, ErrNoSuchService) { // ipvsadm ends there
				return last
			}
		}
		if len(lines) > 0 {
			r.complain(last)
		}
	}
	return last
}

// edits reports whether a line changes the table, so that it can be part of one edit.
func edits(l *Line) bool {
	switch l.Command.Op {
	case OpList, OpSave, OpRestore, OpZero, OpHelp, OpVersion:
		return false
	}
	return l.Err == nil
}

func at(l Line) string { return fmt.Sprintf("line %d: %s", l.Number, l.Text) }

// inTurn carries out lines as one edit, without those that the table refuses. It tells of all of these, and returns the
// error of the last line as one that is told. Err is why there was no edit at all.
func (r *run) inTurn(lines []Line) (last, err error) {
	var errs []error
	var hints []string
	err = r.Table.Edit(func(m *config.Model) error {
		errs, hints = make([]error, len(lines)), make([]string, len(lines))
		for i := range lines {
			hints[i], errs[i] = r.apply(lines[i].Command, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, e := range errs {
		if e != nil {
			r.complain(e)
			r.hint(at(lines[i]))
		}
		r.hint(hints[i])
		r.hint(lines[i].Command.Notes...)
	}
	if e := errs[len(errs)-1]; e != nil {
		return &Error{Exit: ExitStatus(e)}, nil
	}
	return nil, nil
}

// together carries out all lines as one edit, or none.
func (r *run) together(lines []Line) error {
	for _, l := range lines {
		if !edits(&l) {
			return r.refused(l, &Error{Message: "only commands that change the table can be restored together", Exit: 2})
		}
	}
	var failed Line
	err := r.Table.Edit(func(m *config.Model) error {
		for _, l := range lines {
			hint, err := r.apply(l.Command, m)
			if err != nil {
				failed = l
				return err
			}
			r.hint(hint)
			r.hint(l.Command.Notes...)
		}
		return nil
	})
	if err != nil && failed.Number > 0 {
		r.hints = nil
		return r.refused(failed, err)
	}
	return err
}

// refused names the line that a restore failed for.
func (r *run) refused(l Line, err error) error {
	e := &Error{Message: err.Error(), Exit: ExitStatus(err)}
	var own *Error
	if errors.As(err, &own) {
		e.Message, e.Hint = own.Message, own.Hint
	}
	r.hint("nothing has changed; " + at(l))
	return e
}
