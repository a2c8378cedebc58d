// Package stats is what an operator can see of a running director, as plain data.
//
// The director fills it, the control socket carries it as JSON, listings and metrics print it. All counters count since
// the process started and never decrease, except where an operator zeroes them; bytes are those of IP packets, without
// the link layer; lists stand in the order in which they are to be shown. Nothing here points into the data plane: a
// value is a copy and belongs to whoever asked.
package stats
