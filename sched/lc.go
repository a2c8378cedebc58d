package sched

func init() { register(Kind{"lc", func(Flags) Scheduler { return lc{} }}) }

// lc picks the destination with the fewest connections, an active one counting as 256 inactive (least connections; Linux
// net/netfilter/ipvs/ip_vs_lc.c). Weight matters only as zero or not.
//
// Choose it when servers are equal and connections differ in how long they last.
type lc struct{}

func (lc) Update(*Pool, bool) {}

func (lc) Pick(p *Pool, _ *Flow) int {
	best := None
	var fewest int64
	for i := range p.Dests {
		if !p.Usable(i) {
			continue
		}
		if n := connections(p, i); best == None || n < fewest {
			best, fewest = i, n
		}
	}
	return best
}
