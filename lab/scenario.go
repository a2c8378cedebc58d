package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// scenario is a cluster, a configuration for its director, and what to see there. Each is in a file of its own.
type scenario struct {
	name  string // for `dirsw lab demo NAME`
	title string // one line of what it shows
	spec  func() Spec
	// conf is the keepalived.conf of the director, empty if the steps start it themselves; about is said of it instead of
	// showing it, if not empty.
	conf, about string
	// takes says what words may follow its name on the command line; empty: none.
	takes string
	// steps are run once dirsw forwards. An error of one ends the scenario; what is only wrong is told by check.
	steps []func(*scene) error
}

// scenarios lists them all, the one that is played without a name first.
func scenarios() []scenario {
	return []scenario{
		haScenario(),
		demoScenario(),
		ipv6Scenario(),
		tunScenario(),
		tunPathScenario(),
		natScenario(),
		natPathScenario(),
		ftpScenario(),
		markScenario(),
		proxyScenario(),
		localScenario(),
		workersScenario(),
		mixedScenario(),
		faultsScenario(),
		stressScenario(),
	}
}

// findScenario returns the scenario of a name.
func findScenario(name string) (scenario, error) {
	all := scenarios()
	i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
	if i < 0 {
		var names []string
		for _, s := range all {
			names = append(names, s.name)
		}
		return scenario{}, fmt.Errorf("%w: no scenario %q; there is %s", errUsage, name, strings.Join(names, ", "))
	}
	return all[i], nil
}

// scene is a scenario under way.
type scene struct {
	*report
	ctx  context.Context
	self string // path of the dirsw program
	c    *Cluster
	dir  string   // path
	args []string // of the command line, after the name
	*machine
}

// play builds the cluster of s, runs dirsw in it, takes the steps, and tells on w what happened.
func (s *scenario) play(ctx context.Context, w io.Writer, self string, args ...string) error {
	return stage(ctx, w, self, s.spec(), func(sc *scene) error {
		sc.args = args
		fmt.Fprintf(w, "%s\n", s.title)
		sc.introduce()
		if s.conf != "" {
			if err := sc.start(s.conf, s.about); err != nil {
				return err
			}
		}
		for _, step := range s.steps {
			if err := step(sc); err != nil {
				return err
			}
		}
		return nil
	})
}

// stage builds a cluster and has f act in it; then it tells the result. However it ends, also by ctx, nothing is left behind.
// It needs root.
func stage(ctx context.Context, w io.Writer, self string, spec Spec, f func(*scene) error) (err error) {
	slack, err := slackOf(os.Getenv(slackEnv))
	if err != nil {
		return err
	}
	c, err := Up(spec, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Down()) }()
	dir, err := os.MkdirTemp("", "dirsw-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sc := &scene{report: &report{w: w, slack: slack}, ctx: ctx, self: self, c: c, dir: dir}
	i := slices.IndexFunc(spec.Nodes, func(n NodeSpec) bool { return n.Role == Director })
	sc.machine = sc.newMachine(spec.Nodes[i].Name)
	defer func() { stopAll(sc.machine) }()
	if err := f(sc); err != nil {
		return sc.stopped(err)
	}
	if err := sc.result(); err != nil {
		return sc.stopped(err)
	}
	return nil
}

// stopped tells why a scenario does not go on.
func (s *scene) stopped(err error) error {
	if s.ctx.Err() != nil {
		return errInterrupted
	}
	if s.d != nil {
		fmt.Fprintf(s.w, "\nFAILED: %v\nThe last lines of dirsw's log:\n%s\n", err, s.d.log.tail(20))
	}
	return err
}

// introduce says who is there.
func (s *scene) introduce() {
	fmt.Fprintln(s.w, "A lab of network namespaces, and in it")
	for _, n := range s.c.Spec().Nodes {
		var at []string
		for _, i := range n.interfaces() {
			for _, p := range i.Addrs {
				at = append(at, p.Addr().String())
			}
		}
		fmt.Fprintf(s.w, "   %-7s %-15s  %v", n.Name, strings.Join(at, " "), n.Role)
		for _, vip := range n.VIPs {
			fmt.Fprintf(s.w, ", %v on lo", vip.Addr())
		}
		if n.Page != "" {
			fmt.Fprintf(s.w, ", HTTP server that says %s", n.Page)
		}
		fmt.Fprintln(s.w)
	}
}

// start runs dirsw with a configuration and returns when it forwards and has its addresses.
func (s *scene) start(conf, about string) error {
	if about == "" {
		about = "\n" + indent(conf)
	}
	fmt.Fprintf(s.w, "\nIn %s: dirsw run -f keepalived.conf%s\n", s.node, strings.TrimSuffix(about, "\n"))
	if err := s.boot(conf); err != nil {
		return err
	}
	return s.elected(conf)
}

func indent(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString("   | " + l)
	}
	return b.String()
}

// dirsw runs a dirsw command against the running one and returns what it prints; what it writes to standard error is in
// the error.
func (s *scene) dirsw(command string, args ...string) (string, error) {
	return s.run(s.node, s.self, append([]string{command, "--socket", s.socket}, args...)...)
}

// curl runs the real curl on a node. It does not retry, and gives up after half a minute.
func (s *scene) curl(node string, args ...string) (string, error) {
	return s.run(node, "curl", append([]string{"--silent", "--show-error", "--max-time", "30"}, args...)...)
}

func (s *scene) run(node, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, ample)
	defer cancel()
	out, err := s.c.Command(ctx, node, program, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// pages fetches a page n times with curl and returns the first lines, which name the servers, in order.
func (s *scene) pages(node, url string, n int) ([]string, error) {
	var out []string
	for range n {
		text, err := s.curl(node, url)
		if err != nil {
			return out, err
		}
		first, _, _ := strings.Cut(text, "\n")
		out = append(out, first)
	}
	return out, nil
}

// counted is how often each of list is there.
func counted(list []string) map[string]int {
	n := map[string]int{}
	for _, s := range list {
		n[s]++
	}
	return n
}

// prefixes parses addresses with their lengths.
func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
