package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dirsw/bench/measure"
	"dirsw/bench/wire"
	"dirsw/clock"
)

// generate is the child process that sends on the wire.
func generate(what string) error {
	var g wire.Generator
	if err := json.Unmarshal([]byte(what), &g); err != nil {
		return fmt.Errorf("-generate: %w", err)
	}
	return g.Run()
}

// probe is the child process that measures latency.
func probe(what string, out io.Writer) error {
	var p wire.Probe
	if err := json.Unmarshal([]byte(what), &p); err != nil {
		return fmt.Errorf("-probe: %w", err)
	}
	l, err := p.Run(clock.NewSystem())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(l)
}

// rig makes what the measurements between interfaces stand on; nil if this process may not, or the machine has not what it
// takes. Undo removes what it left in the file system.
func (b *bench) rig(ctx context.Context, section string) (w *wire.Bench, undo func(), err error) {
	dir, err := os.MkdirTemp("", "dirsw-bench-")
	if err != nil {
		return nil, nil, err
	}
	undo = func() { os.RemoveAll(dir) }
	o := wire.Options{Dir: dir, Clock: b.clock, Other: b.other, Settle: 500 * time.Millisecond, Window: 1500 * time.Millisecond,
		WarmUp: 1 << 16}
	if b.quick {
		o.Settle, o.Window, o.WarmUp = 200*time.Millisecond, 400*time.Millisecond, 1<<15
	}
	if section == "http" {
		o.Window *= 2
	}
	if o.Self, err = os.Executable(); err != nil {
		undo()
		return nil, nil, err
	}
	o.Dirsw = b.program(ctx)
	if w, err = wire.New(ctx, o); err != nil {
		b.skip("%s: %v", section, err)
		undo()
		return nil, func() {}, ctx.Err()
	}
	return w, undo, nil
}

// program is the program dirsw to measure, built if none was named; empty if that failed.
func (b *bench) program(ctx context.Context) string {
	if b.dirsw != "" || b.unbuilt {
		return b.dirsw
	}
	b.say("building dirsw")
	dir, err := os.MkdirTemp("", "dirsw-bench-")
	path := filepath.Join(dir, "dirsw")
	if err == nil {
		b.built = dir
		var out []byte
		if out, err = exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, "dirsw/cmd/dirsw").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if b.unbuilt = err != nil; b.unbuilt {
		b.skip("dirsw: it does not build here (name a program with -dirsw): %v", err)
		return ""
	}
	b.dirsw = path
	return path
}

// wire measures between interfaces.
func (b *bench) wire(ctx context.Context) error {
	w, undo, err := b.rig(ctx, "wire")
	if w == nil {
		return err
	}
	defer undo()
	if err := b.wireSetups(ctx, w, wireGroups(w, b.quick)); err != nil {
		return err
	}
	return b.latency(ctx, w, b.wireRounds())
}

// accelerate measures between interfaces what the accelerator sends, whose peers send to the same far end.
func (b *bench) accelerate(ctx context.Context) error {
	w, undo, err := b.rig(ctx, "accelerate")
	if w == nil {
		return err
	}
	defer undo()
	return b.wireSetups(ctx, w, acceleratedGroups(w))
}

func (b *bench) wireSetups(ctx context.Context, w *wire.Bench, setups []wireSetup) error {
	for _, g := range setups {
		if wire.RaisedFor(g.Flows) {
			b.say("wire: %s: %s and nf_conntrack_buckets of the whole machine are raised while nftables is measured", g.name, raised)
		}
		if b.other != "" {
			g.makers = append(g.makers, w.Other(wire.DR))
		}
		rounds := b.wireRounds()
		if g.Flows >= 1<<20 { // where most of a round is spent until all flows are known
			rounds = max(2, rounds*3/5)
		}
		if err := b.wireGroup(ctx, w, &g, rounds); err != nil {
			return err
		}
	}
	return nil
}

// wireRounds is how many rounds there are on the wire, where one takes most of a minute.
func (b *bench) wireRounds() int { return max(2, b.effort.Rounds*5/9) }

// wireGroup measures the contenders of one setup in interleaved rounds and holds dirsw against each of the others.
func (b *bench) wireGroup(ctx context.Context, w *wire.Bench, g *wireSetup, rounds int) error {
	in, err := b.compete(ctx, g, rounds, func(e *entrant) error {
		r, err := w.Measure(ctx, e.c)
		if err == nil {
			e.mpps, e.cpu = append(e.mpps, r.Mpps), append(e.cpu, r.CPU)
		}
		return err
	})
	b.report.Rows = append(b.report.Rows, g.rows(in)...)
	return err
}

