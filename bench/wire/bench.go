package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// Options of a Bench. Self, Dir and Clock must be set.
type Options struct {
	Self   string // a program whose flag -generate takes a Generator as JSON and runs it
	Dirsw  string // the program dirsw; empty: it is not measured
	Other  string // another build of it, a peer; empty: none
	Dir    string // for what is built, and sockets
	Clock  clock.Clock
	Settle time.Duration // between the first frame that arrives and the measurement
	Window time.Duration // of the measurement
	// WarmUp is how many requests of HTTP come before those that count: 1 << 14 are enough connections for dirsw to have moved the
	// index of its table into huge pages, which it does once in its life and the kernel takes up to 80 ms for. Two seconds of them are
	// enough for it to have found out for how long frames are gathered.
	WarmUp float64
}

// Bench measures directors on a rig that it builds for each measurement.
type Bench struct {
	o           Options
	first, last int    // processors: of the generator, of the director
	forwarder   string // the compiled peer in C; empty: there is no compiler
	waker       string // the compiled measure of waking a thread; empty likewise
	rigs        int    // that were built
}

// Setup is how the director is placed.
type Setup struct {
	Arms    int  // interfaces: 1 or 2
	OneCore bool // receiving and forwarding share a processor, and the director sleeps; else receiving is done on the first
	Sleeps  bool // the director sleeps in any case
	// Together: generator, receiving and all that is not a process of the director share the first processor; what the
	// generator takes is in everybody's cost.
	Together bool
	Swallow  bool // the far end takes frames in XDP, at the least cost for who sends them
	Flows    int  // a power of two
}

// Result is what was measured.
type Result struct {
	Mpps float64 // frames that arrived, in millions a second
	CPU  float64 // nanoseconds of processor time for each, of the director and of the kernel in its name
}

// Contender is a director to measure.
type Contender struct {
	Name string
	Ours bool // it is dirsw
	Setup
	start func(ctx context.Context, r *rig, s *Setup) (*process, error) // nil process: the kernel forwards
	dst   func(r *rig) string                                           // where the frames go
	warm  func(ctx context.Context) error                               // waits until it goes at its pace; nil: at once
}

// Maker makes a contender of a setup, or says what is missing on this machine.
type Maker = func(Setup) (*Contender, error)

// New finds out whether the wire can be measured here. The error is one sentence for the operator.
func New(ctx context.Context, o Options) (*Bench, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("namespaces and XDP need root; run it as root")
	}
	b := &Bench{o: o}
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return nil, fmt.Errorf("ask for the processors allowed: %w", err)
	}
	if may.Count() < 2 {
		return nil, errors.New("generator and director need a processor each, and there is one only")
	}
	for b.first = 0; !may.IsSet(b.first); b.first++ {
	}
	for b.last = len(may)*64 - 1; !may.IsSet(b.last); b.last-- {
	}
	return b, b.compile(ctx)
}

// compile builds the programs in C, if there is a compiler.
func (b *Bench) compile(ctx context.Context) error {
	for _, cc := range []string{os.Getenv("CC"), "cc", "gcc", "clang"} {
		path, err := exec.LookPath(cc)
		if cc == "" || err != nil {
			continue
		}
		if b.forwarder, err = b.build(ctx, path, "forwarder", forwarderSource); err != nil {
			return err
		}
		b.waker, err = b.build(ctx, path, "wake", wakeSource, "-pthread")
		return err
	}
	return nil
}

// build compiles a program and returns its path.
func (b *Bench) build(ctx context.Context, cc, name string, source []byte, flags ...string) (string, error) {
	bin := filepath.Join(b.o.Dir, name)
	if err := os.WriteFile(bin+".c", source, 0o644); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, cc, append(flags, "-O2", "-o", bin, bin+".c")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s.c with %s: %w: %w", name, cc, err, firstLine(out))
	}
	return bin, nil
}

// rig builds the next rig.
func (b *Bench) rig(arms int, swallow bool) (*rig, error) {
	b.rigs++
	return newRig(arms, b.rigs, swallow)
}

