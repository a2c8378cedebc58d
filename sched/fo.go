package sched

func init() {
	register(Kind{"fo", func(Flags) Scheduler {
		return &fo{tournament{measure: func(d *Dest) key { return key{-int64(d.Weight), 1} }}}
	}})
}

// fo picks the usable destination with the highest weight, the first of equals (weighted failover; Linux
// net/netfilter/ipvs/ip_vs_fo.c).
//
// Choose it when one server should do all the work and the others stand by.
type fo struct{ tournament }
