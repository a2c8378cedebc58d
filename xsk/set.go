package xsk

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dirsw/forward"
)

const (
	frameOverhead = headroom + 14 + 4 // headroom, Ethernet header, VLAN tag
	smallChunk    = 2048
	largeChunk    = 4096 // the largest there is without hugepages and multi-buffer frames

	largeRing     = 2048 // descriptors, for up to
	fewSockets    = 4    // sockets of a lane; beyond that
	smallRing     = 512
	sendRingQueue = 0 // queue that a port which only sends is opened on
)

// Set is the packet filter and all sockets of a process. Lanes are used by their workers; SetFilter and Ports may be
// called from any goroutine; Close when all workers have ended.
type Set struct {
	ports   []PortState
	filters []*gate // by port; nil for one that only sends
	lanes   []*lane

	mu   sync.Mutex
	have map[filterService]bool // what the map of services holds
}

// Open attaches the filter, which takes nothing yet, and opens queue k of every port for worker k mod Workers. On an error
// nothing is left behind.
func Open(o Options) (_ *Set, err error) {
	o.Workers = max(o.Workers, 1)
	chunk := smallChunk
	for i := range o.Ports {
		if o.Ports[i].MTU+frameOverhead > chunk {
			chunk = largeChunk
		}
		if most := largeChunk - frameOverhead; o.Ports[i].MTU > most {
			return nil, fmt.Errorf("interface %s has an MTU of %d; lower it to %d, frames must fit into one buffer",
				o.Ports[i].Name, o.Ports[i].MTU, most)
		}
	}
	// Locked memory counts for frames and maps without CAP_IPC_LOCK; where it may not be raised, Open says what lacked.
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	s := &Set{have: map[filterService]bool{}}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	for i := range o.Ports {
		if err := s.addPort(&o.Ports[i], &o); err != nil {
			return nil, err
		}
	}
	for w := range o.Workers {
		l, err := openLane(w, chunk, &o)
		if l != nil {
			s.lanes = append(s.lanes, l)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, s.connect(&o)
}

// addPort loads and attaches the filter of a port. Without sockets everything passes.
func (s *Set) addPort(p *PortOptions, o *Options) error {
	n := p.queues(o)
	state := PortState{Name: p.Name, Mode: "send only", Queues: n}
	if !p.Receive {
		s.ports, s.filters = append(s.ports, state), append(s.filters, nil)
		return nil
	}
	if o.Queues > max(p.Queues, 1) {
		return fmt.Errorf("interface %s has %d queues, not %d; ask for as many as it has or for all", p.Name,
			max(p.Queues, 1), o.Queues)
	}
	f, err := newGate(s.shared())
	if err != nil {
		return err
	}
	s.filters = append(s.filters, f)
	if err := f.station(p.MAC); err != nil {
		return err
	}
	if err := f.attach(p, o.Mode, o.Replace); err != nil {
		return err
	}
	state.Mode = f.mode
	s.ports = append(s.ports, state)
	return nil
}

// queues is how many queues of a port are served.
func (p *PortOptions) queues(o *Options) int {
	switch {
	case !p.Receive:
		return 1
	case o.Queues > 0:
		return o.Queues
	}
	return max(p.Queues, 1)
}

// openLane opens the sockets of a worker.
func openLane(worker int, chunk int, o *Options) (*lane, error) {
	type place struct {
		port  int
		queue uint32
	}
	var places []place
	for i := range o.Ports {
		p := &o.Ports[i]
		if !p.Receive {
			places = append(places, place{i, sendRingQueue})
			continue
		}
		for q := worker; q < p.queues(o); q += o.Workers {
			places = append(places, place{i, uint32(q)})
		}
	}
	entries := o.RingSize
	if entries == 0 {
		if entries = largeRing; len(places) > fewSockets {
			entries = smallRing
		}
	}
	u, err := newUmem(2*entries*len(places)+2*reserve, chunk)
	if err != nil {
		return nil, explain("make a pool of frames", err)
	}
	l := &lane{umem: u, send: make([]*socket, len(o.Ports))}
	for i := range o.Ports {
		p := &o.Ports[i]
		l.ports = append(l.ports, forward.PortInfo{Name: p.Name, MAC: p.MAC, MTU: p.MTU, Unfinished: p.Unfinished})
	}
	for _, at := range places {
		var first *socket
		if len(l.sockets) > 0 {
			first = l.sockets[0]
		}
		s, err := newSocket(u, first, uint32(entries))
		if err != nil {
			return l, err
		}
		l.sockets = append(l.sockets, s)
		p := &o.Ports[at.port]
		s.port, s.queue, s.receive = uint8(at.port), at.queue, p.Receive
		if err := s.bind(p.Name, p.Index, first, bindFlags(o), time.Sleep); err != nil {
			return l, err
		}
		if o.BusyPoll {
			if err := s.busyPoll(); err != nil {
				return l, err
			}
		}
		if l.send[at.port] == nil {
			l.send[at.port] = s
		}
	}
	for i, s := range l.send {
		if s == nil {
			return l, fmt.Errorf("interface %s has no queue for worker %d; run at most as many workers as it has queues",
				o.Ports[i].Name, worker)
		}
	}
	l.start()
	return l, nil
}

func bindFlags(o *Options) uint16 {
	switch {
	case o.ZeroCopy == ZeroCopyOn:
		return unix.XDP_ZEROCOPY
	case o.ZeroCopy == ZeroCopyOff || o.Mode == Generic:
		return unix.XDP_COPY
	}
	return 0 // the driver's own choice: zero-copy if it can
}

// connect lets the filters send frames to the sockets. The first frame may come from here on.
func (s *Set) connect(o *Options) error {
	for _, l := range s.lanes {
		for _, k := range l.sockets {
			if k.zc {
				s.ports[k.port].ZeroCopy = true
			}
			f := s.filters[k.port]
			if f == nil {
				continue
			}
			if err := f.xdp.Register(int(k.queue), k.fd); err != nil {
				return fmt.Errorf("register the socket of queue %d of %s: %w", k.queue, o.Ports[k.port].Name, err)
			}
		}
	}
	return nil
}

// Lane returns the lane of a worker, from 0.
func (s *Set) Lane(worker int) forward.Lane { return s.lanes[worker] }

// Ports says what each port was opened as.
func (s *Set) Ports() []PortState { return append([]PortState(nil), s.ports...) }

// shared returns the map of services, nil if there is no filter yet.
func (s *Set) shared() *ebpf.Map {
	for _, f := range s.filters {
		if f != nil {
			return f.objs.Services
		}
	}
	return nil
}

// SetFilter makes the filter take exactly what f lists; it works out the difference. What is new is added before what is
// gone is removed. On an error some of the change may be in force; a further call mends it.
func (s *Set) SetFilter(f Filter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.shared()
	want := keysOf(f)
	one := uint32(1)
	for k := range want {
		if s.have[k] {
			continue
		}
		if err := m.Put(k, one); err != nil {
			return fmt.Errorf("add to the packet filter, which has %d entries: %w", len(s.have), err)
		}
		s.have[k] = true
	}
	for k := range s.have {
		if want[k] {
			continue
		}
		if err := m.Delete(k); err != nil {
			return fmt.Errorf("remove from the packet filter: %w", err)
		}
		delete(s.have, k)
	}
	return nil
}

// Close detaches the filters first, so that everything passes to the kernel, and then ends the sockets.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.filters {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	s.filters = nil
	for _, l := range s.lanes {
		errs = append(errs, l.Close())
	}
	s.lanes = nil
	return errors.Join(errs...)
}
