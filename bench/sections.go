package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"dirsw/bench/measure"
	"dirsw/bench/pipeline"
	"dirsw/forward"
	"dirsw/packet"
)

const million = 1_000_000

// established measures packets of known connections against the floor.
func (b *bench) established(ctx context.Context) error {
	for _, c := range []struct {
		name string
		pipeline.Case
	}{
		{"DR", pipeline.Case{}},
		{"IPIP", pipeline.Case{Method: forward.TUN}},
		{"NAT", pipeline.Case{Method: forward.NAT}},
		{"DR, IPv6", pipeline.Case{IPv6: true}},
	} {
		for _, s := range []struct {
			name   string
			flows  int
			target measure.Target
		}{
			{"1 000 flows", 1000, measure.Target{AtMost: 4}},
			{"1 000 000 flows", million, measure.Target{AtMost: 2}},
		} {
			if b.quick && s.flows == million && (c.Method == forward.TUN || c.IPv6) {
				continue // two others say how a million flows do
			}
			b.say("pipeline: %s, %s", c.name, s.name)
			r, err := pinned(func() (*pipeline.Established, error) {
				return pipeline.MeasureEstablished(ctx, c.Case, s.flows, b.effort)
			})
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.name, s.name, err)
			}
			b.report.Rows = append(b.report.Rows, establishedRow(c.name+", "+s.name, r, s.target))
		}
	}
	return nil
}

func establishedRow(name string, r *pipeline.Established, t measure.Target) measure.Row {
	peer := "floor, one pass"
	if r.TwoPass {
		peer = "floor, two passes"
	}
	row := measure.Compare("pipeline, established TCP", name, "ns/packet", r.Worker, peer, r.Floor, t)
	mpps := measure.Summarize(measure.Inverse(r.Worker, 1000))
	lane, with := measure.Summarize(r.Lane), measure.Summarize(measure.Ratios(r.WithLane()))
	row.Note = fmt.Sprintf("%.1f Mpps, %.2f allocs/packet; with the lane's %.1f ns on both sides %.2f", mpps.Median, r.Allocs,
		lane.Median, with.Median)
	return row
}

// opening measures new connections and their ends.
func (b *bench) opening(ctx context.Context) error {
	servers := []int{1, 10, 100}
	for _, s := range []string{"rr", "wlc", "sh"} {
		b.say("new connections: %s", s)
		var cases []pipeline.Case
		for _, n := range servers {
			cases = append(cases, pipeline.Case{Scheduler: s, Servers: n})
		}
		all, err := pinned(func() ([]pipeline.Opening, error) { return pipeline.MeasureOpening(ctx, cases, 10_000, b.effort) })
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		for i, r := range all {
			b.report.Rows = append(b.report.Rows, measure.Row{Group: groupNew, Name: fmt.Sprintf("%s, %d servers", s, servers[i]), Unit: "ns",
				Ours: measure.Summarize(r.New), Target: measure.Target{AtMost: 300}, Note: fmt.Sprintf("%.2f allocs/connection", r.Allocs)})
		}
		last := len(all) - 1
		b.report.Rows = append(b.report.Rows, measure.Compare(groupNew, s+", 100 servers", "ns", all[last].New, "one server", all[0].New,
			measure.Target{AtMost: 1.5}))
	}
	return nil
}

const groupNew = "new TCP connection and its end, 10 000 live"

// memory measures what connections take, each number of them in a process of its own.
func (b *bench) memory(ctx context.Context) error {
	n := b.most()
	b.say("memory: 0 and %d connections", n)
	none, err := footprintOf(ctx, 0)
	if err != nil {
		return err
	}
	many, err := footprintOf(ctx, n)
	if err != nil {
		return err
	}
	one := func(v float64) []float64 { return []float64{v} }
	peer := "none live"
	group := fmt.Sprintf("%d live connections", n)
	b.report.Rows = append(b.report.Rows,
		measure.Row{Group: group, Name: "memory of the process", Unit: "MB", Ours: measure.Summarize(one(many.ResidentMB)), Peer: peer,
			Theirs: measure.Summarize(one(none.ResidentMB)), Target: measure.Target{AtMost: b.memoryTarget()},
			Note: fmt.Sprintf("%.0f bytes a connection", (many.ResidentMB-none.ResidentMB)*million/float64(n))},
		measure.Row{Group: group, Name: "table made, empty", Unit: "s", Ours: measure.Summarize(one(many.StartS)), Target: measure.Target{AtMost: 1}},
		measure.Compare(group, "a garbage collection", "us CPU", many.CollectionUs, peer, none.CollectionUs, measure.Target{}),
		measure.Compare(group, "scanned by a collection", "kB", one(many.ScannedKB), peer, one(none.ScannedKB), measure.Target{}))
	return nil
}

// memoryTarget is for that many, in MB.
func (b *bench) memoryTarget() float64 {
	if b.quick {
		return 160
	}
	return 1500
}

// most is the greatest number of connections that this run looks at.
func (b *bench) most() int {
	if b.quick {
		return million
	}
	return 10 * million
}

