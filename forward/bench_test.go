package forward_test

import (
	"fmt"
	"iter"
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
	clients := benchClients()
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("established/flows=%d", n), func(b *testing.B) {
			benchEstablished(b, n, clients.Each(0, n, packet.ACK, 0), func(r *bench) { r.publish(twoServers...) })
		})
		b.Run(fmt.Sprintf("telling/flows=%d", n), func(b *testing.B) { // as established, by a master of synchronisation
			benchEstablished(b, n, clients.Each(0, n, packet.ACK, 0), func(r *bench) {
				r.snap.Sync = defaultSync
				r.snap.Sync.Master = true
				r.publish(twoServers...)
			})
		})
	}
}

// benchClients are those of the benchmarks.
func benchClients() traffic.Flows {
	return traffic.Flows{Service: tuple(packet.ProtoTCP, "203.0.113.1:1", vip), SrcMAC: clientMAC, DstMAC: directorMAC}
}

// benchEstablished opens n connections of the clients through what prepare has published, and measures frames of theirs.
func benchEstablished(b *testing.B, n int, frames iter.Seq[[]byte], prepare func(*bench)) {
	clients := benchClients()
	setup, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: clients.Each(0, n, packet.SYN, 0)})
	if err != nil {
		b.Fatal(err)
	}
	run, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: frames, Shuffle: true})
	if err != nil {
		b.Fatal(err)
	}
	w, err := forward.NewWorker(0, setup, forward.Options{Table: conntrack.Options{MaxConns: n + n/8}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	prepare(&bench{w: w, snap: &forward.Snapshot{}, mtu: 1500})
	now := clock.Mono(time.Hour)
	for i := 0; i < n; i += packet.BatchSize {
		w.Step(now)
	}
	w.SetLane(run)
	for i := 0; i < 2*n; i += packet.BatchSize { // three packets of each, so that a master has told of all
		w.Step(now)
	}
	told := make([]conntrack.Record, 64)
	b.ReportAllocs()
	b.ResetTimer()
	done := 0
	for done < b.N {
		k, _ := w.Step(now)
		done += k
		w.TakeRecords(told)
	}
	b.StopTimer()
	if d := run.Dropped(); d != 0 {
		b.Fatalf("%d frames dropped", d)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/packet")
}
