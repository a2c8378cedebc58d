package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"dirsw/bench/measure"
	"dirsw/bench/pipeline"
	"dirsw/packet"
)

const million = 1_000_000

// established measures packets of known connections against the floor.
func (b *bench) established(ctx context.Context) error {
	for _, c := range []struct {
		name string
		pipeline.Case
	}{
		{"TCP IPv4", pipeline.Case{}},
		{"TCP IPv6", pipeline.Case{IPv6: true}},
		{"UDP IPv4", pipeline.Case{Proto: packet.ProtoUDP}},
		{"UDP IPv6", pipeline.Case{Proto: packet.ProtoUDP, IPv6: true}},
	} {
		for _, s := range []struct {
			name   string
			flows  int
			target measure.Target
		}{
			{"hot, 1 000 flows", 1000, measure.Target{AtMost: 4}},
			{"cold, 1 000 000 flows", million, measure.Target{AtMost: 2}},
		} {
			b.say("pipeline: %s, %s", c.name, s.name)
			r, err := pinned(func() (*pipeline.Established, error) {
				return pipeline.MeasureEstablished(ctx, c.Case, s.flows, b.effort)
			})
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.name, s.name, err)
			}
			b.report.Rows = append(b.report.Rows, establishedRow(c.name+" "+s.name, r, s.target))
		}
	}
	return nil
}

func establishedRow(name string, r *pipeline.Established, t measure.Target) measure.Row {
	peer := "floor, one pass"
	if r.TwoPass {
		peer = "floor, two passes"
	}
	row := measure.Compare("pipeline, DR, established", name, "ns/packet", r.Worker, peer, r.Floor, t)
	mpps := measure.Summarize(measure.Inverse(r.Worker, 1000))
	lane, with := measure.Summarize(r.Lane), measure.Summarize(measure.Ratios(r.WithLane()))
	row.Note = fmt.Sprintf("%.1f Mpps, %.2f allocs/packet; with the lane's %.1f ns on both sides %.2f", mpps.Median, r.Allocs,
		lane.Median, with.Median)
	return row
}

// opening measures new connections and their ends.
func (b *bench) opening(ctx context.Context) error {
	type variant struct {
		scheduler string
		servers   int
		live      int
	}
	var all []variant
	for _, s := range []string{"rr", "wrr"} {
		for _, n := range []int{1, 2, 10, 100} {
			all = append(all, variant{s, n, 10_000})
		}
	}
	all = append(all, variant{"rr", 10, 500_000})
	for _, v := range all {
		name := fmt.Sprintf("%s, %d servers, %d live", v.scheduler, v.servers, v.live)
		b.say("new connections: %s", name)
		r, err := pinned(func() (*pipeline.Opening, error) {
			return pipeline.MeasureOpening(ctx, pipeline.Case{Scheduler: v.scheduler, Servers: v.servers}, v.live, b.effort)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.report.Rows = append(b.report.Rows, measure.Row{Group: "new TCP connection and its end", Name: name, Unit: "ns",
			Ours: measure.Summarize(r.New), Target: measure.Target{AtMost: 300},
			Note: fmt.Sprintf("%.2f allocs/connection", r.Allocs)})
	}
	return nil
}

// memory measures what connections take, each number of them in a process of its own.
func (b *bench) memory(ctx context.Context) error {
	b.say("memory: 0 and 1 000 000 connections")
	none, err := footprintOf(ctx, 0)
	if err != nil {
		return err
	}
	many, err := footprintOf(ctx, million)
	if err != nil {
		return err
	}
	one := func(v float64) []float64 { return []float64{v} }
	const group, peer = "1 000 000 live connections", "none live"
	gc := measure.Compare(group, "a garbage collection", "us CPU", many.CollectionUs, peer, none.CollectionUs, measure.Target{})
	rows := []measure.Row{
		{Group: group, Name: "memory of the process", Unit: "MB", Ours: measure.Summarize(one(many.ResidentMB)), Peer: peer,
			Theirs: measure.Summarize(one(none.ResidentMB)), Target: measure.Target{AtMost: 160}},
		gc,
		measure.Compare(group, "scanned by a collection", "kB", one(many.ScannedKB), peer, one(none.ScannedKB),
			measure.Target{}),
		measure.Compare(group, "heap", "MB", one(many.HeapMB), peer, one(none.HeapMB), measure.Target{}),
	}
	b.report.Rows = append(b.report.Rows, rows...)
	return nil
}

// footprintOf starts this program again to measure n connections.
func footprintOf(ctx context.Context, n int) (*pipeline.Footprint, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-footprint", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("measure %d connections in a process of its own: %w", n, err)
	}
	f := new(pipeline.Footprint)
	if err := json.Unmarshal(out, f); err != nil {
		return nil, fmt.Errorf("read what the process with %d connections says: %w", n, err)
	}
	return f, nil
}
