package forward_test

import (
	"fmt"
	"iter"
	"net/netip"
	"testing"
	"time"

	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// BenchmarkNAT is BenchmarkStep by masquerading: packets of clients, and replies.
func BenchmarkNAT(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		for _, replies := range []bool{false, true} {
			b.Run(fmt.Sprintf("replies=%v/flows=%d", replies, n), func(b *testing.B) { benchNAT(b, n, replies) })
		}
	}
}

func benchNAT(b *testing.B, n int, replies bool) {
	flows := traffic.Flows{Service: tuple(packet.ProtoTCP, "203.0.113.1:1", vip), SrcMAC: clientMAC, DstMAC: directorMAC}
	setup, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, n, packet.SYN, 0)})
	if err != nil {
		b.Fatal(err)
	}
	frames := flows.Each(0, n, packet.ACK, 0)
	if replies {
		frames = repliesTo(frames, netip.MustParseAddrPort("172.16.0.11:8080"))
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
	rules := &bench{w: w, snap: &forward.Snapshot{}, mtu: 1500}
	rules.publish("-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:8080")
	rules.snap.Dests[0].Method = forward.NAT
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
	done := 0
	for done < b.N {
		k, _ := w.Step(now)
		done += k
	}
	b.StopTimer()
	if d := run.Dropped(); d != 0 {
		b.Fatalf("%d frames dropped", d)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/packet")
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