// Measure runs a contender once.
func (b *Bench) Measure(ctx context.Context, c *Contender) (res Result, err error) {
	r, err := b.rig(c.Arms, c.Swallow)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	dut, err := c.start(ctx, r, &c.Setup)
	if err != nil {
		return res, err
	}
	if dut != nil {
		defer dut.stop()
	}
	if c.OneCore {
		if err := b.shareCore(ctx, r); err != nil {
			return res, err
		}
	}
	g := Generator{Interface: r.cl, DstMAC: mac(inMAC).String(), Dst: c.dst(r), Flows: c.Flows, CPU: b.first}
	gen, err := g.start(ctx, b.o.Self, r.client)
	if err != nil {
		return res, err
	}
	defer gen.stop()
	failure := func() error {
		if dut == nil {
			return gen.failure()
		}
		return errors.Join(gen.failure(), dut.failure())
	}
	if err := b.awaitTraffic(ctx, r, c.Flows, failure); err != nil {
		return res, err
	}
	if c.warm != nil {
		if err := c.warm(ctx); err != nil {
			return res, errors.Join(err, failure())
		}
	}
	res, err = b.window(ctx, r, dut, b.beside(c, gen))
	return res, errors.Join(err, failure())
}

// shareCore gives receiving on the director's interface a thread of its own, on the director's processor.
func (b *Bench) shareCore(ctx context.Context, r *rig) error {
	if err := r.director.set("/sys/class/net/"+r.in+"/threaded", "1"); err != nil {
		return fmt.Errorf("give %s a thread for receiving: %w", r.in, err)
	}
	return b.pinThreads(ctx, r.in, b.last)
}

// pinThreads binds the threads that receive on an interface to a processor, as soon as they are there.
func (b *Bench) pinThreads(ctx context.Context, dev string, cpu int) error {
	for range 50 {
		if pids := napiThreads(dev); len(pids) > 0 {
			return pinTo(cpu, pids...)
		}
		if err := b.sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the thread that receives on %s does not appear", dev)
}

// awaitTraffic waits until frames arrive and have settled, and nearly all flows are known.
func (b *Bench) awaitTraffic(ctx context.Context, r *rig, flows int, failure func() error) error {
	for _, step := range []struct {
		frames         uint64
		patience, then time.Duration
	}{{1, 10 * time.Second, b.o.Settle}, {knownAfter * uint64(flows), time.Minute, 0}} {
		n, err := b.awaitFrames(ctx, r, step.frames, step.patience, failure)
		if err != nil {
			return err
		}
		if n < step.frames {
			return fmt.Errorf("%d frames arrived within %v, and %d were awaited", n, step.patience, step.frames)
		}
		if err := b.sleep(ctx, step.then); err != nil {
			return err
		}
	}
	return nil
}

// knownAfter is how many frames for each flow have to arrive before a measurement. Which flows get through an overloaded director
// is a matter of luck, so that one of twenty has not been seen by then.
const knownAfter = 3

// awaitFrames waits until so many have arrived, and returns how many have.
func (b *Bench) awaitFrames(ctx context.Context, r *rig, frames uint64, patience time.Duration, failure func() error) (n uint64, err error) {
	const poll = 20 * time.Millisecond
	for range patience / poll {
		if n, _, err = r.arrived(); err != nil || n >= frames {
			return n, err
		}
		if err := failure(); err != nil {
			return n, err
		}
		if err := b.sleep(ctx, poll); err != nil {
			return n, err
		}
	}
	return n, nil
}

// beside lists what works for the director besides its own threads.
func (b *Bench) beside(c *Contender, gen *process) []int {
	if !c.Together {
		return nil
	}
	return append(threadsNamed(fmt.Sprintf("ksoftirqd/%d", b.first)), gen.cmd.Process.Pid)
}

// window counts what arrives.
func (b *Bench) window(ctx context.Context, r *rig, dut *process, beside []int) (Result, error) {
	busy := append(napiThreads(r.in), beside...)
	if dut != nil {
		busy = append(busy, dut.cmd.Process.Pid)
	}
	cpu, from := cpuTime(busy...), b.o.Clock.Now()
	before, _, err := r.arrived()
	if err != nil {
		return Result{}, err
	}
	if err := b.sleep(ctx, b.o.Window); err != nil {
		return Result{}, err
	}
	after, strange, err := r.arrived()
	took := b.o.Clock.Now().Sub(from)
	cpu = cpuTime(busy...) - cpu
	n := after - before
	switch {
	case err != nil:
		return Result{}, err
	case n == 0:
		return Result{}, errors.New("frames have stopped arriving")
	case strange > after/100:
		return Result{}, fmt.Errorf("%d frames arrived that nobody sent, beside %d", strange, after)
	}
	return Result{Mpps: float64(n) / took.Seconds() / 1e6, CPU: float64(cpu) / float64(n)}, nil
}

// sleep waits, unless ctx ends.
func (b *Bench) sleep(ctx context.Context, d time.Duration) error {
	done := make(chan struct{})
	t := b.o.Clock.AfterFunc(d, func() { close(done) })
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
