package director

import (
	"net/netip"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/stats"
)

// TestRates takes the numbers of a kernel: 9001 packets with 12960040 bytes within two seconds, then silence.
func TestRates(t *testing.T) {
	var e estimate
	e.step(forward.Traffic{Conns: 1, Packets: 9001, Bytes: 12960040, OutPackets: 9000, OutBytes: 12960000})
	want := stats.Counters{Conns: 0, InPkts: 1125, OutPkts: 1125, InBytes: 1620005, OutBytes: 1620000}
	if got := e.perSecond(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var small estimate // 40 bytes: 5, 4, 3, … a second, as the rate goes down by quarters
	for i, want := range []uint64{5, 4, 3, 2, 2, 1} {
		small.step(forward.Traffic{Bytes: 40})
		if got := small.perSecond().InBytes; got != want {
			t.Errorf("look %d: %d bytes a second, want %d", i, got, want)
		}
	}
}

// traffic is a service with one server and a worker that serves it.
type traffic struct {
	t    *testing.T
	lane *forwardtest.Lane
	w    *forward.Worker
	s    *forward.Snapshot
	now  clock.Mono
}

func newTraffic(t *testing.T) *traffic {
	lane := forwardtest.New(t, forwardtest.Options{})
	w, err := forward.NewWorker(0, lane, forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	m := parse(t, "virtual_server 192.0.2.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 192.0.2.1 80 {\n  weight 1\n }\n}\n")
	s, err := Compile(&Inputs{Model: m, Workers: 1, Hops: map[netip.Addr]forward.Hop{
		netip.MustParseAddr("192.0.2.1"): {OK: true, MTU: 1500}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Publish(s)
	return &traffic{t, lane, w, s, clock.Mono(time.Hour)}
}

// open has so many clients open connections, 40 bytes each, and waits until the worker has told of them.
func (tr *traffic) open(first, n int) {
	tr.t.Helper()
	for i := range n {
		tr.lane.Inject(0, packet.Build(nil, packet.Spec{Tuple: packet.Tuple{Src: packet.AddrFrom(netip.MustParseAddr("203.0.113.1")),
			Dst: packet.AddrFrom(netip.MustParseAddr("192.0.2.100")), SrcPort: uint16(1024 + first + i), DstPort: 80,
			Proto: packet.ProtoTCP}, TCPFlags: packet.SYN}))
	}
	for range 4 {
		tr.now = tr.now.Add(time.Second)
		if _, err := tr.w.Step(tr.now); err != nil {
			tr.t.Fatal(err)
		}
	}
}

func TestEstimates(t *testing.T) {
	tr := newTraffic(t)
	tally, key := tr.s.Services[0].Tally, tr.s.Services[0].Key
	only := &config.ServiceKey{Addr: key.Addr.Netip(), Port: key.Port, Proto: config.Protocol(key.Proto)}
	var e Estimates
	check := func(what string, now, listed uint64) {
		t.Helper()
		for name, of := range map[string]*forward.Tally{"service": tally, "server": tr.s.Dests[0].Tally} {
			n, l, _ := e.Of(of)
			if n.Conns != now || l.Conns != listed || n.InBytes != 40*now || l.InPkts != listed {
				t.Errorf("%s: %s: now %+v, listed %+v, want %d and %d connections", what, name, n, l, now, listed)
			}
		}
	}
	total := func(what string, now, listed uint64) {
		t.Helper()
		if n, l, _ := e.Total(tr.s); n.Conns != now || l.Conns != listed {
			t.Errorf("%s: total %d, listed %d, want %d and %d", what, n.Conns, l.Conns, now, listed)
		}
	}
	tr.open(0, 3)
	check("before the first look", 3, 0)
	total("before the first look", 3, 0)
	e.Sample(tr.s)
	check("looked at", 3, 3)
	total("looked at", 3, 3)
	tr.open(3, 2)
	check("since then", 5, 3)
	e.Restart(tr.s, only)
	check("zeroed: what was looked at counts for nothing", 2, 0)
	total("one service zeroed", 5, 3)
	e.Sample(tr.s)
	check("looked at again", 2, 2)
	e.Restart(tr.s, nil)
	check("all zeroed", 0, 0)
	total("all zeroed", 0, 0)
	if _, _, rate := e.Of(tally); rate != (stats.Counters{}) {
		t.Errorf("rate %+v after zeroing", rate)
	}
	e.Sample(&forward.Snapshot{})
	if len(e.by) != 0 {
		t.Errorf("%d tallies remembered that are gone", len(e.by))
	}
	e.Restart(&forward.Snapshot{}, only) // of a service that is gone
}
