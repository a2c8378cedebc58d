package sched

// Nobody is the name of the scheduler that a service without one has (ipvsadm -s none). It stands in no list of
// schedulers: nobody would choose it for a service that is to be served.
const Nobody = "none"

// nobody places no connection (Linux net/netfilter/ipvs/ip_vs_core.c: ip_vs_schedule without a scheduler). Connections
// that are there, and templates, go on.
//
// Choose it to close a service to new connections without taking it away: clients are told at once.
type nobody struct{}

func (nobody) Update(*Pool, bool) {}

func (nobody) Pick(*Pool, *Flow) int { return None }
