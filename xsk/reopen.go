package xsk

import (
	"errors"
	"fmt"

	"dirsw/packet"
)

// held in a filter's map of queues says that what it takes is dropped, and more says how many frames were (bpf/filter.bpf.c,
// enum queue).
const held uint32 = 2

// Reopen is Open for a Set whose interfaces have come or gone, or have another number of queues, after its workers have ended. The Set that it returns has the
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
	s.settle()
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
		if p := &s.ports[i]; p.gate != nil {
			if err := p.gate.hold(0, p.most); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
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

// keep takes over the gate of the same interface among old ports, if there is one that fits. One for another number of queues is
// replaced, and one for another address is in the way and closed.
func (s *Set) keep(p *port, old []port) error {
	for i := range old {
		o := &old[i]
		if o.gate == nil || o.Index != p.Index {
			continue
		}
		if p.Receive && o.queues == p.queues && o.gate.room == p.most && o.MAC == p.MAC {
			p.gate = o.gate
			return nil
		}
		if p.Receive && o.MAC == p.MAC {
			return s.replace(o, p)
		}
		g := o.gate
		o.gate = nil
		return g.close()
	}
	return nil
}

// replace puts a new gate, which o has from then on as well, in the place of that of o, which has another number of queues: the
// kernel changes the programs at once, and nothing passes meanwhile. It takes another program, for on queues that have come a
// veth runs none until one is attached (veth_enable_range_safe, drivers/net/veth.c).
func (s *Set) replace(o, p *port) error {
	g, err := newGate(s, p)
	if err != nil {
		return err
	}
	if err := errors.Join(g.extras.Set(s.keys.extras()), g.succeed(o.gate, p)); err != nil {
		return errors.Join(fmt.Errorf("replace the packet filter on %s: %w", p.Name, err), g.close())
	}
	was := o.gate
	o.gate, o.queues, o.most, p.gate = g, p.queues, p.most, g
	return was.close()
}

// succeed lets g have what old knows, and then its place on the interface. All queues are held.
func (g *gate) succeed(old *gate, p *port) error {
	macs := []packet.MAC{p.MAC}
	for m := range old.macs {
		if m != p.MAC {
			macs = append(macs, m)
		}
	}
	if err := errors.Join(g.set(macs), g.hold(0, g.room)); err != nil {
		return err
	}
	for q := range uint32(min(g.room, old.room)) { // what old has dropped is not told yet
		var state uint32
		err := old.xdp.Queues.Lookup(q, &state)
		if err == nil && state > held {
			err = g.xdp.Queues.Put(q, state)
		}
		if err != nil {
			return err
		}
	}
	if err := old.link.Update(g.xdp.Program); err != nil {
		return err
	}
	g.link, g.mode, g.note, old.link = old.link, old.mode, old.note, nil
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

// hold has what is taken from the queues, of which first is the first and last is none, dropped from now on. What was dropped
// before and not told counts on.
func (g *gate) hold(first, last int) error {
	for q := uint32(first); q < uint32(last); q++ {
		var state uint32
		err := g.xdp.Queues.Lookup(q, &state)
		if err == nil && state < held {
			err = g.xdp.Queues.Put(q, held)
		}
		if err != nil {
			return fmt.Errorf("hold queue %d: %w", q, err)
		}
	}
	return nil
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
