package sched

func init() {
	register(Kind{"lblc", func(Flags) Scheduler { return &lblc{newLocality(localities, localities)} }})
}

// lblc sends all that is meant for one address to one server: the one that served the address last, as long as it has a
// weight, and is not overloaded while another one is half idle; else the one that wlc would pick, which serves the
// address from then on (locality-based least connections; Linux net/netfilter/ipvs/ip_vs_lblc.c).
//
// Overloaded means more active connections than the weight says: weights are numbers of connections here. UDP has no
// active connections, so with UDP a server keeps its addresses. A server over its threshold (-x) keeps its addresses
// too, as in the kernel; it gets no new ones. A server that is removed and comes back has those again that nobody asked
// for meanwhile.
//
// An address is forgotten when it was not asked for during a day (net.ipv4.vs.lblc_expiration), which is looked at each
// half hour, and sooner when there are more than 16384. Each worker remembers for itself.
//
// Choose it for transparent caches behind a firewall mark, where clients speak to many addresses. With one virtual
// address all clients go to the same server until it is overloaded.
type lblc struct{ cache locality }

// Update follows the pool; what is remembered stays.
func (l *lblc) Update(p *Pool, _ bool) { l.cache.fit(p) }

func (l *lblc) Pick(p *Pool, f *Flow) int {
	c, trial := &l.cache, p.Cursor.Trial()
	e := c.find(&f.Dst)
	if e != nil && !trial {
		c.touch(e, f.Now)
	}
	if e != nil && e.set != none && !c.expired(e, f.Now) {
		i := int(c.members[c.nodes[e.set].member].at)
		if i != none && p.Dests[i].Weight > 0 && !overloaded(p, i) {
			return i
		}
	}
	best := least(p, connections)
	if best == None || trial {
		return best
	}
	if e == nil {
		e = c.add(&f.Dst, f.Now)
	}
	c.empty(e)
	c.put(e, best, f.Now)
	return best
}
