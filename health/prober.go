package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

// Options are what a Prober is made with. Clock and Log are required.
type Options struct {
	Clock clock.Clock
	Log   *zap.Logger
	// Report is told of each change, in order, on the goroutine of Run. It must not block; it may call the Prober.
	Report func(Event)
	// Random returns numbers in [0, 1) that spread first checks over their warmup; nil is a good source.
	Random func() float64
}

// So many checks are begun in such a time at most: that bounds the bursts (32 000 checks in a second).
const (
	turnChecks = 64
	turnPause  = 2 * time.Millisecond
)

// gather is how much later than it is due a check may begin, so that one waking serves all that fall due meanwhile.
const gather = 10 * time.Millisecond

// maxIdle is how many goroutines are kept that have no check to make: that saves a tenth of what a TCP check costs.
const maxIdle = 64

// Prober asks the servers of its targets, each check at its time, and reports what changes. Run connects itself (TCP_CHECK);
// beside it there is one goroutine for each other check under way, and maxIdle at most that wait for one. Its methods may be
// called from any goroutine.
type Prober struct {
	opt  Options
	wake chan struct{} // holds one: something to do for Run
	work chan question // for a worker that has nothing to do
	idle atomic.Int64  // workers that have nothing to do

	connects connects   // of Run's goroutine
	begin    []question // likewise

	mu      sync.Mutex // guards all below
	units   map[string]*unit
	order   []*unit // as in Set
	queue   queue
	answers []answer       // given, not taken in yet
	fed     map[feed]int64 // the last value of each feed
	feeds   map[feed][]*item
	out     []notice // to be told by Run
	local   localFaults
	window  clock.Mono // since when checks are counted
	begun   int        // since then
}

// feed names a source of values that are given from outside.
type feed struct {
	kind Kind
	name string
}

// question is a check to be made.
type question struct {
	it      *item
	checker Checker
	step    int
}

// answer is what a check found.
type answer struct {
	it         *item
	start, end clock.Mono
	grade      Grade
	err        error
}

// notice is a line to log, or an event to report, in the order in which they came to be.
type notice struct {
	line  string
	level lineLevel
	event *Event
}

type lineLevel uint8

const (
	lineInfo lineLevel = iota
	lineWarn
)

// NewProber returns a Prober without targets.
func NewProber(o Options) *Prober {
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Report == nil {
		o.Report = func(Event) {}
	}
	return &Prober{
		opt: o, wake: make(chan struct{}, 1), work: make(chan question),
		units: map[string]*unit{}, fed: map[feed]int64{}, feeds: map[feed][]*item{},
	}
}

// Run checks until ctx ends, and returns when the checks under way have ended too. It is called once.
func (p *Prober) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	defer p.connects.close()
	var timer clock.Timer
	var armed clock.Mono // when timer rings
	for {
		select {
		case <-ctx.Done():
			if timer != nil {
				timer.Stop()
			}
			return
		case <-p.wake:
		}
		for _, q := range p.due(p.opt.Clock.Now()) {
			if c, ok := q.checker.(*TCP); ok {
				p.connects.begin(q.it, c, p.opt.Clock.Now())
				continue
			}
			select {
			case p.work <- q:
			default:
				running.Go(func() { p.worker(ctx, q) })
			}
		}
		now := p.opt.Clock.Now()
		p.connects.look(now)
		next, ok := p.turn(now)
		p.tell()
		if ok && (timer == nil || next != armed) {
			if timer != nil {
				timer.Stop()
			}
			armed, timer = next, p.opt.Clock.AfterFunc(next.Sub(p.opt.Clock.Now()), p.ring)
		}
	}
}

// ring makes Run turn.
func (p *Prober) ring() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// due takes in the answers of the workers and returns the checks to begin, which are valid until the next call.
func (p *Prober) due(now clock.Mono) []question {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeAll(&p.answers)
	if now.Sub(p.window) >= turnPause {
		p.window, p.begun = now, 0
	}
	clear(p.begin)
	p.begin = p.begin[:0]
	for p.begun < turnChecks {
		it := p.queue.take(now)
		if it == nil {
			break
		}
		it.running = true
		it.asked++
		p.begun++
		p.begin = append(p.begin, question{it, it.check.Checker, it.asking})
	}
	return p.begin
}

// turn takes in what connects found and returns when there is something to do again.
func (p *Prober) turn(now clock.Mono) (next clock.Mono, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeAll(&p.connects.found)
	p.local.settle(now, p)
	if next, ok = p.queue.next(); ok {
		next = max(next, now.Add(pick(p.begun < turnChecks, gather, turnPause)))
	}
	if look, under := p.connects.next(); under {
		look = max(look, now.Add(lookAgain))
		next, ok = pick(ok, min(look, next), look), true
	}
	return next, ok
}

// takeAll takes in answers and forgets them. The lock is held.
func (p *Prober) takeAll(answers *[]answer) {
	for _, a := range *answers {
		p.takeIn(a)
	}
	clear(*answers)
	*answers = (*answers)[:0]
}

// tell logs and reports what came to be, in order and without the lock.
func (p *Prober) tell() {
	p.mu.Lock()
	out := p.out
	p.out = nil
	p.mu.Unlock()
	for _, n := range out {
		switch {
		case n.event != nil:
			p.opt.Report(*n.event)
		case n.level == lineWarn:
			p.opt.Log.Warn(n.line)
		default:
			p.opt.Log.Info(n.line)
		}
	}
}

// worker makes checks, one after another, as long as there are others to be made soon: a goroutine whose stack has grown
// is worth keeping.
func (p *Prober) worker(ctx context.Context, q question) {
	for {
		p.ask(ctx, q)
		if p.idle.Add(1) > maxIdle {
			p.idle.Add(-1)
			return
		}
		select {
		case q = <-p.work:
			p.idle.Add(-1)
		case <-ctx.Done():
			return
		}
	}
}

// ask makes one check and leaves its answer.
func (p *Prober) ask(ctx context.Context, q question) {
	a := answer{it: q.it, start: p.opt.Clock.Now()}
	switch c := q.checker.(type) {
	case Sequence:
		a.err = c.CheckStep(ctx, q.step)
	case Grader:
		a.grade, a.err = c.Grade(ctx)
	default:
		a.err = c.Check(ctx)
	}
	a.end = p.opt.Clock.Now()
	if ctx.Err() != nil {
		return // the end of Run, which says nothing about the server
	}
	p.mu.Lock()
	p.answers = append(p.answers, a)
	p.mu.Unlock()
	p.ring()
}

// line queues a line for the log. The lock is held.
func (p *Prober) line(level lineLevel, text string) {
	if text != "" {
		p.out = append(p.out, notice{line: text, level: level})
	}
}
