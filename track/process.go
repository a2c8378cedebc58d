package track

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"dirsw/clock"
)

// commLen is how many bytes of a process's name the kernel keeps (TASK_COMM_LEN - 1). Longer commands are looked for in
// command lines, as in keepalived.
const commLen = 15

// processWatcher counts the processes of one kind. The counting is done by processes, for all at once.
type processWatcher struct {
	report
	given Process // as Set had it
	p     Process // with its defaults

	mu      sync.Mutex // guards what follows
	count   int        // -1 until it was counted
	up      bool       // what was told
	pending clock.Timer
	stopped bool
}

var _ watcher = (*processWatcher)(nil)

func (p Process) watcher(t *Tracker) watcher {
	given := p
	if p.Quorum <= 0 {
		p.Quorum = 1
	}
	if p.Limited && p.Max < p.Quorum {
		p.Quorum = min(p.Quorum, max(p.Max, 0)) // "at most none" cannot mean "at least one"
	}
	if len(p.Params) > 0 && p.Match == MatchNone {
		p.Match = MatchExact
	}
	p.Full = p.Full || len(p.Command) > commLen
	w := &processWatcher{given: given, p: p, count: -1}
	w.report.t, w.report.now = t, State{Key: p.Key()}
	return w
}

func (w *processWatcher) object() Object { return w.given }
func (w *processWatcher) kept()          {}

// prepare joins those that are counted by the next scan. What was told before stays told.
func (w *processWatcher) prepare(old watcher) {
	if o, ok := old.(*processWatcher); ok {
		w.inherit(o.state())
	}
	w.t.procs.join(w)
}

func (w *processWatcher) start(context.Context) { w.t.procs.wake() }

func (w *processWatcher) stop() {
	w.mute()
	w.t.procs.leave(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.pending != nil {
		w.pending.Stop()
	}
}

// cmdline reports whether the command line must be read for it.
func (p *Process) cmdline() bool { return p.Full || p.Match != MatchNone }

// matches reports whether a process is one of those; args is its command line if cmdline says so.
func (p *Process) matches(comm string, args []string) bool {
	if !p.cmdline() {
		return comm == p.Command
	}
	if len(args) == 0 || args[0] != p.Command {
		return false
	}
	args = args[1:]
	switch p.Match {
	case MatchExact:
		return slices.Equal(args, p.Params)
	case MatchPartial:
		if len(p.Params) == 0 {
			return len(args) == 0
		}
		return len(args) >= len(p.Params) && slices.Equal(args[:len(p.Params)], p.Params)
	case MatchInitial:
		last := len(p.Params) - 1
		if last < 0 {
			return len(args) == 0
		}
		return len(args) > last && slices.Equal(args[:last], p.Params[:last]) && strings.HasPrefix(args[last], p.Params[last])
	}
	return true
}

// enough reports whether n processes are as many as there should be.
func (p *Process) enough(n int) bool { return n >= p.Quorum && (!p.Limited || n <= p.Max) }

// counted takes the number of processes there are now.
func (w *processWatcher) counted(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	was := w.count
	w.count = n
	up := w.p.enough(n)
	if was < 0 {
		w.up = up
		w.set(State{Known: true, Up: up})
		return
	}
	if n != was {
		w.log(was, n)
	}
	if up == w.up {
		if w.pending != nil { // it was well or ill for less than its delay
			w.pending.Stop()
			w.pending = nil
		}
		return
	}
	if w.pending != nil {
		return
	}
	delay := w.p.TerminateDelay
	if up {
		delay = w.p.ForkDelay
	}
	if delay <= 0 {
		w.change(up)
		return
	}
	w.pending = w.t.Clock.AfterFunc(delay, func() { w.confirm(up) })
}

// confirm is called when a delay is over in which nothing changed back.
func (w *processWatcher) confirm(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && w.pending != nil && w.up != up {
		w.pending = nil
		w.change(up)
	}
}

// change tells of a change. mu is held.
func (w *processWatcher) change(up bool) {
	w.up = up
	w.t.Log.Info(fmt.Sprintf("Quorum %s for tracked process %s", map[bool]string{true: "gained", false: "lost"}[up], w.p.Name))
	w.set(State{Known: true, Up: up})
}

func (w *processWatcher) log(was, n int) {
	line := fmt.Sprintf("Process %s, number of current processes changed from %d to %d", w.p.Name, was, n)
	if up := w.p.enough(n); up != w.p.enough(was) {
		line += ", quorum " + map[bool]string{true: "up", false: "down"}[up]
	}
	w.t.Log.Info(line)
}

// scanShare is how much of the time looking at processes may take: one part of this many.
const scanShare = 50

// processes looks at all processes of the machine, for every processWatcher.
type processes struct {
	t     *Tracker
	exits exits // of those that matched

	scanning sync.Mutex // held during a scan

	mu       sync.Mutex // guards what follows
	watchers []*processWatcher
	ctx      context.Context // nil until started
	timer    clock.Timer     // nil while there is nothing to look for
}

func newProcesses(t *Tracker) *processes {
	p := &processes{t: t}
	p.exits.files = make(map[int]*os.File)
	p.exits.ended = p.scan
	return p
}

func (p *processes) join(w *processWatcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = append(p.watchers, w)
}

func (p *processes) leave(w *processWatcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = slices.DeleteFunc(slices.Clone(p.watchers), func(o *processWatcher) bool { return o == w })
}

func (p *processes) start(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	p.scan() // now those that are there are watched for their end
	p.wake()
}

func (p *processes) stop() {
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	p.scanning.Lock() // none begins to watch any more
	p.exits.watch(nil)
	p.scanning.Unlock()
	p.exits.busy.Wait()
}

// running reports whether Run has begun and not ended.
func (p *processes) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx != nil && p.ctx.Err() == nil
}

// wake makes sure that there is a next scan, if anybody needs one.
func (p *processes) wake() { p.again(p.t.ProcessEvery, false) }

func (p *processes) again(d time.Duration, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if after {
		p.timer = nil
	}
	if p.timer == nil && p.ctx != nil && p.ctx.Err() == nil && len(p.watchers) > 0 {
		p.timer = p.t.Clock.AfterFunc(d, p.due)
	}
}

// due scans, and waits for the next time, the longer the longer a scan takes.
func (p *processes) due() {
	start := p.t.Clock.Now()
	p.scan()
	p.again(max(p.t.ProcessEvery, scanShare*p.t.Clock.Now().Sub(start)), true)
}

// scan counts the processes for every watcher.
func (p *processes) scan() {
	p.scanning.Lock()
	defer p.scanning.Unlock()
	p.mu.Lock()
	watchers := p.watchers
	p.mu.Unlock()
	if len(watchers) == 0 {
		p.exits.watch(nil)
		return
	}
	counts := make([]int, len(watchers))
	cmdline := slices.ContainsFunc(watchers, func(w *processWatcher) bool { return w.p.cmdline() })
	found := make(map[int]bool)
	eachProcess(p.t.Proc, cmdline, func(pid int, comm string, args []string) {
		for i, w := range watchers {
			if w.p.matches(comm, args) {
				counts[i]++
				found[pid] = true
			}
		}
	})
	if p.t.Proc == systemProc && p.running() {
		p.exits.watch(found)
	}
	for i, w := range watchers {
		w.counted(counts[i])
	}
}
