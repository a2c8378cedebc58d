package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/script"
)

// The limits of an object's scripts.
const (
	// apart is how long the command that is told of everything waits for the one of the state. A program that takes
	// longer may be meant to go on, and is left alone.
	apart = 10 * time.Second
	// patience is how long a program may go on when there is newer news to tell; then it is told to end.
	patience = time.Minute
	// hopeless is how long a program that was killed is waited for. The kernel may not be able to end it.
	hopeless = script.Grace + 3*time.Second
	// maxWaiting is how many news of one object wait at most. Of more, the oldest are left out.
	maxWaiting = 32
	// slotWait is how long a script about a server waits for others to end.
	slotWait = 10 * time.Second
)

// queue runs the scripts of one object: news after news, and the commands of one in their order. It exists while there
// is something to run. All fields are guarded by Notifier.mu.
type queue struct {
	n       *Notifier
	o       object
	waiting [][]script.Command
	now     *telling    // what runs; nil before the first
	timer   clock.Timer // of patience, or hopeless; nil while there is none
	left    bool        // said that news are left out
}

// telling is the run of the commands of one piece of news.
type telling struct {
	jobs []script.Command
	ctx  context.Context
	end  context.CancelFunc // ends the programs
	gone chan struct{}      // closed by giveUp when they cannot be ended
	once sync.Once
}

func (t *telling) giveUp() { t.once.Do(func() { close(t.gone) }) }

// enqueue queues the commands of one piece of news. mu is held.
func (n *Notifier) enqueue(o object, jobs []script.Command) {
	if len(jobs) == 0 || n.ended {
		return
	}
	q := n.queues[o]
	if q == nil {
		q = &queue{n: n, o: o}
		n.queues[o] = q
		n.busy.Add(1)
		go q.work()
	}
	if len(q.waiting) >= maxWaiting {
		q.waiting = q.waiting[1:]
		if !q.left {
			n.Log.Warn("scripts take longer than changes come: some are left out", zap.String("of", q.o.String()))
		}
		q.left = true
	}
	q.waiting = append(q.waiting, jobs)
	q.hurry()
}

// hurry begins to lose patience with what runs, if there is newer news. mu is held.
func (q *queue) hurry() {
	if now := q.now; now != nil && q.timer == nil && len(q.waiting) > 0 {
		q.timer = q.n.Clock.AfterFunc(patience, func() { q.interrupt(now) })
	}
}

// interrupt ends a run that goes on yet.
func (q *queue) interrupt(t *telling) {
	q.n.mu.Lock()
	defer q.n.mu.Unlock()
	if q.now == t {
		q.n.Log.Warn("a script is told to end: there is newer news", zap.String("of", q.o.String()))
		q.kill()
	}
}

// kill ends what runs, and stops waiting for it when that does not help. mu is held.
func (q *queue) kill() {
	q.now.end()
	q.timer = q.n.Clock.AfterFunc(hopeless, q.now.giveUp)
}

// abandon ends what runs, and forgets what waits.
func (q *queue) abandon() {
	q.n.mu.Lock()
	defer q.n.mu.Unlock()
	q.waiting = nil
	if q.now != nil {
		if q.timer != nil {
			q.timer.Stop()
		}
		q.kill()
	}
}

// next takes the oldest news, or ends the queue.
func (q *queue) next() *telling {
	q.n.mu.Lock()
	defer q.n.mu.Unlock()
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	if q.now != nil {
		q.now.end()
		q.now = nil
	}
	if len(q.waiting) == 0 {
		delete(q.n.queues, q.o)
		return nil
	}
	t := &telling{jobs: q.waiting[0], gone: make(chan struct{})}
	t.ctx, t.end = context.WithCancel(context.Background())
	q.now, q.waiting = t, q.waiting[1:]
	q.hurry()
	return t
}

// work runs until nothing waits.
func (q *queue) work() {
	defer q.n.busy.Done()
	for t := q.next(); t != nil; t = q.next() {
		q.tell(t)
	}
}

// tell runs the commands of one piece of news, one after the other, and returns when all have ended.
func (q *queue) tell(t *telling) {
	ended := make(chan struct{}, len(t.jobs))
	running := 0
	for i, c := range t.jobs {
		if i > 0 && q.wait(ended, t.gone) {
			running--
		}
		if t.ctx.Err() != nil {
			break
		}
		running++
		go func() {
			q.run(t.ctx, c)
			ended <- struct{}{}
		}()
	}
	for ; running > 0; running-- {
		select {
		case <-ended:
		case <-t.gone:
			q.n.Log.Error("a script cannot be ended, and is left behind", zap.String("of", q.o.String()))
			return
		}
	}
}

// wait waits for a command to end, but not for long. It reports whether it did.
func (q *queue) wait(ended, gone chan struct{}) bool {
	over := make(chan struct{})
	defer q.n.Clock.AfterFunc(apart, func() { close(over) }).Stop()
	select {
	case <-ended:
		return true
	case <-over:
	case <-gone:
	}
	return false
}

// run runs one command.
func (q *queue) run(ctx context.Context, c script.Command) {
	if q.o.kind == kindReal || q.o.kind == kindService {
		defer q.slot(ctx)()
	}
	c.Output = 0 // what it starts may outlive this process, and must be able to print
	if res := q.n.Runner.Run(ctx, c); !res.OK() && ctx.Err() == nil {
		q.n.Log.Warn("a notify script did not succeed", zap.String("of", q.o.String()), zap.Stringer("script", c), zap.Object("result", res))
	}
}

// slot waits for a free slot, but not for long, and returns how to give it back.
func (q *queue) slot(ctx context.Context) (release func()) {
	over := make(chan struct{})
	timer := q.n.Clock.AfterFunc(slotWait, func() { close(over) })
	defer timer.Stop()
	select {
	case q.n.slots <- struct{}{}:
		return func() { <-q.n.slots }
	case <-over:
	case <-ctx.Done():
	}
	return func() {}
}

// String names the object for messages.
func (o object) String() string {
	if o.kind == kindReal {
		return fmt.Sprintf("RS %s %s", o.name, o.service)
	}
	return o.kind + " " + o.service + o.name
}
