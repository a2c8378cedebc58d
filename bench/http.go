package main

import (
	"context"
	"fmt"

	"dirsw/bench/measure"
	"dirsw/bench/wire"
)

// http measures connections of a request each through directors and proxies.
func (b *bench) http(ctx context.Context) error {
	w, undo, err := b.rig(ctx, "http")
	if w == nil {
		return err
	}
	defer undo()
	all, missing := w.WebContenders()
	for _, why := range missing {
		b.skip("http: %v", why)
	}
	in := make([]surfer, len(all))
	for i, c := range all {
		in[i].c = c
	}
	for round := range b.httpRounds() {
		for place := range in {
			s := &in[place]
			if round%2 == 1 { // so that nobody always comes after the same one
				s = &in[len(in)-1-place]
			}
			if err := b.surf(ctx, w, s, round+1); err != nil {
				return err
			}
		}
	}
	b.report.Rows = append(b.report.Rows, httpRows(in)...)
	return nil
}

func (b *bench) httpRounds() int { return max(1, b.effort.Rounds/3) }

// surfer is a contender and what was measured of it, by round.
type surfer struct {
	c                       *wire.WebContender
	perSecond, perCPU, slow []float64
	process, receive        []float64 // microseconds for a request
	failed                  bool
}

// surf measures one round of a contender. One that fails is left out from then on.
func (b *bench) surf(ctx context.Context, w *wire.Bench, s *surfer, round int) error {
	if s.failed {
		return nil
	}
	b.say("http, round %d: %s", round, s.c.Name)
	got, err := w.MeasureWeb(ctx, s.c)
	if err != nil && ctx.Err() == nil {
		b.say("http: again, because %v", err) // once: on a busy machine a process may not get its turn
		got, err = w.MeasureWeb(ctx, s.c)
	}
	if err != nil {
		s.failed = true
		b.skip("http, %s: %v", s.c.Name, err)
		return ctx.Err()
	}
	s.perSecond, s.perCPU, s.slow = append(s.perSecond, got.PerSecond), append(s.perCPU, got.PerCPUSecond/1000), append(s.slow, got.P99)
	s.process, s.receive = append(s.process, got.Process), append(s.receive, got.Receive)
	return nil
}

// parts says what a request cost where, and how many came a second.
func (s *surfer) parts() string {
	return fmt.Sprintf("%.1f us, %.1f more to receive, %.0f a second", measure.Summarize(s.process).Median,
		measure.Summarize(s.receive).Median, measure.Summarize(s.perSecond).Median)
}

// httpRows compares each of ours with each proxy.
func httpRows(in []surfer) (rows []measure.Row) {
	const cpu, slow = "HTTP, a connection each: 1 000 requests per CPU second of the director", "HTTP, a connection each: 99 % are faster than"
	var late []measure.Row
	for _, ours := range in {
		for _, peer := range in {
			if ours.failed || peer.failed || !ours.c.Ours || peer.c.Ours {
				continue
			}
			more, p99 := measure.Target{AtLeast: 3}, measure.Target{AtMost: 1}
			if same, build := sameMethod(ours.c.Name, peer.c.Name); build {
				if !same {
					continue
				}
				more, p99 = measure.Target{}, measure.Target{}
			}
			r := measure.Compare(cpu, ours.c.Name, "1000/s", ours.perCPU, peer.c.Name, peer.perCPU, more)
			r.Note = ours.parts() + "; " + peer.c.Name + " " + peer.parts()
			rows = append(rows, r)
			late = append(late, measure.Compare(slow, ours.c.Name, "ms", ours.slow, peer.c.Name, peer.slow, p99))
		}
	}
	if len(rows) > 0 {
		return append(rows, late...)
	}
	for _, s := range in {
		if !s.failed {
			rows = append(rows, measure.Row{Group: cpu, Name: s.c.Name, Unit: "1000/s", Ours: measure.Summarize(s.perCPU)})
		}
	}
	return rows
}
