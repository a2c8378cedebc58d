package sched

// least returns the usable destination with the smallest cost for its weight, the first of equals; None if there is
// none. Costs are compared as cost/weight without a division.
func least(p *Pool, cost func(*Pool, int) int64) int {
	best := None
	var bestCost int64
	for i := range p.Dests {
		if !p.Usable(i) {
			continue
		}
		c := cost(p, i)
		if best == None || bestCost*int64(p.Dests[i].Weight) > c*int64(p.Dests[best].Weight) {
			best, bestCost = i, c
		}
	}
	return best
}

// connections is the cost of lc and wlc: an active connection weighs as much as 256 inactive ones.
func connections(p *Pool, i int) int64 { return p.Dests[i].connections() }

func (d *Dest) connections() int64 { return int64(d.Load.Active())<<8 + int64(d.Load.Inactive()) }

// delay is the cost of sed and nq: the active connections that the destination would have with this one.
func (d *Dest) delay() int64 { return int64(d.Load.Active()) + 1 }
