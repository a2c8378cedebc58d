package vrrp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

// Options is what a Runner needs.
type Options struct {
	Clock clock.Clock
	Log   *zap.Logger
	Net   Net
	// Notice is told of every Notice, on the Runner's thread: it must not wait for anything. May be nil.
	Notice func(Notice)
}

// Runner runs a Machine on an operating system thread of its own, and carries out its effects there. Nothing else of the
// program can delay it but the garbage collector's short stops and the kernel.
type Runner struct {
	clock  clock.Clock
	log    scribe
	net    Net
	notice func(Notice)

	m        *Machine // the thread's, as everything up to mu
	ways     map[*Instance]*ways
	routers  [256][]*Instance // with open paths, by virtual router identifier
	nextID   int
	vmacs    map[string]VMAC           // made or to be made, by name
	stray    [numRejects]atomic.Uint64 // packets for no instance; the thread writes, Strays reads
	renewAt  clock.Mono                // when lifetimes of addresses are to be prolonged
	todo     []Effect                  // what there was no time for yet
	renewals []Effect                  // reused
	sched    schedule
	lateLog  clock.Mono // when lateness was logged last

	mu      sync.Mutex
	inbox   []order
	running bool
	stopped bool
	last    states // of when it stopped
}

// order is what another goroutine wants done on the thread.
type order struct {
	do   func(now clock.Mono)
	gone func() // instead, if the Runner stopped before; may be nil
}

// states is what States returns.
type states struct {
	instances []InstanceState
	groups    []GroupState
}

// schedule is how the kernel was last asked to treat the thread.
type schedule struct {
	priority int
	cpus     string
}

// ErrStopped is the answer to an Apply after Run has ended.
var ErrStopped = errors.New("vrrp: stopped")

// NewRunner returns a Runner that does nothing before Run.
func NewRunner(o Options) *Runner {
	if o.Notice == nil {
		o.Notice = func(Notice) {}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Runner{
		clock: o.Clock, log: scribe{log: o.Log}, net: o.Net, notice: o.Notice, m: NewMachine(),
		ways: map[*Instance]*ways{}, vmacs: map[string]VMAC{}, renewAt: never, sched: schedule{priority: -1},
	}
}

// Run works until ctx ends. Then masters say that they stop and give their addresses, routes and rules back, VMACs are
// removed, and Run returns nil. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	runtime.LockOSThread() // not unlocked: a thread with another scheduling policy must not run other goroutines later
	r.mu.Lock()
	if r.running || r.stopped {
		r.mu.Unlock()
		return errors.New("vrrp: Run called twice")
	}
	r.running = true
	r.mu.Unlock()
	stopWake := context.AfterFunc(ctx, r.net.Wake)
	defer stopWake()
	r.log.start()
	defer r.log.stop()
	for ctx.Err() == nil {
		r.turn()
	}
	r.shutdown()
	return nil
}

// turn is one round: what others want, what is due, then one packet.
func (r *Runner) turn() {
	now := r.clock.Now()
	r.readInbox(now)
	if next := r.m.Next(); next <= now {
		// Whoever wakes late must not believe a silence that it slept through: what has come is read first. The number is
		// limited, so that a flood does not hold back adverts.
		if now.Sub(next) > lateAfter {
			for range 256 {
				if !r.receive(0) {
					break
				}
			}
			now = r.clock.Now()
		}
		r.do(now, r.m.Timers(now))
	}
	if r.renewAt <= now {
		r.renew(now)
	}
	if len(r.todo) == 0 {
		r.receive(r.wait())
		return
	}
	r.work()
	for range 32 { // as many packets as come in a slice, even in a flood of them
		if !r.receive(0) {
			break
		}
	}
}

// lateAfter is how late a timer runs before that counts as having slept.
const lateAfter = 2 * time.Millisecond

// wait is how long nothing is due.
func (r *Runner) wait() time.Duration {
	r.mu.Lock()
	waiting := len(r.inbox) > 0
	r.mu.Unlock()
	next := min(r.m.Next(), r.renewAt)
	if waiting {
		return 0
	}
	return min(max(next.Sub(r.clock.Now()), 0), time.Hour)
}

// receive takes one packet and gives it to the instance that it is for. It reports whether there was one.
func (r *Runner) receive(wait time.Duration) bool {
	p, ok := r.net.Receive(wait)
	if !ok {
		return false
	}
	r.dispatch(r.clock.Now(), &p)
	return true
}

// dispatch finds the instance by the virtual router identifier.
func (r *Runner) dispatch(now clock.Mono, p *Packet) {
	msg := p.Data
	if p.Protocol == ProtocolAH && len(msg) >= ahLen {
		msg = msg[ahLen:]
	}
	if len(msg) < headerLen {
		r.refuse(p, RejectLength, 0)
		return
	}
	i, path := r.addressee(p, msg[1])
	if i == nil {
		r.refuse(p, RejectVRID, msg[1])
		return
	}
	r.do(now, i.Handle(now, Event{Kind: PacketReceived, Packet: p, Path: path}))
}

