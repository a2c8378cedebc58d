package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/ctl"
	"dirsw/director"
	"dirsw/host"
	"dirsw/sched"
	"dirsw/script"
)

// runFlags are the flags of dirsw run. Those that are not given leave the dataplane block of the file in force.
type runFlags struct {
	file, id    string
	socket      string
	debug       bool
	interfaces  string
	queues      int
	workers     int
	cores       string
	steer       string
	mode        string
	zeroCopy    string
	wait        string
	connections int
	replace     bool
	tap         string
}

func (r *runFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&r.file, "f", defaultConfig, "configuration `file`")
	defineID(fs, &r.id)
	fs.StringVar(&r.socket, "socket", defaultSocket, "control socket `path`")
	fs.BoolVar(&r.debug, "debug", false, "log more")
	fs.StringVar(&r.interfaces, "interface", "", "attach to these `names`, separated by commas (default: those of the configuration)")
	fs.IntVar(&r.queues, "queues", 0, "serve the first `n` queues of each interface (default: all)")
	fs.IntVar(&r.workers, "workers", 0, "run `n` workers (default: one for each of --cores, or one)")
	fs.StringVar(&r.cores, "cores", "", "run a worker on each of these `cores`, separated by commas; auto: as the queues allow")
	fs.StringVar(&r.steer, "steer", "", "share out the traffic among the workers by client or flow")
	fs.StringVar(&r.mode, "mode", "", "where the XDP program runs: auto, native or generic")
	fs.StringVar(&r.zeroCopy, "zero-copy", "", "auto, on or off")
	fs.StringVar(&r.wait, "wait", "", "without traffic: auto, sleep or busy-poll")
	fs.IntVar(&r.connections, "connections", 0, "room for `n` connections (default 1048576)")
	fs.BoolVar(&r.replace, "replace-xdp", false, "displace another XDP program on the interface")
	fs.StringVar(&r.tap, "tap", defaultTap, "`name` of the interface by which this host itself is reached; none: it is not")
}

// apply lays the flags over the dataplane block.
func (r *runFlags) apply(d *config.Dataplane) error {
	var errs []error
	if r.interfaces != "" {
		if d.Interfaces = strings.Split(r.interfaces, ","); slices.Contains(d.Interfaces, "") {
			errs = append(errs, fmt.Errorf("--interface: %q has an empty name; write names with a comma between", r.interfaces))
		}
	}
	if r.queues != 0 {
		d.Queues = r.queues
	}
	if r.connections != 0 {
		d.Connections = r.connections
	}
	d.Replace = d.Replace || r.replace
	if r.cores != "" {
		errs = append(errs, parseCores(r.cores, d)...)
	}
	if r.workers < 0 {
		errs = append(errs, fmt.Errorf("--workers: %d workers; write a number from 1", r.workers))
	} else if r.workers > 0 {
		if d.Workers = r.workers; r.cores == "" {
			d.Cores, d.AutoCores = nil, false
		}
	}
	errs = append(errs,
		choose("--steer", r.steer, &d.Steer, map[string]config.Steer{"client": config.SteerClient, "flow": config.SteerFlow}),
		choose("--mode", r.mode, &d.Mode, map[string]config.Mode{"auto": config.ModeAuto, "native": config.ModeNative,
			"generic": config.ModeGeneric}),
		choose("--zero-copy", r.zeroCopy, &d.ZeroCopy, map[string]config.ZeroCopy{"auto": config.ZeroCopyAuto,
			"on": config.ZeroCopyOn, "off": config.ZeroCopyOff}),
		choose("--wait", r.wait, &d.Wait, map[string]config.Wait{"auto": config.WaitAuto, "sleep": config.WaitSleep,
			"busy-poll": config.WaitBusy}))
	return errors.Join(errs...)
}

func choose[T any](flag, given string, to *T, values map[string]T) error {
	v, ok := values[given]
	switch {
	case ok:
		*to = v
	case given != "":
		names := make([]string, 0, len(values))
		for n := range values {
			names = append(names, n)
		}
		return fmt.Errorf("%s: %q is not a choice; write one of %s", flag, given, strings.Join(names, ", "))
	}
	return nil
}

