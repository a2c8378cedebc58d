package pipeline

import (
	"context"
	"time"

	"dirsw/bench/measure"
	"dirsw/clock"
	"dirsw/forward"
	"dirsw/packet"
)

// Saturation is what a worker makes of more than it can take, round by round.
type Saturation struct {
	Share    []float64 // of the packets of established connections that came to the NIC, those that were forwarded
	SYNs     []float64 // of those of the flood, those that were looked at
	Counters forward.Counters
}

const (
	nicRing  = 4096 // frames that a NIC keeps for the worker; what comes when they are there is lost
	lookEach = 4    // batches between two looks at the clock, which is a system call
)

// nic is a lane to which frames come at a rate of their own, by the time that the worker's thread has used, and that loses what
// finds no room.
type nic struct {
	*mixture
	cycle    int     // frames, of which one, the second, is of an established connection
	each     float64 // nanoseconds between two frames
	from     time.Duration
	came     int64 // frames since then, those that were lost included
	queued   int
	at       int // place in the cycle of the next frame that the loop gives
	looks    int
	lostACKs uint64
}

// begin lets frames come from now on.
func (l *nic) begin() error {
	now, err := measure.ThreadTime()
	l.from, l.came, l.queued, l.looks = now, 0, 0, 0
	return err
}

// Recv gives a full batch as soon as one has come.
func (l *nic) Recv(b *packet.Batch) (int, error) {
	b.N = 0
	if l.looks--; l.looks < 0 || l.queued < packet.BatchSize {
		l.looks = lookEach - 1
		if err := l.arrive(); err != nil {
			return 0, err
		}
	}
	if l.queued < packet.BatchSize {
		return 0, nil
	}
	l.queued -= packet.BatchSize
	l.at = (l.at + packet.BatchSize) % l.cycle
	return l.mixture.Recv(b)
}

// arrive queues what has come by now, and loses of it what finds no room: what is lost is passed over in the loop, as if it had
// stood before what is queued instead of behind it.
func (l *nic) arrive() error {
	now, err := measure.ThreadTime()
	if err != nil {
		return err
	}
	come := int64(float64(now-l.from) / l.each)
	l.queued += int(come - l.came)
	l.came = come
	if lost := l.queued - nicRing; lost > 0 {
		l.queued = nicRing
		l.lostACKs += uint64(l.acks(l.at+lost) - l.acks(l.at))
		l.at = (l.at + lost) % l.cycle
		l.Skip(lost)
	}
	return nil
}

// acks is how many of the first n frames of a cycle and those that follow are of established connections.
func (l *nic) acks(n int) int { return (n + l.cycle - 2) / l.cycle }

// MeasureSaturation offers a worker packets of established connections at a rate, in millions a second, and so many SYNs of a
// flood to each of them, whether it can take them or not. It must run on a goroutine of its own, which it pins.
func MeasureSaturation(ctx context.Context, f FloodCase, rate float64, e Effort) (*Saturation, error) {
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	d, err := f.side(ctx, true, true)
	if err != nil {
		return nil, err
	}
	defer d.w.Close()
	l := &nic{mixture: d.lane, cycle: f.PerEstablished + 1, each: 1e3 / (rate * float64(f.PerEstablished+1))}
	l.at = d.taken % l.cycle
	d.w.SetLane(l)
	r := new(Saturation)
	run := measure.Contender{Name: "saturated worker", Run: func(_ context.Context, each time.Duration) (float64, error) {
		if err := l.begin(); err != nil {
			return 0, err
		}
		came, went, lost, received := l.established, l.through, l.lostACKs, l.Counters().Received
		for l.came == 0 || time.Duration(float64(l.came)*l.each) < each {
			d.now = start + clock.Mono(time.Minute) + clock.Mono(l.from) + clock.Mono(float64(l.came)*l.each)
			if _, err := d.w.Step(d.now); err != nil {
				return 0, err
			}
		}
		came, lost, received = l.established-came, l.lostACKs-lost, l.Counters().Received-received
		r.Share = append(r.Share, float64(l.through-went)/float64(came+lost))
		r.SYNs = append(r.SYNs, float64(received-came)/float64(l.came-int64(came+lost)))
		return 0, nil
	}}
	if _, err := measure.Rounds(ctx, e.Rounds, e.Each, run); err != nil {
		return nil, err
	}
	r.Share, r.SYNs = r.Share[1:], r.SYNs[1:] // the first round does not count
	d.w.SetLane(&stream{})
	_, _ = d.w.Step(d.now) // the end of the lane lets it commit
	d.w.ReadCounters(&r.Counters)
	return r, nil
}
