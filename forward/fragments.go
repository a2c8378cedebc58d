package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// fragmentSlots bounds the memory for datagrams in flight: a later datagram in the same slot takes it over.
const fragmentSlots = 1024

// fragmentLife is how long later fragments may follow their first one (net.ipv4.ipfrag_time).
const fragmentLife = 30 * time.Second

// fragments remembers where the first fragment of a datagram went, so that the later ones, which carry no ports, follow.
type fragments struct {
	slots [fragmentSlots]fragment
}

type fragment struct {
	src, dst packet.Addr
	id       uint32
	proto    uint8
	dest     conntrack.DestID
	until    clock.Mono // 0: free
}

func (f *fragments) slot(m *packet.Meta) *fragment {
	h := m.FragID*2654435761 ^ uint32(m.Src[15])<<8 ^ uint32(m.Src[14])<<16 ^ uint32(m.Src[13])
	h ^= h >> 16
	return &f.slots[h%fragmentSlots]
}

// note remembers that the datagram of m goes to dest.
func (f *fragments) note(m *packet.Meta, dest conntrack.DestID, now clock.Mono) {
	*f.slot(m) = fragment{m.Src, m.Dst, m.FragID, m.Proto, dest, now.Add(fragmentLife)}
}

// find returns where the datagram of m goes.
func (f *fragments) find(m *packet.Meta, now clock.Mono) (conntrack.DestID, bool) {
	s := f.slot(m)
	ok := s.until > now && s.id == m.FragID && s.proto == m.Proto && s.src == m.Src && s.dst == m.Dst
	return s.dest, ok
}
