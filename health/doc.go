// Package health says whether a real server answers.
//
// A Probe is what is remembered of one check: retries, steps, and when it is due next. It is pure and takes the time as
// an argument. States and delays are those of keepalived 2.2.7.
package health
