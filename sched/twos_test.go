package sched

import (
	"fmt"
	"math"
	"testing"
)

// TestShareTwos compares with the exact chances of two draws: of each pair the one with less load for its weight.
func TestShareTwos(t *testing.T) {
	const picks = 200000
	for _, tt := range []struct {
		weights []int32
		active  []int32
	}{
		{[]int32{1, 1}, []int32{0, 0}},
		{[]int32{1, 1}, []int32{9, 0}},
		{[]int32{100, 100, 100}, []int32{0, 0, 0}},
		{[]int32{100, 0, 200, 50}, []int32{50, 0, 10, 4}},
		{[]int32{40, 30, 20, 10}, []int32{1, 2, 3, 4}},
	} {
		for _, one := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/%v/one client %v", tt.weights, tt.active, one), func(t *testing.T) {
				p := pool(tt.weights...)
				for i, n := range tt.active {
					p.Dests[i].Load.Add(0, n, 0, 0)
				}
				got, s := make([]float64, len(tt.weights)), made(t, "twos", p)
				for i := range picks {
					f := client(i)
					if one {
						f = client(1)
					}
					got[s.Pick(p, f)]++
				}
				for i, want := range chances(tt.weights, tt.active) {
					// Five standard deviations. The draws are the same in every run.
					if dev := math.Abs(got[i] - want*picks); dev > 5*math.Sqrt(picks*want*(1-want)) {
						t.Errorf("server %d was chosen %.0f times, want about %.0f", i, got[i], want*picks)
					}
				}
			})
		}
	}
}

func chances(weights, active []int32) []float64 {
	chance, sum, bonus := make([]float64, len(weights)), 1.0, 1.0
	for _, w := range weights {
		sum += float64(w)
	}
	for i, w := range weights {
		if w > 0 {
			chance[i] = (float64(w) + bonus) / sum
			bonus = 0
		}
	}
	got := make([]float64, len(weights))
	for a, pa := range chance {
		for b, pb := range chance {
			if active[a]*weights[b] > active[b]*weights[a] {
				got[b] += pa * pb
			} else {
				got[a] += pa * pb
			}
		}
	}
	return got
}

// TestReplayTwos checks that the same connections get the same servers again, and that asking changes nothing.
func TestReplayTwos(t *testing.T) {
	var first []int
	for range 2 {
		p := pool(5, 4, 3, 2)
		s := made(t, "twos", p)
		var got []int
		for i := range 1000 {
			asked := *p
			asked.Cursor = p.Cursor.Copy()
			want := s.Pick(&asked, client(i))
			if got = append(got, s.Pick(p, client(i))); got[i] != want {
				t.Fatalf("connection %d: server %d, asked before: %d", i, got[i], want)
			}
		}
		if first == nil {
			first = got
		}
		if fmt.Sprint(got) != fmt.Sprint(first) {
			t.Error("two runs differ")
		}
	}
}
