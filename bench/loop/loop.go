package loop

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"dirsw/bench/measure"
	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// Options of a measurement. Frames must be set, all else may be zero.
type Options struct {
	Frames [][]byte // what is received, on the first port, in this order, over and over; each of at most MaxFrame bytes
	Ports  []forward.PortInfo
	For    time.Duration // of measuring, warming up not included; 0: 2 s
	Clock  clock.Clock   // nil: the system's
}

// MaxFrame is the length in bytes of the longest frame that a director receives in one buffer.
const MaxFrame = forwardtest.BufferLen - forwardtest.Headroom

// Result is what a packet cost.
type Result struct {
	Packets   uint64  `json:"packets"`          // that were received while the rate was measured
	PerSecond float64 `json:"packetsPerSecond"` // of the thread's processor time
	Ns        float64 `json:"nsPerPacket"`      // with the lane
	LaneNs    float64 `json:"laneNsPerPacket"`  // what the lane itself takes of that: a copy
	Allocs    float64 `json:"allocsPerPacket"`

	// For each packet, with the lane; not there if the machine does not tell.
	Hardware      *Hardware `json:"hardware,omitempty"`
	HardwareError string    `json:"hardwareError,omitempty"`

	// In nanoseconds, from a packet's arrival in the worker until it is sent or dropped. The others of its batch, up to 64,
	// are done in between.
	Latency Latency `json:"latencyNs"`
	Batch   float64 `json:"packetsPerBatch"` // mean

	Forwarded float64 `json:"forwarded"` // share of the packets
	Drops     []Drop  `json:"drops,omitempty"`
}

// Hardware is what the processor counted for each packet.
type Hardware struct {
	Cycles       float64 `json:"cycles"`
	Instructions float64 `json:"instructions"`
	CacheMisses  float64 `json:"cacheMisses"`
}

// Latency are quantiles in nanoseconds.
type Latency struct {
	P50  uint64 `json:"p50"`
	P99  uint64 `json:"p99"`
	P999 uint64 `json:"p99.9"`
	Max  uint64 `json:"max"`
}

// Drop is how many packets were dropped for a reason.
type Drop struct {
	Reason packet.DropReason `json:"-"`
	Name   string            `json:"reason"`
	Share  float64           `json:"share"`
}

// Measure lets the worker, which has its snapshot, forward the frames. It must run on a goroutine of its own, which it pins
// to the last processor.
func Measure(ctx context.Context, w *forward.Worker, o Options) (*Result, error) {
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	if o.For == 0 {
		o.For = 2 * time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.NewSystem()
	}
	lane, err := forwardtest.NewLoop(forwardtest.LoopOptions{Ports: o.Ports, Frames: func(yield func([]byte) bool) {
		for _, f := range o.Frames {
			if !yield(f) {
				return
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	watched := &stopwatch{Loop: lane, clock: o.Clock}
	w.SetLane(lane)
	r := &runner{w: w, lane: lane, c: o.Clock}
	if err := r.until(ctx, o.For/8, 2*lane.Len()); err != nil { // connections are opened, caches fill
		return nil, err
	}
	res := new(Result)
	if err := r.rate(ctx, o.For*5/8, res); err != nil {
		return nil, err
	}
	w.SetLane(watched)
	if err := r.until(ctx, o.For/4, 0); err != nil {
		return nil, err
	}
	watched.report(res)
	w.SetLane(lane)
	res.LaneNs, err = measure.PerPacket(o.For/8, r.empty)
	return res, errors.Join(err, lane.Check())
}

// runner lets a worker breathe.
type runner struct {
	w     *forward.Worker
	lane  *forwardtest.Loop
	c     clock.Clock
	batch packet.Batch
}

func (r *runner) step() int {
	n, _ := r.w.Step(r.c.Now())
	return n
}

// empty is what the lane does in a breath.
func (r *runner) empty() int {
	n, _ := r.lane.Recv(&r.batch)
	r.lane.Send(&r.batch)
	return n
}

// until breathes for d, and at least until it has received n packets.
func (r *runner) until(ctx context.Context, d time.Duration, n int) error {
	for end := r.c.Now().Add(d); n > 0 || r.c.Now() < end; {
		for range 16 {
			n -= r.step()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// rate measures without looking at a packet: rate, allocations, hardware and what became of the packets.
func (r *runner) rate(ctx context.Context, d time.Duration, res *Result) error {
	before := r.settled()
	var mem, memAfter runtime.MemStats
	runtime.ReadMemStats(&mem)
	hw, hwErr := measure.OpenHardware()
	var count measure.HardwareCount
	ns, err := measure.PerPacket(d, r.step)
	if hwErr == nil {
		count, hwErr = hw.Read()
		hw.Close()
	}
	runtime.ReadMemStats(&memAfter)
	after := r.settled()
	n := float64(after.Received - before.Received)
	if err = errors.Join(err, ctx.Err()); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("%.0f packets were received", n))
	}
	res.Packets, res.Ns, res.PerSecond = uint64(n), ns, 1e9/ns
	res.Allocs = float64(memAfter.Mallocs-mem.Mallocs) / n
	res.Batch = n / float64(after.Breaths-before.Breaths)
	if res.Hardware = nil; hwErr != nil {
		res.HardwareError = hwErr.Error()
	} else {
		res.Hardware = &Hardware{float64(count.Cycles) / n, float64(count.Instructions) / n, float64(count.CacheMisses) / n}
	}
	res.Forwarded = float64(after.Forwarded-before.Forwarded) / n
	for i := range after.Drops {
		if k := after.Drops[i] - before.Drops[i]; k > 0 {
			reason := packet.DropReason(i)
			res.Drops = append(res.Drops, Drop{Reason: reason, Name: reason.String(), Share: float64(k) / n})
		}
	}
	return nil
}

// settled returns the counters when the worker has published them.
func (r *runner) settled() (c forward.Counters) {
	for {
		r.step()
		if r.w.ReadCounters(&c); c.Received == r.lane.Counters().Received {
			return c
		}
	}
}

// stopwatch is a lane that measures how long the worker has each batch.
type stopwatch struct {
	*forwardtest.Loop
	clock clock.Clock
	came  clock.Mono
	took  measure.Histogram
}

// Recv starts the watch when the frames are there.
func (s *stopwatch) Recv(b *packet.Batch) (int, error) {
	n, err := s.Loop.Recv(b)
	s.came = s.clock.Now()
	return n, err
}

// Send looks at it before they leave.
func (s *stopwatch) Send(b *packet.Batch) (int, error) {
	s.took.Add(uint64(s.clock.Now().Sub(s.came)), uint64(b.N))
	return s.Loop.Send(b)
}

// Drop does so, too.
func (s *stopwatch) Drop(b *packet.Batch) {
	s.took.Add(uint64(s.clock.Now().Sub(s.came)), uint64(b.N))
	s.Loop.Drop(b)
}

func (s *stopwatch) report(res *Result) {
	res.Latency = Latency{s.took.Quantile(0.5), s.took.Quantile(0.99), s.took.Quantile(0.999), s.took.Max()}
}
