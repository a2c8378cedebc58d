package pipeline

import (
	"context"
	"fmt"
	"time"

	"dirsw/bench/floor"
	"dirsw/bench/measure"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// Effort is how long a measurement takes: rounds, and how long each contender runs in each.
type Effort struct {
	Rounds int
	Each   time.Duration
}

// Established is what packets of connections that are known cost, in nanoseconds for each, round by round. Of Worker and
// Floor what the lane itself costs has been taken away.
type Established struct {
	Worker, Floor, Lane []float64
	TwoPass             bool    // the floor was faster with two passes
	Allocs              float64 // allocations of the worker for each packet
}

// WithLane returns what worker and floor cost with the lane, round by round.
func (r *Established) WithLane() (worker, floor []float64) {
	return measure.Sum(r.Worker, r.Lane), measure.Sum(r.Floor, r.Lane)
}

// servers is what established connections are spread over.
const servers = 10

// MeasureEstablished lets a worker that knows n connections forward their packets, in random order, against the floor.
// It must run on a goroutine of its own, which it pins.
func MeasureEstablished(ctx context.Context, c Case, n int, e Effort) (*Established, error) {
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	c.Servers = servers
	flows := c.flows()
	lane, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, n, packet.ACK, 0), Shuffle: true, Seed: 3})
	if err != nil {
		return nil, err
	}
	w, err := c.established(ctx, lane, n)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	f, err := c.floor(n)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	now := begun
	got, err := measure.Rounds(ctx, e.Rounds, e.Each,
		contender("pipeline", func() int {
			now += clockStep
			k, _ := w.Step(now)
			return k
		}),
		contender("floor in one pass", onLane(lane, func(b *packet.Batch) int { return f.OnePass(b, uint64(now)) })),
		contender("floor in two passes", onLane(lane, func(b *packet.Batch) int { return f.TwoPass(b, uint64(now)) })),
		contender("lane", onLane(lane, func(b *packet.Batch) int { return b.N })))
	if err != nil {
		return nil, err
	}
	r := &Established{Lane: got[3], Worker: measure.Less(got[0], got[3]), Floor: measure.Less(got[1], got[3])}
	if two := measure.Less(got[2], got[3]); measure.Summarize(two).Median < measure.Summarize(r.Floor).Median {
		r.Floor, r.TwoPass = two, true
	}
	r.Allocs = allocations(func() { w.Step(now) }) / packet.BatchSize
	return r, verify(w, lane)
}

// clockStep is how far time moves in a breath: about what 64 packets take.
const clockStep = 10_000

// contender makes a contender of a step that returns how many packets it handled.
func contender(name string, step func() int) measure.Contender {
	return measure.Contender{Name: name, Run: func(_ context.Context, d time.Duration) (float64, error) {
		return measure.PerPacket(d, step)
	}}
}

// onLane makes a step of what a batch goes through between Recv and Send. A frame that is not handled stops it.
func onLane(lane *forwardtest.Loop, do func(b *packet.Batch) int) func() int {
	b := new(packet.Batch)
	return func() int {
		lane.Recv(b)
		n := do(b)
		if n != b.N {
			n = 0 // which PerPacket reports
		}
		lane.Send(b)
		return n
	}
}

// established returns a worker on lane that knows n flows, each past its handshake.
func (c *Case) established(ctx context.Context, lane *forwardtest.Loop, n int) (*forward.Worker, error) {
	flows := c.flows()
	open, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: flows.Each(0, n, packet.SYN, 0)})
	if err != nil {
		return nil, err
	}
	w, _, err := c.worker(open, n)
	if err != nil {
		return nil, err
	}
	if err := steps(ctx, w, n, start); err != nil {
		w.Close()
		return nil, err
	}
	settle(w)
	w.SetLane(lane)
	if err := steps(ctx, w, n, begun); err != nil {
		w.Close()
		return nil, err
	}
	if d := lane.Dropped(); d != 0 {
		w.Close()
		return nil, fmt.Errorf("%d packets of connections that were opened before were dropped", d)
	}
	return w, nil
}

// floor returns a floor that knows n flows.
func (c *Case) floor(n int) (*floor.Table, error) {
	var macs []packet.MAC
	for i := range servers {
		macs = append(macs, serverMAC(i))
	}
	f, err := floor.New(n, forwardtest.DefaultPorts()[1].MAC, macs)
	if err != nil {
		return nil, err
	}
	flows, i := c.flows(), 0
	for b := range flows.Each(0, n, packet.ACK, 0) {
		if err := f.Insert(b, i%servers); err != nil {
			f.Close()
			return nil, err
		}
		i++
	}
	var addr []packet.Addr
	for i := range servers {
		addr = append(addr, c.serverAddr(i))
	}
	f.SetRewrite(map[forward.Method]floor.Rewrite{forward.TUN: floor.IPIP, forward.NAT: floor.NAT}[c.Method], c.own(), addr, serverPort)
	return f, nil
}

// verify returns an error unless the worker sent every frame on and the lane has all of them back: a pipeline that drops
// would look fast.
func verify(w *forward.Worker, lane *forwardtest.Loop) error {
	if d := lane.Dropped(); d != 0 {
		return fmt.Errorf("%d frames were dropped", d)
	}
	return lane.Check()
}
