package forward

import (
	"bytes"
	"cmp"
	"slices"

	"dirsw/packet"
)

// Filter is what the packet filter takes from the interfaces; all else goes to the director's own network stack. It may
// take more than the worker wants (see Snapshot.Kernel), never less.
type Filter struct {
	Keys []FilterKey // in order, each once
	// Own are the addresses of the director. What real servers send to them is for the director's own network stack:
	// answers to health checks, ssh. Errors about tunnels must be sent to one of them.
	Own []packet.Addr
	// Shut are addresses of the director to which its own network stack gets nothing but neighbour discovery: what no key
	// takes is dropped.
	Shut []packet.Addr
}

// FilterKey is one kind of packets that the packet filter takes.
type FilterKey struct {
	Kind FilterKind
	// Free is how many bits at the end of Addr stand for any: 0 for one address, 32 for all of IPv4, 128 for all of IPv6.
	// Only ToService may have other values than 0.
	Free  uint8
	Proto uint8 // IP protocol: TCP, UDP, SCTP, ESP or AH; with Tunnelled IPIP, IPv6, GRE or UDP
	Port  uint16
	Addr  packet.Addr
}

// FilterKind says which packets a FilterKey stands for. Port 0 stands for all ports, and for what has none.
type FilterKind uint8

const (
	// ToService: packets to Addr and Port, fragments to Addr, and ICMP errors to who has sent the packet that they
	// quote, if that came from Addr and Port.
	ToService FilterKind = iota
	// FromServer: packets from Addr and Port, fragments from Addr, and ICMP errors to who has sent the packet that
	// they quote, if that went to Addr and Port; none of these if they are to one of Filter.Own.
	FromServer
	// Tunnelled: ICMP errors to one of Filter.Own that quote a packet from there to Addr, with the protocol of a tunnel. With
	// UDP, Port is the destination port.
	Tunnelled
)

func (k FilterKind) String() string {
	switch k {
	case ToService:
		return "to"
	case FromServer:
		return "from"
	case Tunnelled:
		return "tunnelled"
	}
	return "invalid"
}

const (
	isakmpPort = 500 // whose connections ESP and AH follow (kernel: ip_vs_proto_ah_esp.c)
	ftpPort    = 21  // whose NAT connections announce others (kernel: ip_vs_ftp.c)
)

// withPorts are the protocols that a service without one of its own has: one by firewall mark.
var withPorts = [...]uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP}

// Filter lists what the packet filter must take for the snapshot.
func (s *Snapshot) Filter() Filter {
	b := filterBuilder{snap: s, keys: map[FilterKey]bool{}, served: map[bool]bool{}}
	for k, id := range s.Lookup {
		b.served[k.Addr.Is4()] = true
		if k.ByMark() {
			continue
		}
		b.service(FilterKey{Kind: ToService, Proto: k.Proto, Port: k.Port, Addr: k.Addr})
		if k.Proto == packet.ProtoTCP && k.Port == ftpPort && s.Services[id].Persistence > 0 && s.Kernel.OK {
			b.service(FilterKey{Kind: ToService, Proto: k.Proto, Addr: k.Addr}) // data connections, see Snapshot.service
		}
	}
	for i := range s.Dests {
		b.server(&s.Dests[i])
	}
	b.marks()
	f := Filter{Own: slices.Clone(s.Local), Shut: slices.Clone(s.Shut)}
	for k := range b.keys {
		f.Keys = append(f.Keys, k)
	}
	slices.SortFunc(f.Keys, FilterKey.compare)
	return f
}

// Common returns what both f and o take: what is in force while a change is on its way.
func (f Filter) Common(o Filter) Filter {
	c := Filter{Own: slices.Concat(f.Own, o.Own)}
	slices.SortFunc(c.Own, func(a, b packet.Addr) int { return bytes.Compare(a[:], b[:]) })
	c.Own = slices.Compact(c.Own)
	for _, a := range f.Shut {
		if slices.Contains(o.Shut, a) {
			c.Shut = append(c.Shut, a)
		}
	}
	for _, k := range f.Keys {
		if _, ok := slices.BinarySearchFunc(o.Keys, k, FilterKey.compare); ok {
			c.Keys = append(c.Keys, k)
		}
	}
	return c
}

func (k FilterKey) compare(o FilterKey) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), bytes.Compare(k.Addr[:], o.Addr[:]), cmp.Compare(k.Free, o.Free),
		cmp.Compare(k.Proto, o.Proto), cmp.Compare(k.Port, o.Port))
}

// filterBuilder collects the keys of a snapshot.
type filterBuilder struct {
	snap *Snapshot
	keys map[FilterKey]bool
	// served says for IPv6 and IPv4 whether there is any service. Without, IPVS looks at nothing (its hooks are gone), not
	// even at what belongs to connections that it has.
	served map[bool]bool
}

// service adds the key of a service, and of what follows its connections.
func (b *filterBuilder) service(k FilterKey) {
	b.keys[k] = true
	if k.Proto == packet.ProtoUDP && (k.Port == 0 || k.Port == isakmpPort) {
		k.Port = 0
		for _, k.Proto = range [...]uint8{packet.ProtoESP, packet.ProtoAH} {
			b.keys[k] = true
		}
	}
}

