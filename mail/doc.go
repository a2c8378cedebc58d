// Package mail sends alerts by SMTP (RFC 5321), with the subjects and bodies of keepalived 2.2.7.
//
// Who has something to say puts it into a queue of fixed size and goes on; one goroutine delivers it. A server that
// cannot be reached is tried again for a while: an alert about a broken network should survive the broken network.
package mail
