// Package track watches what an election depends on besides adverts: scripts that are run now and then, numbers in
// files, processes, and whether enough reference addresses answer (an arbiter).
//
// It says what it sees and decides nothing: weights, priorities and faults belong to whoever is told. States change
// under the rules of keepalived 2.2.7, whose log lines it uses; testdata/keepalived holds what the real one did.
package track
