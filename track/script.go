package track

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/script"
)

// scriptWatcher runs one script again and again.
type scriptWatcher struct {
	report
	given Script // as Set had it
	s     Script // with its defaults

	mu     sync.Mutex // guards what follows
	tally  tally
	phase  phase
	last   int  // exit status of the last run that had one
	late   bool // a run was left out since the last one that ended in time
	timer  clock.Timer
	ctx    context.Context
	cancel context.CancelFunc // nil until started
}

// phase is what a script is doing.
type phase uint8

const (
	idle phase = iota
	running
	ending // told to end because its time was over
)

var _ watcher = (*scriptWatcher)(nil)

func (s Script) watcher(t *Tracker) watcher {
	given := s
	s.Interval = orElse(s.Interval, time.Second)
	s.Timeout = orElse(s.Timeout, s.Interval)
	w := &scriptWatcher{given: given, s: s, tally: newTally(s.Rise, s.Fall)}
	w.report.t, w.report.now = t, State{Key: s.Key()}
	return w
}

func (w *scriptWatcher) object() Object { return w.given }

// prepare keeps the result of the same program.
func (w *scriptWatcher) prepare(old watcher) {
	if o, ok := old.(*scriptWatcher); ok && slices.Equal(o.s.Command.Args, w.s.Command.Args) {
		o.mu.Lock()
		was, last := o.tally, o.last
		o.mu.Unlock()
		w.mu.Lock()
		w.tally.keep(was)
		w.last = last
		w.mu.Unlock()
		w.inherit(o.state())
		w.kept()
		return
	}
	if w.s.InitFail {
		w.set(State{Known: true})
	}
}

// kept says what a reload makes of the script's state, as keepalived does.
func (w *scriptWatcher) kept() {
	w.mu.Lock()
	t := w.tally
	w.mu.Unlock()
	if t.known {
		word := "unsuccessful"
		if t.up() {
			word = "successful"
		}
		w.t.Log.Info(fmt.Sprintf("VRRP_Script(%s) considered %s on reload", w.s.Name, word))
	}
}

func (w *scriptWatcher) start(ctx context.Context) {
	w.mu.Lock()
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.mu.Unlock()
	w.due()
}

func (w *scriptWatcher) stop() {
	w.mute()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
		w.timer.Stop()
	}
}

// due begins a run, unless the last one is not over, and waits for the next. (keepalived 2.2.7 says that it leaves the
// run out, and starts it nevertheless.)
func (w *scriptWatcher) due() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	w.timer = w.t.Clock.AfterFunc(w.s.Interval, w.due)
	if w.phase != idle {
		what := "already running"
		if w.phase == ending {
			what = "being timed out"
		}
		if !w.late {
			w.t.Log.Info(fmt.Sprintf("Track script %s is %s, expect idle - skipping run", w.s.Name, what))
		}
		w.late = true
		return
	}
	w.phase = running
	w.t.busy.Add(1)
	go w.run(w.ctx)
}

// run runs the script once.
func (w *scriptWatcher) run(ctx context.Context) {
	defer w.t.busy.Done()
	c := w.s.Command
	c.Timeout, c.Output = w.s.Timeout, script.MaxOutput
	c.OnTimeout = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.phase == running { // it may have ended in the same moment
			w.phase = ending
		}
	}
	res := w.t.Runner.Run(ctx, c)
	w.mu.Lock()
	w.phase = idle
	if ctx.Err() != nil {
		w.mu.Unlock()
		return
	}
	if noRoom(res.Err) { // says nothing of what the script looks at
		w.t.Log.Error("cannot run track script "+w.s.Name, zap.Error(res.Err))
		w.mu.Unlock()
		return
	}
	if res.Err == nil && res.Signal == 0 && !res.TimedOut && res.Status != w.last {
		w.last = res.Status
		w.t.Log.Info(fmt.Sprintf("Script `%s` now returning %d", w.s.Name, res.Status))
	}
	w.late = w.late && res.TimedOut
	news, up := w.tally.add(res.OK()), w.tally.up()
	if news {
		w.log(res)
	}
	w.mu.Unlock()
	if news {
		w.set(State{Known: true, Up: up})
	}
}

// log writes keepalived's line about a change, and what the script had to say.
func (w *scriptWatcher) log(res script.Result) {
	line, fields := fmt.Sprintf("VRRP_Script(%s) ", w.s.Name), []zap.Field{}
	if says := res.FirstLine(); says != "" && !res.OK() {
		fields = append(fields, zap.String("says", says))
	}
	switch {
	case res.OK():
		line += "succeeded"
	case res.TimedOut:
		line += "timed_out"
	default:
		line += "failed (" + res.Reason() + ")"
	}
	w.t.Log.Info(line, fields...)
}

// noRoom reports whether a program could not be run for want of processes, memory or files.
func noRoom(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
