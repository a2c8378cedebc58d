package forward_test

import (
	"fmt"
	"testing"
	"time"

	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// BenchmarkStep is a breath of the pipeline in direct routing, established TCP connections in random order: ns/packet is
// what one frame costs from Recv to Send on the lane in memory. The table of bench/ holds it against a floor.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("established/flows=%d", n), func(b *testing.B) { benchEstablished(b, n) })
	}
}

func benchEstablished(b *testing.B, n int) {
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
	w, err := forward.NewWorker(0, setup, forward.Options{Table: conntrack.Options{MaxConns: n + n/8}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	rules.w, rules.lane = w, nil
	rules.publish(twoServers...)
	now := clock.Mono(time.Hour)
	for i := 0; i < n; i += packet.BatchSize {
		w.Step(now)
	}
	w.SetLane(run)
	for i := 0; i < n; i += packet.BatchSize {
		w.Step(now)
	}
	b.ReportAllocs()
	b.ResetTimer()
	frames := 0
	for frames < b.N {
		k, _ := w.Step(now)
		frames += k
	}
	b.StopTimer()
	var c forward.Counters
	w.ReadCounters(&c)
	if d := run.Dropped(); d != 0 {
		b.Fatalf("%d frames dropped", d)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/packet")
}
