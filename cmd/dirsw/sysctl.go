package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/ctl"
)

const sysctlUsage = `usage: dirsw sysctl [--socket PATH] [-a] [-n | -N] [-e] [-q] [NAME | NAME=VALUE]...

  -a  show all settings            -n  values only      -e  say nothing about names that do not exist
  -w  allowed, without meaning     -N  names only       -q  say nothing about what was set

The names are those below net.ipv4.vs, with or without that. All values of one command come into force together.
`

// cmdSysctl shows and changes the net.ipv4.vs settings of a running director, in the way of sysctl(8).
func cmdSysctl(args []string, stdout, stderr io.Writer) int {
	socket, args := socketOf(args)
	if len(args) == 0 || slices.Contains(args, "-h") || slices.Contains(args, "--help") {
		out, code := stdout, exitOK
		if len(args) == 0 {
			out, code = stderr, exitUsage
		}
		fmt.Fprint(out, sysctlUsage)
		return code
	}
	if _, err := parseSysctlArgs(args); err != nil { // said without a director too
		return fail(stderr, "sysctl", err)
	}
	c, err := ctl.Dial(socket)
	if err != nil {
		return fail(stderr, "sysctl", err)
	}
	out, errs, exit, err := c.Do("sysctl", args, "")
	if err != nil {
		return fail(stderr, "sysctl", err)
	}
	fmt.Fprint(stdout, out)
	fmt.Fprint(stderr, errs)
	return exit
}

// sysctl is the director's side of cmdSysctl.
func (b *backend) sysctl(args []string) ctl.Outcome {
	s, err := parseSysctlArgs(args)
	if err == nil && s.sets() {
		err = b.edit(func(m *config.Model) error { s.apply(m, time.Now()); return nil })
	}
	if err != nil {
		return ctl.Outcome{Stderr: fmt.Sprintf("dirsw sysctl: %v\n", err), Exit: exitFailed}
	}
	d := b.d.Dataplane()
	return ctl.Outcome{Stdout: s.show(&d), Stderr: s.remarks()}
}

// sysctlArgs is a command line of dirsw sysctl.
type sysctlArgs struct {
	all, values, names, quiet, ignore bool
	items                             []sysctlItem
}

// sysctlItem is a setting to show, or to change.
type sysctlItem struct {
	config.Sysctl
	set bool
}

// parseSysctlArgs reads a command line. Everything that is wrong with it is told at once.
func parseSysctlArgs(args []string) (*sysctlArgs, error) {
	s := &sysctlArgs{}
	var errs []error
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			errs = append(errs, s.option(a))
			continue
		}
		item, err := parseSysctlItem(a)
		var unknown config.Error
		if s.ignore && errors.As(err, &unknown) && !item.set {
			continue
		}
		errs = append(errs, err)
		s.items = append(s.items, item)
	}
	return s, errors.Join(errs...)
}

func parseSysctlItem(a string) (item sysctlItem, err error) {
	if strings.Contains(a, "=") {
		item.set = true
		item.Sysctl, err = config.ParseSysctl([]string{a})
		return item, err
	}
	item.Name, err = config.SysctlName(a)
	return item, err
}

// option reads one or more options of a letter each, or a long one.
func (s *sysctlArgs) option(a string) error {
	long := map[string]rune{"--all": 'a', "--values": 'n', "--names": 'N', "--quiet": 'q', "--ignore": 'e', "--write": 'w'}
	letters := []rune(strings.TrimPrefix(a, "-"))
	if l, ok := long[a]; ok {
		letters = []rune{l}
	}
	for _, l := range letters {
		switch l {
		case 'a', 'A', 'X':
			s.all = true
		case 'n':
			s.values = true
		case 'N':
			s.names = true
		case 'q':
			s.quiet = true
		case 'e':
			s.ignore = true
		case 'w':
		default:
			return fmt.Errorf("there is no option %s; \"dirsw sysctl -h\" lists them", a)
		}
	}
	return nil
}

// sets reports whether anything is to be changed.
func (s *sysctlArgs) sets() bool {
	return slices.ContainsFunc(s.items, func(i sysctlItem) bool { return i.set })
}

// apply makes the changes.
func (s *sysctlArgs) apply(m *config.Model, now time.Time) {
	for _, i := range s.items {
		if i.set {
			i.Origin, i.Edited = config.FromCommand, now
			m.Dataplane.SetSysctl(i.Sysctl)
		}
	}
}

// show prints what was asked for and what was set, as it is now.
func (s *sysctlArgs) show(d *config.Dataplane) string {
	var out strings.Builder
	for _, k := range config.Knobs() {
		if s.all {
			s.line(&out, d, k.Name)
		}
	}
	for _, i := range s.items {
		if !i.set || !s.quiet {
			s.line(&out, d, i.Name)
		}
	}
	return out.String()
}

func (s *sysctlArgs) line(out *strings.Builder, d *config.Dataplane, name string) {
	value := strings.ReplaceAll(d.Sysctl(name), " ", "\t") // so the kernel parts two numbers
	switch {
	case s.names:
		fmt.Fprintln(out, config.SysctlPrefix+name)
	case s.values:
		fmt.Fprintln(out, value)
	default:
		fmt.Fprintf(out, "%s%s = %s\n", config.SysctlPrefix, name, value)
	}
}

// remarks tells which of the values that were set do nothing here.
func (s *sysctlArgs) remarks() string {
	var out strings.Builder
	for _, i := range s.items {
		k, _ := config.FindKnob(i.Name)
		switch {
		case !i.set || i.Value == k.Default:
		case k.Use == config.SysctlIdle:
			fmt.Fprintf(&out, "note: %s%s has no effect: %s\n", config.SysctlPrefix, k.Name, k.Text)
		}
	}
	return out.String()
}
