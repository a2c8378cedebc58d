package table

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"dirsw/packet"
)

// TestModels holds every layout against a map: what was entered is found, each once, and nothing else is.
func TestModels(t *testing.T) {
	for _, v := range Variants() {
		t.Run(v.Name, func(t *testing.T) {
			const scale = 10
			m, err := New(v.Layout, 1<<scale)
			if err != nil && v.Pages == Reserved {
				t.Skipf("no huge pages are set aside: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			rnd := rand.New(rand.NewPCG(1, 2))
			known := map[uint32]uint64{}
			var tuple packet.Tuple
			for len(known) < 1<<scale {
				i := rnd.Uint32N(1 << 16)
				if _, ok := known[i]; ok {
					continue
				}
				known[i] = 0
				if flow(&tuple, i); m.Insert(&tuple) != nil {
					t.Fatal("no room")
				}
			}
			if flow(&tuple, 1<<20); m.Insert(&tuple) != errFull {
				t.Error("more fits than should")
			}
			batch := make([]packet.Tuple, packet.BatchSize)
			for range 100 {
				want := 0
				for k := range batch {
					i := rnd.Uint32N(1 << 16)
					flow(&batch[k], i)
					if _, ok := known[i]; ok {
						want++
						known[i]++
					}
				}
				if got := m.Batch(batch, v.Pass, 7); got != want {
					t.Fatalf("%d of a batch were found, want %d", got, want)
				}
			}
			for i, packets := range known {
				var k [5]uint64
				flow(&tuple, i)
				m.read(&k, &tuple)
				e := m.find(&k, tagOf(m.sum(&k)))
				if e == nil || get(e, m.key+1) != packets || packets > 0 && get(e, m.key) != 7+timeout {
					t.Fatalf("flow %d: %v, want %d packets", i, e, packets)
				}
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	done := make(chan struct{})
	go func() { // whose thread is pinned, and ends with it
		defer close(done)
		defer runtime.Goexit()
		all := Variants()
		r, err := Measure(context.Background(), all, 8, 2, time.Millisecond)
		if err != nil {
			t.Error(err)
			return
		}
		if len(r.Product) != 2 || len(r.OnePass) != 2 {
			t.Errorf("%d and %d rounds of dirsw, want 2", len(r.Product), len(r.OnePass))
		}
		for i := range all {
			if r.Missing[i] == nil && len(r.Variants[i]) != 2 || r.Missing[i] != nil && all[i].Pages != Reserved {
				t.Errorf("%s: %d rounds, %v", all[i].Name, len(r.Variants[i]), r.Missing[i])
			}
		}
	}()
	<-done
}

func TestBytesEach(t *testing.T) {
	for _, c := range []struct {
		l    Layout
		want int
	}{{Layout{Size: 128}, 148}, {Layout{Size: 64}, 148}, {Layout{Size: 64, Compact: true}, 84},
		{Layout{Size: 64, Compact: true, InPlace: true}, 128}, {Layout{Size: 64, InPlace: true}, 192}} {
		if got := c.l.BytesEach(); got != c.want {
			t.Errorf("%+v: %d bytes, want %d", c.l, got, c.want)
		}
	}
}
