package director

import (
	"net/netip"
	"testing"

	"dirsw/config"
	"dirsw/forward"
)

// BenchmarkEdit changes one weight among ten thousand real servers.
func BenchmarkEdit(b *testing.B) {
	m := &config.Model{}
	for s := range 100 {
		svc := config.Service{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(s)}), Port: 80, Proto: config.TCP, Scheduler: "wlc"}
		for r := range 100 {
			svc.Reals = append(svc.Reals, config.Real{Addr: netip.AddrFrom4([4]byte{198, 51, byte(s), byte(r)}), Port: 80, Weight: 1})
		}
		m.Services = append(m.Services, svc)
	}
	var snap *forward.Snapshot
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		next := m.Clone()
		next.Services[i%100].Reals[i%100].Weight = i
		config.Diff(m, next)
		s, err := Compile(&Inputs{Model: next, Before: m, Workers: 1}, snap)
		if err != nil {
			b.Fatal(err)
		}
		m, snap = next, s
	}
	b.ReportMetric(float64(len(snap.Dests)), "servers")
}
