package xsk

import (
	"errors"
	"fmt"
)

// held in a filter's map of queues says that what it takes is dropped, and more says how many frames were (bpf/filter.bpf.c,
// enum queue).
const held uint32 = 2

// Reopen is Open for a Set whose interfaces have come or gone, after its workers have ended. The Set that it returns has the
// keys of s, so that SetFilter goes on from those, and its accelerator. Filters on interfaces that are the same stay attached: until their queues
// have sockets again they drop what they would take, and the new Lanes count it, because the kernel refuses connections to
// addresses that it holds for nobody. On an error s has no sockets, and nothing works but Reopen and Close; otherwise s is
// closed.
func (s *Set) Reopen(o Options) (*Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	err := s.hold()
	for _, l := range s.lanes {
		err = errors.Join(err, l.Close())
	}
	if err != nil {
		return nil, err
	}
	n := &Set{keys: s.keys, flows: s.flows}
	if err := n.open(&o, s.ports); err != nil {
		return nil, errors.Join(err, n.release(s.ports))
	}
	s.closed = true
	errs := make([]error, 0, len(s.ports))
	for i := range s.ports {
		if g := s.ports[i].gate; g != nil && !has(n.ports, g) {
			errs = append(errs, g.close())
		}
	}
	return n, errors.Join(errs...)
}

// hold has the filters drop what they take.
func (s *Set) hold() error {
	for i := range s.ports {
		p := &s.ports[i]
		for q := 0; p.gate != nil && q < p.queues; q++ {
			if err := p.gate.hold(uint32(q)); err != nil {
				return fmt.Errorf("hold queue %d of %s: %w", q, p.Name, err)
			}
		}
	}
	return nil
}

// release closes what s has opened, but not the gates that old has, too.
func (s *Set) release(old []port) error {
	var errs []error
	for _, l := range s.lanes {
		errs = append(errs, l.Close())
	}
	for i := range s.ports {
		if g := s.ports[i].gate; g != nil && !has(old, g) {
			errs = append(errs, g.close())
		}
	}
	return errors.Join(errs...)
}

// keep takes over the gate of the same interface among old ports, if there is one that fits. One that does not is in the way
// and closed.
func (p *port) keep(old []port) error {
	for i := range old {
		o := &old[i]
		if o.gate == nil || o.Index != p.Index {
			continue
		}
		if p.Receive && o.queues == p.queues && o.MAC == p.MAC {
			p.gate = o.gate
			return nil
		}
		g := o.gate
		o.gate = nil
		return g.close()
	}
	return nil
}

func has(ports []port, g *gate) bool {
	for i := range ports {
		if ports[i].gate == g {
			return true
		}
	}
	return false
}

// hold has what is taken from a queue dropped from now on. What was dropped before and not told counts on.
func (g *gate) hold(queue uint32) error {
	var state uint32
	if err := g.xdp.Queues.Lookup(queue, &state); err != nil || state >= held {
		return err
	}
	return g.xdp.Queues.Put(queue, held)
}

// register has what is taken from the queue of a socket go there, and tells it what was dropped while nobody was there.
func (g *gate) register(k *socket) error {
	var state uint32
	if err := g.xdp.Queues.Lookup(k.queue, &state); err != nil {
		return err
	}
	if state >= held {
		k.missed = uint64(state - held)
	}
	return g.xdp.Register(int(k.queue), k.fd)
}
