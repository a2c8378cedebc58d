package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/mail"
	"dirsw/script"
)

// Runner runs programs; script.Runner does.
type Runner interface {
	Run(ctx context.Context, c script.Command) script.Result
}

// Mailer takes alerts without blocking; mail.Sender does.
type Mailer interface {
	Send(m mail.Message) bool
}

// Options are what a Notifier works with. Clock must be set.
type Options struct {
	Clock clock.Clock
	Log   *zap.Logger // nil: nothing is logged
	// Runner runs the scripts; default script.Runner.
	Runner Runner
	// Mail takes the alerts; nil: there are none.
	Mail Mailer
	// AtOnce is how many scripts about servers and quorums run at the same time, before others wait a while; default 32.
	// Those of instances and groups never wait.
	AtOnce int
	// Farewell is how long the end of Run waits for scripts; default 5 s.
	Farewell time.Duration
}

// Notifier tells of changes. All methods may be called from any goroutine, and none blocks but Run, Once, and Set where
// it ends the readers of pipes.
type Notifier struct {
	Options
	slots chan struct{} // capacity AtOnce

	setting sync.Mutex // held by Set, and at the end of Run

	mu        sync.Mutex // guards what follows
	ended     bool
	now       audience
	former    audience // what now replaced: for what is told late of what was removed
	noFault   bool
	instances []*fifo // told of instances and groups
	servers   []*fifo // told of real servers and quorums
	queues    map[object]*queue
	busy      sync.WaitGroup
}

// audience is who is told of which object.
type audience struct {
	vrrp     map[object]VRRP
	services map[object]Service
	reals    map[object]Real
}

// object is what notifications are about, and in order for.
type object struct{ kind, service, name string }

// The kinds of objects.
const (
	kindInstance = "INSTANCE"
	kindGroup    = "GROUP"
	kindService  = "VS"
	kindReal     = "RS"
)

// New returns a Notifier that tells nobody until Set.
func New(o Options) *Notifier {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Runner == nil {
		o.Runner = script.Runner{Clock: o.Clock}
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 32
	}
	if o.Farewell <= 0 {
		o.Farewell = 5 * time.Second
	}
	return &Notifier{Options: o, slots: make(chan struct{}, o.AtOnce), queues: make(map[object]*queue)}
}

// Set says from now on who is told of what. Scripts that run or wait are not touched. A pipe that stays as it is stays
// open, and its reader goes on. Events about what is in this configuration no more, but was in the one before, are told
// by that one. An error is about a pipe; the others work.
func (n *Notifier) Set(c Config) error {
	n.setting.Lock()
	defer n.setting.Unlock()
	n.mu.Lock()
	if n.ended {
		n.mu.Unlock()
		return nil
	}
	old := make(map[*fifo]bool)
	for _, f := range slices.Concat(n.instances, n.servers) {
		old[f] = true
	}
	n.mu.Unlock()

	all, instances, servers, ignored := c.pipes()
	for _, line := range ignored {
		n.Log.Warn(line)
	}
	var errs []error
	open := func(f FIFO, also []*fifo) *fifo {
		if f.Path == "" {
			return nil
		}
		for _, o := range also {
			if o.Path == f.Path {
				return o
			}
		}
		for o := range old {
			if o.same(f) {
				delete(old, o)
				return o
			}
		}
		for o := range old { // the reader changes: the old one must go first
			if o.Path == f.Path {
				delete(old, o)
				o.close()
			}
		}
		o, err := openFIFO(f, n.Clock, n.Log, n.Runner)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		o.start()
		return o
	}
	everybody := open(all, nil)
	first := open(instances, nil)
	second := open(servers, pipeList(first))

	n.mu.Lock()
	n.former, n.now = n.now, index(c)
	n.noFault = c.NoFaultMail
	n.instances, n.servers = pipeList(everybody, first), pipeList(everybody, second)
	n.mu.Unlock()
	for f := range old {
		f.close()
	}
	return errors.Join(errs...)
}

// pipeList returns those that are not nil.
func pipeList(fs ...*fifo) []*fifo {
	var out []*fifo
	for _, f := range fs {
		if f != nil {
			out = append(out, f)
		}
	}
	return out
}

func index(c Config) audience {
	a := audience{make(map[object]VRRP), make(map[object]Service), make(map[object]Real)}
	for _, v := range c.VRRP {
		a.vrrp[vrrpObject(v.Group, v.Name)] = v
	}
	for _, s := range c.Services {
		a.services[object{kindService, s.Name, ""}] = s
	}
	for _, r := range c.Reals {
		a.reals[object{kindReal, r.Service, r.Name}] = r
	}
	return a
}

