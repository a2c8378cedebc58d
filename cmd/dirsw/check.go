package main

import (
	"errors"
	"fmt"
	"io"
)

// cmdCheck reports everything that is wrong with a configuration, and what is worth knowing about it.
func cmdCheck(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("check", "[-f FILE] [-q]", stderr)
	file := fs.String("f", defaultConfig, "configuration `file`")
	quiet := fs.Bool("q", false, "no notes, only complaints")
	if code := parse(args); code >= 0 {
		return code
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "dirsw check: what is %q? Name the file with -f\n", fs.Arg(0))
		return exitUsage
	}
	m, notes, err := load(*file)
	if errors.Is(err, errNoFile) {
		fail(stderr, "check", err)
		return exitNoFile
	}
	if !*quiet {
		for _, n := range notes {
			fmt.Fprintf(stdout, "%v: note: %s\n", n.Pos, n.Text)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitComplain
	}
	if !*quiet {
		reals := 0
		for i := range m.Services {
			reals += len(m.Services[i].Reals)
		}
		fmt.Fprintf(stdout, "%s: good: %d services, %d real servers, %d vrrp instances\n", *file, len(m.Services), reals,
			len(m.Instances))
	}
	return exitOK
}