// errFlags marks a configuration that only the flags of the command line spoil.
var errFlags = errors.New("with these flags the configuration cannot be served")

// load reads the configuration and lays the flags over it: what a file may not say, they may not either.
func (r *runFlags) load() (*config.Model, []config.Note, error) {
	m, notes, err := loadAs(r.file, r.id)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(r.apply(&m.Dataplane), m.Validate(sched.Names())); err != nil {
		return nil, nil, fmt.Errorf("%w:\n%w", errFlags, err)
	}
	return m, notes, nil
}

// cmdRun is the director itself.
func cmdRun(ctx context.Context, args []string, stderr io.Writer) int {
	var r runFlags
	fs, parse := flags("run", "[-f FILE] [flags]", stderr)
	r.define(fs)
	if code := parse(args); code >= 0 {
		return code
	}
	var none config.Dataplane
	if err := r.apply(&none); err != nil {
		fail(stderr, "run", err)
		return exitUsage
	}
	m, notes, err := r.load()
	switch {
	case errors.Is(err, errFlags):
		fail(stderr, "run", err)
		return exitUsage
	case err != nil:
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	if os.Geteuid() != 0 {
		return fail(stderr, "run", errors.New("AF_XDP and the virtual addresses need root; run it as root"))
	}
	level := zapcore.InfoLevel
	if r.debug {
		level = zapcore.DebugLevel
	}
	log := newLog(level)
	defer func() { _ = log.Sync() }()
	for _, n := range notes {
		log.Info("configuration", zap.Stringer("at", n.Pos), zap.String("note", n.Text))
	}
	if err := runDirector(ctx, &r, m, log); err != nil {
		log.Error("dirsw ends", zap.Error(err))
		return exitFailed
	}
	return exitOK
}

// runDirector puts everything together, runs it, and takes it apart again in the opposite order.
func runDirector(ctx context.Context, r *runFlags, m *config.Model, log *zap.Logger) error {
	signal.Ignore(syscall.SIGUSR1, syscall.SIGUSR2, sigJSON) // until there is something to write, see dumpOn
	if v := &m.Globals.VRRP; v.DelayAfterBoot > 0 {
		v.StartupDelay = max(v.StartupDelay, v.DelayAfterBoot-uptime())
	}
	h, err := host.Open(host.Options{Log: log})
	if err != nil {
		return err
	}
	defer h.Close()
	local := &localDelivery{host: h, log: log, name: r.tap}
	defer local.close()
	plane := &dataplane{log: log, clock: clock.NewSystem(), roster: roster{host: h, local: local, plane: &m.Dataplane},
		again: make(chan struct{}, 1), ended: make(chan struct{})}
	if _, err := plane.roster.enlist(m); err != nil {
		return err
	}
	control, err := ctl.Listen(r.socket, plane.clock) // refuses a second director before anything is attached
	if err != nil {
		return err
	}
	defer control.Close()
	h.KeepSettings(r.socket + ".settings")
	if err := plane.open(); err != nil {
		return err
	}
	defer func() {
		if err := plane.close(); err != nil {
			log.Error("closing the sockets", zap.Error(err))
		}
	}()
	if plane.workers, err = newWorkers(&m.Dataplane, plane.set, len(plane.cores), plane.clock); err != nil {
		return err
	}
	defer closeWorkers(plane.workers)
	if os.Getpid() == 1 { // of a container: what scripts leave behind is ours to bury
		go func() { _ = script.Reap(ctx, plane.clock) }() // it ends with ctx
	}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(plane.cores)) + spareProcs)
	debug.SetGCPercent(gcPercent)
	net, closeNet, err := electionNet(h, m, plane.clock)
	if err != nil {
		return err
	}
	defer closeNet()
	statics, err := h.OpenHoldings()
	if err != nil {
		return err
	}
	defer statics.Close()
	d := director.New(director.Options{Clock: plane.clock, Log: log, Host: h, Statics: statics, Net: net, Sync: syncSockets{h}, Filter: plane,
		Workers: plane.workers, Ports: plane.roster.forDirector(), Attach: plane.attach, Model: m, Name: hostname(), Now: time.Now,
		Load: r.load})
	plane.back = d.SetPorts
	plane.tell(nil)
	return serve(ctx, r, d, plane, h, control, &m.Globals.Dump, log)
}

