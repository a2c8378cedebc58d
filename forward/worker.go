package forward

import (
	"context"
	"sync/atomic"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/internal/ring"
	"dirsw/packet"
	"dirsw/reassembly"
	"dirsw/sched"
)

// Options is what a Worker is made of. The zero value works.
type Options struct {
	Table    conntrack.Options
	Observer Observer // nil in a director that forwards
	Spin     bool     // never sleep in the lane
	// Fragments bound the memory for datagrams of which fragments are missing.
	Fragments reassembly.Options
	// Accelerate says how the accelerator is used, where the lane has one.
	Accelerate Accelerate
	// TimeOfDay is how long after midnight UTC the worker's clock began, for IPv4 timestamp options.
	TimeOfDay time.Duration
}

const (
	mailboxSize     = 64
	commandsABreath = 32
	expireABreath   = 64                     // wheel steps, enough for 64 new connections a breath to end as fast as they come
	commitEvery     = 200 * time.Microsecond // between two commits of the counters, which cost as much as some frames
	commitIdle      = time.Second            // for what the lane counts without a frame
	shortNap        = time.Millisecond       // the longest sleep when there was something to do before it
	longNap         = 16 * time.Millisecond  // the longest with connections, in a lane that can be woken for news
	idleNap         = 64 * time.Millisecond  // the longest of all, when nothing can end
	prefetchFrom    = 4                      // frames in a batch for which asking memory ahead pays
	cacheLine       = 64                     // bytes at which two writers do not disturb each other
)

// Worker owns a lane, a connection table and the schedulers' state, and is the only one to touch them. Other goroutines
// reach it by Publish, Post, Adopted and ReadCounters.
type Worker struct {
	id   int
	o    Options
	lane Lane
	port []PortInfo

	// Written by the director, read by the worker once a breath.
	published atomic.Pointer[Snapshot]
	mailbox   *ring.SPSC[Command]
	// Written by the worker, read by the director.
	adopted  atomic.Uint64
	counters counterBlock

	// Set by the worker, read by its team for each batch and cleared by who wakes it: on a cache line of its own.
	_      [cacheLine]byte
	asleep atomic.Bool
	waker  Waker // of the lane; nil if it has none
	_      [cacheLine]byte

	// The worker's own.
	team        []mate // by id, with none at its own; nil without others
	turn        int    // of the team: who is asked first
	nap         time.Duration
	snap        *Snapshot
	now         clock.Mono // of this breath
	table       *conntrack.Table
	scheds      []serviceState // by ServiceID
	paths       []path         // by DestID
	courses     []course       // by DestID
	tunnels     map[tunnelEnd]bool
	servers     map[ServiceKey]bool // see serversOf; nil while nobody asks
	quoted      packet.Meta         // of scheduleRelated: a local one would be allocated for each error
	apps        apps
	fast        fast
	acc         account
	plain       Counters
	committed   clock.Mono // when the counters were published
	uncommitted bool       // something has happened since

	defence  defence
	overload overload
	sweeping bool   // for connections whose server is gone
	sweepAt  uint32 // the slot to go on with
	sync     syncer
	back     clientWays

	in, dropped packet.Batch
	answers     packet.Batch // to senders of what was dropped
	extra       packet.Batch // pieces of what was cut
	unused      packet.Batch // to be given back at once
	gathered    gathered
	errors      limiter // of the ICMP errors among them
	ipID        uint16  // identification of the last one
	hashes      [packet.BatchSize]uint64
	reasons     [packet.BatchSize]packet.DropReason
	owners      [packet.BatchSize]uint16 // of steer
	others      int                      // frames of the batch that passOn found to be another's
	sharing     bool                     // of the last batch more than a few were
	old         conntrack.Conn           // that a new one takes the place of, in decide
	flow        sched.Flow               // of pick: behind an interface, a local one would be allocated for each connection

	// Of the packet with IPv4 options that was looked at last: who filled them in, what they were, and how they came.
	visitor packet.Router
	seen    packet.OptionsSeen
	options [packet.MaxOptionsLen]byte
	echo    [packet.MaxOptionsLen]byte // of the answer
}

