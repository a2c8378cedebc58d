package sched

func init() { register(Kind{"sh", func(f Flags) Scheduler { return &sh{flags: f} }}) }

// sh picks by a hash of the client's address: the same client goes to the same destination as long as the list of
// destinations stays as it is (source hashing; Linux net/netfilter/ipvs/ip_vs_sh.c). A table of 256 buckets is dealt to
// the destinations in the order of the list, as many in a row to each as its weight says, again and again; so weights
// beyond 256 in all do not work out, and one more or less moves nearly all clients.
//
// The flag sh-port (flag-2) hashes the client's port as well. A client whose destination has weight 0 or is over its
// threshold is refused, unless the flag sh-fallback (flag-1) lets it go to another bucket.
//
// Choose it for persistence without a memory of clients, when the list of servers seldom changes; mh moves fewer clients.
type sh struct {
	flags Flags
	table [buckets]int32 // index in the pool
}

// Update deals the buckets.
func (s *sh) Update(p *Pool, _ bool) {
	if len(p.Dests) == 0 {
		return
	}
	i, dealt := 0, int32(0)
	for b := range s.table {
		s.table[b] = int32(i)
		if dealt++; dealt >= p.Dests[i].Weight {
			i, dealt = (i+1)%len(p.Dests), 0
		}
	}
}

func (s *sh) Pick(p *Pool, f *Flow) int {
	if len(p.Dests) == 0 {
		return None
	}
	var port uint32
	if s.flags&Flag2 != 0 {
		port = uint32(f.SrcPort)
	}
	key := port + fold(&f.Src)
	hash := func(offset uint32) int { return int(s.table[(offset+spread(key))%buckets]) }
	i := hash(0)
	if p.Usable(i) {
		return i
	}
	if s.flags&Flag1 == 0 {
		return None
	}
	start := spread(key)
	for off := range uint32(buckets) {
		if i := hash((off + start) % buckets); p.Usable(i) {
			return i
		}
	}
	return None
}
