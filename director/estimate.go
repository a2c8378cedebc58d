package director

import (
	"sync"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/stats"
)

// estimateEvery is how many ticks of a second lie between two looks at the counters.
const estimateEvery = 2

// Estimates are the counters and rates of services and real servers as IPVS lists them (net/netfilter/ipvs/ip_vs_est.c):
// both are taken every two seconds, so that a listing right after some traffic shows what was before it, and a rate goes a
// quarter of the way to the newest value each time. Zeroing the counters takes those of the last look for nought.
//
// The zero value is ready to use. All methods may be called from any goroutine.
type Estimates struct {
	mu    sync.Mutex
	by    map[*forward.Tally]*estimate
	total estimate
	run   forward.Traffic // of all services that ever were, at the last look
}

// estimate is the view of one Tally.
type estimate struct {
	seen, zero forward.Traffic
	// rate is in 1/1024 a second, but of bytes in 1/32.
	rate forward.Traffic
	look uint64 // when it was seen last: what is not seen any more is forgotten
}

// Sample looks at the counters of a snapshot. It is to be called every two seconds.
func (e *Estimates) Sample(s *forward.Snapshot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	look := e.total.look + 1
	e.total.look = look
	for i := range s.Services {
		if t := s.Services[i].Tally; t != nil {
			before := e.of(t).seen
			now := e.step(t, look)
			e.run = plus(e.run, minus(now, before))
		}
	}
	for i := range s.Dests {
		if t := s.Dests[i].Tally; t != nil {
			e.step(t, look)
		}
	}
	e.total.step(e.run)
	for t, est := range e.by {
		if est.look != look {
			delete(e.by, t)
		}
	}
}

func (e *Estimates) step(t *forward.Tally, look uint64) forward.Traffic {
	est := e.of(t)
	est.look = look
	now := t.Read()
	est.step(now)
	return now
}

func (e *Estimates) of(t *forward.Tally) *estimate {
	est := e.by[t]
	if est == nil {
		if e.by == nil {
			e.by = map[*forward.Tally]*estimate{}
		}
		est = &estimate{look: e.total.look}
		e.by[t] = est
	}
	return est
}

// Scales of the rates: so many bits behind the binary point.
const (
	countScale = 10
	byteScale  = 5
)

// step takes new counters: the rate of the two seconds since the last look counts for a quarter.
func (e *estimate) step(now forward.Traffic) {
	d := minus(now, e.seen)
	e.seen = now
	quarter := func(rate *uint64, n uint64, scale int) {
		*rate += uint64((int64(n<<(scale-1)) - int64(*rate)) >> 2)
	}
	quarter(&e.rate.Conns, d.Conns, countScale)
	quarter(&e.rate.Packets, d.Packets, countScale)
	quarter(&e.rate.OutPackets, d.OutPackets, countScale)
	quarter(&e.rate.Bytes, d.Bytes, byteScale)
	quarter(&e.rate.OutBytes, d.OutBytes, byteScale)
}

// perSecond rounds rates as read_estimator does.
func (e *estimate) perSecond() stats.Counters {
	count := func(n uint64) uint64 { return (n + 0x1FF) >> countScale }
	bytes := func(n uint64) uint64 { return (n + 0xF) >> byteScale }
	return stats.Counters{Conns: count(e.rate.Conns), InPkts: count(e.rate.Packets), OutPkts: count(e.rate.OutPackets),
		InBytes: bytes(e.rate.Bytes), OutBytes: bytes(e.rate.OutBytes)}
}

// Of returns the counters of a tally as they are now, as they were at the last look, and what they grew by in a second.
func (e *Estimates) Of(t *forward.Tally) (now, listed, rate stats.Counters) {
	e.mu.Lock()
	defer e.mu.Unlock()
	est := e.by[t]
	if est == nil {
		return counters(t.Read()), listed, rate
	}
	return counters(minus(t.Read(), est.zero)), counters(minus(est.seen, est.zero)), est.perSecond()
}

// Total returns the counters of all services that there ever were: as they are now, as they were at the last look, and what
// they grew by in a second. S is what is in force.
func (e *Estimates) Total(s *forward.Snapshot) (now, listed, rate stats.Counters) {
	e.mu.Lock()
	defer e.mu.Unlock()
	run := e.run
	for i := range s.Services {
		if t := s.Services[i].Tally; t != nil {
			run = plus(run, minus(t.Read(), e.of(t).seen))
		}
	}
	return counters(minus(run, e.total.zero)), counters(minus(e.total.seen, e.total.zero)), e.total.perSecond()
}

// Restart has the counters of a service and its real servers begin anew, with nil those of all services and their total.
func (e *Estimates) Restart(s *forward.Snapshot, only *config.ServiceKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if only != nil {
		if id, ok := s.Lookup[keyOf(&config.Service{Addr: only.Addr, Port: only.Port, Proto: only.Proto, Mark: only.Mark, IPv6: only.IPv6})]; ok {
			e.restart(s, &s.Services[id])
		}
		return
	}
	for i := range s.Services {
		if svc := &s.Services[i]; !svc.Gone {
			e.restart(s, svc)
		}
	}
	e.total.restart()
}

func (e *Estimates) restart(s *forward.Snapshot, svc *forward.Service) {
	e.of(svc.Tally).restart()
	for _, d := range svc.Pool.Dests {
		e.of(s.Dests[d.ID].Tally).restart()
	}
}

func (e *estimate) restart() { e.zero, e.rate = e.seen, forward.Traffic{} }

func plus(a, b forward.Traffic) forward.Traffic {
	return forward.Traffic{Conns: a.Conns + b.Conns, Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes,
		OutPackets: a.OutPackets + b.OutPackets, OutBytes: a.OutBytes + b.OutBytes}
}

func minus(a, b forward.Traffic) forward.Traffic {
	return forward.Traffic{Conns: a.Conns - b.Conns, Packets: a.Packets - b.Packets, Bytes: a.Bytes - b.Bytes,
		OutPackets: a.OutPackets - b.OutPackets, OutBytes: a.OutBytes - b.OutBytes}
}

func counters(t forward.Traffic) stats.Counters {
	return stats.Counters{Conns: t.Conns, InPkts: t.Packets, OutPkts: t.OutPackets, InBytes: t.Bytes, OutBytes: t.OutBytes}
}