// serviceState is a scheduler and the generations it was fitted to.
type serviceState struct {
	sched             sched.Scheduler
	schedGen, poolGen uint64
}

// NewWorker makes a worker on a lane. Id is its place among the workers, from 0.
func NewWorker(id int, lane Lane, o Options) (*Worker, error) {
	table, err := conntrack.New(o.Table)
	if err != nil {
		return nil, err
	}
	w := &Worker{id: id, o: o, table: table, nap: shortNap, mailbox: ring.New[Command](mailboxSize), snap: &Snapshot{}}
	if w.plain.TableRoom = uint64(o.Table.MaxConns); o.Table.MaxConns == 0 {
		w.plain.TableRoom = conntrack.DefaultMaxConns
	}
	w.gathered.cache = reassembly.New(o.Fragments)
	w.SetLane(lane)
	return w, nil
}

// SetLane gives the worker another lane, its connections stay. Only while neither Step nor Run is active.
func (w *Worker) SetLane(lane Lane) {
	w.lane, w.port = lane, lane.Ports()
	w.waker, _ = lane.(Waker)
	w.setAccelerator(lane)
}

// Close gives the table's memory back. Only after Run has returned.
func (w *Worker) Close() error { return w.table.Close() }

// Publish hands over a new snapshot, which must not be changed afterwards. For the director only.
func (w *Worker) Publish(s *Snapshot) {
	w.published.Store(s)
	w.rouse()
}

// Adopted returns the generation that the worker follows. Any goroutine.
func (w *Worker) Adopted() uint64 { return w.adopted.Load() }

// Post queues a command; false if the mailbox is full. One goroutine at a time.
func (w *Worker) Post(c Command) bool {
	if !w.mailbox.Push(c) {
		return false
	}
	w.rouse()
	return true
}

// ReadCounters fills dst. Any goroutine.
func (w *Worker) ReadCounters(dst *Counters) { w.counters.read(dst) }