// curve measures how the cost of a packet grows with the number of connections.
func (b *bench) curve(ctx context.Context) error {
	flows := []int{1000, 10_000, 100_000, million}
	if !b.quick {
		flows = append(flows, 10*million)
	}
	b.say("curve: up to %d connections", flows[len(flows)-1])
	points, err := pinned(func() ([]pipeline.Point, error) { return pipeline.MeasureCurve(ctx, pipeline.Case{}, flows, b.effort) })
	if err != nil {
		return err
	}
	const group = "pipeline, DR, ns for a packet by connections"
	for _, p := range points {
		b.report.Rows = append(b.report.Rows, measure.Row{Group: group, Name: fmt.Sprintf("%d connections", p.Flows), Unit: "ns/packet",
			Ours: measure.Summarize(p.Worker)})
		b.report.Curve = append(b.report.Curve, measure.Point{X: float64(p.Flows), Y: measure.Summarize(p.Worker).Median})
	}
	if last := len(points) - 1; points[last].Flows == 10*million {
		b.report.Rows = append(b.report.Rows, measure.Compare(group, "10 000 000 connections", "ns/packet", points[last].Worker,
			"1 000 000", points[last-1].Worker, measure.Target{AtMost: 1.5}))
	}
	return nil
}

// team measures two workers beside one.
func (b *bench) team(ctx context.Context) error {
	b.say("team: one worker and two")
	e := b.effort
	e.Each = min(2*e.Each, 400*time.Millisecond)
	r, err := pipeline.MeasureTeam(ctx, pipeline.Case{}, 1000, e)
	if err != nil {
		b.skip("two workers: %v", err)
		return ctx.Err()
	}
	const group = "two workers on two processors, DR, memory lane"
	own := measure.Compare(group, "each gets its own", "Mpps", r.Own, "one worker", r.One, measure.Target{AtLeast: 1.9})
	half := measure.Compare(group, "half is handed over", "Mpps", r.Half, "one worker", r.One, measure.Target{AtLeast: 1.5})
	own.Note = "by the wall " + measure.Summarize(measure.Ratios(r.OwnWall, r.OneWall)).String()
	half.Note = "by the wall " + measure.Summarize(measure.Ratios(r.HalfWall, r.OneWall)).String()
	apart := measure.Compare(group, "strangers: the machine's limit", "Mpps", r.Apart, "one worker", r.One, measure.Target{})
	b.report.Rows = append(b.report.Rows, own, half, apart)
	b.report.Workers = []measure.Point{{X: 1, Y: measure.Summarize(r.One).Median}, {X: 2, Y: own.Ours.Median}}
	b.report.HandedOver = []measure.Point{{X: 1, Y: measure.Summarize(r.One).Median}, {X: 2, Y: half.Ours.Median}}
	return nil
}

// flood measures established connections beside a SYN flood.
func (b *bench) flood(ctx context.Context) error {
	const group = "SYN flood beside 1 000 established connections"
	for _, c := range []struct {
		name string
		pipeline.FloodCase
	}{
		{"table full, no defence", pipeline.FloodCase{Established: 1000, PerEstablished: 9, Room: 1 << 17}},
		{"drop_entry, drop_packet, secure_tcp", pipeline.FloodCase{Established: 1000, PerEstablished: 9, Room: 1 << 17, Guard: true}},
	} {
		if b.quick && !c.Guard {
			continue
		}
		b.say("flood: %s", c.name)
		r, err := pinned(func() (*pipeline.Flood, error) { return pipeline.MeasureFlood(ctx, c.FloodCase, b.effort) })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		through := measure.Row{Group: group, Name: c.name + ": get through", Unit: "share", Ours: measure.Summarize(r.Share), Note: fmt.Sprintf("%d of %d entries, at most %.0f MB; drop_entry ended %d",
			r.Connections, c.Room, float64(r.TableBytes)/1e6, r.Shed)}
		cost := measure.Compare(group, c.name+": cost", "ns/packet", r.Beside, "without flood", r.Alone, measure.Target{})
		cost.Note = fmt.Sprintf("9 SYNs to each packet; a SYN takes %s ns", measure.Summarize(r.SYN))
		b.report.Rows = append(b.report.Rows, through, cost)
	}
	return b.saturated(ctx)
}

// saturated measures established connections at a worker that more comes to than it can take.
func (b *bench) saturated(ctx context.Context) error {
	const group = "1 000 established connections at 1 Mpps beside a SYN flood, a queue of 4 096 frames"
	floods := []int{2, 5, 10, 14} // Mpps; 14.88 are all that 10 Gbit/s carry
	if b.quick {
		floods = []int{5, 14}
	}
	for _, flood := range floods {
		b.say("saturation: %d Mpps of SYNs", flood)
		r, err := pinned(func() (*pipeline.Saturation, error) {
			return pipeline.MeasureSaturation(ctx, pipeline.FloodCase{Established: 1000, PerEstablished: flood, Room: 1 << 17}, 1, b.effort)
		})
		if err != nil {
			return fmt.Errorf("saturated by %d Mpps: %w", flood, err)
		}
		b.report.Rows = append(b.report.Rows, measure.Row{Group: group, Name: fmt.Sprintf("%d Mpps of SYNs: get through", flood), Unit: "share",
			Ours: measure.Summarize(r.Share), Target: measure.Target{AtLeast: 0.95},
			Note: fmt.Sprintf("%s of the SYNs reach the worker, which drops %.2f of those unread; table of %.0f MB", measure.Summarize(r.SYNs),
				float64(r.Counters.Drops[packet.DropOverload])/float64(max(r.Counters.Received, 1)), float64(r.Counters.TableBytes)/1e6)})
	}
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
