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
	// Ports says that the client's port counts, too: one client may then have several workers. Only for services whose
	// connections do not depend on others of the same client. Fragments have no port: what comes in fragments has a
	// connection of its own, at the worker of port 0.
	Ports bool
	// Former is how clients were shared out before, if that has changed since the director started: connections stay with
	// the worker that made them, and what cannot open one is asked of that worker, too. Its own Former is nil.
	Former *Steer
}

// Follow is s after prev: it keeps in mind who owns the connections that there are. Virtual and Servers may differ.
func (s Steer) Follow(prev *Steer) Steer {
	s.Former = prev.Former
	if prev.Workers > 1 && (s.Mask4 != prev.Mask4 || s.Mask6 != prev.Mask6 || s.Ports != prev.Ports) {
		former := *prev
		former.Former = nil
		s.Former = &former
	}
	return s
}

// Owner returns the worker for a client's address and port, 0 where it has none.
func (s *Steer) Owner(client *packet.Addr, port uint16) int {
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
	if s.Ports {
		hi ^= uint64(port) << 48
	}
	return s.place(hi, lo)
}

// plain reports whether whole addresses, and nothing else, tell the owner.
func (s *Steer) plain() bool {
	return !s.Ports && s.Mask4 == (packet.Addr{}) && s.Mask6 == (packet.Addr{})
}

// place returns the worker for what counts of a client.
func (s *Steer) place(hi, lo uint64) int {
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

// owner returns the worker that owns the client of a packet by s. Most packets go from clients to servers that answer past
// the director, and whole addresses decide: those are told at once, which with two workers makes a packet 4 ns cheaper (of 58).
func (w *Worker) owner(s *Steer, frame []byte, m *packet.Meta) int {
	if ordinary(m) && w.snap.Steer.Servers.Empty() && s.plain() {
		return s.place(binary.BigEndian.Uint64(m.Src[:8]), binary.BigEndian.Uint64(m.Src[8:]))
	}
	client, port := w.client(frame, m)
	switch {
	case m.Flags&(packet.Fragment|packet.QuotedFragment) != 0:
		port = 0
	case m.Proto == packet.ProtoESP || m.Proto == packet.ProtoAH: // they follow the key exchange, see isakmp
		port = isakmpPort
	}
	return s.Owner(&client, port)
}

// ordinary reports whether m is of a packet of TCP or UDP, and neither a fragment, nor an error, nor one with IPv4 options.
func ordinary(m *packet.Meta) bool {
	return m.Flags == 0 && (m.Proto == packet.ProtoTCP || m.Proto == packet.ProtoUDP)
}

// client returns the client's address and port of a packet.
func (w *Worker) client(frame []byte, m *packet.Meta) (packet.Addr, uint16) {
	s := &w.snap.Steer
	switch {
	case m.Flags&packet.ICMPError == 0:
		if !s.Servers.Empty() && s.Servers.Has(&m.Src) && !s.Virtual.Has(&m.Dst) && !w.snap.mayServe(&m.Dst) { // a reply
			return m.Dst, m.DstPort
		}
	case s.Virtual.Has(&m.Src): // the quoted packet went from a service to its client
		return m.Dst, m.DstPort
	default: // from a client to a server, or in a tunnel from the director
		var inner packet.Meta
		if tun, ok := w.tunnelOf(m); ok && tun.Inner(frame, m, &inner) {
			return inner.Src, inner.SrcPort
		}
		if w.snap.mayServe(&m.Src) && !s.Servers.Has(&m.Dst) { // from a service by mark to its client
			return m.Dst, m.DstPort
		}
	}
	return m.Src, m.SrcPort
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
