// Package conntrack remembers the connections of one worker and when they end.
//
// A Table is a slab of Conn entries outside the heap of the garbage collector, an index over it, and a timer wheel whose
// links lie in the entries. An entry never moves: a *Conn is valid until that connection is removed or expires. There
// are no locks and nothing is allocated after New, but for the first SetTelling; each Table belongs to one worker, and every method of Table and Conn
// may be called by that worker's goroutine only. Time is an argument and must not go backwards.
//
// The forwarder calls, for a batch of packets: Hash for each, Prefetch for all, then Lookup for each. For a packet of a
// connection that is known: Reuses, then Advance. For one that is not: Opens, then Insert; if the service is persistent
// Template or InsertTemplate before it and Control after it. What a helper has read about a connection that is to come goes
// in by InsertExpected, and a packet that Lookup does not find is asked about with Claim. Once in each breath: Expire.
// Where other directors are told of connections Due says when, and what they tell, a Record, goes in by Insert and Learn.
// Listings and flushes use Scan, a bounded piece in each breath. Which server serves a connection, and what a DestID
// means, is the caller's business.
//
// A connection takes 128 bytes and its share of the index: a million with two directions take 150 MB, and the garbage
// collector does not notice them (BenchmarkMemory, BenchmarkGC).
//
// States, timeouts and templates are those of Linux IPVS (net/netfilter/ipvs: ip_vs_proto_tcp.c, ip_vs_proto_udp.c,
// ip_vs_proto_sctp.c, ip_vs_conn.c); testdata/oracle holds what a kernel did and the tests compare.
package conntrack
