package vrrp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkReceive is what one advert costs a director with 255 virtual routers on a link.
func BenchmarkReceive(b *testing.B) {
	s := newSim(b, 1)
	n := s.add("a", 1, "eth0")
	var p Plan
	for v := 1; v <= 255; v++ {
		c := simple(100).Instances[0]
		c.Name, c.VRID = fmt.Sprint("V", v), uint8(v)
		p.Instances = append(p.Instances, c)
	}
	n.boot(p)
	adv := Advert{Version: 2, VRID: 200, Priority: 150, Interval: time.Second, Addrs: []netip.Addr{addr("10.0.0.100")}}
	pkt := Packet{Src: addr("10.0.0.9"), Dst: Group4(), TTL: 255, Protocol: ProtocolVRRP, Header: make([]byte, 20)}
	for id := range 255 {
		pkt.IDs = append(pkt.IDs, id)
	}
	for _, c := range []struct {
		name string
		edit func(*Advert)
	}{
		{"accepted", func(*Advert) {}},
		{"unknown", func(a *Advert) { a.VRID = 0 }},
		{"rejected", func(a *Advert) { a.AuthType = 9 }},
	} {
		b.Run(c.name, func(b *testing.B) {
			a := adv
			c.edit(&a)
			pkt.Data = a.Append(nil, Pseudo{Src: pkt.Src, Dst: pkt.Dst})
			b.ReportAllocs()
			for b.Loop() {
				n.r.dispatch(s.clock.Now(), &pkt)
			}
			if c.name != "rejected" && testing.AllocsPerRun(100, func() { n.r.dispatch(s.clock.Now(), &pkt) }) != 0 {
				b.Error("it allocates")
			}
		})
	}
}

// BenchmarkTimers is what it costs to send the adverts of 255 virtual routers whose timers end together.
func BenchmarkTimers(b *testing.B) {
	s := newSim(b, 1)
	n := s.add("a", 1, "eth0")
	var p Plan
	for v := 1; v <= 255; v++ {
		c := simple(150, quiet).Instances[0]
		c.Name, c.VRID = fmt.Sprint("V", v), uint8(v)
		p.Instances = append(p.Instances, c)
	}
	n.boot(p)
	s.runTo(4 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		s.clock.Advance(time.Second)
		n.r.do(s.clock.Now(), n.r.m.Timers(s.clock.Now()))
		n.sent = n.sent[:0]
	}
}
