package track

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/script"
)

// ErrTwice says that two objects have the same name.
var ErrTwice = errors.New("more than one object of this name")

// Runner runs programs; script.Runner does.
type Runner interface {
	Run(ctx context.Context, c script.Command) script.Result
}

// Options are what a Tracker works with. Clock must be set.
type Options struct {
	Clock clock.Clock
	Log   *zap.Logger // nil: nothing is logged
	// Runner runs the scripts; default script.Runner.
	Runner Runner
	// Changed is told of every first result and of every change, one at a time for each object, in order, from
	// goroutines of the tracker and from Set. It must not block, and not call Set.
	Changed func(State)
	// Dial opens a socket that sends and receives ICMP messages to and from addr; default is a raw socket.
	Dial func(addr netip.Addr) (net.Conn, error)
	// Proc is where processes are looked for; default /proc.
	Proc string
	// FileEvery and ProcessEvery are how often files and processes are looked at; default 100 ms and 250 ms. Looking
	// at processes is left out as often as it takes to cost no more than 2 % of the time.
	FileEvery, ProcessEvery time.Duration
}

// Tracker watches a set of objects. All methods may be called from any goroutine.
type Tracker struct {
	Options
	procs *processes

	setting sync.Mutex // held by Set and at the ends of Run, so that there is one at a time

	mu       sync.Mutex // guards what follows
	ctx      context.Context
	watchers map[Key]watcher
	loads    int // how often Set was called
	busy     sync.WaitGroup
}

// watcher watches one object. All methods but state are called under Tracker.setting.
type watcher interface {
	// prepare takes over from the watcher that had the name before, which is stopped already, or nil; and looks at
	// what can be seen at once. It is the first call.
	prepare(old watcher)
	// start begins to watch until ctx is done.
	start(ctx context.Context)
	// stop ends it. Nothing is reported after its return.
	stop()
	// object is what is watched.
	object() Object
	// state is the last one that was reported.
	state() State
	// kept is called instead of all else when Set names the very same object again.
	kept()
}

// New returns a Tracker that watches nothing yet.
func New(o Options) *Tracker {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Runner == nil {
		o.Runner = script.Runner{Clock: o.Clock}
	}
	if o.Changed == nil {
		o.Changed = func(State) {}
	}
	if o.Dial == nil {
		o.Dial = dialEcho
	}
	if o.Proc == "" {
		o.Proc = systemProc
	}
	o.FileEvery = orElse(o.FileEvery, 100*time.Millisecond)
	o.ProcessEvery = orElse(o.ProcessEvery, 250*time.Millisecond)
	t := &Tracker{Options: o, watchers: make(map[Key]watcher)}
	t.procs = newProcesses(t)
	return t
}

func orElse(d, other time.Duration) time.Duration {
	if d <= 0 {
		return other
	}
	return d
}

// Run watches until ctx is done. Then it tells the scripts that are running to end, and returns when they have.
// Objects given to Set before are watched from now on. It is called once.
func (t *Tracker) Run(ctx context.Context) error {
	t.setting.Lock()
	t.mu.Lock()
	t.ctx = ctx
	all := t.sorted()
	t.mu.Unlock()
	for _, w := range all {
		w.start(ctx)
	}
	t.procs.start(ctx)
	t.setting.Unlock()

	<-ctx.Done()
	t.setting.Lock()
	defer t.setting.Unlock()
	for _, w := range t.sorted() {
		w.stop()
	}
	t.procs.stop()
	t.busy.Wait()
	return nil
}

// Set makes objects the ones that are watched. Those that were watched before and are the same go on undisturbed; a
// script of the same command that changed otherwise keeps its result; what is not named any more is forgotten without a
// word. Numbers in files and the processes there are have been looked at when it returns. Of two objects with one name
// the second is left out and told.
func (t *Tracker) Set(objects []Object) error {
	t.setting.Lock()
	defer t.setting.Unlock()
	t.mu.Lock()
	old, ctx, again := t.watchers, t.ctx, t.loads > 0
	t.loads++
	t.mu.Unlock()

	var errs []error
	next := make(map[Key]watcher, len(objects))
	var fresh []watcher
	for _, o := range objects {
		k := o.Key()
		was := old[k]
		switch {
		case next[k] != nil:
			errs = append(errs, fmt.Errorf("%v %s: %w", k.Kind, k.Name, ErrTwice))
		case was != nil && reflect.DeepEqual(was.object(), o):
			next[k] = was
		default:
			next[k] = o.watcher(t)
			fresh = append(fresh, next[k])
		}
	}
	for k, w := range old {
		if next[k] != w {
			w.stop()
		}
	}
	t.mu.Lock()
	t.watchers = next
	t.mu.Unlock()
	for _, w := range fresh {
		w.prepare(old[w.object().Key()])
	}
	t.procs.scan()
	for _, w := range t.sorted() {
		if again && old[w.object().Key()] == w {
			w.kept()
		}
	}
	if ctx != nil && ctx.Err() == nil {
		for _, w := range fresh {
			w.start(ctx)
		}
	}
	return errors.Join(errs...)
}

// States returns what is known of every object, by kind and name.
func (t *Tracker) States() []State {
	t.mu.Lock()
	all := t.sorted()
	t.mu.Unlock()
	out := make([]State, len(all))
	for i, w := range all {
		out[i] = w.state()
	}
	return out
}

// sorted returns the watchers by kind and name. The caller holds mu or setting.
func (t *Tracker) sorted() []watcher {
	all := make([]watcher, 0, len(t.watchers))
	for _, w := range t.watchers {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b watcher) int { return compare(a.object().Key(), b.object().Key()) })
	return all
}

func compare(a, b Key) int {
	switch {
	case a.Kind != b.Kind:
		return int(a.Kind) - int(b.Kind)
	case a.Name < b.Name:
		return -1
	case a.Name > b.Name:
		return 1
	}
	return 0
}

// report is the part of a watcher that tells of its state.
type report struct {
	t *Tracker

	telling sync.Mutex // held while Changed is called: one at a time, in order

	guard   sync.Mutex // guards what follows
	now     State
	stopped bool
}

func (r *report) state() State {
	r.guard.Lock()
	defer r.guard.Unlock()
	return r.now
}

// set tells of a state if it is news.
func (r *report) set(s State) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.guard.Lock()
	s.Key = r.now.Key
	news := !r.stopped && s != r.now
	if news {
		r.now = s
	}
	r.guard.Unlock()
	if news {
		r.t.Changed(s)
	}
}

// mute ends the reports. A report that is being made has ended when it returns.
func (r *report) mute() {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.guard.Lock()
	defer r.guard.Unlock()
	r.stopped = true
}

// inherit makes the state of a watcher before this one its own, without a word.
func (r *report) inherit(s State) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.now = s
}
