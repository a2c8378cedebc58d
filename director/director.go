package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dirsw/bfd"
	"dirsw/clock"
	"dirsw/config"
	"dirsw/connsync"
	"dirsw/forward"
	"dirsw/health"
	"dirsw/host"
	"dirsw/mail"
	"dirsw/notify"
	"dirsw/packet"
	"dirsw/track"
	"dirsw/vrrp"
)

// Host is what the director asks of the kernel.
type Host interface {
	NextHop(netip.Addr) (host.Hop, error)
	Addrs() ([]host.Addr, error)
	LocalNets() ([]host.LocalNet, error)
	Divert(link int, from []host.Endpoint) error
	Resolve(host.Hop) error
	Link(name string) (host.Link, error)
	PromoteSecondaries(link string) (restore func() error, err error)
}

// Filter is what the director asks of the packet filter: which frames come to the workers.
type Filter interface {
	SetFilter(forward.Filter) error
	// SetMACs says to which Ethernet addresses the frames go that are taken on a port, by its place in Options.Ports. Until
	// then it is the interface's own alone.
	SetMACs(port int, macs []packet.MAC) error
	// Refused returns how many frames were dropped because they went to one of forward.Filter.Shut. Any goroutine.
	Refused() uint64
}

// Port is an interface that the lanes send by; its place in Options.Ports is the port's index in every Lane.
type Port struct {
	Name string
	Link int // interface index
	MAC  packet.MAC
	// SendOnly: nothing is received by it. Replies that come there are not translated.
	SendOnly bool
	// Local: the tap to this host's own network stack; one at most.
	Local bool
}

// Options is what a Director is made of. All fields but Load and Sync are required.
type Options struct {
	Clock   clock.Clock
	Log     *zap.Logger
	Host    Host
	Statics Statics
	// Net is what the election of the masters uses. An *ElectionNet has its news of links taken in; a test may have another.
	Net vrrp.Net
	// Sync are the sockets of connection synchronisation; nil: there is none.
	Sync    connsync.Sockets
	Filter  Filter
	Workers []*forward.Worker
	Ports   []Port // to begin with; SetPorts and Attach change them
	// Attach opens the interfaces that a model needs and that are not among the ports yet, and returns the ports then: the
	// others keep their numbers. May be nil: then such a model is refused.
	Attach func(*config.Model) ([]Port, error)
	Model  *config.Model    // to begin with: validated, and nothing in it Unserved
	Name   string           // of this host, in mails
	Now    func() time.Time // of day, in mails
	// Load reads the configuration anew for Reload. Its error, a config.Errors as a rule, leaves everything as it is.
	Load func() (*config.Model, []config.Note, error)
}

const (
	tickEvery    = time.Second     // neighbours that do not answer are asked again
	staticEvery  = 3               // ticks between two refreshes of static addresses
	restFor      = 4               // times as long as following the last news took, until the next are followed
	restMost     = 2 * time.Second // and this at most, for the machine may have stood still meanwhile
	confirmEvery = 10              // ticks between two confirmations of the neighbours, and looks at all next hops
	adoptWithin  = 2 * time.Second // for a worker to adopt a snapshot; one that takes longer is stuck or has ended
)

// Director is the one that decides. Its methods may be called from any goroutine; Run is called once.
type Director struct {
	o       Options
	wake    chan struct{} // facts may have changed
	reloads chan reload   // answered by Run
	edits   chan edit     // likewise
	done    chan struct{} // closed when Run has returned
	mail    sync.Mutex    // orders the writers of the workers' mailboxes
	now     atomic.Pointer[decided]
	ports   atomic.Pointer[[]Port] // never changed in place
	ready   chan struct{}          // closed when the first snapshot is in force

	estimates Estimates

	syncDaemons atomic.Pointer[[]*syncDaemon] // see syncing
	telling     sync.Mutex                    // one TellAll at a time
	greetings   chan struct{}                 // holds one: a backup is to be told of everything

	// Of Run's goroutine only.
	facts   facts
	static  statics
	file    *config.Model // what Load returned last
	ticks   int
	vitals  vitals
	notices *inbox[vrrp.Notice] // from the election, for herald
	behind  bool                // what is known is not in force yet, see pursue

	prober   *health.Prober
	beats    *inbox[health.Event] // from the prober
	election *vrrp.Runner
	tracker  *track.Tracker
	bfd      *bfd.Runner
	mailer   *mail.Sender
	notifier *notify.Notifier
	promoted map[string]func() error // by link, see promote
	alarms   alarms
	claims   sync.Map      // addresses that somebody else claims, see stranger
	masters  sync.Map      // names of links that have virtual addresses
	rested   clock.Mono    // from then on news are followed
	awaited  time.Duration // for workers, by what Run's goroutine does now
	stations stations

	diverting  bool // what follows is in force
	diverted   []host.Endpoint
	divertedTo int // link
}

