package pipeline

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/bench/measure"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// Team is what a worker alone and two workers on two processors forward, in millions of packets a second of their
// processor time, round by round: what neighbours of this machine take is not in it.
type Team struct {
	One  []float64
	Own  []float64 // two, each receives what it owns
	Half []float64 // two, half of what each receives is the other's
	// Apart is two that have nothing to do with each other, each with connections, configuration and counters of its own: what
	// this machine makes of two processors.
	Apart []float64
	// OwnWall and HalfWall are the same by the clock on the wall, with what neighbours take; so is OneWall.
	OneWall, OwnWall, HalfWall []float64
}

// crew is workers on lanes of their own, each with its processor.
type crew struct {
	workers []*forward.Worker
	lanes   []*forwardtest.Loop
	cpus    []int
	foreign bool // half of what each receives is another's
}

// MeasureTeam lets one worker and two forward packets of n connections each by turns. It needs two processors.
func MeasureTeam(ctx context.Context, c Case, n int, e Effort) (*Team, error) {
	cpus, err := processors()
	if err != nil {
		return nil, err
	}
	if len(cpus) < 2 {
		return nil, fmt.Errorf("two workers need two processors, and there is one only")
	}
	c.Servers = servers
	r := new(Team)
	var contenders []measure.Contender
	var apartWall []float64
	for _, k := range []struct {
		workers int
		foreign bool
		apart   bool
		wall    *[]float64
	}{{1, false, false, &r.OneWall}, {2, false, false, &r.OwnWall}, {2, true, false, &r.HalfWall}, {2, false, true, &apartWall}} {
		build := func() (*crew, error) { return c.crew(k.workers, n, k.foreign) }
		if k.apart {
			build = func() (*crew, error) { return c.strangers(n) }
		}
		t, err := build()
		if err != nil {
			return nil, err
		}
		defer t.close()
		t.cpus = cpus[len(cpus)-k.workers:]
		contenders = append(contenders, measure.Contender{Name: "team", Run: func(_ context.Context, d time.Duration) (float64, error) {
			rate, wall, err := t.run(d)
			*k.wall = append(*k.wall, wall)
			return rate, err
		}})
	}
	got, err := measure.Rounds(ctx, e.Rounds, e.Each, contenders...)
	if err != nil {
		return nil, err
	}
	r.One, r.Own, r.Half, r.Apart = got[0], got[1], got[2], got[3]
	r.OneWall, r.OwnWall, r.HalfWall = r.OneWall[1:], r.OwnWall[1:], r.HalfWall[1:] // the first round does not count
	return r, nil
}

// crew makes workers that know n connections each.
func (c *Case) crew(workers, n int, foreign bool) (*crew, error) {
	s, err := c.snapshotFor(workers)
	if err != nil {
		return nil, err
	}
	t := &crew{foreign: foreign}
	flows := c.flows()
	lane := func(i int, flags uint8) (*forwardtest.Loop, error) {
		return forwardtest.NewLoop(forwardtest.LoopOptions{Buffers: 4096, Shuffle: flags != packet.SYN, Seed: uint64(i),
			Frames: func(yield func([]byte) bool) {
				for k := range n * workers {
					f := flows.Tuple(k)
					if foreign && flags != packet.SYN || s.Steer.Owner(&f.Src, f.SrcPort) == i {
						if !yield(flows.Frame(nil, k, flags, 0)) {
							return
						}
					}
				}
			}})
	}
	for i := range workers {
		open, err := lane(i, packet.SYN)
		if err != nil {
			return nil, err
		}
		w, err := forward.NewWorker(i, open, forward.Options{Table: conntrack.Options{MaxConns: n + n/4, Seed: 1}})
		if err != nil {
			return nil, err
		}
		t.workers = append(t.workers, w)
		w.Publish(s)
		if err := steps(context.Background(), w, open.Len(), start); err != nil {
			return nil, err
		}
		l, err := lane(i, packet.ACK)
		if err != nil {
			return nil, err
		}
		w.SetLane(l)
		t.lanes = append(t.lanes, l)
	}
	forward.Join(t.workers)
	return t, nil
}