// addressee is the instance of a packet, and the path by which it came. Several may share a socket and an identifier, as
// multicast and unicast ones or unicast ones with different peers: the one that fits best gets it, and may complain.
func (r *Runner) addressee(p *Packet, vrid uint8) (best *Instance, path int) {
	most := -1
	for _, i := range r.routers[vrid] {
		w := r.ways[i]
		for n := range w.paths {
			if _, heard := slices.BinarySearch(p.IDs, w.first+n); !heard {
				continue
			}
			if f := w.paths[n].fits(p); f > most {
				best, path, most = i, n, f
			}
		}
	}
	return best, path
}

// fits says how well a packet fits a path: whether it is unicast as the path is, and its group or its peer's.
func (p *Path) fits(q *Packet) (f int) {
	if p.Unicast() != q.Dst.IsMulticast() {
		f += 2
	}
	if q.Dst == p.Group || p.Unicast() && slices.ContainsFunc(p.Peers, func(o Peer) bool { return o.Addr == q.Src }) {
		f++
	}
	return f
}

// refuse counts a packet that is for no instance.
func (r *Runner) refuse(p *Packet, why Reject, vrid uint8) {
	r.stray[why].Add(1)
	if why == RejectVRID && r.m.plan.LogUnknown {
		r.log.say(zap.InfoLevel, fmt.Sprintf("Unknown VRID(%d) received on interface(%s). ignoring...", vrid, p.Link), zap.Stringer("from", p.Src))
	}
}

// Strays counts, by reason, the packets that were for no instance: with an identifier that none has, or shorter than any
// advert. Any goroutine may call it.
func (r *Runner) Strays() (out [NumRejects]uint64) {
	for n := range out {
		out[n] = r.stray[n].Load()
	}
	return out
}

// post has the thread do something. It reports whether it will.
func (r *Runner) post(o order) bool {
	r.mu.Lock()
	ok := !r.stopped
	if ok {
		r.inbox = append(r.inbox, o)
	}
	r.mu.Unlock()
	if ok {
		r.net.Wake()
	}
	return ok
}

func (r *Runner) readInbox(now clock.Mono) {
	r.mu.Lock()
	inbox := r.inbox
	r.inbox = nil
	r.mu.Unlock()
	for _, o := range inbox {
		o.do(now)
	}
}

// Apply makes the Runner follow a plan, at the start and at every reload, and returns when it does: with the errors of
// what could not be set up, which it goes on without, or with what is wrong with the plan, and then nothing has changed.
// Before Run it returns at once, the plan is followed when Run begins, and errors are logged. Any goroutine may call it but the Runner's own.
func (r *Runner) Apply(p Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	r.mu.Lock()
	running := r.running
	r.mu.Unlock()
	done := make(chan error, 1)
	o := order{gone: func() { done <- ErrStopped }, do: func(now clock.Mono) {
		err := r.apply(now, p)
		if err != nil && !running {
			r.log.say(zap.ErrorLevel, "not all of the virtual routers can be set up", zap.Error(err))
		}
		done <- err
	}}
	if !r.post(o) {
		return ErrStopped
	}
	if !running {
		return nil
	}
	return <-done
}

// Track tells the state of a tracked thing. Any goroutine may call it.
func (r *Runner) Track(kind TrackKind, name string, s TrackState) {
	r.post(order{do: func(now clock.Mono) { r.do(now, r.m.Track(now, kind, name, s)) }})
}

// Link tells the state of a link. Any goroutine may call it, and Net too while it receives.
func (r *Runner) Link(l LinkState) {
	r.post(order{do: func(now clock.Mono) {
		r.remakeVMACs(l)
		r.do(now, r.m.Link(now, l))
	}})
}

// Repeat has a Notice of the kind StateNow sent of each instance and each group that has a state, between those of what
// happens. Any goroutine may call it.
func (r *Runner) Repeat() {
	r.post(order{do: func(now clock.Mono) {
		tell := func(n Notice) {
			if n.Kind, n.At = StateNow, now; n.New != Init {
				r.notice(n)
			}
		}
		for _, i := range r.m.instances {
			tell(Notice{Name: i.cfg.Name, Old: i.state, New: i.state, Priority: i.priority})
		}
		for _, g := range r.m.groups {
			tell(Notice{Group: true, Name: g.cfg.Name, Old: g.state, New: g.state})
		}
	}})
}

// States returns what listings show: of now while the Runner runs, else of its end. Any goroutine may call it but the
// Runner's own, which is the one of Notice.
func (r *Runner) States() ([]InstanceState, []GroupState) {
	r.mu.Lock()
	last, running := r.last, r.running
	r.mu.Unlock()
	if !running {
		return last.instances, last.groups
	}
	done := make(chan states, 1)
	o := order{
		do:   func(clock.Mono) { i, g := r.m.State(); done <- states{i, g} },
		gone: func() { done <- r.last },
	}
	if r.post(o) {
		last = <-done
	} else {
		r.mu.Lock()
		last = r.last
		r.mu.Unlock()
	}
	return last.instances, last.groups
}
