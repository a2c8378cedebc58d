// Package vrrp elects the master of a virtual router among directors: the Virtual Router Redundancy Protocol, version 2
// (RFC 3768, with the authentication of RFC 2338) and version 3 (RFC 9568), as keepalived 2.2.7 speaks it.
//
// Three layers, lowest first. Advert is the codec: bytes in, fields or a named Reject out. Machine is the protocol: a
// set of Instances and Groups that take events and return effects, without a socket, a clock or a log; everything
// that the package decides is decided there. Runner carries the effects out: it is the only goroutine that touches a
// Machine and its Net, on an operating system thread of its own.
//
// Where keepalived and the RFCs differ, keepalived's behaviour on the wire is followed, because it is the peer that a
// director meets. The log lines are keepalived's, word for word, because operators search for them.
package vrrp
