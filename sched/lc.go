package sched

func init() {
	register(Kind{"lc", func(Flags) Scheduler {
		return &lc{tournament{measure: func(d *Dest) key { return key{d.connections(), 1} }}}
	}})
}

// lc picks the destination with the fewest connections, an active one counting as 256 inactive (least connections; Linux
// net/netfilter/ipvs/ip_vs_lc.c). Weight matters only as zero or not.
//
// Choose it when servers are equal and connections differ in how long they last.
type lc struct{ tournament }
