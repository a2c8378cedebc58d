package forward

import (
	"encoding/binary"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
	"dirsw/sched"
)

// service finds the service of a packet by its address: its port first, then that of FTP for what may be a data connection,
// then all ports (kernel: ip_vs_service_find).
func (s *Snapshot) service(m *packet.Tuple) (ServiceID, bool) {
	key := ServiceKey{Addr: m.Dst, Port: m.DstPort, Proto: m.Proto}
	if id, ok := s.Lookup[key]; ok {
		return id, true
	}
	if m.Proto == packet.ProtoTCP && (m.DstPort == ftpDataPort || m.DstPort >= freePort) {
		key.Port = ftpPort
		if id, ok := s.Lookup[key]; ok {
			return id, true
		}
	}
	key.Port = 0
	id, ok := s.Lookup[key]
	return id, ok
}

// MarkKey is the key of a service by firewall mark: the mark stands for an address of the family. In IPv6 it is the first
// word of that, which is how the kernel's IPVS lists the templates of such a service (ip_vs_core.c, ip_vs_sched_persist).
func MarkKey(mark uint32, family uint8) (k ServiceKey) {
	if family == packet.IPv6Family {
		binary.BigEndian.PutUint32(k.Addr[:], mark)
		return k
	}
	binary.BigEndian.PutUint32(k.Addr[12:], mark)
	k.Addr[10], k.Addr[11] = 0xff, 0xff
	return k
}

// ByMark reports whether the key is that of a service by firewall mark.
func (k *ServiceKey) ByMark() bool { return k.Proto == 0 }

// Mark returns the firewall mark of the service, 0 if it is not one by mark.
func (k *ServiceKey) Mark() uint32 {
	switch {
	case !k.ByMark():
		return 0
	case k.Addr.Is4():
		return binary.BigEndian.Uint32(k.Addr[12:])
	}
	return binary.BigEndian.Uint32(k.Addr[:])
}

// serviceOf finds the service of a packet: by its firewall mark first, then by its address.
func (w *Worker) serviceOf(f *packet.Frame, m *packet.Meta) (ServiceID, bool) {
	if mark := w.mark(f, m); mark != 0 {
		if id, ok := w.snap.Lookup[MarkKey(mark, m.Family)]; ok {
			return id, true
		}
	}
	return w.snap.service(&m.Tuple)
}

// opens reports whether a packet that belongs to no connection may open one.
func (s *Settings) opens(m *packet.Meta, ev conntrack.Event) bool {
	return ev.Opens(m.Proto == packet.ProtoTCP && s.SloppyTCP || m.Proto == packet.ProtoSCTP && s.SloppySCTP)
}

// schedule places a new connection.
func (w *Worker) schedule(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event, h uint64, now clock.Mono) {
	id, ok := NoService, false
	if scheduled(m.Proto) {
		id, ok = w.serviceOf(f, m)
	}
	if !ok {
		if len(w.apps.sip.servers) == 0 || !w.called(v, f, m, now) {
			w.unserved(v, f, m, ev)
		}
		return
	}
	if w.snap.Services[id].leaves(m) {
		w.stray(v, closed(m.Proto))
		return
	}
	v.Service = id
	if !w.snap.Settings.opens(m, ev) {
		v.Drop = packet.DropNoConnection
		return
	}
	w.place(v, f, m, ev, h, now)
}

// leaves reports whether a packet that belongs to no connection is none of the service's, although it is found for it: the
// ports of data connections of FTP are for one that is persistent, and nobody's from port 20 on, from where a server would
// make one (kernel: ip_vs_schedule, ip_vs_leave).
func (s *Service) leaves(m *packet.Meta) bool {
	return m.SrcPort == ftpDataPort || s.Key.Port == ftpPort && m.DstPort != ftpPort && s.Persistence == 0 && !s.Key.ByMark()
}

