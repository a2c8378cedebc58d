package keepalived

import (
	"math"
	"time"

	"dirsw/config"
)

// arbiter reads a vrrp_arbiter, dirsw's own.
func (p *parser) arbiter(outer *block, s *statement) {
	a := config.Arbiter{Pos: s.pos(), Interval: time.Second, Rise: 1, Fall: 3}
	p.setText(outer, s, &a.Name)
	b := s.block
	p.each(b, func(s *statement) {
		switch s.name() {
		case "address":
			if args, ok := p.args(b, s, 1, math.MaxInt); ok {
				for _, w := range args {
					if addr, ok := p.address(w); ok {
						a.Addresses = append(a.Addresses, addr)
					}
				}
			}
		case "quorum":
			p.setInt(b, s, 1, math.MaxUint16, &a.Quorum)
		case "interval":
			p.setTime(b, s, 10*time.Millisecond, longest, &a.Interval)
		case "timeout":
			p.setTime(b, s, 10*time.Millisecond, longest, &a.Timeout)
		case "rise":
			p.setInt(b, s, 1, math.MaxUint16, &a.Rise)
		case "fall":
			p.setInt(b, s, 1, math.MaxUint16, &a.Fall)
		case "weight":
			p.setWeight(b, s, 253, &a.Weight, &a.Reverse)
		}
	})
	if a.Quorum == 0 {
		a.Quorum = len(a.Addresses)/2 + 1
	}
	if a.Timeout == 0 {
		a.Timeout = min(a.Interval, time.Second)
	}
	p.model.VRRP.Arbiters = append(p.model.VRRP.Arbiters, a)
}
