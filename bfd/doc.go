// Package bfd watches the way to neighbours by Bidirectional Forwarding Detection.
//
// It speaks the asynchronous mode of RFC 5880 over UDP, one hop (RFC 5881) or several (RFC 5883), as keepalived's
// bfd_instance does; without authentication, echo and demand mode of its own. A Session is the state machine, without
// I/O and clock; a Runner gives all sessions sockets and a thread, and tells when one goes up or down. What follows from
// that (track_bfd, BFD_CHECK) is the caller's.
package bfd