// closed is the reason to drop what goes to a port of the director's that nobody listens on.
func closed(proto uint8) packet.DropReason {
	if proto == packet.ProtoUDP {
		return packet.DropNoServer // answered by port unreachable
	}
	return packet.DropNoConnection
}

// place finds a server for a new connection to v.Service, and enters it.
func (w *Worker) place(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event, h uint64, now clock.Mono) {
	if w.defence.turnsAway() {
		v.Drop = packet.DropDefence
		return
	}
	svc := &w.snap.Services[v.Service]
	var template *conntrack.Conn
	if svc.Persistence > 0 {
		template = w.template(v, svc, f, m, now)
	} else {
		w.pick(v, svc, m, now)
	}
	if v.Drop == packet.DropNoServer {
		w.bypass(v, svc, m)
	}
	if v.Drop != packet.NoDrop {
		return
	}
	if svc.OnePacket && m.Proto == packet.ProtoUDP {
		if template != nil {
			w.table.Touch(template, now)
			if w.sync.telling {
				w.informOnce(template, now)
			}
		}
		w.countConn(v.Dest, m)
		return
	}
	c := w.connect(v, svc, template, m, ev, h, now)
	if c == nil {
		v.Drop = packet.DropTableFull
		return
	}
	w.cameBy(c, f)
	w.countConn(v.Dest, m)
	if v.conn, v.State, v.Left = c, c.State(), c.Left(now); v.Why == WhyTemplate {
		v.Left = template.Left(now)
	}
	if w.sync.telling && ev != conntrack.Keep { // what only an error has spoken of is told with its first packet
		w.inform(c, now)
	}
}

// pick asks the service's scheduler.
func (w *Worker) pick(v *Verdict, svc *Service, m *packet.Meta, now clock.Mono) {
	w.flow = sched.Flow{Tuple: m.Tuple, Now: now}
	i := w.scheds[v.Service].sched.Pick(svc.Pool, &w.flow)
	if i == sched.None {
		v.Drop = packet.DropNoServer
		return
	}
	v.Why, v.Dest = WhyScheduler, conntrack.DestID(svc.Pool.Dests[i].ID)
}

// templateKey is the tuple under which a client's template is kept: its address as far as the mask reaches, no client
// port, and the port of the service (0 for one on all ports, and for FTP, whose data connections have others). One of a
// service by firewall mark has the mark for its virtual address, and protocol 0.
func templateKey(svc *Service, t *packet.Tuple) packet.Tuple {
	k := *t
	k.SrcPort, k.DstPort = 0, svc.Key.Port
	if svc.Key.Port == ftpPort {
		k.DstPort = 0
	}
	if svc.Key.ByMark() {
		k.Dst, k.Proto = svc.Key.Addr, 0
	}
	for i := range k.Src {
		k.Src[i] &= svc.Mask[i]
	}
	return k
}

// serves reports whether a template may still place connections on d (kernel: ip_vs_check_template).
func (s *Settings) serves(d *Dest) bool {
	return !d.Gone && !d.Ends && d.Service != NoService && !(s.ExpireQuiescent && d.Weight == 0)
}

// template places a connection by the client's persistence template, or makes one with the scheduler's choice. A template
// whose server is gone is of no more use; one whose server has weight 0 still is, unless expire_quiescent_template says
// otherwise.
func (w *Worker) template(v *Verdict, svc *Service, f *packet.Frame, m *packet.Meta, now clock.Mono) *conntrack.Conn {
	k := templateKey(svc, &m.Tuple)
	var call []byte
	if svc.Engine == SIP {
		if call = w.sipID(f, m); call == nil {
			v.Drop = packet.DropNoCall
			return nil
		}
	}
	t := w.knownTemplate(&k, call)
	if t != nil && w.snap.Settings.serves(&w.snap.Dests[t.Dest]) {
		v.Why, v.Dest = WhyTemplate, t.Dest
		return t
	}
	if t != nil {
		w.retire(t)
	}
	w.pick(v, svc, m, now)
	if v.Drop != packet.NoDrop {
		return nil
	}
	d := &w.snap.Dests[v.Dest]
	spec := conntrack.Spec{Tuple: k, Real: d.Addr, RealPort: d.Port, Dest: v.Dest, Service: uint32(v.Service)}
	if k.DstPort == 0 {
		spec.RealPort = 0
	}
	if svc.OnePacket && m.Proto == packet.ProtoUDP {
		spec.Flags = conntrack.OnePacket
	}
	if t = w.newTemplate(&spec, call, svc.Persistence, now); t == nil {
		v.Drop = packet.DropTableFull
	}
	return t
}

