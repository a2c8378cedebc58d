package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestTeamAtOnce has workers choose at the same time, which none of them can see of the others: rr and wrr give each server what
// one worker would give it. Where connections are counted, each worker may have chosen a server, and not told of it, while another
// one looks: no server has more than two for each worker beyond what its weight gives it beside any other.
func TestTeamAtOnce(t *testing.T) {
	const workers, each = 4, 1000
	for _, name := range []string{"rr", "wrr", "fo", "lc", "wlc", "sed", "nq"} {
		for _, servers := range []int{4, 20} { // the second with a tournament
			t.Run(fmt.Sprint(name, " ", servers), func(t *testing.T) {
				var weights []int32
				for i := range servers {
					weights = append(weights, int32(1+i%4))
				}
				got := shares(t, name, weights, workers, each)
				switch name {
				case "rr", "wrr", "fo":
					if want := shares(t, name, weights, 1, workers*each); !slices.Equal(got, want) {
						t.Errorf("%d workers gave the servers %v connections, one gives them %v", workers, got, want)
					}
					return
				case "lc":
					clear(weights)
				}
				for i, n := range got {
					for k, m := range got {
						if most := (m+1)*max(int(weights[i]), 1)/max(int(weights[k]), 1) + 1 + 2*workers; n > most {
							t.Errorf("server %d has %d connections and server %d %d, want at most %d", i, n, k, m, most)
						}
					}
				}
			})
		}
	}
}

// TestTeamIsNotHeldUp has a worker stop while it tells of a connection: the other one goes on to choose as the walk does.
func TestTeamIsNotHeldUp(t *testing.T) {
	for _, name := range followers() {
		p := many(rand.New(rand.NewPCG(9, 9)), 40, 2)
		s := made(t, name, p)
		log := p.Cursor.changes(2)
		p.Dests[1].Load.Add(1, 1, 0, 0)
		at := log.end.Add(1) - 1
		for i := range 600 {
			if i == 500 { // it goes on
				log.entries[at%journalLen].Store((at+1)<<32 | uint64(p.Dests[0].ID))
			}
			want := walked(s, p)
			if got := s.Pick(p, &Flow{}); got != want {
				t.Fatalf("%s: connection %d went to %d, want %d", name, i, got, want)
			}
			if want != None {
				p.Dests[want].Load.Add(0, 1, 0, 0)
				p.Dests[want].Load.Bound(p.Dests[want].Upper)
			}
		}
	}
}

// shares has each of so many workers open that many connections, all at once, and counts them by server.
func shares(t *testing.T, name string, weights []int32, workers, each int) []int {
	p := pool(weights...)
	for i := range p.Dests {
		p.Dests[i].Load = NewLoad(workers)
	}
	k, ok := Lookup(name)
	if !ok {
		t.Fatalf("%s is not registered", name)
	}
	var wg sync.WaitGroup
	for w := range workers {
		s := k.New(0)
		s.Update(p, w == 0)
		wg.Go(func() {
			for range each {
				if i := s.Pick(p, &Flow{}); i != None {
					p.Dests[i].Load.Add(w, 1, 0, 0)
				}
			}
		})
	}
	wg.Wait()
	n := make([]int, len(p.Dests))
	for i := range n {
		n[i] = p.Active(i)
	}
	return n
}
