package keepalived

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
)

// longestBFD is the longest interval that 32 bits of microseconds can say (RFC 5880, 4.1), in whole milliseconds.
const longestBFD = 4294967 * time.Millisecond

// bfd reads a bfd_instance.
func (p *parser) bfd(outer *block, s *statement) {
	f := config.BFD{Pos: s.pos(), MinRx: 10 * time.Millisecond, MinTx: 10 * time.Millisecond, IdleTx: time.Second, Multiplier: 5}
	p.setText(outer, s, &f.Name)
	b := s.block
	ttl, hops, vrrp, checker := 0, 0, false, false
	p.each(b, func(s *statement) {
		switch s.name() {
		case "neighbor_ip", "neighbour_ip":
			p.setZoned(b, s, &f.Neighbor)
		case "source_ip":
			p.setZoned(b, s, &f.Source)
		case "min_rx":
			p.milliseconds(b, s, time.Millisecond, &f.MinRx)
		case "min_tx":
			p.milliseconds(b, s, time.Millisecond, &f.MinTx)
		case "idle_tx":
			p.milliseconds(b, s, time.Second, &f.IdleTx)
		case "multiplier":
			p.setInt(b, s, 1, 255, &f.Multiplier)
		case "passive":
			p.setFlag(b, s, &f.Passive)
		case "ttl":
			p.setInt(b, s, 1, 255, &ttl)
		case "hoplimit":
			p.setInt(b, s, 1, 255, &hops)
		case "max_hops":
			p.setInt(b, s, 0, 255, &f.MaxHops)
		case "multihop":
			p.setBool(b, s, &f.Multihop)
		case "weight":
			p.setWeight(b, s, 253, &f.Weight, &f.Reverse)
		case "vrrp":
			p.setFlag(b, s, &vrrp)
		case "checker":
			p.setFlag(b, s, &checker)
		}
	})
	f.TTL = or(ttl, 255)
	if f.Neighbor.Is6() {
		f.TTL = or(hops, 64)
	}
	f.NoVRRP, f.NoChecker = checker && !vrrp, vrrp && !checker
	p.model.VRRP.BFDs = append(p.model.VRRP.BFDs, f)
}

// setZoned stores the single value of a statement, an address; a link-local one may have its interface, fe80::2%eth1.
func (p *parser) setZoned(b *block, s *statement, to *netip.Addr) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return
	}
	if a, err := netip.ParseAddr(args[0].text); err == nil && a.Zone() != "" && a.IsLinkLocalUnicast() && len(a.Zone()) <= maxLink {
		*to = a
	} else if a, ok := p.address(args[0]); ok {
		*to = a
	}
}

// milliseconds stores a number of them, with up to three decimals.
func (p *parser) milliseconds(b *block, s *statement, least time.Duration, to *time.Duration) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return
	}
	w := args[0]
	whole, fraction, point := strings.Cut(w.text, ".")
	n, err := strconv.ParseUint(whole, 10, 32)
	micros := uint64(0)
	if err == nil && point {
		fraction = fraction[:min(len(fraction), 3)]
		micros, err = strconv.ParseUint(fraction+strings.Repeat("0", 3-len(fraction)), 10, 32)
	}
	d := time.Duration(n)*time.Millisecond + time.Duration(micros)*time.Microsecond
	switch {
	case err != nil:
		p.fail(w.pos, "write milliseconds in digits", "invalid number %s", show(w.text))
	case d < least || d > longestBFD:
		p.fail(w.pos, "write "+inMilliseconds(least)+" to "+inMilliseconds(longestBFD)+" milliseconds", "%s milliseconds is out of range", show(w.text))
	default:
		*to = d
	}
}

// inMilliseconds writes a time as a bfd_instance has it.
func inMilliseconds(d time.Duration) string { return inSeconds(d * 1000) }