// either returns what now has for an object, else what former has.
func either[T any](o object, now, former map[object]T) T {
	if v, ok := now[o]; ok {
		return v
	}
	return former[o]
}

func vrrpObject(group bool, name string) object {
	if group {
		return object{kindGroup, "", name}
	}
	return object{kindInstance, "", name}
}

// VRRP tells of a change of an instance or a group.
func (n *Notifier) VRRP(e Event) {
	o := vrrpObject(e.Group, e.Name)
	n.mu.Lock()
	defer n.mu.Unlock()
	v := either(o, n.now.vrrp, n.former.vrrp)
	if e.Group && e.State == Deleted || !known[e.State] {
		return // nobody is told of a group that is not there any more, nor of what precedes the first state
	}
	if (e.State == MasterPriority || e.State == BackupPriority) && !v.TellPriority {
		return
	}
	own, any := v.command(e.State)
	if e.State == Deleted && !v.TellDeleted {
		e.State, own = Fault, nil
	}
	for _, f := range n.instances {
		f.write(e.line())
	}
	var jobs []script.Command
	if own != nil {
		jobs = append(jobs, *own)
	}
	if any && v.Any != nil {
		jobs = append(jobs, v.Any.With(e.args()...))
	}
	n.enqueue(o, jobs)
	if v.Mail && any && !(e.State == Fault && n.noFault) {
		m, ok := mail.Instance(e.Name, string(e.State))
		if e.Group {
			m, ok = mail.Group(e.Name, string(e.State))
		}
		n.send(m, ok)
	}
}

// Repeat writes the state of an instance or a group to the pipes and does nothing else, as after a reload with
// fifo_write_vrrp_states_on_reload.
func (n *Notifier) Repeat(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.instances {
		f.write(e.line())
	}
}

// Real tells that a real server of a service came or went; why is what its check has to say about it, as mail.Real
// wants it, and "" if there is no mail about it.
func (n *Notifier) Real(service, real string, up bool, why string) {
	o := object{kindReal, service, real}
	n.mu.Lock()
	defer n.mu.Unlock()
	r := either(o, n.now.reals, n.former.reals)
	for _, f := range n.servers {
		f.write(realLine(real, service, up))
	}
	n.enqueue(o, pick(up, r.Up, r.Down))
	n.send(mail.Real(real, service, up, why), r.Mail && why != "")
}

// Check tells by mail, and only so, what one check of a real server has to say; up is how the server stands.
func (n *Notifier) Check(service, real string, up bool, why string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := either(object{kindReal, service, real}, n.now.reals, n.former.reals)
	n.send(mail.Real(real, service, up, why), r.Mail)
}

// Quorum tells that a service gained or lost its quorum, or starts with or without it. weight is the sum of the weights
// of the servers that are up.
func (n *Notifier) Quorum(service string, up, starting bool, quorum, hysteresis, weight int) {
	o := object{kindService, service, ""}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := either(o, n.now.services, n.former.services)
	for _, f := range n.servers {
		f.write(quorumLine(service, up))
	}
	n.enqueue(o, pick(up, s.Up, s.Down))
	n.send(mail.Quorum(service, up, starting, quorum, hysteresis, weight), s.Mail)
}

func pick(up bool, whenUp, whenDown *script.Command) []script.Command {
	c := whenDown
	if up {
		c = whenUp
	}
	if c == nil {
		return nil
	}
	return []script.Command{*c}
}

func (n *Notifier) send(m mail.Message, wanted bool) {
	if wanted && n.Mail != nil {
		n.Mail.Send(m)
	}
}

// Run lets scripts run until ctx is done: what happened before it runs too. Then it waits for those that run or wait,
// for at most Farewell, ends the rest, and closes the pipes. It is called once.
func (n *Notifier) Run(ctx context.Context) error {
	<-ctx.Done()
	n.mu.Lock()
	n.ended = true
	all := make([]*queue, 0, len(n.queues))
	for _, q := range n.queues {
		all = append(all, q)
	}
	n.mu.Unlock()
	timer := n.Clock.AfterFunc(n.Farewell, func() {
		for _, q := range all {
			q.abandon()
		}
	})
	n.busy.Wait()
	timer.Stop()

	n.setting.Lock()
	defer n.setting.Unlock()
	n.mu.Lock()
	open := make(map[*fifo]bool)
	for _, f := range slices.Concat(n.instances, n.servers) {
		open[f] = true
	}
	n.instances, n.servers = nil, nil
	n.mu.Unlock()
	var closing sync.WaitGroup
	for f := range open {
		closing.Go(f.close)
	}
	closing.Wait()
	return nil
}
