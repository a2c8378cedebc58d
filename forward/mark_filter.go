package forward

import (
	"encoding/binary"

	"dirsw/packet"
)

const (
	markPorts = 64   // ports of a rule that the packet filter looks for one by one
	markSteps = 4096 // rules that are looked at for the packet filter; beyond, it takes everything
)

// marks adds what the packet filter must take so that services by firewall mark get their packets: what a rule that gives
// a mark can hold for, as far as destination, protocol and destination port say. The rest is given back.
func (b *filterBuilder) marks() {
	if b.snap.Marks == nil {
		return
	}
	served := [2]bool{}
	for k := range b.snap.Lookup {
		if k.ByMark() && k.Addr.Is4() {
			served[0] = true
		} else if k.ByMark() {
			served[1] = true
		}
	}
	for i, p := range []*MarkProgram{&b.snap.Marks.IPv4, &b.snap.Marks.IPv6} {
		if !served[i] {
			continue
		}
		c := markClaims{b: b, p: p, ipv6: i == 1, steps: markSteps}
		for _, span := range []MarkSpan{p.Prerouting, p.Input} {
			if !c.chain(span, markClaim{}, 0) {
				c.claim(markClaim{})
				break
			}
		}
	}
}

// markClaim is what the rules on the way to one that gives a mark ask for.
type markClaim struct {
	dst   []MarkAddr // all of them
	proto uint8      // 0: any
	ports []MarkRange
}

// markClaims looks for the rules of a family that give marks.
type markClaims struct {
	b     *filterBuilder
	p     *MarkProgram
	ipv6  bool
	steps int // that may still be taken
}

// chain claims what the rules of a chain give marks to; false if that takes too long to find out.
func (c *markClaims) chain(at MarkSpan, way markClaim, depth int) bool {
	for i := at.From; i < at.To; i++ {
		if c.steps--; c.steps < 0 || depth > markDepth {
			return false
		}
		r := &c.p.Rules[i]
		if r.Target != MarkSet && r.Target != MarkJump && r.Target != MarkGoto {
			continue
		}
		next, ok := way.narrow(r)
		switch {
		case !ok:
		case r.Target == MarkSet:
			c.claim(next)
		case !c.chain(r.Chain, next, depth+1):
			return false
		}
	}
	return true
}

// narrow adds what a rule asks for; false if nothing is left.
func (w markClaim) narrow(r *MarkRule) (markClaim, bool) {
	if !r.Dst.Not && r.Dst.Mask != [2]uint64{} {
		w.dst = append(w.dst[:len(w.dst):len(w.dst)], r.Dst)
	}
	if r.Proto != 0 && !r.NotProto {
		if w.proto != 0 && w.proto != r.Proto {
			return w, false
		}
		w.proto = r.Proto
	}
	for i := range r.Conds {
		if k := &r.Conds[i]; k.Kind == MarkDest && !k.Not && (w.ports == nil || countPorts(k.Ranges) < countPorts(w.ports)) {
			w.ports = k.Ranges
		} else if k.Kind == MarkNever && !k.Not {
			return w, false
		}
	}
	return w, true
}

func countPorts(list []MarkRange) (n int) {
	for _, r := range list {
		n += int(r.High-r.Low) + 1
	}
	return n
}

// claim adds the keys of a claim: for each local address and network.
func (c *markClaims) claim(w markClaim) {
	if c.b.snap.Marks.Everywhere {
		c.network(packet.Addr{}, 128, w)
		return
	}
	for _, a := range c.b.snap.Local {
		c.network(a, 0, w)
	}
	for _, n := range c.b.snap.Marks.Nets {
		c.network(n.Addr, n.Free, w)
	}
}

// network adds the keys of a claim on a network, or on the part of it that the claim is for.
func (c *markClaims) network(a packet.Addr, free uint8, w markClaim) {
	if free == 128 && !c.ipv6 {
		a[10], a[11], free = 0xff, 0xff, 32
	}
	if a.Is4() == c.ipv6 {
		return
	}
	for _, d := range w.dst {
		var addr, mask packet.Addr
		for i := range 2 {
			binary.BigEndian.PutUint64(addr[8*i:], d.Addr[i])
			binary.BigEndian.PutUint64(mask[8*i:], d.Mask[i])
		}
		if bits, whole := prefixBits(&mask); whole && uint8(128-bits) < free {
			k := FilterKey{Addr: a, Free: free}
			if !k.covers(&addr) {
				return
			}
			a, free = addr, uint8(128-bits)
		} else if !sameBits(&a, &addr, &mask, free) {
			return
		}
	}
	c.keys(FilterKey{Kind: ToService, Addr: a, Free: free}, w)
}

// prefixBits returns the length of a mask; false if it has holes.
func prefixBits(mask *packet.Addr) (n int, whole bool) {
	for n < 128 && mask[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	for i := n; i < 128; i++ {
		if mask[i/8]&(0x80>>(i%8)) != 0 {
			return n, false
		}
	}
	return n, true
}

// sameBits reports whether a network can have an address that agrees with addr in the bits of mask.
func sameBits(a, addr, mask *packet.Addr, free uint8) bool {
	for i := range 128 - int(free) {
		if bit := byte(0x80 >> (i % 8)); mask[i/8]&bit != 0 && (a[i/8]^addr[i/8])&bit != 0 {
			return false
		}
	}
	return true
}

// keys adds a key for each protocol and port.
func (c *markClaims) keys(k FilterKey, w markClaim) {
	protos := withPorts[:]
	if w.proto != 0 {
		protos = []uint8{w.proto}
	}
	ports := w.ports
	if n := countPorts(ports); n == 0 || n > markPorts {
		ports = []MarkRange{{}}
	}
	for _, k.Proto = range protos {
		if k.Proto != packet.ProtoTCP && k.Proto != packet.ProtoUDP && k.Proto != packet.ProtoSCTP {
			continue // IPVS schedules nothing else
		}
		for _, r := range ports {
			for port := int(r.Low); port <= int(r.High); port++ {
				k.Port = uint16(port)
				c.b.service(k)
			}
		}
	}
}