// decided is what is in force.
type decided struct {
	wanted *config.Model // what file and commands ask for
	model  *config.Model // what of it is forwarded, see vitals
	snap   *forward.Snapshot
	facts  facts
	vitals vitals // a copy of its own
}

type reload struct {
	answer chan<- reloaded
	look   bool // change nothing
}

type reloaded struct {
	changes []config.Change
	notes   []config.Note
	err     error
}

// New prepares a director. Nothing happens before Run.
func New(o Options) *Director {
	d := &Director{o: o, wake: make(chan struct{}, 1), reloads: make(chan reload), edits: make(chan edit),
		done: make(chan struct{}), ready: make(chan struct{}), file: o.Model, promoted: map[string]func() error{}, greetings: make(chan struct{}, 1)}
	d.ports.Store(&o.Ports)
	d.beats, d.notices = newInbox[health.Event](), newInbox[vrrp.Notice]()
	d.election = vrrp.NewRunner(vrrp.Options{Clock: o.Clock, Log: o.Log, Net: o.Net, Notice: d.notice})
	if n, ok := o.Net.(*ElectionNet); ok {
		n.link, n.stranger, n.taking = d.election.Link, d.stranger, d.crown
	}
	d.mailer = mail.New(mail.Options{Clock: o.Clock, Log: o.Log, Host: o.Name, Now: o.Now})
	d.notifier = notify.New(notify.Options{Clock: o.Clock, Log: o.Log, Mail: d.mailer})
	d.tracker = d.newTracker()
	d.bfd = d.newBFD()
	d.prober = health.NewProber(health.Options{Clock: o.Clock, Log: o.Log, Report: d.beats.put})
	return d
}

// Ready is closed as soon as the first configuration is in force on all workers.
func (d *Director) Ready() <-chan struct{} { return d.ready }

// SetPorts tells of interfaces that were opened anew, in the same order: one that vanished has the index 0, and one that came
// back another than before.
func (d *Director) SetPorts(p []Port) {
	d.ports.Store(&p)
	d.Wake()
}

// Wake says that links, addresses, routes or neighbours may have changed. It never blocks.
func (d *Director) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// ErrStopped is the answer of a director that no longer runs.
var ErrStopped = errors.New("the director has stopped")

// Reload reads the configuration again and puts it in force. It returns when all workers follow it, or with the reason
// why everything stays as it was.
func (d *Director) Reload() ([]config.Change, []config.Note, error) { return d.readAgain(false) }

// Foresee reads the configuration as Reload does and returns what Reload would, but nothing changes.
func (d *Director) Foresee() ([]config.Change, []config.Note, error) { return d.readAgain(true) }

func (d *Director) readAgain(look bool) ([]config.Change, []config.Note, error) {
	answer := make(chan reloaded, 1)
	select {
	case d.reloads <- reload{answer, look}:
	case <-d.done:
		return nil, nil, ErrStopped
	}
	select {
	case r := <-answer:
		return r.changes, r.notes, r.err
	case <-d.done:
		return nil, nil, ErrStopped
	}
}

