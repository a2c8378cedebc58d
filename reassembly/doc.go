// Package reassembly puts IP datagrams together again from their fragments (RFC 791, section 3.2; RFC 8200, section 4.5),
// in memory of a fixed size and by the rules of Linux, so that what a director sees of a datagram is what the kernel's
// IPVS would see.
package reassembly