// strangers are two workers, each alone.
func (c *Case) strangers(n int) (*crew, error) {
	t := new(crew)
	for range 2 {
		one, err := c.crew(1, n, false)
		if err != nil {
			t.close()
			return nil, err
		}
		t.workers, t.lanes = append(t.workers, one.workers...), append(t.lanes, one.lanes...)
	}
	return t, nil
}

func (t *crew) close() {
	for _, w := range t.workers {
		w.Close()
	}
}

// run lets the workers run at once for about d and returns the millions of packets a second that left, by the mean of the
// processor time they used and by the wall. Of those who hand over none gets ahead of another by more than a few breaths, as
// if the network gave to each at the same rate: one that runs ahead would hand over more than the other has room for, which
// is dropped, and be the faster for it. What one waits for another, whom a neighbour of this machine keeps from running, is not
// in the processor time.
func (t *crew) run(d time.Duration) (rate, wall float64, err error) {
	before := t.sent()
	paces := make([]pace, len(t.workers))
	var used atomic.Int64 // nanoseconds, all workers
	var failed atomic.Pointer[error]
	system := clock.NewSystem()
	from := system.Now()
	var wg sync.WaitGroup
	for i, w := range t.workers {
		wg.Go(func() {
			n, err := breathe(w, t.cpus[i], paces, i, t.foreign, system, from.Add(d))
			if err != nil {
				failed.Store(&err)
			}
			used.Add(int64(n))
		})
	}
	wg.Wait()
	took := system.Now().Sub(from)
	if e := failed.Load(); e != nil {
		return 0, 0, *e
	}
	sent := float64(t.sent() - before)
	return sent / (float64(used.Load()) / float64(len(t.workers))) * 1e3, sent / float64(took) * 1e3, nil
}

// sent is what has left all lanes.
func (t *crew) sent() (n uint64) {
	for _, l := range t.lanes {
		n += l.Counters().Sent
	}
	return n
}

// pace is how many breaths a worker has taken; ended is beyond all. On a cache line of its own.
type pace struct {
	breaths atomic.Int64
	_       [56]byte
}

const (
	ahead = 8 // breaths, of 32 frames for the other each
	ended = 1 << 60
)

// breathe pins the calling goroutine to a processor and lets worker i run until the time; it returns the processor time
// used. The thread ends with the goroutine.
func breathe(w *forward.Worker, cpu int, paces []pace, i int, foreign bool, c clock.Clock, until clock.Mono) (time.Duration, error) {
	runtime.LockOSThread()
	defer paces[i].breaths.Store(ended)
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return 0, fmt.Errorf("pin to processor %d: %w", cpu, err)
	}
	from, err := measure.ThreadTime()
	if err != nil {
		return 0, err
	}
	now, n, waited := start, int64(0), time.Duration(0)
	free := int64(0)                                             // breaths that may be taken without looking at the others: their lines have to come from their processors
	for first := true; first || c.Now() < until; first = false { // once even if this thread got its turn too late
		for range 64 {
			if foreign && n >= free {
				if free = n + ahead/2; behind(paces, n-ahead/2) {
					waited += await(paces, n-ahead/2)
				}
			}
			now += clockStep
			if _, err := w.Step(now); err != nil {
				return 0, err
			}
			if n++; n%(ahead/4) == 0 {
				paces[i].breaths.Store(n)
			}
		}
	}
	to, err := measure.ThreadTime()
	return to - from - waited, err
}

// behind reports whether a worker has taken fewer than n breaths.
func behind(paces []pace, n int64) bool {
	for i := range paces {
		if paces[i].breaths.Load() < n {
			return true
		}
	}
	return false
}

// await spins until none is behind and returns the processor time that took.
func await(paces []pace, n int64) time.Duration {
	from, _ := measure.ThreadTime()
	for behind(paces, n) {
	}
	to, _ := measure.ThreadTime()
	return to - from
}

// processors lists those that this process may use.
func processors() (cpus []int, err error) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return nil, fmt.Errorf("ask for the processors allowed: %w", err)
	}
	for i := range len(may) * 64 {
		if may.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}
