package loop

import (
	"context"
	"testing"
	"time"

	"dirsw/bench/traffic"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/sched"
)

// worker has one service by direct routing.
func worker(t *testing.T, service packet.Tuple) *forward.Worker {
	t.Helper()
	key := forward.ServiceKey{Addr: service.Dst, Port: service.DstPort, Proto: service.Proto}
	kind, _ := sched.Lookup("rr")
	out := forwardtest.DefaultPorts()[1]
	d := forward.Dest{Method: forward.DR, Weight: 1, Port: 80, Addr: service.Dst, Load: sched.NewLoad(1), Tally: forward.NewTally(1),
		Hop: forward.Hop{OK: true, Port: 1, MTU: uint16(out.MTU), Src: out.MAC}}
	d.Addr[15]++
	w, err := forward.NewWorker(0, &idle{}, forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	w.Publish(&forward.Snapshot{Gen: 1, Settings: forward.DefaultSettings(), Dests: []forward.Dest{d},
		Lookup: map[forward.ServiceKey]forward.ServiceID{key: 0}, Services: []forward.Service{{Key: key, Kind: kind, SchedGen: 1,
			PoolGen: 1, Tally: forward.NewTally(1), Pool: &sched.Pool{Cursor: new(sched.Cursor),
				Dests: []sched.Dest{{Addr: d.Addr, Port: 80, Weight: 1, Load: d.Load}}}}}})
	return w
}

type idle struct{ forwardtest.Loop }

// measured runs Measure on a goroutine of its own.
func measured(ctx context.Context, w *forward.Worker, o Options) (*Result, error) {
	type result struct {
		r   *Result
		err error
	}
	done := make(chan result)
	go func() {
		r, err := Measure(ctx, w, o)
		done <- result{r, err}
	}()
	r := <-done
	return r.r, r.err
}

func TestMeasure(t *testing.T) {
	service := packet.Tuple{Dst: packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 80}, DstPort: 80, Proto: packet.ProtoTCP}
	flows := traffic.Flows{Service: service, DstMAC: forwardtest.DefaultPorts()[0].MAC}
	var frames [][]byte
	for i := range 30 {
		frames = append(frames, flows.Frame(nil, i, packet.SYN, 0), flows.Frame(nil, i, packet.ACK, 200))
	}
	stranger := flows
	stranger.Service.DstPort = 81
	for i := range 20 {
		frames = append(frames, stranger.Frame(nil, i, packet.SYN, 0))
	}
	r, err := measured(context.Background(), worker(t, service), Options{Frames: frames, For: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Packets == 0 || r.Ns <= 0 || r.PerSecond <= 0 || r.LaneNs <= 0 || r.Batch != packet.BatchSize || r.Allocs > 0.1 {
		t.Errorf("%+v", r)
	}
	if l := r.Latency; l.P50 == 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
		t.Errorf("latency %+v, want growing times", l)
	}
	if (r.Hardware == nil) == (r.HardwareError == "") {
		t.Errorf("hardware %v, %q: want one of them", r.Hardware, r.HardwareError)
	}
	if r.Forwarded < 0.7 || r.Forwarded > 0.8 || len(r.Drops) != 1 || r.Drops[0].Reason != packet.DropNoService {
		t.Errorf("%v forwarded, dropped %+v; want three quarters, and the rest for no service", r.Forwarded, r.Drops)
	}
}

func TestMeasureRefuses(t *testing.T) {
	service := packet.Tuple{Dst: packet.Addr{15: 1}, DstPort: 80, Proto: packet.ProtoTCP}
	if _, err := measured(context.Background(), worker(t, service), Options{}); err == nil {
		t.Error("no frames: no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := measured(ctx, worker(t, service), Options{Frames: [][]byte{make([]byte, 60)}}); err != context.Canceled {
		t.Errorf("error %v, want that of the context", err)
	}
}
