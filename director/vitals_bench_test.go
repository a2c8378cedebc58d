package director

import (
	"fmt"
	"net/netip"
	"testing"

	"dirsw/config"
	"dirsw/forward"
)

// BenchmarkVitals has 2 000 real servers fail at once: in one service, and in 500.
func BenchmarkVitals(b *testing.B) {
	for _, services := range []int{1, 500} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			m := crowd(services, 2000/services)
			var well vitals
			well.adopt(m)
			well.judgeAll()
			snap, err := Compile(&Inputs{Model: well.inForce(), Workers: 1}, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				fail(b, well.clone(), snap)
			}
		})
	}
}

// fail puts in force that every real server fails.
func fail(b *testing.B, v vitals, snap *forward.Snapshot) {
	told := 0
	for i := range v.model.Services {
		s := &v.model.Services[i]
		for k := range s.Reals {
			told += len(v.answer(checkKey(s, &s.Reals[k]), false, "test"))
		}
	}
	if want := 2000 + len(v.model.Services); told != want {
		b.Fatalf("%d things are told, want %d", told, want)
	}
	if _, err := Compile(&Inputs{Model: v.inForce(), Workers: 1}, snap); err != nil {
		b.Fatal(err)
	}
}

// crowd is a model of so many services with so many checked real servers each.
func crowd(services, reals int) *config.Model {
	m := &config.Model{}
	for s := range services {
		svc := config.Service{Addr: netip.AddrFrom4([4]byte{198, 51, byte(s >> 8), byte(s)}), Port: 80, Proto: config.TCP, Scheduler: "wlc"}
		for r := range reals {
			svc.Reals = append(svc.Reals, config.Real{Addr: netip.AddrFrom4([4]byte{192, 0, byte(r >> 8), byte(r)}), Port: 80, Weight: 1,
				Checks: []config.Check{{}}})
		}
		m.Services = append(m.Services, svc)
	}
	return m
}
