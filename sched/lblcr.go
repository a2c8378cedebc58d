package sched

import "dirsw/clock"

// replicas is how many servers the sets of lblcr have in all at most, for one service on one worker.
const replicas = 4 * localities

func init() {
	register(Kind{"lblcr", func(Flags) Scheduler { return &lblcr{newLocality(localities, replicas)} }})
}

// lblcr sends what is meant for one address to the least loaded of a set of servers that serves this address; when that
// one is overloaded while another server is half idle, the one that wlc would pick joins the set (locality-based least
// connections with replication; Linux net/netfilter/ipvs/ip_vs_lblcr.c). When the set did not change for a day
// (net.ipv4.vs.lblcr_expiration) and has more than one server, its most loaded leaves it.
//
// Overloaded means more active connections than the weight says, as for lblc. A server of the set without weight, over
// its threshold or removed is passed over and stays in the set. Addresses not asked for are forgotten as lblc does.
//
// Choose it instead of lblc when a few addresses are so busy that one cache cannot serve them alone.
type lblcr struct{ cache locality }

// Update follows the pool; what is remembered stays.
func (l *lblcr) Update(p *Pool, _ bool) { l.cache.fit(p) }

func (l *lblcr) Pick(p *Pool, f *Flow) int {
	c, trial := &l.cache, p.Cursor.Trial()
	e := c.find(&f.Dst)
	if e != nil && !trial {
		c.touch(e, f.Now)
	}
	if e != nil && !c.expired(e, f.Now) {
		best := l.least(p, e)
		if !trial {
			l.shrink(e, f.Now)
		}
		if best != None && !overloaded(p, best) {
			return best
		}
	}
	best := least(p, connections)
	if best == None || trial {
		return best
	}
	if e == nil {
		e = c.add(&f.Dst, f.Now)
	}
	c.put(e, best, f.Now)
	return best
}

// least returns the usable server of the set with the fewest connections for its weight, the first of equals (kernel:
// ip_vs_dest_set_min).
func (l *lblcr) least(p *Pool, e *entry) int {
	best := None
	var fewest int64
	for n := e.set; n != none; n = l.cache.nodes[n].next {
		i := int(l.cache.members[l.cache.nodes[n].member].at)
		if i == none || !p.Usable(i) {
			continue
		}
		c := connections(p, i)
		if best == None || fewest*int64(p.Dests[i].Weight) > c*int64(p.Dests[best].Weight) {
			best, fewest = i, c
		}
	}
	return best
}

// shrink takes the most loaded server that has a weight out of a set that did not change for long (kernel:
// ip_vs_dest_set_max). A server that is gone counts with the weight it had.
func (l *lblcr) shrink(e *entry, now clock.Mono) {
	c := &l.cache
	if e.size < 2 || now.Sub(e.changed) <= c.expire {
		return
	}
	worst := int32(none)
	var w *member
	var most int64
	for n := e.set; n != none; n = c.nodes[n].next {
		m := &c.members[c.nodes[n].member]
		if m.Weight <= 0 {
			continue
		}
		load := int64(m.Load.Active())<<8 + int64(m.Load.Inactive())
		if w == nil || most*int64(m.Weight) < load*int64(w.Weight) {
			worst, w, most = n, m, load
		}
	}
	if worst != none {
		c.drop(e, worst)
		e.changed = now
	}
}
