package sched

func init() {
	register(Kind{"nq", func(Flags) Scheduler { return &nq{tournament{measure: queued}} }})
}

// nq picks the first destination of the list without an active connection, and when there is none what sed picks (never
// queue; Linux net/netfilter/ipvs/ip_vs_nq.c). UDP has no active connections: with UDP everything goes to the first
// of the list.
//
// Choose it for TCP when an idle server, however weak, is better than a busy one.
type nq struct{ tournament }

// queued is the delay of sed, but nothing for an idle destination.
func queued(d *Dest) key {
	n := d.delay()
	if n == 1 {
		n = 0
	}
	return key{n, int64(d.Weight)}
}
