package sched

func init() { register(Kind{"dh", func(Flags) Scheduler { return &dh{} }}) }

// dh picks by a hash of the address that the client speaks to (destination hashing; Linux
// net/netfilter/ipvs/ip_vs_dh.c). A table of 256 buckets is dealt to the destinations in turn; weight matters only as
// zero or not. A client whose destination has weight 0 or is over its threshold is refused.
//
// It gives no affinity to clients: with one virtual address all of them go to the same server. Choose it for transparent
// caches behind a firewall mark, where clients speak to many addresses.
type dh struct {
	table [buckets]int32 // index in the pool
}

// Update deals the buckets.
func (d *dh) Update(p *Pool, _ bool) {
	for b := range d.table {
		if n := len(p.Dests); n > 0 {
			d.table[b] = int32(b % n)
		}
	}
}

func (d *dh) Pick(p *Pool, f *Flow) int {
	if len(p.Dests) == 0 {
		return None
	}
	if i := int(d.table[spread(fold(&f.Dst))]); p.Usable(i) {
		return i
	}
	return None
}
