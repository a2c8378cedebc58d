package sched

func init() {
	register(Kind{"sed", func(Flags) Scheduler {
		return &sed{tournament{measure: func(d *Dest) key { return key{d.delay(), int64(d.Weight)} }}}
	}})
}

// sed picks the destination with the smallest (active+1)/weight, that is the shortest expected delay (Linux
// net/netfilter/ipvs/ip_vs_sed.c). Inactive connections do not count, and UDP has no active ones: with UDP everything
// goes to the heaviest destination.
//
// Choose it for TCP when strong servers should be filled before weak ones get anything.
type sed struct{ tournament }
