// Package sched chooses a destination for a new connection.
//
// A scheduler is one file: a type, an init that registers its Kind, Update and Pick. Names, flags and choices are those
// of Linux IPVS; the tests of this package play the kernel's own transcripts (testdata/oracle) against every scheduler
// that is registered; only of twos, which is random, there are none.
package sched