// Run puts the configuration in force, takes part in the election, has real servers checked, and follows the network until
// ctx ends. Then it gives the addresses back first and stops taking frames after.
func (d *Director) Run(ctx context.Context) error {
	defer close(d.done)
	d.facts = d.meet(d.o.Model)
	d.facts.asked().log(d.o.Log, d.facts)
	told, err := d.apply(d.o.Model)
	if err != nil {
		d.stop() // it may be in force in part
		return err
	}
	d.confirm(false)
	if err := d.holdStatic(d.o.Model); err != nil {
		d.o.Log.Error("static addresses, routes or rules cannot be set", zap.Error(err))
	}
	defer func() {
		d.stop()
		now := d.now.Load().wanted
		d.once("shutdown", &now.Globals.Scripts.Shutdown, &now.Globals.Scripts)
	}()
	defer d.background("sending mail", d.mailer.Run)()
	defer d.background("notifying", d.notifier.Run)()
	d.once("startup", &d.o.Model.Globals.Scripts.Startup, &d.o.Model.Globals.Scripts)
	defer d.farewell()
	defer d.background("checking", func(ctx context.Context) error { d.prober.Run(ctx); return nil })()
	defer d.background("tracking", d.tracker.Run)()
	defer d.background("BFD", d.bfd.Run)()
	defer d.unsync()
	if d.o.Sync != nil {
		defer d.background("finding clients", d.findClients)()
		defer d.background("greeting backups", d.greet)()
	}
	defer d.background("the herald", func(ctx context.Context) error { d.notices.run(ctx, d.herald); return nil })()
	defer d.background("the election", d.election.Run)() // the first to end: masters say so and give their addresses back
	err = d.tellWhom(d.o.Model)
	d.tell(told)
	err = errors.Join(err, d.watch(d.o.Model), d.meetBFD(d.o.Model))
	voted := d.vote(d.o.Model)
	if errors.Is(voted, host.ErrNoLink) && d.o.Model.Globals.Interfaces.Dynamic {
		d.o.Log.Warn("an interface does not exist yet: its instances wait for it", zap.Error(voted))
		voted = nil
	}
	if err := errors.Join(err, voted); err != nil {
		return err
	}
	d.synchronise()
	close(d.ready)
	tick := make(chan struct{}, 1)
	arm := func() clock.Timer {
		return d.o.Clock.AfterFunc(tickEvery, func() { tick <- struct{}{} })
	}
	timer := arm()
	defer func() { timer.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-d.reloads:
			r.answer <- d.reload(r.look)
		case e := <-d.edits:
			e.answer <- d.edit(e.change)
		case <-d.beats.came:
			d.followHealth()
		case <-d.wake:
			d.news()
		case <-tick:
			d.tick()
			timer = arm()
		}
	}
}

// apply puts a model in force and has its servers checked; on an error the one before stays. It returns what is to be told as
// soon as it is known to whom.
func (d *Director) apply(m *config.Model) ([]happening, error) {
	targets, notes, err := Targets(m, d.runner())
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		d.o.Log.Warn(n.Text, zap.Stringer("at", n.Pos))
	}
	d.followHealth() // what was found until now is about the model before
	known := d.vitals.clone()
	told := append(d.check(m, targets), d.vitals.judgeAll()...)
	if err := d.publish(); err != nil {
		d.vitals = known
		d.uncheck()
		return nil, err
	}
	return told, nil
}

// publish compiles what follows from the model and from what is known of its servers, and puts it in force. What is new is
// published before the filter takes it, what is removed leaves the filter before the workers forget it: a frame once taken
// has no way back to the kernel.
func (d *Director) publish() error {
	m := d.vitals.inForce()
	var prev *forward.Snapshot
	var before *config.Model
	if now := d.now.Load(); now != nil {
		prev, before = now.snap, now.model
	}
	about, wanted := syncSettings(&m.Dataplane, d.syncWanted(m)), (*config.Model)(nil)
	if about.Backup {
		wanted = d.vitals.model
	}
	snap, err := Compile(&Inputs{Model: m, Sync: about, Wanted: wanted, Before: before, Hops: d.facts.hops, Kernel: d.facts.kernel, Own: d.facts.own,
		Local: d.facts.local, Nets: d.facts.nets, Names: d.facts.names, Workers: len(d.o.Workers)}, prev)
	if err != nil {
		return err
	}
	filter := snap.Filter()
	if prev != nil {
		if err := d.o.Filter.SetFilter(prev.Filter().Common(filter)); err != nil {
			return fmt.Errorf("take what was removed from the packet filter: %w", err)
		}
	}
	for _, w := range d.o.Workers {
		w.Publish(snap)
	}
	d.now.Store(&decided{wanted: d.vitals.model, model: m, snap: snap, facts: d.facts, vitals: d.vitals.clone()})
	d.awaitAdoption(snap.Gen)
	d.divert(snap)
	if err := d.o.Filter.SetFilter(filter); err != nil {
		return fmt.Errorf("add to the packet filter: %w", err)
	}
	return nil
}

