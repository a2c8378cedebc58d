// Package health says whether a real server answers.
//
// A Checker asks one server once. A Probe is the memory of one check: it counts retries and says when to ask again
// (no I/O, no clock). A Prober runs thousands of them, one goroutine for each question under way (and none for
// TCP_CHECK, see connects), and reports each change through a callback. What is done about a change (removing, inhibiting, quorum, sorry server) is the caller's.
//
// Behaviour and log lines are keepalived's (check_*.c of 2.2.7), except where a type says otherwise.
package health
