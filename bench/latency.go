package main

import (
	"context"
	"fmt"
	"time"

	"dirsw/bench/measure"
	"dirsw/bench/wire"
)

// quantiles are those of latency that are told, and what dirsw should reach against C.
var quantiles = [...]struct {
	name   string
	of     func(*wire.Latency) float64
	target measure.Target
}{
	{"median", func(l *wire.Latency) float64 { return l.P50 }, measure.Target{AtMost: 1.1}},
	{"99 %", func(l *wire.Latency) float64 { return l.P99 }, measure.Target{}},
	{"99.9 %", func(l *wire.Latency) float64 { return l.P999 }, measure.Target{AtMost: 2}},
}

// latency measures how long a frame takes to come back, dirsw against C.
func (b *bench) latency(ctx context.Context, w *wire.Bench, rounds int) error {
	probes := 60_000
	if b.quick {
		probes = 5_000
	}
	g := wireSetup{name: "latency, one-armed", Setup: wire.Setup{Arms: 1, Flows: 1},
		makers: []wire.Maker{w.Dirsw(wire.DR), w.Forwarder}}
	in, err := b.compete(ctx, &g, rounds, func(e *entrant) error {
		l, err := w.Latency(ctx, e.c, probes, 50*time.Microsecond)
		for i, q := range quantiles {
			if err == nil {
				e.latency[i] = append(e.latency[i], q.of(l))
			}
		}
		return err
	})
	for i, q := range quantiles {
		switch len(in) {
		case 2:
			b.report.Rows = append(b.report.Rows, measure.Compare("wire, "+g.name, q.name+", dirsw", "us", in[0].latency[i],
				in[1].c.Name, in[1].latency[i], q.target))
		case 1:
			b.report.Rows = append(b.report.Rows, measure.Row{Group: "wire, " + g.name, Name: q.name + ", " + in[0].c.Name, Unit: "us",
				Ours: measure.Summarize(in[0].latency[i])})
		}
	}
	if err != nil {
		return err
	}
	return b.afterIdle(ctx, w, rounds)
}

// afterIdle measures what a director that sleeps adds to the way of a frame that comes after silence: to the kernel's own
// forwarding, which wakes nobody. Beside it stands what it takes to wake a thread and do nothing else.
func (b *bench) afterIdle(ctx context.Context, w *wire.Bench, rounds int) error {
	const silence = 20 * time.Millisecond
	probes := 60
	if b.quick {
		probes, rounds = 40, 1
	}
	g := wireSetup{name: "first frame after 20 ms", Setup: wire.Setup{Arms: 1, Flows: 1, Sleeps: true},
		makers: []wire.Maker{w.Dirsw(wire.DR), w.Forwarder, w.Forwarding}}
	var wakes []float64
	in, err := b.compete(ctx, &g, rounds, func(e *entrant) error {
		l, err := w.Latency(ctx, e.c, probes, silence)
		if err != nil {
			return err
		}
		if e.c.Ours { // once in a round
			wake, err := w.Wake(ctx, probes/2, silence)
			if err != nil {
				return err
			}
			wakes = append(wakes, wake)
		}
		e.latency[0] = append(e.latency[0], l.P50)
		return nil
	})
	if len(in) < 3 {
		return err
	}
	const group, peer = "wire, first frame after 20 ms of silence: median, beyond the kernel's own forwarding", "AF_XDP in C, poll()"
	kernel := in[2].latency[0]
	dirsw, c := measure.Less(in[0].latency[0], kernel), measure.Less(in[1].latency[0], kernel)
	b.report.Rows = append(b.report.Rows,
		measure.Row{Group: group, Name: "dirsw sleeps", Unit: "us", Ours: measure.Summarize(dirsw), Target: measure.Target{AtMost: 100},
			Note: fmt.Sprintf("the kernel takes %s", measure.Summarize(kernel))},
		measure.Compare(group, "dirsw sleeps", "us", dirsw, peer, c, measure.Target{}),
		measure.Compare(group, "dirsw sleeps", "us", dirsw, "waking a thread", wakes, measure.Target{}))
	return err
}
