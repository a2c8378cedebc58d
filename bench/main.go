// Command bench measures dirsw against its peers on this machine and prints one table: what dirsw reached, what the peer
// reached in the same rounds, and their ratio. See README.md beside it for how each figure comes about.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"dirsw/bench/measure"
	"dirsw/bench/pipeline"
	"dirsw/clock"
)

// options are the flags.
type options struct {
	quick     bool
	rounds    int
	only      string
	json      string
	svg       string
	dirsw     string
	other     string
	footprint int
	generate  string
	probe     string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "few and short rounds: about a minute, for a first look")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each measurement (default 9, 3 with -quick)")
	flag.StringVar(&o.only, "only", strings.Join(sectionNames(false), ","), "sections to measure; there are table and accelerate as well, of one minute and of six")
	flag.StringVar(&o.json, "json", "", "write the report to this file as JSON too")
	flag.StringVar(&o.svg, "svg", "", "draw cost by connections, and rate by workers, to this file")
	flag.IntVar(&o.footprint, "footprint", -1, "measure the memory of that many connections in this process, print JSON")
	flag.StringVar(&o.generate, "generate", "", "be the generator of the wire that this JSON says, until killed")
	flag.StringVar(&o.probe, "probe", "", "be the prober of the wire that this JSON says, print JSON")
	flag.StringVar(&o.dirsw, "dirsw", "", "program to measure on the wire (default: built from this module)")
	flag.StringVar(&o.other, "other", "", "another build of dirsw, to be a peer on the wire and with HTTP in the same rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, flag.Args(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	quick    bool
	effort   pipeline.Effort
	dirsw    string // the program; empty: it is to be built
	built    string // the directory of the program that was; empty: none
	unbuilt  bool   // it does not build
	other    string
	clock    clock.Clock
	progress io.Writer
	report   measure.Report
}

// section is a part of the measurements.
type section struct {
	name  string
	do    func(*bench, context.Context) error
	asked bool // only where it is asked for by name, so that all others take less than ten minutes
}

// sections lists the parts in the order in which they run.
func sections() []section {
	return []section{
		{name: "pipeline", do: (*bench).established},
		{name: "new", do: (*bench).opening},
		{name: "memory", do: (*bench).memory},
		{name: "curve", do: (*bench).curve},
		{name: "table", do: (*bench).table, asked: true},
		{name: "team", do: (*bench).team},
		{name: "flood", do: (*bench).flood},
		{name: "wire", do: (*bench).wire},
		{name: "http", do: (*bench).http},
		{name: "accelerate", do: (*bench).accelerate, asked: true},
	}
}

// sectionNames lists them, all or those that are measured unless others are asked for.
func sectionNames(all bool) []string {
	var names []string
	for _, s := range sections() {
		if all || !s.asked {
			names = append(names, s.name)
		}
	}
	return names
}

func run(ctx context.Context, o options, args []string, out, progress io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", args[0])
	}
	if o.footprint >= 0 {
		return footprint(ctx, o.footprint, out)
	}
	if o.generate != "" {
		return generate(o.generate)
	}
	if o.probe != "" {
		return probe(o.probe, out)
	}
	only := strings.Split(o.only, ",")
	for _, name := range only {
		if all := sectionNames(true); !slices.Contains(all, name) {
			return fmt.Errorf("no section %q; there are %s", name, strings.Join(all, ", "))
		}
	}
	b := newBench(o, progress)
	defer func() {
		if b.built != "" {
			os.RemoveAll(b.built)
		}
	}()
	for _, s := range sections() {
		if !slices.Contains(only, s.name) {
			continue
		}
		if err := s.do(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.finish(o.json, o.svg, out)
}

func newBench(o options, progress io.Writer) *bench {
	b := &bench{quick: o.quick, dirsw: o.dirsw, other: o.other, clock: clock.NewSystem(), progress: progress,
		effort: pipeline.Effort{Rounds: 9, Each: 150 * time.Millisecond}}
	if o.quick {
		b.effort = pipeline.Effort{Rounds: 3, Each: 40 * time.Millisecond}
	}
	if o.rounds > 0 {
		b.effort.Rounds = o.rounds
	}
	b.report.Machine, b.report.Rounds = machine(), b.effort.Rounds
	return b
}

// finish prints the table, and writes the report and the plot if asked for.
func (b *bench) finish(report, plot string, out io.Writer) error {
	fmt.Fprintf(out, "%s; %d rounds: median (least-greatest)\n\n", b.report.Machine, b.report.Rounds)
	if err := measure.Print(out, b.report.Rows); err != nil {
		return err
	}
	fmt.Fprintln(out)
	reached, missed := measure.Score(b.report.Rows)
	fmt.Fprintf(out, "%d targets reached, %d missed\n", reached, len(missed))
	for _, m := range missed {
		fmt.Fprintf(out, "missed: %s\n", m)
	}
	for _, s := range b.report.Skipped {
		fmt.Fprintf(out, "not measured: %s\n", s)
	}
	if err := writeTo(report, b.report.WriteJSON); err != nil {
		return err
	}
	return writeTo(plot, func(w io.Writer) error { return measure.WriteSVG(w, b.charts()) })
}

// writeTo lets write fill a file; an empty name means none.
func writeTo(file string, write func(io.Writer) error) error {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", file, err)
	}
	return f.Close()
}

// charts are what the report draws.
func (b *bench) charts() []measure.Chart {
	return []measure.Chart{
		{Title: "A packet of a known connection, DR, without I/O", X: "connections", Y: "ns", Log: true,
			Series: []measure.Series{{Name: "pipeline", Points: b.report.Curve}}},
		{Title: "Workers on processors of their own, DR, without I/O", X: "workers", Y: "million packets a second",
			Series: []measure.Series{{Name: "each receives its own", Points: b.report.Workers},
				{Name: "half is handed over", Points: b.report.HandedOver}}},
	}
}

// say tells what is being measured.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// skip notes what could not be measured, and why.
func (b *bench) skip(format string, args ...any) {
	b.report.Skipped = append(b.report.Skipped, fmt.Sprintf(format, args...))
}

// pinned runs f on a goroutine whose thread ends with it, so that f may pin it.
func pinned[T any](f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	r := <-done
	return r.v, r.err
}

// machine names the processor, the kernel and Go, and says how busy others keep it.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(rest, "\t :"))
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	busy, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d CPUs, Linux %s, %s, load %s at the start", model, runtime.NumCPU(),
		strings.TrimSpace(string(kernel)), runtime.Version(), busy)
}

// footprint is the child process of the section memory.
func footprint(ctx context.Context, n int, out io.Writer) error {
	const collections = 51
	f, err := pipeline.MeasureFootprint(ctx, n, collections)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f)
}
