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
		in[i].failed = b.quick && c.Limit == "dirsw NAT" // the limit of the one way will do for a first look
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
	frames, sleeps, polls   []float64 // for a request
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
	s.frames, s.sleeps, s.polls = append(s.frames, got.Frames), append(s.sleeps, got.Sleeps), append(s.polls, got.Polls)
	return nil
}

// parts says what a request cost where, and how many came a second.
func (s *surfer) parts() string {
	m := func(v []float64) float64 { return measure.Summarize(v).Median }
	return fmt.Sprintf("%.1f us and %.2f sleeps, %.1f us more and %.2f sleeps to receive %.1f frames, %.0f a second", m(s.process), m(s.sleeps),
		m(s.receive), m(s.polls), m(s.frames), m(s.perSecond))
}

// webRivals reports whether the one is to be held against the other: each of ours against the peers and against its own
// limit, and each limit against the proxies, for that is what nobody can exceed who forwards frames.
func webRivals(ours, peer *wire.WebContender) bool {
	if ours.Ours {
		return !peer.Ours && (peer.Limit == "" || peer.Limit == ours.Name)
	}
	_, build := sameMethod("", peer.Name)
	return ours.Limit != "" && peer.Limit == "" && !peer.Ours && !build
}

// httpRows compares each of ours with its limit and with each proxy, and each limit with each proxy.
func httpRows(in []surfer) (rows []measure.Row) {
	const cpu, slow = "HTTP, a connection each: 1 000 requests per CPU second of the director", "HTTP, a connection each: 99 % are faster than"
	var late []measure.Row
	for _, ours := range in {
		for _, peer := range in {
			if ours.failed || peer.failed || !webRivals(ours.c, peer.c) {
				continue
			}
			more, p99 := measure.Target{AtLeast: 3}, measure.Target{AtMost: 1}
			if same, build := sameMethod(ours.c.Name, peer.c.Name); build && !same {
				continue
			} else if build || ours.c.Limit != "" || peer.c.Limit != "" {
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
			rows = append(rows, measure.Row{Group: cpu, Name: s.c.Name, Unit: "1000/s", Ours: measure.Summarize(s.perCPU), Note: s.parts()})
		}
	}
	return rows
}
