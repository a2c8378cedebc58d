package sched

import (
	"math/bits"

	"dirsw/packet"
)

func init() { register(Kind{"mh", func(f Flags) Scheduler { return &mh{flags: f} }}) }

// The table of mh: mhSlots is the kernel's prime for CONFIG_IP_VS_MH_TAB_INDEX=12, its default; a destination takes
// fewer than 1<<mhTurnBits slots in a row. The keys are the kernel's as well, so that directors agree.
const (
	mhSlots    = 4093
	mhTurnBits = 6
	mhKey1     = 2654435761
	mhKey2     = 2654446892
)

// mh picks by a hash of the client's address, and when a server comes or goes only few clients move (Maglev hashing;
// Linux net/netfilter/ipvs/ip_vs_mh.c; Eisenbud and others, "Maglev", NSDI 2016, section 3.4). Each destination has an
// order of its own, made from its address and port, in which it wants the 4093 slots of a table; in turns they take
// the next slot of their order that is free, as many at a time as their weight says. Weights are divided by their greatest
// common divisor, and halved until the heaviest takes fewer than 64. Directors with the same servers, weights and order
// of adding have the same table.
//
// The flag mh-port (flag-2) hashes the client's port as well. A client whose destination has weight 0 or is over its
// threshold is refused, unless the flag mh-fallback (flag-1) lets it try further slots. A server whose weight is edited
// to 0 keeps the slots of the weight it had, so that its clients come back to it; a server added with weight 0 has none.
//
// Choose it for persistence without a memory of clients, and to let a second director take over without a table of
// connections. sh is for when its choices must be kept: it moves nearly all clients with each change.
//
// An IPv6 server of an IPv4 service counts by the first 32 bits of its address only, as in the kernel.
type mh struct {
	flags Flags
	table []int32 // index in the pool; empty if nobody has a slot
}

// Update makes the table anew. It depends on the pool alone.
func (s *mh) Update(p *Pool, _ bool) {
	var g, heaviest int32
	for i := range p.Dests {
		if w := p.Dests[i].slots(); w > 0 {
			g, heaviest = gcd(w, g), max(heaviest, w)
		}
	}
	if s.table = s.table[:0]; g == 0 {
		return
	}
	shift := max(bits.Len32(uint32(heaviest/g))-mhTurnBits, 0)
	wishes := make([]wish, 0, len(p.Dests))
	for i := range p.Dests {
		if d := &p.Dests[i]; d.slots() > 0 {
			key := p.fold(&d.Addr) + uint32(d.Port)
			wishes = append(wishes, wish{dest: int32(i), slot: hsip(key, mhKey1) % mhSlots,
				skip: hsip(key, mhKey2)%(mhSlots-1) + 1, turns: max(d.slots()/g>>shift, 1)})
		}
	}
	s.fill(wishes)
}

// wish is the order in which a destination wants the slots: from slot on in steps of skip.
type wish struct {
	dest, turns int32
	slot, skip  uint32
}

func (s *mh) fill(wishes []wish) {
	if cap(s.table) == 0 {
		s.table = make([]int32, mhSlots)
	}
	s.table = s.table[:mhSlots]
	for i := range s.table {
		s.table[i] = None
	}
	for taken := 0; ; {
		for i := range wishes {
			w := &wishes[i]
			for range w.turns {
				for s.table[w.slot] != None {
					w.slot = (w.slot + w.skip) % mhSlots
				}
				s.table[w.slot] = w.dest
				if taken++; taken == mhSlots {
					return
				}
			}
		}
	}
}

func (s *mh) Pick(p *Pool, f *Flow) int {
	if len(s.table) == 0 {
		return None
	}
	key := fold(&f.Src)
	if s.flags&Flag2 != 0 {
		key += uint32(f.SrcPort)
	}
	first := hsip(key, mhKey1) % mhSlots
	if i := int(s.table[first]); p.Usable(i) {
		return i
	}
	if s.flags&Flag1 == 0 {
		return None
	}
	for n := range uint32(mhSlots) {
		if i := int(s.table[hsip(key+(first+n)%mhSlots, mhKey1)%mhSlots]); p.Usable(i) {
			return i
		}
	}
	return None
}

// slots is the weight by which d has slots (kernel: last_weight of struct ip_vs_dest).
func (d *Dest) slots() int32 {
	if d.Weight != 0 {
		return d.Weight
	}
	return d.Last
}

// fold is a server's address as one number, which the kernel reads by the family of the service.
func (p *Pool) fold(a *packet.Addr) uint32 {
	if p.Family == packet.IPv4Family && !a.Is4() {
		return uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	}
	return fold(a)
}
