package forward_test

import (
	"fmt"
	"iter"
	"net/netip"
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// BenchmarkNAT is BenchmarkStep by masquerading: packets of clients, and replies.
func BenchmarkNAT(b *testing.B) {
	clients := benchClients()
	for _, n := range []int{1_000, 1_000_000} {
		for _, replies := range []bool{false, true} {
			b.Run(fmt.Sprintf("replies=%v/flows=%d", replies, n), func(b *testing.B) {
				frames := clients.Each(0, n, packet.ACK, 0)
				if replies {
					frames = repliesTo(frames, netip.MustParseAddrPort("172.16.0.11:8080"))
				}
				benchEstablished(b, n, frames, func(r *bench) {
					r.publish("-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:8080")
					r.snap.Dests[0].Method = forward.NAT
				})
			})
		}
	}
}

// repliesTo are what a server answers to frames of clients.
func repliesTo(frames iter.Seq[[]byte], server netip.AddrPort) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for f := range frames {
			var m packet.Meta
			packet.Parse(f, &m)
			s := packet.Spec{Tuple: m.Reverse(), SrcMAC: directorMAC, DstMAC: clientMAC, TCPFlags: packet.ACK}
			s.Src, s.SrcPort = packet.AddrFrom(server.Addr()), server.Port()
			if !yield(packet.Build(nil, s)) {
				return
			}
		}
	}
}
