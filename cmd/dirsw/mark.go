package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"dirsw/config"
	"dirsw/config/iptables"
	"dirsw/ctl"
)

const markUsage = `usage: dirsw mark add     [-6] [-f FILE] -- RULE      append a rule, in the words of iptables
       dirsw mark del     [-6] [-f FILE] -- RULE      delete a rule
       dirsw mark list    [-6] [-f FILE] [--origin]   print the rules as iptables-save does
       dirsw mark restore [-6] [-f FILE] RULES        put the rules of a file of iptables-save in the place of all
       dirsw iptables  …                              a whole command line: -t mangle -A, -I, -D, -R, -F, -N, -X, -E, -C, -S
       dirsw ip6tables …

RULE is what stands on the command line of iptables: -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1.
"-t mangle" and "-A PREROUTING" may be there and need not. -6 is for IPv6. With -f FILE nothing is changed: the command is
tried on the rules of a configuration, and what it would change is printed. --socket PATH names another director.
`

// markArgs is a command line of dirsw mark.
type markArgs struct {
	op     string // add, del, list or restore
	socket string
	file   string // configuration to try it on; empty: the running director
	ipv6   bool
	origin bool
	words  []string // RULE, or RULES
}

// parseMarkArgs reads a command line.
func parseMarkArgs(args []string) (m markArgs, err error) {
	m.socket, args = socketOf(args)
	if len(args) > 0 {
		m.op, args = args[0], args[1:]
	}
	for len(args) > 0 && err == nil {
		a := args[0]
		args = args[1:]
		value := func() (v string) {
			if len(args) == 0 {
				err = fmt.Errorf("%s is missing its value", a)
				return ""
			}
			v, args = args[0], args[1:]
			return v
		}
		switch {
		case a == "-6":
			m.ipv6 = true
		case a == "--origin" && m.op == "list":
			m.origin = true
		case a == "-f":
			m.file = value()
		case a == "--socket":
			m.socket = value()
		case a == "--":
			m.words, args = args, nil
		case strings.HasPrefix(a, "-") && a != "-":
			err = fmt.Errorf("there is no option %s: write -- before the rule", a)
		default:
			m.words = append(m.words, a)
		}
	}
	if err == nil {
		err = m.complete()
	}
	return m, err
}

// complete says what is missing, and what is too much.
func (m *markArgs) complete() error {
	switch m.op {
	case "add", "del":
		if len(m.words) == 0 {
			return errors.New("write -- and the rule")
		}
	case "restore":
		if len(m.words) != 1 {
			return errors.New("name one file of iptables-save, or - for the standard input")
		}
	case "list":
		if len(m.words) > 0 {
			return fmt.Errorf("what is %q?", m.words[0])
		}
	default:
		return errors.New("write add, del, list or restore")
	}
	return nil
}

// line makes the whole command line of iptables of add and del, and tells the family that a leading "iptables" or
// "ip6tables" names.
func (m *markArgs) line() (words []string, ipv6 bool) {
	words, ipv6 = slices.Clone(m.words), m.ipv6
	if words[0] == "iptables" || words[0] == "ip6tables" {
		ipv6 = words[0] == "ip6tables"
		words = words[1:]
	}
	command, table := "-A", false
	if m.op == "del" {
		command = "-D"
	}
	chain := false
	for i, w := range words {
		switch w {
		case "-t", "--table":
			table = true
		case "-A", "--append":
			words[i], chain = command, true
		case "-I", "--insert", "-D", "--delete", "-R", "--replace", "-N", "--new-chain", "-X", "--delete-chain", "-F", "--flush",
			"-E", "--rename-chain", "-P", "--policy", "-Z", "--zero", "-C", "--check":
			chain = true
		}
	}
	if !chain {
		words = append([]string{command, config.ChainPrerouting}, words...)
	}
	if !table {
		words = append([]string{"-t", "mangle"}, words...)
	}
	return words, ipv6
}

// cmdMark shows and changes the rules that give packets their firewall marks.
func cmdMark(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help" || args[0] == "help") {
		fmt.Fprint(stdout, markUsage)
		return exitOK
	}
	m, err := parseMarkArgs(args)
	if err != nil {
		fmt.Fprintf(stderr, "dirsw mark: %v\n%s", err, markUsage)
		return exitUsage
	}
	var text string
	if m.op == "restore" {
		b, err := readAll(m.words[0], stdin)
		if err != nil {
			return fail(stderr, "mark", err)
		}
		text = string(b)
	}
	if m.file != "" {
		return m.try(text, stdout, stderr)
	}
	return remoteMark(m.socket, "mark", m.request(), text, stdout, stderr)
}

