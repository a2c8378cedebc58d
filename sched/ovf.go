package sched

func init() {
	register(Kind{"ovf", func(Flags) Scheduler { return &ovf{tournament{measure: unfilled}} }})
}

// ovf picks the destination with the highest weight whose active connections do not exceed that weight, the first of
// equals (overflow; Linux net/netfilter/ipvs/ip_vs_ovf.c). A destination therefore takes weight+1 connections before
// the next one gets any; when all are over there is none. UDP has no active connections and never overflows.
//
// Choose it for TCP when few servers should be used as long as they can take it.
type ovf struct{ tournament }

func unfilled(d *Dest) key {
	if d.Load.Active() > int(d.Weight) {
		return key{}
	}
	return key{-int64(d.Weight), 1}
}