// compete lets the contenders of a setup be measured in interleaved rounds and returns those that always succeeded.
func (b *bench) compete(ctx context.Context, g *wireSetup, rounds int, do func(*entrant) error) ([]*entrant, error) {
	var in []*entrant
	for _, m := range g.makers {
		c, err := m(g.Setup)
		if err != nil {
			b.skip("%s: %v", g.name, err)
			continue
		}
		in = append(in, &entrant{c: c})
	}
	for round := range rounds {
		for i := range in {
			e := in[i]
			if round%2 == 1 { // so that nobody always comes after the same one
				e = in[len(in)-1-i]
			}
			if e.failed {
				continue
			}
			b.say("wire: %s, round %d: %s", g.name, round+1, e.c.Name)
			err := do(e)
			if err != nil && ctx.Err() == nil {
				b.say("wire: again, because %v", err) // once: on a busy machine a process may not get its turn
				err = do(e)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if e.failed = err != nil; e.failed {
				b.skip("%s, %s: %v", g.name, e.c.Name, err)
			}
		}
	}
	return slices.DeleteFunc(in, func(e *entrant) bool { return e.failed }), nil
}

// entrant is a contender and what was measured of it, by round.
type entrant struct {
	c         *wire.Contender
	mpps, cpu []float64
	latency   [len(quantiles)][]float64 // by quantile, then by round
	failed    bool
}

// wireSetup is a setup and its contenders.
type wireSetup struct {
	name string
	wire.Setup
	makers  []wire.Maker
	targets map[string]measure.Target // of dirsw by a method against a peer, by both names: see rows
}

// rows makes a row for each of ours against each peer; of ours alone, or of peers alone, a row without a ratio each. The
// target of a pair is that of "ours / peer", or of "peer".
func (g *wireSetup) rows(in []*entrant) (rows []measure.Row) {
	group := "wire, " + g.name
	note := func(e *entrant) string { return fmt.Sprintf("%.0f ns CPU/packet", measure.Summarize(e.cpu).Median) }
	paired := false
	for _, ours := range in {
		for _, peer := range in {
			if !ours.c.Ours || peer.c.Ours {
				continue
			}
			if same, build := sameMethod(ours.c.Name, peer.c.Name); build && !same {
				continue
			}
			paired = true
			target, ok := g.targets[ours.c.Name+" / "+peer.c.Name]
			if !ok {
				target = g.targets[peer.c.Name]
			}
			row := measure.Compare(group, ours.c.Name, "Mpps", ours.mpps, peer.c.Name, peer.mpps, target)
			row.Note = note(ours) + ", " + peer.c.Name + " " + note(peer)
			if wire.RaisedFor(g.Flows) && peer.c.Name == nftables {
				row.Note += ", " + raised + " raised meanwhile"
			}
			rows = append(rows, row)
		}
	}
	if paired {
		return rows
	}
	for _, e := range in {
		rows = append(rows, measure.Row{Group: group, Name: e.c.Name, Unit: "Mpps", Ours: measure.Summarize(e.mpps), Note: note(e)})
	}
	return rows
}

const (
	nftables = "nftables DNAT"
	raised   = "nf_conntrack_max"
)

// sameMethod reports whether the peer is another build of dirsw, and whether it forwards by the same method as ours.
func sameMethod(ours, peer string) (same, build bool) {
	name, build := strings.CutPrefix(peer, "other ")
	return name == ours, build
}

// wireGroups lists what is measured on the wire.
func wireGroups(w *wire.Bench, quick bool) []wireSetup {
	type makers = []wire.Maker
	const thousand = 1 << 10
	dr, nat, tun := w.Dirsw(wire.DR), w.Dirsw(wire.NAT), w.Dirsw(wire.TUN)
	nft := func(least float64) map[string]measure.Target {
		return map[string]measure.Target{nftables: {AtLeast: least}}
	}
	all := []wireSetup{
		{"one-armed, 1 024 flows", wire.Setup{Arms: 1, Flows: thousand}, makers{dr, w.Forwarder},
			map[string]measure.Target{"AF_XDP in C": {AtLeast: 0.95}}},
		{"two-armed, 1 024 flows", wire.Setup{Arms: 2, Flows: thousand}, makers{dr, nat, tun, w.Forwarder},
			map[string]measure.Target{"AF_XDP in C": {AtLeast: 0.95}, "dirsw TUN / AF_XDP in C": {AtLeast: 0.9}}},
		{"one core, 1 024 flows", wire.Setup{Arms: 2, OneCore: true, Flows: thousand},
			makers{dr, w.Forwarder, w.Forwarding, w.Nftables}, nft(1)},
		{"one core, 65 536 flows", wire.Setup{Arms: 2, OneCore: true, Flows: 1 << 16}, makers{dr, nat, w.Nftables}, nft(1.5)},
		{"one core, 1 048 576 flows", wire.Setup{Arms: 2, OneCore: true, Flows: 1 << 20}, makers{dr, w.Nftables}, nft(1.5)},
	}
	if quick {
		all[1].makers = makers{dr, nat, w.Forwarder}
		return all[:3]
	}
	return all
}

// acceleratedGroups lists the setups in which the far end swallows what it gets.
func acceleratedGroups(w *wire.Bench) (all []wireSetup) {
	type makers = []wire.Maker
	const thousand = 1 << 10
	quickDR, quickTUN := w.Accelerated(wire.DR), w.Accelerated(wire.TUN)
	beside := func(least float64) map[string]measure.Target {
		return map[string]measure.Target{"kernel ip_forward": {AtLeast: 3}, nftables: {AtLeast: least}}
	}
	for _, n := range []int{thousand, 1 << 16} {
		name := map[int]string{thousand: "1 024 flows", 1 << 16: "65 536 flows"}[n]
		peers := makers{quickDR, quickTUN, w.Forwarder, w.Forwarding, w.Nftables}
		targets := beside(map[int]float64{thousand: 1, 1 << 16: 1.5}[n])
		all = append(all,
			wireSetup{"one core, swallowed, " + name, wire.Setup{Arms: 2, OneCore: true, Swallow: true, Flows: n}, peers, targets},
			wireSetup{"one core with the generator, swallowed, " + name, wire.Setup{Arms: 2, Together: true, Swallow: true, Flows: n},
				makers{quickDR, quickTUN, w.Forwarding, w.Nftables}, targets})
	}
	return all
}