// readAll reads a file; - is the standard input.
func readAll(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

// request is what the director is asked: the operation, the family, and what more it needs.
func (m *markArgs) request() []string {
	family := func(ipv6 bool) string {
		if ipv6 {
			return "ip6tables"
		}
		return "iptables"
	}
	switch m.op {
	case "list":
		if m.origin {
			return []string{"list", family(m.ipv6), "origin"}
		}
		return []string{"list", family(m.ipv6)}
	case "restore":
		return []string{"restore", family(m.ipv6), m.words[0]}
	}
	words, ipv6 := m.line()
	return append([]string{"do", family(ipv6)}, words...)
}

// cmdIptables carries out a command line of iptables or ip6tables, as it is typed, on the running director.
func cmdIptables(program string, args []string, stdout, stderr io.Writer) int {
	socket, args := socketOf(args)
	return remoteMark(socket, program, append([]string{"do", program}, args...), "", stdout, stderr)
}

// remoteMark has the director carry out a request.
func remoteMark(socket, command string, request []string, stdin string, stdout, stderr io.Writer) int {
	c, err := ctl.Dial(socket)
	if err != nil {
		return fail(stderr, command, err)
	}
	out, errs, exit, err := c.Do("mark", request, stdin)
	if err != nil {
		return fail(stderr, command, err)
	}
	fmt.Fprint(stdout, out)
	fmt.Fprint(stderr, errs)
	return exit
}

// try carries out a command on the rules of a configuration and prints what it would change.
func (m *markArgs) try(text string, stdout, stderr io.Writer) int {
	model, _, err := load(m.file)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	t := markTable{marks: func() config.Marks { return model.Marks }, edit: func(change func(*config.Model) error) ([]config.Change, []config.Note, error) {
		next := model.Clone()
		if err := change(next); err != nil {
			return nil, nil, err
		}
		return config.Diff(model, next), next.MarkNotes(), nil
	}}
	o := t.do(m.request(), text)
	for _, c := range t.changes {
		fmt.Fprintln(stdout, c)
	}
	fmt.Fprint(stdout, o.Stdout)
	fmt.Fprint(stderr, o.Stderr)
	return o.Exit
}

// mark is the director's side of cmdMark and cmdIptables.
func (b *backend) mark(args []string, stdin string) ctl.Outcome {
	t := markTable{marks: b.d.Marks, edit: func(change func(*config.Model) error) ([]config.Change, []config.Note, error) {
		var notes []config.Note
		err := b.edit(func(m *config.Model) error {
			err := change(m)
			notes = m.MarkNotes()
			return err
		})
		return nil, notes, err
	}}
	return t.do(args, stdin)
}

// markTable is the rules in force, or those of a file.
type markTable struct {
	marks   func() config.Marks
	edit    func(func(*config.Model) error) ([]config.Change, []config.Note, error)
	changes []config.Change // of the last edit, where it tells
}

// do carries out a request: an operation, "iptables" or "ip6tables", and the rest.
func (t *markTable) do(args []string, stdin string) (o ctl.Outcome) {
	if len(args) < 2 || args[1] != "iptables" && args[1] != "ip6tables" {
		return ctl.Outcome{Stderr: "dirsw mark: the request is not understood\n", Exit: exitUsage}
	}
	ipv6, rest := args[1] == "ip6tables", args[2:]
	switch args[0] {
	case "list":
		return t.list(ipv6, len(rest) > 0)
	case "restore":
		return t.restore(ipv6, strings.Join(rest, " "), stdin)
	case "do":
		return t.line(args[1], rest)
	}
	return ctl.Outcome{Stderr: "dirsw mark: the request is not understood\n", Exit: exitUsage}
}

// line carries out a command line. What is wrong with it exits 2, what cannot be done 1, as iptables has it.
func (t *markTable) line(program string, words []string) (o ctl.Outcome) {
	c, err := iptables.Parse(program == "ip6tables", iptables.Words(words))
	if err != nil {
		return complaint(program, err, exitUsage)
	}
	if c.Changes() {
		t.changes, _, err = t.edit(func(m *config.Model) error {
			if err := c.Apply(&m.Marks, config.FromCommand); err != nil {
				return err
			}
			return m.Marks.Validate()
		})
	} else {
		m := t.marks()
		if err = c.Apply(&m, config.FromCommand); err == nil && c.Op != iptables.OpCheck {
			var out strings.Builder
			err = iptables.Rules(&out, m.Table(c.IPv6), c.Chain)
			o.Stdout = out.String()
		}
	}
	if err != nil {
		return complaint(program, err, exitFailed)
	}
	return o
}

// complaint says what is wrong in one line, and what to do in a second one.
func complaint(program string, err error, exit int) ctl.Outcome {
	o := ctl.Outcome{Exit: exit, Stderr: fmt.Sprintf("%s: %v\n", program, err)}
	var one config.Error
	var list config.Errors
	switch {
	case errors.As(err, &list):
		o.Stderr = list.Error() + "\n"
	case errors.As(err, &one) && one.Fix != "":
		o.Stderr = fmt.Sprintf("%s: %s\n%s: %s\n", program, one.Message, program, one.Fix)
	}
	return o
}

// list prints a table.
func (t *markTable) list(ipv6, origin bool) (o ctl.Outcome) {
	m := t.marks()
	var out strings.Builder
	if err := iptables.Save(&out, m.Table(ipv6), ipv6, origin); err != nil {
		return complaint("dirsw mark", err, exitFailed)
	}
	o.Stdout = out.String()
	if !m.Table(!ipv6).Empty() {
		o.Stderr = map[bool]string{false: "note: there are rules for IPv6 too: dirsw mark list -6\n",
			true: "note: there are rules for IPv4 too: dirsw mark list\n"}[ipv6]
	}
	return o
}

// restore puts the rules of a file in the place of all of the family.
func (t *markTable) restore(ipv6 bool, name, text string) (o ctl.Outcome) {
	table, left, err := iptables.ReadSave(name, strings.NewReader(text), ipv6)
	if err != nil {
		return complaint("dirsw mark", err, exitFailed)
	}
	var notes []config.Note
	t.changes, notes, err = t.edit(func(m *config.Model) error {
		next := table.Clone()
		for i := range next.Chains {
			next.Chains[i].Origin = config.FromCommand
			for k := range next.Chains[i].Rules {
				next.Chains[i].Rules[k].Origin = config.FromCommand
			}
		}
		*m.Marks.Table(ipv6) = next
		return m.Marks.Validate()
	})
	if err != nil {
		return complaint("dirsw mark", err, exitFailed)
	}
	for _, n := range append(left, notes...) {
		o.Stderr += fmt.Sprintf("note: %v\n", n)
	}
	return o
}
