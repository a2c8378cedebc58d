package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dirsw/bench/measure"
	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// Opening is what new connections cost, in nanoseconds for each, round by round: SYN to inserted, scheduled, counted
// and sent, together with the expiry of an older one. What the lane costs has been taken away.
type Opening struct {
	New    []float64
	Allocs float64 // for each connection
}

const (
	synTimeout = time.Minute // of a connection that has seen nothing but a SYN
	maxLive    = 500_000
	// fresh is how many flows come, for each live connection, before the first comes again; by then it has expired.
	fresh = 4
)

// MeasureOpening lets a worker of each case take SYNs of ever new flows while time goes on such that about live
// connections are there at any moment and as many expire as come, the cases taking turns in each round. Tables have room for
// 2^20. Live may be 500 000 at most. It must run on a goroutine of its own, which it pins.
func MeasureOpening(ctx context.Context, cases []Case, live int, e Effort) ([]Opening, error) {
	if live < packet.BatchSize || live > maxLive {
		return nil, fmt.Errorf("%d live connections, want %d to %d", live, packet.BatchSize, maxLive)
	}
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	var all []*opener
	var contenders []measure.Contender
	for i := range cases {
		o, err := newOpener(&cases[i], live)
		if err != nil {
			return nil, err
		}
		defer o.w.Close()
		all = append(all, o)
		contenders = append(contenders, contender("new connections", o.step))
	}
	// A lane of its own for the lane's cost: taking frames from a worker's would bring flows too soon.
	lane, err := freshFlows(&cases[0], live)
	if err != nil {
		return nil, err
	}
	contenders = append(contenders, contender("lane", onLane(lane, func(b *packet.Batch) int { return b.N })))
	got, err := measure.Rounds(ctx, e.Rounds, e.Each, contenders...)
	if err != nil {
		return nil, err
	}
	r := make([]Opening, len(all))
	for i, o := range all {
		r[i] = Opening{New: measure.Less(got[i], got[len(all)]), Allocs: allocations(func() { o.step() }) / packet.BatchSize}
		if err := errors.Join(o.verify(live), verify(o.w, o.lane)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// freshFlows is a lane of SYNs.
func freshFlows(c *Case, live int) (*forwardtest.Loop, error) {
	flows := c.flows()
	return forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, fresh*live, packet.SYN, 0)})
}

// newOpener returns an opener of which as many connections end as begin.
func newOpener(c *Case, live int) (*opener, error) {
	lane, err := freshFlows(c, live)
	if err != nil {
		return nil, err
	}
	w, s, err := c.worker(lane, 1<<20)
	if err != nil {
		return nil, err
	}
	o := &opener{w: w, s: s, lane: lane, now: start, leap: max(1, min(breathsACommit, live/packet.BatchSize/8))}
	o.each = clock.Mono(synTimeout) * packet.BatchSize / clock.Mono(live) * clock.Mono(o.leap)
	for range 3 * live / packet.BatchSize {
		o.step()
	}
	return o, nil
}

// breathsACommit is how many breaths a worker that is busy takes between two commits of its counters.
const breathsACommit = 20

// opener is a worker that opens connections. Its time goes on as a busy worker's does, but for a leap now and then, because
// a minute must pass for as many connections as are live: else each breath would commit the counters of all servers, which a
// worker does once in 200 us.
type opener struct {
	w     *forward.Worker
	s     *forward.Snapshot
	lane  *forwardtest.Loop
	now   clock.Mono
	leap  int        // breaths between two leaps
	steps int        // taken
	each  clock.Mono // how far a leap reaches
	taken uint64     // frames
}

func (o *opener) step() int {
	o.now += clockStep
	if o.steps++; o.steps%o.leap == 0 {
		o.now += o.each
	}
	n, _ := o.w.Step(o.now)
	o.taken += uint64(n)
	return n
}

// verify returns an error unless each frame opened a connection and about as many as wanted are there.
func (o *opener) verify(live int) error {
	var c forward.Counters
	for range 64 { // the worker commits its counters every few breaths only
		o.step()
		if o.w.ReadCounters(&c); c.Received == o.taken {
			break
		}
	}
	if got := o.s.Services[0].Tally.Read().Conns; got != o.taken {
		return fmt.Errorf("%d SYNs opened %d connections (%d live, %d wanted)", o.taken, got, c.Connections, live)
	}
	if c.Connections < uint64(live) || c.Connections > uint64(live)*5/4+8*packet.BatchSize {
		return fmt.Errorf("%d connections are there, want about %d", c.Connections, live)
	}
	return nil
}
