package forward_test

import (
	"slices"
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// BenchmarkTunnel is BenchmarkStep with a thousand connections through each kind of tunnel; dr is beside them for
// comparison.
func BenchmarkTunnel(b *testing.B) {
	b.Run("dr", func(b *testing.B) { benchTunnel(b, func(*forward.Dest) {}) })
	for _, kind := range []string{"ipip", "gre", "gre-csum", "gue", "gue-csum"} {
		for family, server := range map[string]string{"/4": "172.16.0.11:0", "/6": "[2001:db8:2::11]:0"} {
			b.Run(kind+family, func(b *testing.B) {
				benchTunnel(b, func(d *forward.Dest) {
					d.Addr = tuple(0, server, vip).Src
					d.Method, d.Tunnel, d.Hop.Own = forward.TUN, kinds[kind], own(&d.Addr)
				})
			})
		}
	}
}

func benchTunnel(b *testing.B, change func(*forward.Dest)) {
	const n = 1000
	clients := benchClients()
	benchEstablished(b, n, clients.Each(0, n, packet.ACK, 0), func(r *bench) {
		r.publish(twoServers...)
		s := *r.snap
		s.Gen++
		s.Settings = forward.DefaultSettings()
		s.Dests = slices.Clone(s.Dests)
		for i := range s.Dests {
			change(&s.Dests[i])
		}
		r.w.Publish(&s)
	})
}
