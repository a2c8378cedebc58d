package xsk

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/packet"
)

// maxPorts is what Frame.Port can number.
const maxPorts = 256

// Set is the packet filter and all sockets of a process. Lanes are used by their workers; SetFilter, SetMACs and Ports may
// be called from any goroutine, while frames flow; Close when all workers have ended.
type Set struct {
	ports []port
	lanes []*lane

	mu     sync.Mutex // of what follows, and the gates of the ports
	keys   *keySets
	flows  *flows // nil without accelerator
	closed bool

	coalescer *coalescer // nil if nothing is ever gathered
}

// port is an interface as it was opened.
type port struct {
	PortOptions
	queues   int   // receive queues that are served
	most     int   // that there could be, if all are to be served: then what comes on others is not the kernel's either
	txQueues int   // that it has
	gate     *gate // nil for one that only sends
	zeroCopy bool
	slow     string // why the accelerator does not send by it; or ""
}

// Open attaches the filter, which takes nothing yet, and opens the queues of every port, in the network namespace of the
// calling thread. On an error nothing is left behind.
func Open(o Options) (_ *Set, err error) {
	// Locked memory counts for frames and, before Linux 5.11, for maps. If the limit may not be raised and is too low, the
	// error of what needed it says so.
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	s := &Set{}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	room := o.MaxKeys
	if room == 0 {
		room = DefaultMaxKeys
	}
	if s.keys, err = newKeySets(room); err != nil {
		return nil, err
	}
	if o.Workers = max(o.Workers, 1); o.Accelerate > 0 {
		if s.flows, err = newFlows(&o); err != nil {
			return nil, err
		}
	}
	return s, s.open(&o, nil)
}

// open opens gates and lanes, with those gates of old that fit.
func (s *Set) open(o *Options, old []port) error {
	o.Workers = max(o.Workers, 1)
	if len(o.Ports) == 0 || len(o.Ports) > maxPorts {
		return fmt.Errorf("%d interfaces to open, there must be between 1 and %d", len(o.Ports), maxPorts)
	}
	if err := s.findPorts(o); err != nil {
		return err
	}
	for i := range s.ports {
		p := &s.ports[i]
		if err := s.keep(p, old); err != nil {
			return err
		}
		if p.gate == nil {
			if err := s.openGate(p, o); err != nil {
				return err
			}
		}
	}
	if s.flows != nil {
		if err := s.flows.connect(s.ports); err != nil {
			return err
		}
	}
	for w := range o.Workers {
		l, err := openLane(s.ports, w, o)
		if err != nil {
			return err
		}
		if s.flows != nil {
			l.quick = s.flows.workers[w]
		}
		s.lanes = append(s.lanes, l)
	}
	if err := s.connect(); err != nil {
		return err
	}
	most := o.Coalesce
	if o.BusyPoll {
		most = 0 // there is nobody to wake up
	}
	s.coalescer = openCoalescer(s, most)
	return nil
}

// findPorts learns what there is to know of the interfaces, before anything is touched.
func (s *Set) findPorts(o *Options) error {
	seen := map[string]bool{}
	for _, po := range o.Ports {
		if seen[po.Name] {
			return fmt.Errorf("interface %s is listed twice; name it once", po.Name)
		}
		seen[po.Name] = true
		if po.Absent {
			s.ports = append(s.ports, port{PortOptions: po})
			continue
		}
		if po.Tap {
			if err := po.completeTap(); err != nil {
				return err
			}
			s.ports = append(s.ports, port{PortOptions: po})
			continue
		}
		rx, tx, most, err := po.complete()
		if err != nil {
			return err
		}
		p := port{PortOptions: po, queues: rx, most: most, txQueues: tx}
		switch {
		case !p.Receive:
			p.queues, p.most = 0, 0
		case o.Queues > rx:
			return fmt.Errorf("interface %s has %d queues, not %d; ask for as many as it has, or for all", p.Name, rx, o.Queues)
		case o.Queues > 0:
			p.queues, p.most = o.Queues, o.Queues
		}
		if o.Workers > tx || p.Receive && o.Workers > p.queues {
			return fmt.Errorf("interface %s has %d receive and %d transmit queues, too few for %d workers; run at most as many "+
				"workers as it has queues", p.Name, rx, tx, o.Workers)
		}
		s.ports = append(s.ports, p)
	}
	return nil
}

