package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Exit statuses of Main.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usage is what `dirsw lab` says without a command.
const usage = `usage: dirsw lab COMMAND

A cluster in network namespaces of this machine: a client, a director and two
real servers on one switch, with the addresses of an article about keepalived.

  up                    build it, and keep it until "down"
  down                  remove it, or what is left of it
  status                list its nodes
  exec NODE -- CMD...   run a command inside a node
  demo [SCENARIO]       build one of its own, show dirsw at work in it, check
                        every step, and remove it
  drill -f A -f B       the same exercise with your own two configurations; -n
                        shows the cluster that follows from them

All need root. Nodes: client, lb1, rs1, rs2 and switch. Scenarios:

`

// help is usage, with the scenarios.
func help() string {
	var b strings.Builder
	b.WriteString(usage)
	for i, s := range scenarios() {
		if i == 0 {
			s.title += " Also without a name."
		}
		fmt.Fprintf(&b, "  %-8s %s\n", s.name, s.title)
	}
	return b.String()
}

// errUsage marks an error of the command line.
var errUsage = errors.New("usage")

// MainOptions are what Main must be told by the program it is part of.
type MainOptions struct {
	Self   string // path of a program that understands `lab serve`, `run`, `explain` and `ipvsadm`
	Prefix string // of the names of namespaces; default "dirsw"
}

// Main carries out `dirsw lab` with args and returns the exit status: 0, 1 if something went wrong, 2 for a mistake in
// args. `exec` does not return if it succeeds.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer, o MainOptions) int {
	err := command(ctx, args, stdout, stderr, o)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help())
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "dirsw lab: %v\n\n%s", err, help())
		return exitUsage
	}
	fmt.Fprintf(stderr, "dirsw lab: %v\n", err)
	return exitFailed
}

// command finds the command and carries it out.
func command(ctx context.Context, args []string, stdout, stderr io.Writer, o MainOptions) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: no command", errUsage)
	}
	opts := Options{Named: true, Prefix: o.Prefix, Self: o.Self}
	name, rest := args[0], args[1:]
	switch name {
	case "exec":
		return execInside(opts, rest)
	case "serve":
		return serveCommand(ctx, rest, stdout)
	case "demo":
		return demoCommand(ctx, rest, stdout, o.Self)
	case "drill":
		return drillCommand(ctx, rest, stdout, o.Self)
	case "-h", "-help", "--help", "help":
		return flag.ErrHelp
	}
	commands := map[string]func() error{
		"up":     func() error { return upCommand(ctx, opts, stdout) },
		"down":   func() error { return downCommand(opts, stdout) },
		"status": func() error { return statusCommand(opts, stdout) },
	}
	run, ok := commands[name]
	switch {
	case !ok:
		return fmt.Errorf("%w: unknown command %q", errUsage, name)
	case slices.ContainsFunc(rest, func(s string) bool { return s == "-h" || s == "-help" || s == "--help" }):
		return flag.ErrHelp
	case len(rest) > 0:
		return fmt.Errorf("%w: %s takes no %q", errUsage, name, rest[0])
	}
	return run()
}

// demoCommand plays a scenario: the first, if none is named.
func demoCommand(ctx context.Context, args []string, stdout io.Writer, self string) error {
	name := scenarios()[0].name
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if name == "-h" || name == "-help" || name == "--help" {
		return flag.ErrHelp
	}
	s, err := findScenario(name)
	if err != nil {
		return err
	}
	if len(args) > 0 && s.takes == "" {
		return fmt.Errorf("%w: what is %q? demo takes one scenario", errUsage, args[0])
	}
	return s.play(ctx, stdout, self, args...)
}

// upCommand builds the cluster; interrupted meanwhile, it takes it down again.
func upCommand(ctx context.Context, o Options, stdout io.Writer) error {
	c, err := Up(DefaultSpec(), o)
	if errors.Is(err, ErrUp) {
		fmt.Fprintln(stdout, "The lab is up already: see `dirsw lab status`.")
		return nil
	}
	if errors.Is(err, ErrPartial) {
		return fmt.Errorf("%w: `dirsw lab down` does", err)
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), c.Down())
	}
	defer c.Close()
	fmt.Fprintln(stdout, "The lab is up.")
	return statusCommand(o, stdout)
}

// downCommand removes the cluster.
func downCommand(o Options, stdout io.Writer) error {
	r, err := Remove(o)
	if errors.Is(err, ErrDown) {
		fmt.Fprintln(stdout, "The lab is not up.")
		return nil
	}
	for node, left := range r.Left {
		for _, p := range left {
			fmt.Fprintf(stdout, "Left running in %s, now without a network: %d %s\n", node, p.PID, p.Command)
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The lab is gone: %d namespaces, %d servers.\n", len(r.Namespaces), r.Servers)
	return nil
}

// statusCommand lists the nodes.
func statusCommand(o Options, stdout io.Writer) error {
	nodes, err := Status(o)
	if errors.Is(err, ErrDown) {
		return fmt.Errorf("%w: `dirsw lab up` builds it", err)
	}
	return errors.Join(printStatus(stdout, nodes), err)
}

// execInside becomes the command, inside the node. Signals and the terminal are then its own.
func execInside(o Options, args []string) error {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	if len(args) < 2 || strings.HasPrefix(args[0], "-") {
		return fmt.Errorf("%w: exec needs a node and a command: dirsw lab exec client -- curl http://192.168.56.200/", errUsage)
	}
	c, err := Open(o)
	if errors.Is(err, ErrDown) {
		return fmt.Errorf("%w: `dirsw lab up` builds it", err)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	n, ok := c.nodes[args[0]]
	if !ok {
		return fmt.Errorf("%w; there is %s", unknownNode(args[0]), strings.Join(c.names(), ", "))
	}
	path, err := program(args[1])
	if err != nil {
		return err
	}
	return onThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return fmt.Errorf("enter %s: %w", args[0], err)
		}
		if err := unix.Exec(path, args[1:], os.Environ()); err != nil {
			return fmt.Errorf("run %s: %w", path, err)
		}
		return nil
	})
}

// program finds a command. In a lab there is no IPVS but dirsw: ipvsadm is what dirsw does by that name.
func program(name string) (string, error) {
	switch name {
	case "ipvsadm", "ipvsadm-save", "ipvsadm-restore":
		return os.Executable()
	}
	return exec.LookPath(name)
}

// names lists the nodes.
func (c *Cluster) names() []string {
	out := []string{switchName}
	for _, n := range c.spec.Nodes {
		out = append(out, n.Name)
	}
	return out
}

// serveCommand is the server of a node as a process of its own (see startServer).
func serveCommand(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	name := flags.String("name", "", "what the page says")
	addr := flags.String("addr", ":80", "where to listen")
	gate := flags.Bool("gate", false, "begin when a byte comes on standard input")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 || *name == "" {
		return fmt.Errorf("%w: serve --name NAME [--addr ADDRESS:PORT]", errUsage)
	}
	if *gate {
		if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
			return fmt.Errorf("the one who started this server has gone: %w", err)
		}
	}
	return Serve(ctx, *name, *addr, func() { fmt.Fprint(stdout, listening) })
}