// awaitAdoption waits until every worker follows the generation.
func (d *Director) awaitAdoption(gen uint64) {
	begin := d.o.Clock.Now()
	defer func() { d.awaited += d.o.Clock.Now().Sub(begin) }()
	limit := begin.Add(adoptWithin)
	for i, w := range d.o.Workers {
		for w.Adopted() < gen {
			if d.o.Clock.Now() >= limit {
				d.o.Log.Warn("worker does not follow", zap.Int("worker", i), zap.Uint64("generation", gen))
				break
			}
			again := make(chan struct{})
			d.o.Clock.AfterFunc(time.Millisecond, func() { close(again) })
			<-again
		}
	}
}

// reachable refuses a model whose addresses belong on an interface that does not exist or that no lane serves. Interfaces
// that the operator has chosen need not be those of the instances.
func (d *Director) reachable(m *config.Model) error {
	var errs config.Errors
	for i := range m.Instances {
		in := &m.Instances[i]
		for k := range in.Addresses {
			if a := &in.Addresses[k]; a.Dev != "" {
				if _, err := d.o.Host.Link(a.Dev); err != nil {
					errs = append(errs, config.Error{Pos: a.Pos, Message: err.Error(), Fix: "name one that exists behind dev"})
				}
			}
		}
		attached := slices.ContainsFunc(*d.ports.Load(), func(p Port) bool { return p.Name == in.Interface })
		if _, err := d.o.Host.Link(in.Interface); err != nil && m.Globals.Interfaces.Dynamic {
			continue
		} else if err != nil {
			errs = append(errs, config.Error{Pos: in.Pos, Message: "vrrp_instance " + in.Name + ": " + err.Error(),
				Fix: "name one that exists"})
		} else if !attached && len(m.Dataplane.Interfaces) == 0 && d.o.Attach == nil {
			errs = append(errs, config.Error{Pos: in.Pos, Message: fmt.Sprintf(
				"vrrp_instance %s needs the interface %s, which was not attached at the start", in.Name, in.Interface),
				Fix: "restart dirsw to attach it"})
		}
	}
	return errs.Or()
}

// news follows what has changed, soon: where it takes long, as with thousands of servers whose neighbours come and go, what
// comes meanwhile is followed together. Workers that are waited for, because their interface is away, are no work.
func (d *Director) news() {
	begin := d.o.Clock.Now()
	if begin < d.rested {
		d.o.Clock.AfterFunc(d.rested.Sub(begin), d.Wake)
		return
	}
	d.awaited = 0
	d.settle()
	d.follow()
	d.synchronise()
	end := d.o.Clock.Now()
	d.rested = end.Add(min(restFor*(end.Sub(begin)-d.awaited), restMost))
}

// follow compiles anew if the facts have changed.
func (d *Director) follow() {
	now := d.now.Load()
	facts := d.gather(now.wanted)
	if facts.equal(d.facts) {
		return
	}
	d.facts.log(d.o.Log, facts)
	d.facts = facts
	d.suspend(now.wanted)
	d.pursue("the network has changed and cannot be followed")
}

func (d *Director) tick() {
	d.ticks++
	if d.ticks%estimateEvery == 0 {
		d.estimates.Sample(d.now.Load().snap)
	}
	d.settle()
	if d.ticks%confirmEvery == 0 { // the host tells of changes; this is for those that it does not hear of
		d.follow()
	}
	if d.behind {
		d.pursue("what is known cannot be put in force")
	}
	d.confirm(d.ticks%confirmEvery == 0)
	d.synchronise()
	if d.ticks%staticEvery == 0 {
		if err := d.holdStatic(d.now.Load().wanted); err != nil {
			d.o.Log.Error("static addresses, routes or rules cannot be set", zap.Error(err))
		}
		if len(d.diverted) > 0 { // there are programs that tidy up rules that are not theirs
			d.diverting = false
			d.divert(d.now.Load().snap)
		}
	}
}

// stop lets go of what is left once the election and the checks have ended: no client is sent here any more.
func (d *Director) stop() {
	d.releaseStatic()
	d.demote()
	if err := d.o.Filter.SetFilter(forward.Filter{}); err != nil {
		d.o.Log.Error("the packet filter cannot be emptied", zap.Error(err))
	}
	if err := d.o.Host.Divert(0, nil); err != nil {
		d.o.Log.Error("rules for the answers of local real servers are left", zap.Error(err))
	}
}
