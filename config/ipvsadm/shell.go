package ipvsadm

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dirsw/config"
)

// Table is what command lines look at and change.
type Table interface {
	// Edit has change work on a copy of what is in force, and puts what it leaves in force as one: all of it or, with the
	// error of change or a reason of its own, nothing.
	Edit(change func(*config.Model) error) error
	// Zero has the counters of a service and its real servers start anew, with nil those of all services. It returns
	// ErrNoService where there is none.
	Zero(only *config.ServiceKey) error
	// Listing returns what a format shows.
	Listing(f Format) (Listing, error)
}

// Remarker is a Table that has something to say of the edits that it took.
type Remarker interface {
	// Remarks returns what there was to say, each once.
	Remarks() []string
}

// Shell runs command lines as ipvsadm does: the same standard output, standard error and exit status, but for a line of
// standard error that begins with "hint: " and stands last. All fields but Table may be left out.
type Shell struct {
	Table      Table
	Resolver   Resolver
	Names      Names
	Schedulers []string                        // see Command
	Link       func(string) (mtu int, ok bool) // see Command
	Time       time.Time                       // see Command
}

// Run carries out one command line, given without the command's own name, and returns the exit status.
func (s *Shell) Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	r := &run{Shell: s, stdin: stdin, stdout: stdout, stderr: stderr}
	c, err := s.Resolver.ParseArgs(args)
	if err == nil {
		err = r.do(c)
	}
	r.complain(err)
	if len(r.hints) == 0 {
		r.hint(c.Notes...)
	}
	if t, ok := s.Table.(Remarker); ok {
		r.hint(t.Remarks()...)
	}
	if len(r.hints) > 0 {
		fmt.Fprintf(stderr, "hint: %s\n", strings.Join(r.hints, "; "))
	}
	return ExitStatus(err)
}

// run is a command line that is being carried out.
type run struct {
	*Shell
	stdin          io.Reader
	stdout, stderr io.Writer
	hints          []string
}

// hint adds to the hints, each once.
func (r *run) hint(list ...string) {
	for _, h := range list {
		if h != "" && !slices.Contains(r.hints, h) {
			r.hints = append(r.hints, h)
		}
	}
}

// complain writes an error as ipvsadm does and remembers its hint.
func (r *run) complain(err error) {
	var e *Error
	if errors.As(err, &e) {
		r.hint(e.Hint)
		bare := *e
		bare.Hint = ""
		err = &bare
		if bare.Message == "" {
			return
		}
	}
	io.WriteString(r.stderr, Stderr(err))
}

// fit tells a command what the table knows beside its entries.
func (r *run) fit(c Command) Command {
	c.Schedulers, c.Link, c.Time = r.Schedulers, r.Link, r.Time
	return c
}

func (r *run) do(c Command) error {
	switch c.Op {
	case OpVersion:
		_, err := io.WriteString(r.stdout, versionLine)
		return err
	case OpHelp:
		_, err := io.WriteString(r.stdout, versionLine+helpText)
		return err
	case OpList, OpSave:
		return r.list(c)
	case OpRestore:
		return r.restore(c.Atomic, c.Replace)
	case OpZero:
		if c.HasService {
			k := c.Service.Key()
			return r.Table.Zero(&k)
		}
		return r.Table.Zero(nil)
	}
	var hint string
	err := r.Table.Edit(func(m *config.Model) (err error) {
		hint, err = r.apply(c, m)
		return err
	})
	r.hint(hint)
	return err
}

// apply is Command.Apply with a word on what the command may have been meant to do.
func (r *run) apply(c Command, m *config.Model) (hint string, err error) {
	before := beforehand(&c, m)
	err = r.fit(c).Apply(m)
	return afterthought(&c, before, m, err), err
}

func (r *run) list(c Command) error {
	l, err := r.Table.Listing(c.Format)
	if err != nil {
		return err
	}
	c.Format.Names = r.Names
	return Print(r.stdout, l, c.Format)
}