// server adds what comes back because of a real server. One that was removed still gets its replies translated.
func (b *filterBuilder) server(d *Dest) {
	if d.Service == NoService || d.Gone && (d.Load == nil || d.Load.Idle()) {
		return
	}
	svc := &b.snap.Services[d.Service]
	if !b.served[svc.Key.Addr.Is4()] {
		return
	}
	if svc.Gone && !svc.Key.ByMark() && b.snap.Kernel.OK { // its connections wait for it, new ones are the kernel's
		b.service(FilterKey{Kind: ToService, Proto: svc.Key.Proto, Port: svc.Key.Port, Addr: svc.Key.Addr})
	}
	if d.Hop.Local { // what the director itself answers comes by the port to its own stack
		return
	}
	if d.Method == NAT || d.WasNAT {
		b.replies(svc, d)
	}
	if d.Method == TUN {
		b.tunnelled(svc, d)
	}
}

// tunnelled adds the errors about the tunnel to a real server.
func (b *filterBuilder) tunnelled(svc *Service, d *Dest) {
	k := FilterKey{Kind: Tunnelled, Proto: packet.ProtoIPIP, Addr: d.Addr}
	switch {
	case d.Tunnel.Type == packet.GUE:
		k.Proto, k.Port = packet.ProtoUDP, d.Tunnel.Port
	case d.Tunnel.Type == packet.GRE:
		k.Proto = packet.ProtoGRE
	case !svc.Key.Addr.Is4():
		k.Proto = packet.ProtoIPv6
	}
	b.keys[k] = true
}

func (b *filterBuilder) replies(svc *Service, d *Dest) {
	k := FilterKey{Kind: FromServer, Port: d.Port, Addr: d.Addr}
	if svc.Persistence > 0 && svc.Key.Port == 0 {
		k.Port = 0 // see realPort
	}
	protos := []uint8{svc.Key.Proto}
	if svc.Key.ByMark() {
		protos = withPorts[:]
	}
	for _, k.Proto = range protos {
		b.service(k)
		if k.Proto == packet.ProtoTCP && svc.Key.Port == ftpPort && b.snap.Kernel.OK {
			b.keys[FilterKey{Kind: FromServer, Proto: k.Proto, Addr: d.Addr}] = true
			b.keys[FilterKey{Kind: ToService, Proto: k.Proto, Addr: svc.Key.Addr}] = true
		}
	}
}

// Takes reports whether the packet filter takes a packet for this snapshot: for captures, where nobody has filtered.
func (s *Snapshot) Takes(frame []byte, m *packet.Meta) bool {
	f := s.Filter()
	return f.Takes(frame, m)
}

// Takes reports whether the packet filter takes a packet: the twin of the program in package xsk. It is not made for the
// packet path.
func (f *Filter) Takes(frame []byte, m *packet.Meta) bool {
	t, part := m.Tuple, m.Flags&packet.Fragment != 0
	if m.Flags&packet.ICMPError == 0 {
		return filtered(t.Proto) && (f.has(ToService, &t.Dst, t.Proto, t.DstPort, part) ||
			f.has(FromServer, &t.Src, t.Proto, t.SrcPort, part) && !slices.Contains(f.Own, t.Dst))
	}
	to := packet.IPv6(frame[m.L3:]).Dst
	if m.Family == packet.IPv4Family {
		to = packet.IPv4(frame[m.L3:]).Dst
	}
	if to() != t.Src { // it must go to who sent the quoted packet
		return false
	}
	later, own := m.Flags&packet.QuotedFragment != 0, slices.Contains(f.Own, t.Src)
	return filtered(t.Proto) && (f.has(ToService, &t.Src, t.Proto, t.SrcPort, later) ||
		f.has(FromServer, &t.Dst, t.Proto, t.DstPort, later) && !own) ||
		f.has(Tunnelled, &t.Dst, t.Proto, t.DstPort, false) && !later && own
}

// filtered reports whether there are services of a protocol.
func filtered(proto uint8) bool {
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, packet.ProtoESP, packet.ProtoAH:
		return true
	}
	return false
}

// has reports whether there is a key for an endpoint; part: for a fragment of it without its port.
func (f *Filter) has(kind FilterKind, a *packet.Addr, proto uint8, port uint16, part bool) bool {
	return slices.ContainsFunc(f.Keys, func(k FilterKey) bool {
		return k.Kind == kind && k.Proto == proto && (part || k.Port == port || k.Port == 0) && k.covers(a)
	})
}

// covers reports whether an address is the key's, as far as its bits are not free.
func (k *FilterKey) covers(a *packet.Addr) bool {
	if k.Free == 0 {
		return k.Addr == *a
	}
	if k.Addr.Is4() != a.Is4() {
		return false
	}
	n := 128 - int(k.Free)
	if !bytes.Equal(k.Addr[:n/8], a[:n/8]) {
		return false
	}
	return n%8 == 0 || (k.Addr[n/8]^a[n/8])>>(8-n%8) == 0
}
