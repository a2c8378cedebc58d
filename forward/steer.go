package forward

import (
	"encoding/binary"

	"dirsw/packet"
)

// Steer says which worker owns a client. In both directions, for fragments and for ICMP errors the client's address is
// known without a lookup (docs/design/architecture.md, section 5).
type Steer struct {
	Workers int // 0 and 1: the only one owns everything
	// Virtual are the addresses of the services, Servers those of real servers whose replies come by the director: what a
	// packet's direction shows in.
	Virtual, Servers AddrSet
	// Mask4 and Mask6 are the parts of a client's address that count. A persistent service with a coarser mask than an
	// address needs all clients of one template at one worker. The zero value stands for all bits.
	Mask4, Mask6 packet.Addr
}

// Owner returns the worker for a client address.
func (s *Steer) Owner(client *packet.Addr) int {
	if s.Workers <= 1 {
		return 0
	}
	mask := &s.Mask6
	if client.Is4() {
		mask = &s.Mask4
	}
	hi, lo := binary.BigEndian.Uint64(client[:8]), binary.BigEndian.Uint64(client[8:])
	if *mask != (packet.Addr{}) {
		hi &= binary.BigEndian.Uint64(mask[:8])
		lo &= binary.BigEndian.Uint64(mask[8:])
	}
	return int(spread(hi, lo) >> 32 * uint64(s.Workers) >> 32)
}

// spread mixes an address into 64 bits (the finalizer of MurmurHash3, which is in the public domain).
func spread(hi, lo uint64) uint64 {
	h := hi*0x9e3779b97f4a7c15 ^ lo
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// client returns the client's address of a packet.
func (w *Worker) client(frame []byte, m *packet.Meta) packet.Addr {
	s := &w.snap.Steer
	switch {
	case m.Flags&packet.ICMPError == 0:
		if !s.Servers.Empty() && s.Servers.Has(&m.Src) && !s.Virtual.Has(&m.Dst) && !w.snap.mayServe(&m.Dst) { // a reply
			return m.Dst
		}
	case s.Virtual.Has(&m.Src): // the quoted packet went from a service to its client
		return m.Dst
	default: // from a client to a server, or in a tunnel from the director
		var inner packet.Meta
		if tun, ok := w.tunnelOf(m); ok && tun.Inner(frame, m, &inner) {
			return inner.Src
		}
		if w.snap.mayServe(&m.Src) && !s.Servers.Has(&m.Dst) { // from a service by mark to its client
			return m.Dst
		}
	}
	return m.Src
}

// AddrSet is a set of addresses that is asked at packet rate. The zero value is empty.
type AddrSet struct {
	slots []packet.Addr // open addressing; the zero address is a free slot. Length: a power of two, or 0
}

// NewAddrSet makes a set. The unspecified address is not kept.
func NewAddrSet(list []packet.Addr) AddrSet {
	if len(list) == 0 {
		return AddrSet{}
	}
	n := 4
	for n < 2*len(list) {
		n *= 2
	}
	s := AddrSet{make([]packet.Addr, n)}
	for i := range list {
		if a := &list[i]; *a != (packet.Addr{}) && !s.Has(a) {
			*s.slot(a) = *a
		}
	}
	return s
}

// slot returns where a is, or the free slot where it belongs.
func (s *AddrSet) slot(a *packet.Addr) *packet.Addr {
	mask := uint64(len(s.slots) - 1)
	for i := spread(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])); ; i++ {
		if p := &s.slots[i&mask]; *p == *a || *p == (packet.Addr{}) {
			return p
		}
	}
}

// Has reports whether a is in the set.
func (s *AddrSet) Has(a *packet.Addr) bool { return len(s.slots) > 0 && *s.slot(a) == *a }

// Empty reports whether nothing is in the set.
func (s *AddrSet) Empty() bool { return len(s.slots) == 0 }
