package sched

func init() { register(Kind{"nq", func(Flags) Scheduler { return nq{} }}) }

// nq picks the first destination of the list without an active connection, and when there is none what sed picks (never
// queue; Linux net/netfilter/ipvs/ip_vs_nq.c). UDP has no active connections: with UDP everything goes to the first
// of the list.
//
// Choose it for TCP when an idle server, however weak, is better than a busy one.
type nq struct{}

func (nq) Update(*Pool, bool) {}

func (nq) Pick(p *Pool, _ *Flow) int {
	for i := range p.Dests {
		if p.Usable(i) && p.Active(i) == 0 {
			return i
		}
	}
	return least(p, delay)
}
