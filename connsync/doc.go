// Package connsync speaks the protocol by which directors tell each other of their connections: that of Linux IPVS
// (net/netfilter/ipvs/ip_vs_sync.c), version 1, and version 0 of kernels before 2.6.39. The other side may be a kernel.
//
// A Message packs records, a Reader takes messages apart; both are pure. A Master sends what sources give it, a Backup
// receives and passes on; each has goroutines of its own, and its sockets are given to it. The payload of the multicast UDP
// datagrams is described beside the code that writes it: message.go and message0.go.
package connsync
