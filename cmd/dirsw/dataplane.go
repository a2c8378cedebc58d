package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/stats"
	"dirsw/xsk"
)

// dataplane is the AF_XDP sockets and the workers on them. When an interface vanishes or comes, or has another number of queues,
// the sockets are opened anew on those that are there; the workers keep their connections.
type dataplane struct {
	log     *zap.Logger
	clock   clock.Clock
	roster  roster
	back    func([]director.Port) // called when they were opened anew
	workers []*forward.Worker
	cores   []int         // of each worker, or unpinned
	again   chan struct{} // holds one: the sockets are to be opened anew
	ended   chan struct{} // closed when run has returned

	mu      sync.Mutex
	set     *xsk.Set       // nil while they are opened anew
	filter  forward.Filter // what it is to take
	refused uint64         // by the filter, when it was asked last
	asked   []chan<- error // who waits for that
}

// open opens the sockets for the first time, and chooses how many workers there are. Interfaces that do not exist are those
// that may come later.
func (p *dataplane) open() error {
	p.roster.addTap()
	ports, fewest, _, err := p.roster.ports(true)
	if err != nil {
		return err
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return err
	}
	p.cores = crew(p.roster.plane, fewest, cpus)
	if err := usable(p.cores, cpus); err != nil {
		return err
	}
	if p.set, err = xsk.Open(p.options(ports)); err == nil {
		p.roster.opened(ports, len(p.cores))
	}
	return err
}

// options says how ports are opened.
func (p *dataplane) options(ports []xsk.PortOptions) xsk.Options {
	d := p.roster.plane
	return xsk.Options{Ports: ports, Workers: len(p.cores), Queues: d.Queues, Replace: d.Replace, BusyPoll: d.Wait == config.WaitBusy,
		Accelerate: d.Accelerate, Epoch: epoch(p.clock), Coalesce: coalesce(d),
		Mode:     map[config.Mode]xsk.Mode{config.ModeNative: xsk.Native, config.ModeGeneric: xsk.Generic}[d.Mode],
		ZeroCopy: map[config.ZeroCopy]xsk.ZeroCopy{config.ZeroCopyOn: xsk.ZeroCopyOn, config.ZeroCopyOff: xsk.ZeroCopyOff}[d.ZeroCopy]}
}

// coalesce is how long interfaces may gather frames.
func coalesce(d *config.Dataplane) time.Duration {
	switch d.Coalesce {
	case config.NoCoalesce:
		return 0
	case 0:
		return config.DefaultCoalesce * time.Microsecond
	}
	return time.Duration(d.Coalesce) * time.Microsecond
}

// gather has the interfaces gather frames while that pays, until ctx ends.
func (p *dataplane) gather(ctx context.Context) {
	last, next := p.clock.Now(), xsk.LookIdle
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		now := p.clock.Now()
		p.mu.Lock()
		if p.set != nil {
			next = p.set.Coalesce(now.Sub(last))
		}
		p.mu.Unlock()
		last = now
	}
}

// SetFilter satisfies director.Filter.
func (p *dataplane) SetFilter(f forward.Filter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.filter = f
	return p.applyFilter()
}

// SetMACs satisfies director.Filter. While an interface is away there is nothing to set: its return makes the director
// say all of it again.
func (p *dataplane) SetMACs(port int, macs []packet.MAC) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		return nil
	}
	return p.set.SetMACs(port, macs)
}

// Refused satisfies director.Filter. What was refused before the sockets were opened anew counts on.
func (p *dataplane) Refused() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		return p.refused
	}
	p.refused = p.set.Refused()
	return p.refused
}

// applyFilter needs p.mu.
func (p *dataplane) applyFilter() error {
	if p.set == nil {
		return nil // done by reopen
	}
	return p.set.SetFilter(p.filter)
}

// run forwards until ctx ends.
func (p *dataplane) run(ctx context.Context) error {
	defer close(p.ended)
	for {
		err := p.together(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var gone *xsk.PortGoneError
		switch {
		case errors.As(err, &gone):
			p.log.Error("interface has vanished; its connections are kept until it is back", zap.Error(err))
		case err != nil:
			return err
		}
		if !p.reopen(ctx) {
			return nil
		}
	}
}

// together runs all workers until the first of them ends, which ends the others: they have frames of its lane. The error
// is its own; nil if the sockets are to be opened anew.
func (p *dataplane) together(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	watching := make(chan struct{})
	defer func() { stop(); <-watching }() // what is asked for from then on is not missed
	go func() {
		defer close(watching)
		select {
		case <-p.again:
			stop()
		case <-ctx.Done():
		}
	}()
	ends := make(chan error, len(p.workers))
	for i, w := range p.workers {
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its affinity with it
			err := pin(p.cores[i])
			if err == nil {
				err = w.Run(ctx, p.clock)
			}
			ends <- err
		}()
	}
	var first error
	for range p.workers {
		err := <-ends
		stop()
		if first == nil {
			first = err
		}
	}
	return first
}