// Run takes breath after breath until ctx ends or the lane dies. The caller has pinned its goroutine's thread.
func (w *Worker) Run(ctx context.Context, c clock.Clock) error {
	p := newPatience()
	for ctx.Err() == nil {
		n, err := w.Step(c.Now())
		if err != nil {
			return err
		}
		if n > 0 || w.o.Spin {
			w.nap = shortNap
			p.paid()
			continue
		}
		if p.lost() {
			if err := w.sleep(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Step is one breath at the time now, which must not go back. It returns how many frames came. An error is the lane's
// (io.EOF at the end of a capture).
func (w *Worker) Step(now clock.Mono) (int, error) {
	w.now = now
	if s := w.published.Load(); s != w.snap && s != nil {
		w.adopt(s)
	}
	for range commandsABreath {
		c, ok := w.mailbox.Pop()
		if !ok {
			break
		}
		w.obey(&c, now)
	}
	if w.sync.in.Load() != nil {
		w.learnSome(now)
	}
	w.defend(now)
	w.look()
	n, err := w.lane.Recv(&w.in)
	w.plain.Received += uint64(n)
	if w.team != nil {
		n += w.together(now)
	} else if n > 0 {
		w.work(now, 0, 0)
	}
	if n > 0 {
		w.plain.Breaths++
	}
	if w.gathered.cache.Len() > 0 {
		w.giveUp(now)
	}
	if w.fast.to != nil {
		w.tend(now)
	}
	ended := w.table.Expire(now, expireABreath, w.gone)
	w.publishRecords()
	if ended > 0 { // there may be more to end
		w.nap = shortNap
	}
	w.uncommitted = w.uncommitted || n > 0 || ended > 0
	if since := now.Sub(w.committed); w.uncommitted && since >= commitEvery || since >= commitIdle || err != nil {
		w.committed, w.uncommitted = now, false
		w.commit()
	}
	return n, err
}

// work does what is to be done with a batch of frames. Parsed and fresh are as in process.
func (w *Worker) work(now clock.Mono, parsed, fresh int) {
	w.process(now, parsed, fresh)
	if w.in.N > 0 {
		w.plain.Forwarded += uint64(w.in.N)
		w.lane.Send(&w.in)
	}
	if w.extra.N > 0 {
		w.plain.Forwarded += uint64(w.extra.N)
		w.lane.Send(&w.extra)
	}
	if w.answers.N > 0 {
		w.lane.Send(&w.answers)
	}
	if w.dropped.N > 0 {
		w.lane.Drop(&w.dropped)
	}
}

// sleep waits for frames, of the lane or of the team, and for news of the director: longer each time, as nothing comes.
// Waking up a thousand times a second takes 2 to 3 % of a core.
func (w *Worker) sleep() error {
	if w.waker == nil {
		return w.lane.Wait(shortNap)
	}
	w.asleep.Store(true)
	defer w.asleep.Store(false)
	if s := w.published.Load(); w.pending() || s != nil && s != w.snap || w.mailbox.Len() > 0 || w.toLearn() { // come before the flag could be seen
		return nil
	}
	nap := w.nap
	w.nap = min(2*nap, w.longest())
	return w.lane.Wait(nap)
}

// longest is how long the worker may sleep without being woken up.
func (w *Worker) longest() time.Duration {
	if w.table.Len() == 0 && w.table.Templates() == 0 && w.gathered.cache.Len() == 0 {
		return idleNap
	}
	return longNap
}

// commit publishes the counters and tallies.
func (w *Worker) commit() {
	w.acc.commit(w.id, w.snap)
	p := &w.plain
	p.Connections, p.Templates, p.TableBytes = uint64(w.table.Len()), uint64(w.table.Templates()), uint64(w.table.MemoryBytes())
	p.Lane = w.lane.Counters()
	w.overload.weigh(w.committed, p.Lane.RxDropped)
	w.counters.publish(p)
}

// adopt follows a new snapshot from now on. It may allocate: it runs once for each change of configuration.
func (w *Worker) adopt(s *Snapshot) {
	w.acc.commit(w.id, w.snap)
	w.acc.grow(len(s.Dests))
	w.table.SetTimeouts(s.Timeouts)
	w.adoptApps(s)
	if w.servers = nil; s.Settings.NATICMPSend {
		w.servers = serversOf(s)
	}
	w.adoptTunnels(s)
	w.adoptSync(s)
	for len(w.scheds) < len(s.Services) {
		w.scheds = append(w.scheds, serviceState{})
	}
	for i := range s.Services {
		if !s.Services[i].Gone {
			w.adoptService(&s.Services[i], &w.scheds[i])
		}
	}
	for i := range min(len(s.Dests), len(w.snap.Dests)) {
		if d, old := &s.Dests[i], &w.snap.Dests[i]; d.Load == old.Load && d.Upper != old.Upper {
			d.Load.Rethreshold(old.Upper, d.Upper)
		}
	}
	w.lost(s)
	w.snap = s
	w.weigh()
	w.setWays()
	w.setCourses()
	w.adopted.Store(s.Gen)
}

func (w *Worker) adoptService(svc *Service, st *serviceState) {
	if st.poolGen == svc.PoolGen && st.schedGen == svc.SchedGen {
		return
	}
	first := svc.Pool.Cursor.Fit(svc.PoolGen)
	if st.schedGen != svc.SchedGen {
		st.sched = svc.Kind.New(svc.Flags)
		if !svc.Taken {
			st.sched.Update(&sched.Pool{Cursor: svc.Pool.Cursor}, first)
		}
	}
	st.sched.Update(svc.Pool, first)
	st.schedGen, st.poolGen = svc.SchedGen, svc.PoolGen
}

// gone is told by the table of each connection that ended.
func (w *Worker) gone(c *conntrack.Conn) {
	if c.Method&quick != 0 {
		w.slowDown(c)
	}
	if c.App != 0 {
		w.forget(c)
	}
	d := &w.snap.Dests[c.Dest]
	switch {
	case c.IsTemplate():
		d.Load.Add(w.id, 0, 0, -1)
		return
	case c.State().Active():
		d.Load.Add(w.id, -1, 0, 0)
	default:
		d.Load.Add(w.id, 0, -1, 0)
	}
	d.Load.Unbound(d.Upper, d.Lower)
}