// openGate loads and attaches the filter of a port. Without sockets everything passes.
func (s *Set) openGate(p *port, o *Options) (err error) {
	if !p.Receive || p.Absent {
		return nil
	}
	if p.gate, err = newGate(s, p); err != nil {
		return err
	}
	if err := p.gate.set([]packet.MAC{p.MAC}); err != nil {
		return err
	}
	if err := p.gate.hold(p.queues, p.most); err != nil {
		return err
	}
	return p.gate.attach(&p.PortOptions, o.Mode, o.Replace)
}

// connect lets the filters send frames to the sockets.
func (s *Set) connect() error {
	for _, l := range s.lanes {
		for _, k := range l.sockets {
			p := &s.ports[k.port]
			p.zeroCopy = k.zeroCopy
			if !k.receive {
				continue
			}
			if err := p.gate.register(k); err != nil {
				return fmt.Errorf("register the socket of queue %d of %s: %w", k.queue, p.Name, err)
			}
		}
	}
	return nil
}

// Lane returns the lane of a worker, from 0. It is the same at each call.
func (s *Set) Lane(worker int) forward.Lane { return s.lanes[worker] }

// Ports says what each port was opened as.
func (s *Set) Ports() []PortState {
	out := make([]PortState, len(s.ports))
	for i := range s.ports {
		p := &s.ports[i]
		out[i] = PortState{Name: p.Name, Mode: "send only", ZeroCopy: p.zeroCopy, Queues: p.queues}
		if p.gate != nil {
			out[i].Mode = p.gate.mode
		}
		switch {
		case p.Tap:
			out[i].Mode = "local"
		case p.Absent:
			out[i].Mode = "absent"
		}
		out[i].Note = p.note()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coalescer != nil {
		for i := range s.coalescer.ports {
			g := &s.coalescer.ports[i]
			out[g.place].Coalesce = g.now
		}
	}
	return out
}

// note is what the operator should know about the port.
func (p *port) note() string {
	var notes []string
	if p.gate != nil && p.gate.note != "" {
		notes = append(notes, p.gate.note)
	}
	if p.gate != nil && p.gate.mode == "generic" {
		notes = append(notes, fmt.Sprintf("segments that the kernel has glued together are lost in generic mode; turn that off "+
			"(\"ethtool -K %s gro off lro off\", and tso off where the sender is on this machine)", p.Name))
	}
	if p.slow != "" {
		notes = append(notes, "nothing is accelerated that leaves by it: "+p.slow)
	}
	if p.MTU > maxMTU {
		notes = append(notes, fmt.Sprintf("packets longer than %d bytes are lost, though the MTU is %d; lower it", maxMTU, p.MTU))
	}
	return strings.Join(notes, "; ")
}

// SetFilter makes the filter take exactly what f lists; it works out the difference and adds before it removes. It may take
// some 20 ms. On an error some of the change may be in force; a further call goes on from there.
func (s *Set) SetFilter(f forward.Filter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.keys.set(f, s.announce)
}

// Refused returns how many frames the filter has dropped because they went to an address that is shut.
func (s *Set) Refused() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	return s.keys.dropped()
}

// announce tells the filters what they have to look for.
func (s *Set) announce(extras uint32) error {
	for i := range s.ports {
		if g := s.ports[i].gate; g != nil {
			if err := g.extras.Set(extras); err != nil {
				return fmt.Errorf("tell the packet filter what to look for: %w", err)
			}
		}
	}
	return nil
}

// SetMACs makes macs the Ethernet addresses whose frames the filter takes on a port: that of the interface, which stands
// there after Open, and those of its virtual routers. A port that only sends has none.
func (s *Set) SetMACs(port int, macs []packet.MAC) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if g := s.ports[port].gate; g != nil {
		return g.set(macs)
	}
	return nil
}

// Close detaches the filters first, so that everything passes to the kernel, and then ends the sockets. Frames of its
// lanes become invalid. A second call does nothing.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.settle()
	var errs []error
	for i := range s.ports {
		if g := s.ports[i].gate; g != nil {
			errs = append(errs, g.close())
		}
	}
	for _, l := range s.lanes {
		errs = append(errs, l.Close())
	}
	if s.keys != nil {
		errs = append(errs, s.keys.close())
	}
	if s.flows != nil {
		errs = append(errs, s.flows.close())
	}
	return errors.Join(errs...)
}