// uptime is how long the host has been up; 0 where /proc does not say.
func uptime() time.Duration {
	var seconds float64
	text, err := os.ReadFile("/proc/uptime")
	if err == nil {
		_, err = fmt.Sscan(string(text), &seconds)
	}
	if err != nil {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// hostname is this host's name as far as it is known.
func hostname() string {
	name, _ := os.Hostname() // without it, mails are from localhost
	return name
}

// spareProcs are processors of the Go scheduler beside those of the machine: workers never give theirs back, and the thread of
// the election, which the kernel runs before all others, must find one whenever it wakes (ADR 0016).
const spareProcs = 3

// gcPercent has garbage collected rarely: the tables are outside the heap, which is small, and each collection stops the world,
// for as long as the kernel keeps a worker from running.
const gcPercent = 1000

// electionNet opens what the election uses of the machine, and sweeps up what a director before this one left.
func electionNet(h *host.Host, m *config.Model, c clock.Clock) (net *director.ElectionNet, done func(), err error) {
	v, err := h.OpenVRRP()
	if err != nil {
		return nil, nil, err
	}
	vmacs := h.VMACs()
	keep := map[string]bool{}
	for _, in := range director.Plan(m).Instances {
		if in.VMAC != nil {
			keep[in.VMAC.Name] = true
		}
	}
	if err := errors.Join(vmacs.Sweep(func(name string) bool { return keep[name] }), v.Sweep()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("sweep up what another director left: %w", err), v.Close())
	}
	return director.NewElectionNet(v, vmacs, c, m.Globals.VRRP.NoSwap), func() { _ = v.Close() }, nil
}

// serve runs director, workers and control socket until the first of them ends or ctx does.
func serve(ctx context.Context, r *runFlags, d *director.Director, plane *dataplane, h *host.Host,
	control *ctl.Server, dumps *config.DumpGlobals, log *zap.Logger) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workerCtx, stopWorker := context.WithCancel(context.Background()) // outlives the director, which empties the filter
	workerDone := make(chan error, 1)
	go func() {
		err := plane.run(workerCtx)
		cancel(err)
		workerDone <- err
	}()
	go plane.gather(workerCtx)
	if err := errors.Join(h.Watch(ctx, func() { plane.look(); d.Wake() }), h.WatchQueues(ctx, plane.look)); err != nil {
		stopWorker()
		<-workerDone
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		select {
		case <-d.Ready():
		case <-ctx.Done():
			return
		}
		if err := h.ReturnSettings(); err != nil {
			log.Warn("not all is as it was before another director was killed", zap.Error(err))
		}
		log.Info("forwarding", zap.String("config", r.file), zap.String("socket", r.socket))
		b := &backend{d: d, plane: plane, h: h, log: log, file: r.file, start: time.Now()}
		go b.reloadOn(ctx, hup)
		go b.dumpOn(ctx, dumps)
		if err := control.Serve(ctx, b); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()
	err := d.Run(ctx)
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	cancel(nil)
	stopWorker()
	if werr := <-workerDone; err == nil {
		err = werr
	}
	if err == nil {
		log.Info("stopped: addresses given back, interfaces let go")
	}
	return err
}

// epoch returns what CLOCK_MONOTONIC said, in nanoseconds, when a clock of this machine was 0.
func epoch(c clock.Clock) int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it cannot fail
	return now.Nano() - int64(c.Now())
}

// timeOfDay is how long after midnight UTC a clock began that runs now.
func timeOfDay(now time.Time, c clock.Clock) time.Duration {
	now = now.UTC()
	return now.Sub(now.Truncate(24*time.Hour)) - time.Duration(c.Now())
}
