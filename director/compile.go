package director

import (
	"net/netip"
	"slices"
	"time"

	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// Inputs is what a snapshot is made from.
type Inputs struct {
	Model   *config.Model
	Before  *config.Model              // what prev was made from, to tell what commands deleted and made again; may be nil
	Hops    map[netip.Addr]forward.Hop // of each real server whose next hop is known, or why it is not
	Kernel  forward.Hop                // see forward.Snapshot
	Own     [][2]packet.Addr           // likewise
	Local   []packet.Addr              // likewise; empty: not known
	Nets    []forward.LocalNet         // see forward.Marks
	Names   []string                   // of the interfaces, by port of the lanes
	Workers int
	Sync    forward.Sync
	// Wanted is Model with those servers that do not answer now, if other directors may tell of their connections; nil: they
	// may not.
	Wanted *config.Model
}

// Compile makes the snapshot that follows prev (nil for the first). Services and real servers that prev knew keep their
// slots, counters and connections, those that are gone too, so that they can come back; a slot is given to somebody else
// only when nothing refers to it. All workers must have adopted prev.
//
// Lists of servers are kept in the kernel's order: a server that is new goes to the head (ip_vs_ctl.c). What was deleted
// and made again since prev is new, though its connections stay.
//
// The error is a config.Errors with everything that is not served.
func Compile(in *Inputs, prev *forward.Snapshot) (*forward.Snapshot, error) {
	if err := Unserved(in.Model); err != nil {
		return nil, err
	}
	if prev == nil {
		prev = &forward.Snapshot{}
	}
	c := &compiler{in: in, prev: prev, services: map[forward.ServiceKey]forward.ServiceID{}, dests: map[destKey]uint32{}}
	c.s = &forward.Snapshot{
		Gen:      prev.Gen + 1,
		Services: slices.Clone(prev.Services),
		Dests:    slices.Clone(prev.Dests),
		Lookup:   make(map[forward.ServiceKey]forward.ServiceID, len(in.Model.Services)),
		Timeouts: conntrack.Timeouts(in.Model.Globals.Timeouts.OrDefault()),
		Settings: settings(&in.Model.Dataplane, in.Workers),
		Kernel:   in.Kernel,
		Own:      in.Own,
		Local:    in.Local,
		Marks:    marks(in),
		Sync:     in.Sync,
		Shut:     shut(in),
	}
	for i := range c.s.Services {
		c.s.Services[i].Gone = true
		c.services[c.s.Services[i].Key] = forward.ServiceID(i)
	}
	for i := range c.s.Dests {
		d := &c.s.Dests[i]
		if d.Gone && d.Load.Idle() {
			c.free = append(c.free, uint32(i))
		}
		d.Gone, d.Awaited = true, false
		c.dests[destKey{d.Service, d.Addr, d.Port}] = uint32(i)
	}
	if in.Before != nil {
		c.before = make(map[config.ServiceKey]*config.Service, len(in.Before.Services))
		for i := range in.Before.Services {
			c.before[in.Before.Services[i].Key()] = &in.Before.Services[i]
		}
	}
	for i := range in.Model.Services {
		c.service(&in.Model.Services[i])
	}
	c.s.Steer = steer(c.s, in.Workers, in.Model.Dataplane.Steer == config.SteerFlow).Follow(&prev.Steer)
	return c.s, nil
}

// shut are the virtual addresses that this host has now and does not accept packets for (no_accept).
func shut(in *Inputs) (out []packet.Addr) {
	accepted := map[packet.Addr]bool{}
	for i := range in.Model.Instances {
		v := &in.Model.Instances[i]
		for k := range v.Addresses {
			addr := packet.AddrFrom(v.Addresses[k].Prefix.Addr())
			accepted[addr] = accepted[addr] || v.Accept || v.Priority == 255
		}
	}
	for _, a := range in.Local {
		if accept, virtual := accepted[a]; virtual && !accept {
			out = append(out, a)
		}
	}
	return out
}

type compiler struct {
	in       *Inputs
	prev, s  *forward.Snapshot
	services map[forward.ServiceKey]forward.ServiceID
	dests    map[destKey]uint32
	free     []uint32 // slots of destinations that were gone before and that nobody refers to
	before   map[config.ServiceKey]*config.Service
}

// methods are the forwarding methods by their names in a configuration.
var methods = [...]forward.Method{config.DR: forward.DR, config.TUN: forward.TUN, config.NAT: forward.NAT}

// tunnels are the encapsulations, likewise.
var tunnels = [...]packet.TunnelType{config.IPIP: packet.IPIP, config.GUE: packet.GUE, config.GRE: packet.GRE}

type destKey struct {
	service forward.ServiceID
	addr    packet.Addr
	port    uint16
}

func keyOf(m *config.Service) forward.ServiceKey {
	if m.Mark != 0 {
		family := packet.IPv4Family
		if m.IPv6 {
			family = packet.IPv6Family
		}
		return forward.MarkKey(m.Mark, family)
	}
	return forward.ServiceKey{Addr: packet.AddrFrom(m.Addr), Port: m.Port, Proto: uint8(m.Proto)}
}

// family is that of a service's clients.
func family(k forward.ServiceKey) uint8 {
	if k.Addr.Is4() {
		return packet.IPv4Family
	}
	return packet.IPv6Family
}

func (c *compiler) service(m *config.Service) {
	key := keyOf(m)
	before := c.before[m.Key()]
	if before != nil && before.Birth != m.Birth {
		before = nil
		if id, ok := c.services[key]; ok {
			c.s.Services[id] = forward.Service{}
		}
	}
	id := c.serviceSlot(key)
	svc := &c.s.Services[id]
	kind, ok := sched.Lookup(m.Scheduler)
	if !ok {
		panic("director: a model that was not validated: scheduler " + m.Scheduler)
	}
	flags := schedFlags(m.SchedFlags)
	if svc.Gone = false; svc.Tally == nil {
		*svc = forward.Service{Key: key, Kind: kind, Flags: flags, SchedGen: c.s.Gen, PoolGen: c.s.Gen,
			Pool: &sched.Pool{Cursor: new(sched.Cursor), Family: family(key)}, Tally: forward.NewTally(c.in.Workers)}
	} else if svc.Kind.Name != kind.Name || svc.Flags != flags {
		svc.Kind, svc.Flags, svc.SchedGen, svc.PoolGen, svc.Taken = kind, flags, c.s.Gen, c.s.Gen, true
		svc.Pool = &sched.Pool{Cursor: new(sched.Cursor), Dests: svc.Pool.Dests, Family: family(key)}
	}
	c.bypass(svc, id, m)
	svc.Persistence, svc.Mask, svc.OnePacket = m.Persistence, mask(m), m.OnePacket
	svc.Engine = forward.NoEngine
	if m.Engine == forward.SIP.String() {
		svc.Engine = forward.SIP
	}
	c.s.Lookup[key] = id
	c.pool(svc, id, m, before)
}

// serviceSlot finds the slot of a service. One that had gone and comes back starts anew, as after ipvsadm -D and -A, but
// in its old slot, so that its servers find their connections.
func (c *compiler) serviceSlot(key forward.ServiceKey) forward.ServiceID {
	id, ok := c.services[key]
	if !ok {
		id = forward.ServiceID(len(c.s.Services))
		c.s.Services = append(c.s.Services, forward.Service{})
	} else if int(id) < len(c.prev.Services) && c.prev.Services[id].Gone {
		c.s.Services[id] = forward.Service{}
	}
	return id
}

// pool brings the list of servers up to the model and notes whether it changed. Before is the service as it was, nil if
// that is not known or another one.
func (c *compiler) pool(svc *forward.Service, id forward.ServiceID, m, before *config.Service) {
	var kept, added []sched.Dest
	reals := m.Reals
	slot := make(map[netip.AddrPort]uint32, len(reals))
	for i := range reals {
		r := &reals[i]
		slot[netip.AddrPortFrom(r.Addr, r.Port)] = c.dest(id, m, r)
	}
	byID := make(map[uint32]*config.Real, len(reals))
	for i := range reals {
		byID[slot[netip.AddrPortFrom(reals[i].Addr, reals[i].Port)]] = &reals[i]
	}
	for _, d := range svc.Pool.Dests {
		if r, ok := byID[d.ID]; ok && !reborn(before, r) {
			kept = append(kept, c.poolDest(d.ID, r).After(&d))
			delete(byID, d.ID)
		}
	}
	for i := range reals {
		d := slot[netip.AddrPortFrom(reals[i].Addr, reals[i].Port)]
		if _, ok := byID[d]; ok {
			added = append(added, c.poolDest(d, &reals[i]))
			delete(byID, d)
		}
	}
	if c.in.Wanted != nil {
		c.await(id, m, slot)
	}
	slices.Reverse(added)
	dests := append(added, kept...)
	expire := expiry(&c.in.Model.Dataplane, m.Scheduler)
	if !slices.Equal(dests, svc.Pool.Dests) || svc.Pool.Expire != expire {
		svc.Pool = &sched.Pool{Cursor: svc.Pool.Cursor, Dests: dests, Family: family(svc.Key), Expire: expire}
		svc.PoolGen = c.s.Gen
	}
}

// await keeps slots for the servers of a service that do not answer now and are none of slot.
func (c *compiler) await(id forward.ServiceID, m *config.Service, slot map[netip.AddrPort]uint32) {
	wanted := c.in.Wanted.Service(m.Key())
	if wanted == nil {
		return
	}
	for _, r := range everybody(wanted) {
		at := netip.AddrPortFrom(r.Addr, r.Port)
		if _, there := slot[at]; !there {
			slot[at] = c.dest(id, m, &r)
			d := &c.s.Dests[slot[at]]
			d.Gone, d.Awaited = true, true
		}
	}
}

// reborn reports whether a real server was deleted and made again.
func reborn(before *config.Service, r *config.Real) bool {
	if before == nil || r.Birth == 0 {
		return false
	}
	was := before.Real(r.Key())
	return was != nil && was.Birth != r.Birth
}

func (c *compiler) poolDest(id uint32, r *config.Real) sched.Dest {
	d := &c.s.Dests[id]
	return sched.Dest{ID: id, Addr: d.Addr, Port: d.Port, Weight: d.Weight, Edits: r.Edits, Upper: d.Upper, Lower: d.Lower,
		Load: d.Load}
}

// dest gives a real server its slot and fills it.
func (c *compiler) dest(svc forward.ServiceID, m *config.Service, r *config.Real) uint32 {
	addr := packet.AddrFrom(r.Addr)
	id := c.destSlot(svc, addr, r.Port)
	d := &c.s.Dests[id]
	if d.Load == nil {
		*d = forward.Dest{Load: sched.NewLoad(c.in.Workers), Tally: forward.NewTally(c.in.Workers)}
	}
	d.WasNAT = (d.WasNAT || d.Method == forward.NAT) && !d.Load.Idle()
	d.Gone, d.Service, d.Method = false, svc, methods[r.Method]
	d.Tunnel = packet.Tunnel{Type: tunnels[r.Tunnel.Type], Sum: r.Tunnel.Sum != config.NoSum, Port: r.Tunnel.Port}
	d.Addr, d.Port, d.Weight = addr, r.Port, int32(r.Weight)
	d.Upper, d.Lower = r.Upper, r.Lower
	d.Ends = m.ExpireQuiescent && r.Weight == 0
	d.Established = uint32(m.Established / time.Second)
	d.Hop = c.in.Hops[r.Addr]
	return id
}

func (c *compiler) destSlot(svc forward.ServiceID, addr packet.Addr, port uint16) uint32 {
	key := destKey{svc, addr, port}
	if id, ok := c.dests[key]; ok {
		c.free = slices.DeleteFunc(c.free, func(f uint32) bool { return f == id })
		return id
	}
	var id uint32
	if n := len(c.free); n > 0 {
		id = c.free[n-1]
		c.free = c.free[:n-1]
		old := &c.s.Dests[id]
		delete(c.dests, destKey{old.Service, old.Addr, old.Port})
		*old = forward.Dest{}
	} else {
		id = uint32(len(c.s.Dests))
		c.s.Dests = append(c.s.Dests, forward.Dest{})
	}
	c.dests[key] = id
	return id
}

// mask is the part of a client's address that a template remembers.
func mask(m *config.Service) (a packet.Addr) {
	if m.Netmask.IsValid() { // one that is no prefix
		a = packet.AddrFrom(m.Netmask)
		for i := range 12 {
			if m.Netmask.Is4() {
				a[i] = 0xff
			}
		}
		return a
	}
	bits := 128
	if g := m.Granularity; g > 0 && (m.Mark == 0 && m.Addr.Is4() || m.Mark != 0 && !m.IPv6) {
		bits = 96 + g
	} else if g > 0 {
		bits = g
	}
	for i := range bits {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return a
}

func schedFlags(names []string) (f sched.Flags) {
	for _, n := range names {
		switch n {
		case "flag-1", "sh-fallback", "mh-fallback":
			f |= sched.Flag1
		case "flag-2", "sh-port", "mh-port":
			f |= sched.Flag2
		case "flag-3":
			f |= sched.Flag3
		}
	}
	return f
}
