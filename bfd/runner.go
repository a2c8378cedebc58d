package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// Options are what a Runner is made with. Clock and Log are required.
type Options struct {
	Clock clock.Clock
	Log   *zap.Logger
	// Notice is told of each change of state, in order, on the thread of Run; and after each Set of how every session
	// stands (From is To then), so that whoever listens need not ask and cannot miss anything between. It must not block.
	Notice func(Notice)
	// Prepare is called once on the thread of Run before all else: the place to give it real-time priority. May be nil.
	Prepare func()
	// Random returns numbers in [0, 1), for jitter, ports and discriminators; nil is a good source.
	Random func() float64
}

// Notice is a change of one session, or how it stands.
type Notice struct {
	Name       string
	From, To   State
	Diag       Diag // why it left Up
	RemoteDiag Diag
	At         clock.Mono
}

// Up reports whether the neighbour is reached now.
func (n *Notice) Up() bool { return n.To == Up }

// Status is a session as it stands.
type Status struct {
	Config      Config // with defaults filled in
	State       State
	Diag        Diag
	RemoteState State
	RemoteDiag  Diag
	Local       uint32 // discriminators
	Remote      uint32
	TxInterval  time.Duration // how often packets are sent, before the jitter
	Detection   time.Duration // how long a silence ends the session; 0 before anything was heard
	Since       clock.Mono    // of the state
	Changes     uint64        // of state
	Sent        uint64
	Received    uint64
	SendErrors  uint64
	Rejects     Rejects       // of what is for this session
	Latest      time.Duration // how late the latest periodic packet left, the worst so far: the delay of this machine
}

// Bounds of one turn of the Runner.
const (
	turnDatagrams = 256                    // taken from each socket at most before timers are looked at
	reopenPause   = time.Second            // between attempts to open sockets that could not be opened
	longestWait   = 10 * time.Second       // without anything due
	publishPause  = 100 * time.Millisecond // between counts in Status, if no state changes
)

// Runner gives sessions their sockets and a thread of their own. Run is its goroutine; the other methods may be called
// from any.
type Runner struct {
	opt Options

	mu      sync.Mutex // guards what follows, down to status
	wanted  []Config
	news    bool // wanted is new
	wake    int  // eventfd, -1 while Run does not run
	status  []Status
	unknown Rejects // of what is for no session

	// Of Run's thread only.
	peers     []*peer // in the order of wanted
	listeners map[listening]int
	failed    map[listening]bool // told that it could not be opened
	reopen    clock.Mono         // when to try again, never if nothing is missing
	strange   Rejects
	buf, oob  []byte
	fresh     bool // a session or its state is new since published
	published clock.Mono
}

// NewRunner returns a Runner without sessions.
func NewRunner(o Options) *Runner {
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Notice == nil {
		o.Notice = func(Notice) {}
	}
	return &Runner{opt: o, wake: -1, reopen: never, listeners: map[listening]int{}, failed: map[listening]bool{},
		buf: make([]byte, 2048), oob: make([]byte, 128)}
}

// Set makes sessions the ones that run. One whose name, addresses, TTL and kind stay goes on and only tells its
// neighbour what is new. It returns what is wrong with sessions, and changes nothing if anything is. It may be called
// before Run, and then takes effect with it.
func (r *Runner) Set(sessions []Config) error {
	var errs []error
	names := map[string]bool{}
	neighbors := map[string]bool{}
	for _, c := range sessions {
		if err := c.check(); err != nil {
			errs = append(errs, err)
		}
		key := fmt.Sprint(c.Neighbor, c.Multihop)
		if names[c.Name] || neighbors[key] {
			errs = append(errs, fmt.Errorf("bfd_instance %s: its name or neighbor_ip %v is another's too", c.Name, c.Neighbor))
		}
		names[c.Name], neighbors[key] = true, true
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted, r.news = slices.Clone(sessions), true
	r.ring()
	return nil
}

// ring ends the sleep of Run. The lock is held.
func (r *Runner) ring() {
	if r.wake >= 0 {
		_, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it is full, and then Run is awake
	}
}

// Status returns the sessions, in the order of Set, and the counts of datagrams that are for none of them.
func (r *Runner) Status() ([]Status, Rejects) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.status), r.unknown
}

// Run runs the sessions until ctx ends, on a thread that is its own, and then tells the neighbours. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	runtime.LockOSThread() // stays locked: the thread, with what Prepare made of it, ends with the goroutine
	if r.opt.Prepare != nil {
		r.opt.Prepare()
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("open an eventfd: %w", err)
	}
	r.mu.Lock()
	r.wake = wake
	r.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ring()
	})
	defer stop()
	defer r.shut()
	for ctx.Err() == nil {
		r.turn()
	}
	return nil
}