const reopenEvery = time.Second

// reopen opens the sockets on the interfaces that are there now, trying until it works; false if ctx ended before.
func (p *dataplane) reopen(ctx context.Context) bool {
	p.mu.Lock()
	old := p.set
	p.set = nil
	p.mu.Unlock()
	for said := false; ; said = true {
		p.mu.Lock()
		asked := p.asked
		p.asked = nil
		p.mu.Unlock()
		set, back, refused, err := p.renew(old)
		if err == nil {
			for i, w := range p.workers {
				w.SetLane(set.Lane(i))
			}
			p.mu.Lock()
			p.set = set
			err = p.applyFilter()
			p.mu.Unlock()
			if err != nil {
				p.log.Error("the packet filter after an interface came or went", zap.Error(err))
			}
			p.back(p.roster.forDirector())
			p.tell(back)
			answer(asked, refused)
			p.lookAgain()
			return true
		}
		answer(asked, err) // they do not wait for the next try: the director has more to do
		if !said {
			p.log.Warn("the sockets cannot be opened anew; trying again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.set = old // for close
			p.mu.Unlock()
			return false
		case <-time.After(reopenEvery):
		}
	}
}

func answer(asked []chan<- error, err error) {
	for _, a := range asked {
		a <- err
	}
}

// renew is one try of reopen. If it fails, it is the newcomers' fault if it works without them: that is refused.
func (p *dataplane) renew(old *xsk.Set) (set *xsk.Set, back []string, refused, err error) {
	ports, _, newcomers, err := p.roster.ports(true)
	if err != nil {
		return nil, nil, nil, err
	}
	set, err = old.Reopen(p.options(ports))
	if set == nil && newcomers {
		without, _, _, again := p.roster.ports(false)
		if again != nil {
			return nil, nil, nil, again
		}
		if set, again = old.Reopen(p.options(without)); again == nil {
			p.log.Error("interfaces that came cannot be attached", zap.Strings("interfaces", p.roster.refuse(ports)), zap.Error(err))
			ports, refused, err = without, err, nil
		}
	}
	if set == nil {
		return nil, nil, nil, err
	}
	if err != nil {
		p.log.Warn("the sockets before", zap.Error(err))
	}
	return set, p.roster.opened(ports, len(p.cores)), refused, nil
}

// look has the sockets opened anew if an interface has come that was not there, or has another number of queues. Any goroutine.
func (p *dataplane) look() {
	if p.roster.awaits() {
		p.renewSoon()
	}
}

// lookAgain is for when the sockets were opened anew: who asked for that meanwhile may have got it.
func (p *dataplane) lookAgain() {
	select {
	case <-p.again:
	default:
	}
	p.mu.Lock()
	asked := len(p.asked) > 0
	p.mu.Unlock()
	if asked || p.roster.awaits() {
		p.renewSoon()
	}
}

func (p *dataplane) renewSoon() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// attach satisfies director.Options.Attach: it opens the interfaces that a model needs and that are not open yet.
func (p *dataplane) attach(m *config.Model) ([]director.Port, error) {
	news, err := p.roster.enlist(m)
	if err != nil {
		return nil, err
	}
	if news {
		done := make(chan error, 1)
		p.mu.Lock()
		p.asked = append(p.asked, done)
		p.mu.Unlock()
		p.renewSoon()
		select {
		case err = <-done:
		case <-p.ended:
			err = errors.New("the workers have ended")
		}
	}
	return p.roster.forDirector(), err
}

// tell logs what the interfaces are attached as: those that are back in a word, and all others if none is.
func (p *dataplane) tell(back []string) {
	p.mu.Lock()
	ports := p.set.Ports()
	p.mu.Unlock()
	for _, s := range ports {
		switch {
		case slices.Contains(back, s.Name):
			p.log.Info("interface is back, forwarding goes on", zap.String("interface", s.Name))
		case len(back) == 0:
			p.log.Info("attached", zap.String("interface", s.Name), zap.String("mode", s.Mode), zap.Bool("zero_copy", s.ZeroCopy),
				zap.Int("queues", s.Queues), zap.Ints("cores", p.cores), zap.Bool("busy_poll", p.roster.plane.Wait == config.WaitBusy))
		}
		if s.Note != "" {
			p.log.Warn("attached with a limit", zap.String("interface", s.Name), zap.String("note", s.Note))
		}
	}
}

// ports says what the interfaces are attached as; nothing while they are opened anew.
func (p *dataplane) ports() (out []stats.Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		return nil
	}
	for _, s := range p.set.Ports() {
		out = append(out, stats.Port{Name: s.Name, Mode: s.Mode, ZeroCopy: s.ZeroCopy, Queues: s.Queues, Coalesce: s.Coalesce})
	}
	return out
}

// close ends the sockets. The workers must have returned.
func (p *dataplane) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		return nil
	}
	return p.set.Close()
}
