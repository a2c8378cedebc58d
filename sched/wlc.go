package sched

func init() {
	register(Kind{"wlc", func(Flags) Scheduler {
		return &wlc{tournament{measure: func(d *Dest) key { return key{d.connections(), int64(d.Weight)} }}}
	}})
}

// wlc picks the destination with the fewest connections for its weight, an active one counting as 256 inactive (weighted
// least connections; Linux net/netfilter/ipvs/ip_vs_wlc.c). It is what ipvsadm and keepalived take when no scheduler
// is named.
//
// Choose it when servers differ in strength and connections in how long they last.
type wlc struct{ tournament }
