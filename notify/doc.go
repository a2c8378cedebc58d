// Package notify tells the operator's programs, pipes and people what changed: instances and sync groups that enter a
// state, real servers that come and go, services that gain and lose their quorum.
//
// What is run, with which arguments, and what is written is keepalived 2.2.7's; testdata/keepalived holds what the real
// one did. Who reports a change never waits: pipes are written without blocking, programs run one after another for
// each object on goroutines of their own, mails are queued.
package notify
