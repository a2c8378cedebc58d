package forward_test

import (
	"slices"
	"testing"
	"time"

	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
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
	flows := traffic.Flows{Service: tuple(packet.ProtoTCP, "203.0.113.1:1", vip), SrcMAC: clientMAC, DstMAC: directorMAC}
	setup, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, n, packet.SYN, 0)})
	if err != nil {
		b.Fatal(err)
	}
	run, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, n, packet.ACK, 0), Shuffle: true})
	if err != nil {
		b.Fatal(err)
	}
	rules := &bench{snap: &forward.Snapshot{}, mtu: 1500}
	w, err := forward.NewWorker(0, setup, forward.Options{Table: conntrack.Options{MaxConns: 2 * n}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	rules.w = w
	rules.publish(twoServers...)
	s := *rules.snap
	s.Gen++
	s.Settings = forward.DefaultSettings()
	s.Dests = slices.Clone(s.Dests)
	for i := range s.Dests {
		change(&s.Dests[i])
	}
	w.Publish(&s)
	now := clock.Mono(time.Hour)
	for i := 0; i < n; i += packet.BatchSize {
		w.Step(now)
	}
	w.SetLane(run)
	b.ReportAllocs()
	b.ResetTimer()
	frames := 0
	for frames < b.N {
		k, _ := w.Step(now)
		frames += k
	}
	b.StopTimer()
	if d := run.Dropped(); d != 0 {
		b.Fatalf("%d frames dropped", d)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/packet")
}
