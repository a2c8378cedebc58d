package sched

func init() { register(Kind{"ovf", func(Flags) Scheduler { return ovf{} }}) }

// ovf picks the destination with the highest weight whose active connections do not exceed that weight, the first of
// equals (overflow; Linux net/netfilter/ipvs/ip_vs_ovf.c). A destination therefore takes weight+1 connections before
// the next one gets any; when all are over there is none. UDP has no active connections and never overflows.
//
// Choose it for TCP when few servers should be used as long as they can take it.
type ovf struct{}

func (ovf) Update(*Pool, bool) {}

func (ovf) Pick(p *Pool, _ *Flow) int {
	best := None
	for i := range p.Dests {
		w := p.Dests[i].Weight
		if p.Usable(i) && p.Active(i) <= int(w) && (best == None || w > p.Dests[best].Weight) {
			best = i
		}
	}
	return best
}
