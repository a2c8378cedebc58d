package sched

import (
	"fmt"
	"testing"
)

// owners returns for each slot the ID of its destination.
func (s *mh) owners(p *Pool) []uint32 {
	ids := make([]uint32, len(s.table))
	for i, d := range s.table {
		ids[i] = p.Dests[d].ID
	}
	return ids
}

// TestShareMH checks that servers have slots by their weights, and that only few slots move when one goes.
func TestShareMH(t *testing.T) {
	for _, weights := range [][]int32{{1, 1, 1, 1}, {3, 2, 1, 4}, {100, 50, 25, 25}, {20000, 10000, 10000, 5000}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			p := pool(weights...)
			s := made(t, "mh", p).(*mh)
			before := s.owners(p)
			count := map[uint32]int{}
			for _, id := range before {
				count[id]++
			}
			var sum int32
			for _, w := range weights {
				sum += w
			}
			for i, w := range weights {
				got, want := count[p.Dests[i].ID], mhSlots*int(w)/int(sum)
				if got < want*97/100 || got > want*103/100 {
					t.Errorf("server %d of weight %d has %d slots, want about %d", i, w, got, want)
				}
			}
			less := &Pool{Dests: p.Dests[1:], Cursor: p.Cursor}
			s.Update(less, true)
			moved, gone := 0, count[p.Dests[0].ID]
			for i, id := range s.owners(less) {
				if before[i] != p.Dests[0].ID && id != before[i] {
					moved++
				}
			}
			if rest := mhSlots - gone; moved > rest/3 {
				t.Errorf("%d of %d slots moved between servers that stayed", moved, rest)
			}
		})
	}
}

// TestFallbackMH checks that with mh-fallback every client gets a server, and the clients of usable ones keep theirs.
func TestFallbackMH(t *testing.T) {
	p := pool(2, 1, 1)
	s := &mh{flags: Flag1}
	s.Update(p, true)
	var before [256]int
	for i := range before {
		before[i] = s.Pick(p, client(i))
	}
	p.Dests[0].Load.over.Store(true)
	for i, want := range before {
		got := s.Pick(p, client(i))
		if got == None || got == 0 || want != 0 && got != want {
			t.Errorf("client %d: server %d, before the overload %d", i, got, want)
		}
	}
}

func TestAfter(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new Dest
		want     int32
	}{
		{"edited to 0", Dest{Weight: 5}, Dest{}, 5},
		{"still 0", Dest{Last: 5}, Dest{}, 5},
		{"added with 0", Dest{}, Dest{}, 0},
		{"has a weight again", Dest{Last: 5}, Dest{Weight: 3}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.new.After(&tt.old).Last; got != tt.want {
				t.Errorf("Last = %d, want %d", got, tt.want)
			}
		})
	}
}

func BenchmarkUpdateMH(b *testing.B) {
	p := pool(3, 2, 1, 7, 5, 4)
	s := &mh{}
	for b.Loop() {
		s.Update(p, true)
	}
}
