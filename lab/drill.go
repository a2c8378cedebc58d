package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/config/compare"
	"dirsw/config/keepalived"
)

// member is a director of a drill: its configuration as the operator has it.
type member struct {
	node  string
	file  string
	id    string // what conditional lines are compared with; empty: the host's name
	model *config.Model
}

// repeated is a flag that may be given more than once.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }

// Set takes one more.
func (r *repeated) Set(s string) error {
	*r = append(*r, s)
	return nil
}

// drillCommand plays the exercise of the scenario ha with an operator's own pair of configurations.
func drillCommand(ctx context.Context, args []string, stdout io.Writer, self string) error {
	flags := flag.NewFlagSet("drill", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var files, ids repeated
	flags.Var(&files, "f", "configuration `file`, of one director and then of the other")
	flags.Var(&ids, "i", "`name` of the director that the file is read for; as often as -f")
	dry := flags.Bool("n", false, "show the cluster that follows from the files, and run nothing")
	servers := flags.Int("servers", -1, "stop the first `n` web servers only, one after the other; -1: all")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil || flags.NArg() > 0 || len(files) != 2 || len(ids) != 0 && len(ids) != 2 {
		return fmt.Errorf("%w: drill [-n] [-servers N] -f FILE [-i ID] -f FILE [-i ID]: two configurations, one of each director", errUsage)
	}
	var pair [2]member
	for i := range pair {
		pair[i] = member{node: fmt.Sprintf("lb%d", i+1), file: files[i]}
		if len(ids) > 0 {
			pair[i].id = ids[i]
		}
		if err := pair[i].read(ctx, self); err != nil {
			return err
		}
	}
	p, err := derive(pair)
	if err != nil {
		return err
	}
	p.stopped = *servers
	if *dry {
		p.introduce(stdout)
		return nil
	}
	return p.play(ctx, stdout, self)
}

// read has dirsw judge a configuration, then reads it.
func (m *member) read(ctx context.Context, self string) error {
	check := []string{"check", "-q", "-f", m.file}
	if m.id != "" {
		check = append(check, "-i", m.id)
	}
	if out, err := exec.CommandContext(ctx, self, check...).CombinedOutput(); err != nil {
		return fmt.Errorf("dirsw %s: %w\n%s", strings.Join(check, " "), err, out)
	}
	return m.parse()
}

// parse reads a configuration that dirsw takes.
func (m *member) parse() error {
	f, err := os.Open(m.file)
	if err != nil {
		return err
	}
	defer f.Close()
	id := m.id
	if id == "" {
		host, _ := os.Hostname() // without it, conditional lines are for nobody
		id, _, _ = strings.Cut(host, ".")
	}
	dir, _ := os.Getwd() // without it, ${_PWD} stays relative
	m.model, _, err = keepalived.Parse(m.file, f, &keepalived.Options{
		Open: func(name string) (io.ReadCloser, error) { return os.Open(name) }, Glob: filepath.Glob, ConfigID: id, Dir: dir, Env: os.LookupEnv,
	})
	return err
}

// introduce tells what follows from the files.
func (p *plan) introduce(w io.Writer) {
	fmt.Fprintln(w, "The cluster that follows from the files:")
	spec := p.spec()
	for _, n := range spec.Nodes {
		for i, wire := range n.interfaces() {
			var at []string
			for _, a := range wire.Addrs {
				at = append(at, a.String())
			}
			name, what := n.Name, p.role(n.Name)
			if i > 0 {
				name, what = "", ""
			}
			fmt.Fprintf(w, "   %-7s %-10s in %-9s %-36s %s\n", name, wire.Interface, bridge(wire.Net), strings.Join(at, " "), what)
		}
	}
	for _, s := range p.services {
		fmt.Fprintf(w, "   %s by %s: %s\n", s.url, s.conf.Method, strings.Join(s.pages(), " "))
	}
	p.list(w, "Programs that the files name. They run on this machine as the files say, when their time comes:", p.programs())
	p.list(w, "What is left out, as it cannot be played here:", p.left)
	p.list(w, "What is wrong with the pair:", p.faults)
	p.list(w, "What to know about it:", p.notes)
}

// list writes a list with a title, if there is something in it.
func (p *plan) list(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, l := range lines {
		fmt.Fprintf(w, "   - %s\n", l)
	}
}

// compared notes what two configurations do not agree about.
func (p *plan) compared() {
	for _, f := range compare.Peers(p.members[0].model, p.members[1].model) {
		if f.Wrong {
			p.unfit = true
			p.faults = append(p.faults, f.String())
		} else {
			p.notes = append(p.notes, f.String())
		}
	}
}

// play builds the cluster, runs the directors with the operator's own files, and takes all steps.
func (p *plan) play(ctx context.Context, w io.Writer, self string) error {
	if len(p.targets) == 0 {
		p.introduce(w)
		return errors.New("there is nothing to play: no virtual address of the files is asked for anything by TCP")
	}
	p.introduce(w)
	return stage(ctx, w, self, p.spec(), func(s *scene) (err error) {
		s.machine = &machine{node: p.members[0].node, conf: p.members[0].file, socket: filepath.Join(s.dir, "lb1.sock")}
		other := s.at(&machine{node: p.members[1].node, conf: p.members[1].file, socket: filepath.Join(s.dir, "lb2.sock")})
		defer stopAll(other.machine)
		d := &drill{plan: p, pair: &pair{scene: s, lbs: [2]*scene{s, other}, sites: p.targets, every: drillEvery}}
		d.launch = d.start
		if err := d.open(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.close()) }()
		return d.steps()
	})
}

// drillEvery is how often a page is asked for while web servers come and go: there may be many pages, and checks may be seldom.
const drillEvery = 50 * time.Millisecond

// drill is a plan under way.
type drill struct {
	*plan
	*pair
	ends []io.Closer // of tunnels
}

// start runs dirsw of a director with the operator's file.
func (d *drill) start(lb *scene) (err error) {
	var more []string
	if id := d.member(lb.node).id; id != "" {
		more = []string{"-i", id}
	}
	lb.d, err = lb.c.startDirector(lb.ctx, lb.node, lb.self, lb.conf, lb.socket, more...)
	return err
}