// shut ends all sessions and closes all sockets.
func (r *Runner) shut() {
	for _, p := range r.peers {
		r.end(p)
	}
	for _, fd := range r.listeners {
		unix.Close(fd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	unix.Close(r.wake)
	r.wake, r.status = -1, nil
}

// turn takes in what is new and what arrived, does what is due, and sleeps until there is more.
func (r *Runner) turn() {
	r.adopt()
	if r.opt.Clock.Now() >= r.reopen {
		r.openMissing()
	}
	for _, l := range []listening{{}, {v6: true}, {multihop: true}, {v6: true, multihop: true}} {
		if fd, ok := r.listeners[l]; ok {
			r.drain(l, fd)
		}
	}
	now := r.opt.Clock.Now()
	next := r.reopen
	for _, p := range r.peers {
		for now >= p.session.Next() {
			r.tick(p, now)
		}
		next = min(next, p.session.Next())
	}
	if r.fresh || now >= r.published.Add(publishPause) {
		r.publish()
		r.fresh, r.published = false, now
	}
	r.sleep(next)
}

// tick does what is due of one session.
func (r *Runner) tick(p *peer, now clock.Mono) {
	if due := p.session.due(); due <= now {
		p.status.Latest = max(p.status.Latest, now.Sub(due))
	}
	r.act(p, p.session.Tick(now), now)
}

// drain takes in what waits at a listening socket, within bounds.
func (r *Runner) drain(l listening, fd int) {
	for range turnDatagrams {
		d, err := receive(fd, r.buf, r.oob)
		if err != nil {
			if err != errNoMore {
				r.opt.Log.Error("receive", zap.Error(err))
			}
			return
		}
		r.takeIn(l, d)
	}
}

// takeIn gives a datagram to its session, or counts why not.
func (r *Runner) takeIn(l listening, d datagram) {
	packet, reject := Parse(d.data)
	if reject != 0 {
		r.strange[reject]++
		return
	}
	i := slices.IndexFunc(r.peers, func(p *peer) bool {
		if p.listener != l {
			return false
		}
		if packet.Your == 0 {
			return p.session.config.Neighbor == d.from
		}
		return p.session.local == packet.Your
	})
	if i < 0 {
		r.strange[RejectSession]++
		return
	}
	p := r.peers[i]
	switch c := &p.session.config; {
	case c.Neighbor != d.from:
		p.status.Rejects[RejectAddress]++
	case d.ttl < c.leastTTL():
		p.status.Rejects[RejectTTL]++
	case p.session.State() == AdminDown:
		p.status.Rejects[RejectAdminDown]++
	default:
		p.status.Received++
		now := r.opt.Clock.Now()
		r.act(p, p.session.Receive(now, packet), now)
	}
}

// act carries out what a session asks for.
func (r *Runner) act(p *peer, a Action, now clock.Mono) {
	if a.Send {
		r.send(p, &a.Packet)
	}
	name := p.session.config.Name
	if a.Silence > 0 {
		r.opt.Log.Warn(fmt.Sprintf("(%s) Expired after %d ms (%d usec overdue)", name, a.Silence.Milliseconds(), a.Late.Microseconds()))
	}
	if a.From != a.To {
		r.changed(p, a, now)
	}
	if a.Poll {
		r.opt.Log.Debug(fmt.Sprintf("(%s) Starting poll sequence", name))
	}
}

// changed logs and tells a change of state. Init is on the way to Up, and not logged, as keepalived does not.
func (r *Runner) changed(p *peer, a Action, now clock.Mono) {
	r.fresh = true
	p.status.Changes++
	p.status.Since = now
	s := p.session
	switch a.To {
	case Down:
		r.opt.Log.Warn(fmt.Sprintf("(%s) Entering %v state (Local diagnostic - %v, Remote diagnostic - %v)", s.config.Name, a.To, s.diag, s.remoteDiag))
	case Up, AdminDown:
		r.opt.Log.Info(fmt.Sprintf("(%s) Entering %v state", s.config.Name, a.To))
	}
	r.notify(p, a.From, now)
}

// notify tells how a session stands that was in the state from.
func (r *Runner) notify(p *peer, from State, now clock.Mono) {
	s := p.session
	r.opt.Notice(Notice{Name: s.config.Name, From: from, To: s.state, Diag: s.diag, RemoteDiag: s.remoteDiag, At: now})
}

// send sends a packet. That it cannot be sent is told once, until it can.
func (r *Runner) send(p *peer, packet *Packet) {
	if !p.open {
		return
	}
	if err := p.sender.send(packet); err != nil {
		p.status.SendErrors++
		if !p.told {
			r.opt.Log.Error(fmt.Sprintf("(%s) Error sending packet", p.session.config.Name), zap.Error(err))
		}
		p.told = true
		return
	}
	p.told = false
	p.status.Sent++
}

// publish makes what Status returns.
func (r *Runner) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unknown = r.strange
	r.status = r.status[:0]
	for _, p := range r.peers {
		s, st := p.session, p.status
		st.Config, st.State, st.Diag, st.RemoteState, st.RemoteDiag = s.config, s.state, s.diag, s.remoteState, s.remoteDiag
		st.Local, st.Remote, st.TxInterval, st.Detection = s.local, s.remote, s.interval(), s.detection()
		r.status = append(r.status, st)
	}
}

// sleep waits for a datagram, for news, or until next.
func (r *Runner) sleep(next clock.Mono) {
	fds := []unix.PollFd{{Fd: int32(r.wake), Events: unix.POLLIN}}
	for _, fd := range r.listeners {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	wait := min(max(next.Sub(r.opt.Clock.Now()), 0), longestWait)
	t := unix.NsecToTimespec(wait.Nanoseconds())
	n, err := unix.Ppoll(fds, &t, nil)
	if err != nil || n == 0 {
		return // a signal, or time
	}
	if fds[0].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(r.wake, b[:])
	}
}