// knownTemplate finds the template with key k, and of a call with an ID that of the call; nil if there is none.
func (w *Worker) knownTemplate(k *packet.Tuple, call []byte) *conntrack.Conn {
	if call != nil {
		return w.apps.sip.find(w.table, k, call)
	}
	return w.table.Template(k, w.table.HashTemplate(k))
}

// newTemplate enters the template that s describes, of a call if it has an ID, and counts it; nil if there is no room.
func (w *Worker) newTemplate(s *conntrack.Spec, call []byte, life time.Duration, now clock.Mono) *conntrack.Conn {
	var t *conntrack.Conn
	var err error
	if call != nil {
		t, err = w.table.InsertUnkeyed(s, life, now)
	} else {
		t, err = w.table.InsertTemplate(s, w.table.HashTemplate(&s.Tuple), life, now)
	}
	if err != nil {
		return nil
	}
	if call != nil && !w.apps.sip.keep(t, call) {
		w.table.Remove(t)
		return nil
	}
	w.snap.Dests[s.Dest].Load.Add(w.id, 0, 0, 1)
	return t
}

// realPort is the port that a new connection has at the server: that of the server, or the client's where the service is
// on all ports or by mark and names none. A persistent one keeps the client's unless it is the service's own port.
func realPort(svc *Service, d *Dest, m *packet.Meta) uint16 {
	if d.Port == 0 || svc.Persistence > 0 && m.DstPort != svc.Key.Port {
		return m.DstPort
	}
	return d.Port
}

// connect enters the connection into the table and counts it on its destination; nil if the table is full.
func (w *Worker) connect(v *Verdict, svc *Service, template *conntrack.Conn, m *packet.Meta, ev conntrack.Event, h uint64,
	now clock.Mono) *conntrack.Conn {
	d := &w.snap.Dests[v.Dest]
	spec := conntrack.Spec{Tuple: m.Tuple, Real: d.Addr, RealPort: realPort(svc, d, m), Dest: v.Dest,
		Service: uint32(v.Service), Event: ev}
	switch {
	case d.Method == Bypass:
		spec.RealPort, spec.Flags = 0, conntrack.OneWay
	case d.Method != NAT && d.Hop.Local: // the director's own stack answers from the address that it was asked at
		spec.Real, spec.RealPort = m.Dst, m.DstPort
	case d.Method != NAT:
		spec.Flags = conntrack.OneWay
	}
	if ev == conntrack.Keep {
		unopened(&spec)
	}
	c, err := w.table.Insert(&spec, h, now)
	if err != nil {
		return nil
	}
	attach(c)
	if ev == conntrack.Keep {
		c.Packets = 0
	}
	if d.Established != 0 {
		w.limit(c, d, c.State(), now)
	}
	c.Method = uint8(d.Method)
	if template != nil {
		w.table.Control(c, template, now)
	}
	if c.State().Active() {
		d.Load.Add(w.id, 1, 0, 0)
	} else {
		d.Load.Add(w.id, 0, 1, 0)
	}
	d.Load.Bound(d.Upper)
	return c
}

// countConn counts a connection and its first packet.
func (w *Worker) countConn(dest conntrack.DestID, m *packet.Meta) {
	w.acc.packet(uint32(dest), m.Len()).Conns++
}
