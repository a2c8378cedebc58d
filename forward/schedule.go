package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
	"dirsw/sched"
)

// service finds the service of a packet: its port first, then all ports of its address.
func (s *Snapshot) service(m *packet.Tuple) (ServiceID, bool) {
	key := ServiceKey{Addr: m.Dst, Port: m.DstPort, Proto: m.Proto}
	if id, ok := s.Lookup[key]; ok {
		return id, true
	}
	key.Port = 0
	id, ok := s.Lookup[key]
	return id, ok
}

// schedule places a new connection.
func (w *Worker) schedule(m *packet.Meta, ev conntrack.Event, h uint64, now clock.Mono) Verdict {
	id, ok := w.snap.service(&m.Tuple)
	if !ok {
		return Verdict{Service: NoService, Drop: packet.DropNoService}
	}
	if !ev.Opens(false) {
		return Verdict{Service: id, Drop: packet.DropNoConnection}
	}
	svc := &w.snap.Services[id]
	v := Verdict{Service: id}
	var template *conntrack.Conn
	if svc.Persistence > 0 {
		template, v = w.template(svc, id, m, now)
	} else {
		v = w.pick(svc, id, m, now)
	}
	if v.Drop != packet.NoDrop {
		return v
	}
	if svc.OnePacket && m.Proto == packet.ProtoUDP {
		w.countConn(v.Dest, m)
		return v
	}
	c := w.connect(v, template, m, ev, h, now)
	if c == nil {
		v.Drop = packet.DropTableFull
		return v
	}
	w.countConn(v.Dest, m)
	if v.State, v.Left = c.State(), c.Left(now); v.Why == WhyTemplate {
		v.Left = template.Left(now)
	}
	if m.Flags&packet.Fragment != 0 {
		w.fragments.note(m, v.Dest, now)
	}
	return v
}

// pick asks the service's scheduler.
func (w *Worker) pick(svc *Service, id ServiceID, m *packet.Meta, now clock.Mono) Verdict {
	w.flow = sched.Flow{Tuple: m.Tuple, Now: now}
	i := w.scheds[id].sched.Pick(svc.Pool, &w.flow)
	if i == sched.None {
		return Verdict{Service: id, Drop: packet.DropNoServer}
	}
	return Verdict{Why: WhyScheduler, Service: id, Dest: conntrack.DestID(svc.Pool.Dests[i].ID)}
}

// templateKey is the tuple under which a client's template is kept: its address as far as the mask reaches, no client
// port, and the port of the service (0 for one on all ports).
func templateKey(svc *Service, t *packet.Tuple) packet.Tuple {
	k := *t
	k.SrcPort, k.DstPort = 0, svc.Key.Port
	for i := range k.Src {
		k.Src[i] &= svc.Mask[i]
	}
	return k
}

// template places a connection by the client's persistence template, or makes one with the scheduler's choice. A template
// whose server is gone is of no more use; one whose server has weight 0 still is (expire_quiescent_template=0).
func (w *Worker) template(svc *Service, id ServiceID, m *packet.Meta, now clock.Mono) (*conntrack.Conn, Verdict) {
	k := templateKey(svc, &m.Tuple)
	h := w.table.HashTemplate(&k)
	t := w.table.Template(&k, h)
	if t != nil && !w.snap.Dests[t.Dest].Gone {
		return t, Verdict{Why: WhyTemplate, Service: id, Dest: t.Dest}
	}
	if t != nil {
		w.table.Retire(t)
	}
	v := w.pick(svc, id, m, now)
	if v.Drop != packet.NoDrop {
		return nil, v
	}
	d := &w.snap.Dests[v.Dest]
	spec := conntrack.Spec{Tuple: k, Real: d.Addr, RealPort: d.Port, Dest: v.Dest, Service: uint32(id)}
	t, err := w.table.InsertTemplate(&spec, h, svc.Persistence, now)
	if err != nil {
		v.Drop = packet.DropTableFull
		return nil, v
	}
	d.Load.Add(w.id, 0, 0, 1)
	return t, v
}

// connect enters the connection into the table and counts it on its destination; nil if the table is full.
func (w *Worker) connect(v Verdict, template *conntrack.Conn, m *packet.Meta, ev conntrack.Event, h uint64,
	now clock.Mono) *conntrack.Conn {
	d := &w.snap.Dests[v.Dest]
	port := d.Port
	if port == 0 { // a service on all ports: the client's
		port = m.DstPort
	}
	spec := conntrack.Spec{Tuple: m.Tuple, Real: d.Addr, RealPort: port, Flags: conntrack.OneWay, Dest: v.Dest,
		Service: uint32(v.Service), Event: ev}
	c, err := w.table.Insert(&spec, h, now)
	if err != nil {
		return nil
	}
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
	w.acc.packet(uint32(dest), int(m.End-m.L3)).Conns++
}
