package xsk

import "time"

const (
	// patientPolls is how many empty polls follow the last frame before the interface may interrupt again: the first frame after
	// silence wakes the worker up at once.
	patientPolls = 2
	// signature marks times that a director has set: they end in so many nanoseconds. What is left behind by one that was killed is
	// then known, and any other time is the operator's.
	signature = 7 * time.Nanosecond

	// LookBusy is how long to wait between two calls of Coalesce while frames are gathered or are about to be.
	LookBusy = 50 * time.Millisecond
	// LookIdle is that while they are not.
	LookIdle = 250 * time.Millisecond
)

// coalescer has interfaces gather frames before they wake a worker up.
type coalescer struct {
	napis *napis
	ports []gatherer
}

// gatherer is a port as the coalescer sees it.
type gatherer struct {
	place   int // of the port
	sockets []*socket
	seen    []arrivals // by socket, at the last look
	pace    pace
	napis   []napi        // as they were found
	now     time.Duration // in force
}

// arrivals are what came to a socket since it was opened. Frames are as of the last time that the worker was woken up.
type arrivals struct{ frames, wakes uint64 }

// openCoalescer looks at the interfaces of a Set, and takes back what a director that was killed has left behind. Interfaces that
// cannot gather, or whose operator has it done already, are left alone. There is none if the kernel cannot (Linux 6.13).
func openCoalescer(s *Set, most time.Duration) *coalescer {
	n, err := openNAPIs()
	if err != nil {
		return nil
	}
	c := &coalescer{napis: n}
	for i := range s.ports {
		g := gatherer{place: i, pace: pace{most: most}}
		if s.ports[i].gate == nil || !g.learn(n, s.ports[i].Index) {
			continue
		}
		for _, l := range s.lanes {
			for _, k := range l.receivers {
				if int(k.port) == i {
					g.sockets = append(g.sockets, k)
				}
			}
		}
		g.seen = make([]arrivals, len(g.sockets))
		c.ports = append(c.ports, g)
	}
	return c
}

// learn finds the instances of an interface; false if there are none, or the operator's.
func (g *gatherer) learn(n *napis, index int) bool {
	all, err := n.of(index)
	if err != nil {
		return false
	}
	for i := range all {
		if all[i].timeout%time.Microsecond == signature {
			all[i].polls, all[i].timeout = 0, 0
			if n.set(all[i]) != nil {
				return false
			}
		}
		if all[i].timeout != 0 {
			return false
		}
	}
	g.napis = all
	return len(all) > 0
}

// look counts what has come, and has the interface gather accordingly. It reports whether to look again soon.
func (g *gatherer) look(n *napis, elapsed time.Duration) bool {
	var frames, wakes float64
	for i, k := range g.sockets {
		now := arrivals{k.arrived.Load(), k.woke.Load()}
		f, w := now.frames-g.seen[i].frames, now.wakes-g.seen[i].wakes
		g.seen[i] = now
		if per := float64(f) / elapsed.Seconds(); per > frames {
			frames, wakes = per, float64(w)/elapsed.Seconds()
		}
	}
	if to := g.pace.look(frames, wakes); to != g.now {
		g.set(n, to)
	}
	return g.now > 0 || wakes >= rouses
}

// set has the interface gather for so long. One of which an instance will not never does again.
func (g *gatherer) set(n *napis, to time.Duration) {
	g.now = to
	for _, one := range g.napis {
		if to > 0 {
			one.polls, one.timeout = patientPolls, to.Truncate(time.Microsecond)+signature
		}
		if n.set(one) != nil && to > 0 {
			g.pace = pace{}
			g.set(n, 0)
			return
		}
	}
}

// end has all interfaces be as they were.
func (c *coalescer) end() {
	for i := range c.ports {
		if g := &c.ports[i]; g.now > 0 {
			g.set(c.napis, 0)
		}
	}
	c.napis.close()
}

// settle ends gathering. It needs s.mu.
func (s *Set) settle() {
	if s.coalescer != nil {
		s.coalescer.end()
		s.coalescer = nil
	}
}

// Coalesce has the interfaces gather frames for as long as pays (Options.Coalesce), by what has come since the last call, elapsed ago.
// It returns after how long to call it again. Any goroutine.
func (s *Set) Coalesce(elapsed time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coalescer == nil || s.closed || elapsed <= 0 {
		return LookIdle
	}
	next := LookIdle
	for i := range s.coalescer.ports {
		if s.coalescer.ports[i].look(s.coalescer.napis, elapsed) {
			next = LookBusy
		}
	}
	return next
}
