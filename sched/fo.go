package sched

func init() { register(Kind{"fo", func(Flags) Scheduler { return fo{} }}) }

// fo picks the usable destination with the highest weight, the first of equals (weighted failover; Linux
// net/netfilter/ipvs/ip_vs_fo.c).
//
// Choose it when one server should do all the work and the others stand by.
type fo struct{}

func (fo) Update(*Pool, bool) {}

func (fo) Pick(p *Pool, _ *Flow) int {
	best := None
	for i := range p.Dests {
		if p.Usable(i) && (best == None || p.Dests[i].Weight > p.Dests[best].Weight) {
			best = i
		}
	}
	return best
}
