package main

import (
	"errors"
	"fmt"
	"io"

	"dirsw/config"
	"dirsw/config/compare"
	"dirsw/config/keepalived"
)

// checkFlags are those of the command check.
type checkFlags struct {
	file, id     string
	peer, peerID string
	quiet        bool
	print        bool
	strict       bool
}

// cmdCheck reports everything that is wrong with a configuration, and what is worth knowing about it.
func cmdCheck(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("check", "[-f FILE] [-i ID] [-q] [--strict] [--print] [--peer FILE [--peer-id ID]]", stderr)
	var c checkFlags
	fs.StringVar(&c.file, "f", defaultConfig, "configuration `file`")
	defineID(fs, &c.id)
	fs.BoolVar(&c.quiet, "q", false, "no notes, only complaints")
	fs.BoolVar(&c.strict, "strict", false, "exit with status 1 where there are notes")
	fs.BoolVar(&c.print, "print", false, "print the configuration as it is understood, with every default filled in")
	fs.StringVar(&c.peer, "peer", "", "compare with the configuration of the other director in this `file`")
	fs.StringVar(&c.peerID, "peer-id", "", "`name` of the other director, for conditional lines")
	if code := parse(args); code >= 0 {
		return code
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "dirsw check: what is %q? Name the file with -f\n", fs.Arg(0))
		return exitUsage
	}
	return c.run(stdout, stderr)
}

func (c *checkFlags) run(stdout, stderr io.Writer) int {
	m, notes, code := c.read(c.file, c.id, stdout, stderr)
	if code != exitOK {
		return code
	}
	findings, unsafe := scriptFindings(m)
	if !c.quiet && !c.print {
		for _, f := range findings {
			fmt.Fprintf(stdout, "%v: note: %s\n", f.Pos, f.Text)
		}
	}
	if c.peer != "" {
		if code := c.compare(m, stdout, stderr); code != exitOK {
			return code
		}
	}
	if c.print {
		if err := keepalived.Print(stdout, m); err != nil {
			return fail(stderr, "check", err)
		}
	} else if !c.quiet {
		fmt.Fprintln(stdout, summary(c.file, m))
	}
	switch {
	case unsafe != nil:
		fmt.Fprintln(stderr, unsafe)
		return exitUnsafe
	case c.strict && notes+len(findings) > 0:
		return exitFailed
	}
	return exitOK
}

// read reads one file, and tells what is wrong with it and what is worth knowing.
func (c *checkFlags) read(file, id string, stdout, stderr io.Writer) (m *config.Model, told int, code int) {
	m, notes, err := loadAs(file, id)
	if errors.Is(err, errNoFile) {
		fail(stderr, "check", err)
		return nil, 0, exitConfig
	}
	if !c.quiet && !c.print {
		for _, n := range notes {
			fmt.Fprintf(stdout, "%v: note: %s\n", n.Pos, n.Text)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, 0, exitComplain
	}
	return m, len(notes), exitOK
}

// compare says what the two directors of a pair do not agree about.
func (c *checkFlags) compare(m *config.Model, stdout, stderr io.Writer) int {
	quiet := *c
	quiet.quiet = true // its own notes are for the other director to tell
	peer, _, code := quiet.read(c.peer, c.peerID, stdout, stderr)
	if code != exitOK {
		return code
	}
	wrong, notes := 0, 0
	for _, f := range compare.Peers(m, peer) {
		if f.Wrong {
			wrong++
			fmt.Fprintln(stderr, f)
		} else if !c.quiet {
			notes++
			fmt.Fprintln(stdout, f)
		}
	}
	switch {
	case wrong > 0:
		return exitComplain
	case notes > 0 && c.strict:
		return exitFailed
	}
	if !c.quiet {
		fmt.Fprintf(stdout, "%s and %s make a pair\n", c.file, c.peer)
	}
	return exitOK
}

// summary says how much a good configuration holds.
func summary(file string, m *config.Model) string {
	reals := 0
	for i := range m.Services {
		reals += len(m.Services[i].Reals)
	}
	return fmt.Sprintf("%s: good: %d services, %d real servers, %d vrrp instances", file, len(m.Services), reals, len(m.Instances))
}
