package pipeline

import (
	"context"

	"dirsw/bench/measure"
	"dirsw/bench/traffic"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// Point is what a packet costs beside that many connections, in nanoseconds, round by round, without the lane.
type Point struct {
	Flows  int       `json:"flows"`
	Worker []float64 `json:"worker"`
}

// MeasureCurve lets workers that know so many connections each forward their packets, in random order, the workers taking
// turns in each round. It must run on a goroutine of its own, which it pins. Ten million connections take it 2.5 GB.
func MeasureCurve(ctx context.Context, c Case, flows []int, e Effort) ([]Point, error) {
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	c.Servers = servers
	var contenders []measure.Contender
	var workers []*forward.Worker
	var lanes []*forwardtest.Loop
	now := begun
	for _, n := range flows {
		clients := c.flows()
		lane, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: anyOrder(&clients, n)})
		if err != nil {
			return nil, err
		}
		w, err := c.opened(ctx, n)
		if err != nil {
			return nil, err
		}
		defer w.Close()
		settle(w)
		w.SetLane(lane)
		if err := steps(ctx, w, n, begun); err != nil { // all are past their handshake
			return nil, err
		}
		workers, lanes = append(workers, w), append(lanes, lane)
		contenders = append(contenders, contender("worker", func() int {
			now += clockStep
			k, _ := w.Step(now)
			return k
		}), contender("lane", onLane(lane, func(b *packet.Batch) int { return b.N })))
	}
	got, err := measure.Rounds(ctx, e.Rounds, e.Each, contenders...)
	if err != nil {
		return nil, err
	}
	var out []Point
	for i, n := range flows {
		if err := verify(workers[i], lanes[i]); err != nil {
			return nil, err
		}
		out = append(out, Point{Flows: n, Worker: measure.Less(got[2*i], got[2*i+1])})
	}
	return out, nil
}

// anyOrder yields an ACK of each of the first n flows in an order that has nothing to do with the one they were opened in:
// a fixed step that has no divisor in common with n goes through all of them.
func anyOrder(f *traffic.Flows, n int) func(func([]byte) bool) {
	step := n*5/8 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	return func(yield func([]byte) bool) {
		var buf []byte
		for i, at := 0, 0; i < n; i++ {
			if buf = f.Frame(buf, at, packet.ACK, 0); !yield(buf) {
				return
			}
			at = (at + step) % n
		}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// opened returns a worker whose table has the first n flows and room for no more.
func (c *Case) opened(ctx context.Context, n int) (*forward.Worker, error) {
	w, _, err := c.worker(&stream{flows: c.flows(), flags: packet.SYN, end: n}, n)
	if err != nil {
		return nil, err
	}
	if err := steps(ctx, w, n, start); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}
