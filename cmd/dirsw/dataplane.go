package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/stats"
	"dirsw/xsk"
)

// dataplane is the AF_XDP sockets and the workers on them. When an interface vanishes, the sockets are opened anew as soon
// as that is possible; the workers keep their connections.
type dataplane struct {
	log     *zap.Logger
	clock   clock.Clock
	open    func() (*xsk.Set, error) // opens the sockets on the interfaces as they are now
	back    func()                   // called when they were opened anew
	workers []*forward.Worker
	cores   []int // of each worker, or unpinned

	mu     sync.Mutex
	set    *xsk.Set       // nil while an interface is away
	filter forward.Filter // what it is to take
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

// applyFilter needs p.mu.
func (p *dataplane) applyFilter() error {
	if p.set == nil {
		return nil // done by reopen
	}
	return p.set.SetFilter(p.filter)
}

// run forwards until ctx ends.
func (p *dataplane) run(ctx context.Context) error {
	for {
		err := p.together(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var gone *xsk.PortGoneError
		if !errors.As(err, &gone) {
			return err
		}
		p.log.Error("interface has vanished; its connections are kept until it is back", zap.Error(err))
		if !p.reopen(ctx) {
			return nil
		}
	}
}

// together runs all workers until the first of them ends, which ends the others: they have frames of its lane. The error
// is its own.
func (p *dataplane) together(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
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

// reopen closes the sockets and opens them again, trying until it works; false if ctx ended before.
func (p *dataplane) reopen(ctx context.Context) bool {
	p.mu.Lock()
	old := p.set
	p.set = nil
	p.mu.Unlock()
	if err := old.Close(); err != nil {
		p.log.Warn("the sockets of the vanished interface", zap.Error(err))
	}
	for said := false; ; said = true {
		set, err := p.open()
		if err == nil {
			for i, w := range p.workers {
				w.SetLane(set.Lane(i))
			}
			p.mu.Lock()
			p.set = set
			err = p.applyFilter()
			p.mu.Unlock()
			if err != nil {
				p.log.Error("the packet filter after an interface came back", zap.Error(err))
			}
			p.back()
			p.log.Info("interface is back, forwarding goes on")
			return true
		}
		if !said {
			p.log.Warn("waiting for the interface", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(reopenEvery):
		}
	}
}

// ports says what the interfaces are attached as; nothing while one is away.
func (p *dataplane) ports() (out []stats.Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		return nil
	}
	for _, s := range p.set.Ports() {
		out = append(out, stats.Port{Name: s.Name, Mode: s.Mode, ZeroCopy: s.ZeroCopy, Queues: s.Queues})
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
