package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const (
	exitDiffers = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("oracle", flag.ContinueOnError)
	fs.SetOutput(stderr)
	verbose := fs.Bool("v", false, "tell got and want of a difference in full, and count each file")
	if fs.Parse(args) != nil {
		return exitUsage
	}
	if fs.NArg() == 0 {
		fmt.Fprintln(stderr, "oracle: name a transcript: go run ./bench/oracle [-v] FILE…")
		return exitUsage
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush()
	r := &report{out: out, verbose: *verbose}
	code := 0
	for _, name := range fs.Args() {
		before := *r
		if err := playFile(name, r); err != nil {
			out.Flush()
			fmt.Fprintf(stderr, "oracle: %s: %v\n", name, err)
			code = exitUsage
		}
		if *verbose {
			fmt.Fprintf(out, "# %s: %d ok, %d differ; %d of %d packets accelerated\n", name, r.ok-before.ok,
				r.differ-before.differ, r.traffic.accelerated-before.traffic.accelerated, r.traffic.packets-before.traffic.packets)
		}
	}
	fmt.Fprintf(out, "%d ok, %d differ\n", r.ok, r.differ)
	if code == 0 && r.differ > 0 {
		code = exitDiffers
	}
	return code
}

// report prints what became of each case and counts.
type report struct {
	out        io.Writer
	verbose    bool
	ok, differ int
	traffic    traffic // of the machines with an accelerator
}

// tell prints the line of a case. Err is nil, a *difference, an *unserved, or what went wrong in playing it.
func (r *report) tell(name string, err error) {
	if err == nil {
		r.ok++
		fmt.Fprintln(r.out, "ok", name)
		return
	}
	r.differ++
	var d *difference
	if !errors.As(err, &d) {
		fmt.Fprintf(r.out, "differs %s: %v\n", name, err)
		return
	}
	fmt.Fprintf(r.out, "differs %s: %s, got %s, want %s\n", name, d.where, short(d.got), short(d.want))
	if r.verbose {
		fmt.Fprintf(r.out, "    got  %s\n    want %s\n", d.got, d.want)
	}
}

// shown is how much of a long value stands in the line of a case.
const shown = 160

func short(s string) string {
	if len(s) <= shown {
		return s
	}
	return s[:shown] + "…"
}

// difference is the first thing in a case that was not as the kernel had it.
type difference struct{ where, got, want string }

func (d *difference) Error() string { return d.where + ", got " + d.got + ", want " + d.want }

// differs makes a difference.
func differs(got, want any, where string, args ...any) error {
	return &difference{fmt.Sprintf(where, args...), fmt.Sprint(got), fmt.Sprint(want)}
}

// unserved says that a case needs what dirsw refuses, or has no way to be told.
type unserved struct {
	why        string
	complaints int // of the director
}

func (u *unserved) Error() string { return "not served: " + u.why }
