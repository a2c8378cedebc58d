package sched

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// followers are the schedulers that keep a tournament.
func followers() []string { return []string{"lc", "wlc", "sed", "nq", "fo", "ovf"} }

// walked is what the scheduler would pick by looking at every destination.
func walked(s Scheduler, p *Pool) int {
	switch s := s.(type) {
	case *lc:
		return s.walk(p)
	case *wlc:
		return s.walk(p)
	case *sed:
		return s.walk(p)
	case *nq:
		return s.walk(p)
	case *fo:
		return s.walk(p)
	case *ovf:
		return s.walk(p)
	}
	panic("no tournament")
}

// many makes a pool of n destinations of random weights, for that many workers.
func many(rnd *rand.Rand, n, workers int) *Pool {
	p := &Pool{Cursor: new(Cursor)}
	for i := range n {
		d := dest(uint32(n-i), int32(rnd.IntN(5)))
		d.Load = NewLoad(workers)
		if rnd.IntN(3) == 0 {
			d.Upper = uint32(1 + rnd.IntN(6))
		}
		p.Dests = append(p.Dests, d)
	}
	return p
}

// happen changes the load of one destination as connections do.
func happen(rnd *rand.Rand, p *Pool) {
	d := &p.Dests[rnd.IntN(len(p.Dests))]
	worker := rnd.IntN(d.Load.workers())
	switch rnd.IntN(4) {
	case 0, 1:
		d.Load.Add(worker, 1, 0, 0)
		d.Load.Bound(d.Upper)
	case 2:
		if d.Load.Active() > 0 {
			d.Load.Add(worker, -1, 1, 0)
		}
	case 3:
		if d.Load.Inactive() > 0 {
			d.Load.Add(worker, 0, -1, 0)
			d.Load.Unbound(d.Upper, 0)
		}
	}
}

func TestTournamentIsTheWalk(t *testing.T) {
	for _, name := range followers() {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(7, 7))
			for round := range 60 {
				p := many(rnd, 1+rnd.IntN(150), 1+round%2)
				s, other := made(t, name, p), made(t, name, p)
				for step := range 300 {
					for range rnd.IntN(4) {
						happen(rnd, p)
					}
					if rnd.IntN(100) == 0 { // more than a journal holds
						for range 2 * journalLen {
							happen(rnd, p)
						}
					}
					if rnd.IntN(60) == 0 { // an edit
						next := *p
						next.Dests = append([]Dest(nil), p.Dests...)
						next.Dests[rnd.IntN(len(next.Dests))].Weight = int32(rnd.IntN(5))
						p = &next
						s.Update(p, true)
						other.Update(p, false)
					}
					want := walked(s, p)
					if got := s.Pick(p, &Flow{}); got != want {
						t.Fatalf("round %d, step %d, %d destinations: picked %d, the walk %d", round, step, len(p.Dests), got, want)
					}
					if got := other.Pick(p, &Flow{}); rnd.IntN(5) == 0 && got != want {
						t.Fatalf("round %d, step %d: another worker picked %d, want %d", round, step, got, want)
					}
					if want != None {
						p.Dests[want].Load.Add(0, 1, 0, 0)
						p.Dests[want].Load.Bound(p.Dests[want].Upper)
					}
				}
			}
		})
	}
}

// TestTournamentOfSeveralWorkers lets two pick and count at once; when they are done both know what the walk knows.
func TestTournamentOfSeveralWorkers(t *testing.T) {
	for _, name := range followers() {
		p := many(rand.New(rand.NewPCG(1, 1)), 100, 2)
		var wg sync.WaitGroup
		var both [2]Scheduler
		for w := range both {
			both[w] = made(t, name, p)
			wg.Go(func() {
				for range 20_000 {
					if i := both[w].Pick(p, &Flow{}); i != None {
						p.Dests[i].Load.Add(w, 1, 0, 0)
						if p.Dests[i].Load.Active() > 50 {
							p.Dests[i].Load.Add(w, -1, 0, 0)
						}
					}
				}
			})
		}
		wg.Wait()
		for _, s := range both {
			s.Pick(p, &Flow{}) // reads what was being written when it read last
			if got, want := s.Pick(p, &Flow{}), walked(s, p); got != want {
				t.Errorf("%s: picked %d, the walk %d", name, got, want)
			}
		}
	}
}

// TestTournamentOfGiants has weights and loads that a score does not tell apart.
func TestTournamentOfGiants(t *testing.T) {
	p := &Pool{Cursor: new(Cursor)}
	for i := range 20 {
		d := dest(uint32(i), 1<<30+int32(i%7))
		d.Load.Add(0, 1<<30+int32(i%5), 0, 0)
		p.Dests = append(p.Dests, d)
	}
	for _, name := range []string{"wlc", "sed"} {
		s := made(t, name, p)
		for range 100 {
			got, want := s.Pick(p, &Flow{}), walked(s, p)
			if got != want {
				t.Fatalf("%s: picked %d, the walk %d", name, got, want)
			}
			p.Dests[got].Load.Add(0, 1, 0, 0)
		}
	}
}

func TestTournamentAllocatesNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	p := many(rnd, 100, 1)
	s, f := made(t, "wlc", p), Flow{}
	if n := testing.AllocsPerRun(1000, func() { happen(rnd, p); s.Pick(p, &f) }); n != 0 {
		t.Errorf("%v allocations a Pick", n)
	}
}

// BenchmarkPick is a choice, and the changes of load that the connection of a choice brings.
func BenchmarkPick(b *testing.B) {
	for _, name := range []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "sh", "mh"} {
		for _, n := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				p := &Pool{Cursor: new(Cursor)}
				for i := range n {
					d := dest(uint32(i), 1+int32(i%3))
					d.Load.Add(0, int32(5+i%7), int32(i%5), 0)
					p.Dests = append(p.Dests, d)
				}
				s := made(b, name, p)
				var f Flow
				b.ResetTimer()
				for i := range b.N {
					f.Src[15], f.Src[14] = byte(i), byte(i>>8)
					if k := s.Pick(p, &f); k != None {
						p.Dests[k].Load.Add(0, 1, 0, 0)
						p.Dests[(k*7+i)%n].Load.Add(0, -1, 0, 0)
					}
				}
			})
		}
	}
}
