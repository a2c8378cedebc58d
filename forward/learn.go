package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// Refusal is why a worker does not take in what another director tells.
type Refusal uint8

// The reasons. Taken: there is none.
const (
	Taken           Refusal = iota
	RefusedValue            // the record contradicts itself, or says what no director knows
	RefusedReplaced         // it tells of the end of a connection that another one has taken the place of
	RefusedServer           // no service here has the server, nor is it one of Sync.Strangers
	RefusedEngine           // no service here has the persistence engine, or there is no room for its data
	RefusedFull             // the connection table is full

	// Refusals is the number of reasons.
	Refusals
)

// String names the reason.
func (r Refusal) String() string {
	switch r {
	case Taken:
		return "taken"
	case RefusedValue:
		return "value"
	case RefusedReplaced:
		return "replaced"
	case RefusedServer:
		return "no server"
	case RefusedEngine:
		return "persistence engine"
	case RefusedFull:
		return "table full"
	}
	return "invalid"
}

// learnSome takes in what has been queued, as much as a breath has time for.
func (w *Worker) learnSome(now clock.Mono) {
	in := w.sync.in.Load()
	n := 0
	for ; n < learnsABreath; n++ {
		r := in.Next()
		if r == nil {
			break
		}
		if why := w.learn(r, now); why != Taken {
			w.plain.SyncRefused[why]++
		}
	}
	if n > 0 {
		in.Release()
		w.uncommitted, w.nap = true, shortNap
	}
}

// toLearn reports whether something has been queued.
func (w *Worker) toLearn() bool {
	in := w.sync.in.Load()
	return in != nil && in.Len() > 0
}

// learn takes in what another director tells (kernel: ip_vs_proc_conn).
func (w *Worker) learn(r *conntrack.Record, now clock.Mono) Refusal {
	if !sound(r) {
		return RefusedValue
	}
	if r.IsTemplate() {
		return w.learnTemplate(r, now)
	}
	h := w.table.Hash(&r.Tuple)
	c, dir := w.table.Lookup(&r.Tuple, h)
	if c != nil && dir == conntrack.FromServer { // it would be a reply to another connection
		return RefusedValue
	}
	if c != nil && !w.same(c, r) {
		if r.Flags&conntrack.RecordInactive != 0 {
			return RefusedReplaced
		}
		w.end(c)
		c = nil
	}
	if c != nil && w.snap.Dests[c.Dest].Service == NoService { // perhaps its server has come
		if _, ok := w.sync.servers.find(r); ok {
			w.end(c)
			c = nil
		}
	}
	if c == nil {
		return w.learnNew(r, h, now)
	}
	if c.Method&quick != 0 {
		w.slowDown(c)
	}
	was := w.table.Learn(c, r.State, r.Timeout, now)
	if was.Active() != r.State.Active() {
		n := int32(1)
		if was.Active() {
			n = -1
		}
		w.snap.Dests[c.Dest].Load.Add(w.id, n, -n, 0)
	}
	w.learned(c, r)
	w.plain.SyncRenewed++
	return Taken
}

// learned notes what a record says besides state and time.
func (w *Worker) learned(c *conntrack.Conn, r *conntrack.Record) {
	c.Packets = w.snap.Sync.Threshold // so that a backup that becomes master tells of it when the old master would
	if r.Flags&conntrack.RecordOutSeq == 0 || c.App&ftpHelped == 0 || c.IsTemplate() {
		return
	}
	s := w.apps.ftp.of(c)
	if s == nil {
		if s = w.apps.ftp.make(c); s == nil {
			return
		}
	}
	s.answer, s.shift = r.Out.Init, seqShift{at: r.Out.Init, after: int32(r.Out.Delta), before: int32(r.Out.Previous)}
}

// same reports whether c, which has the flow that r tells of, goes to the same server.
func (w *Worker) same(c *conntrack.Conn, r *conntrack.Record) bool {
	if d := &w.snap.Dests[c.Dest]; d.Method != NAT && d.Method != Bypass { // see connect
		return d.Addr == r.Real && (c.RealPort() == r.RealPort || d.Hop.Local)
	}
	if Method(c.Method) == Bypass {
		return r.Flags&conntrack.RecordMethod == conntrack.RecordBypass
	}
	return c.Real() == r.Real && c.RealPort() == r.RealPort
}

// learnNew enters a connection that is not known yet.
func (w *Worker) learnNew(r *conntrack.Record, h uint64, now clock.Mono) Refusal {
	id, method, ok := w.bind(r)
	if !ok {
		return RefusedServer
	}
	d := &w.snap.Dests[id]
	spec := conntrack.Spec{Tuple: r.Tuple, Real: r.Real, RealPort: r.RealPort, Dest: id, Service: uint32(d.Service),
		Flags: conntrack.Synced}
	switch {
	case method != NAT && method != Bypass && d.Hop.Local: // see connect
		spec.Real, spec.RealPort = r.Dst, r.DstPort
	case method == Bypass: // see connect
		spec.Real, spec.RealPort = d.Addr, 0
		fallthrough
	case method != NAT:
		spec.Flags |= conntrack.OneWay
	}
	c, err := w.table.Insert(&spec, h, now)
	if err != nil {
		return RefusedFull
	}
	attach(c)
	c.Method = uint8(method)
	w.table.Learn(c, r.State, r.Timeout, now)
	if r.State.Active() {
		d.Load.Add(w.id, 1, 0, 0)
	} else {
		d.Load.Add(w.id, 0, 1, 0)
	}
	d.Load.Bound(d.Upper)
	w.learned(c, r)
	w.plain.SyncLearned++
	return Taken
}

// learnTemplate takes in a template. One that is known keeps its server.
func (w *Worker) learnTemplate(r *conntrack.Record, now clock.Mono) Refusal {
	var call []byte
	if r.EngineLen != 0 {
		if call = r.Data[:r.DataLen]; !w.apps.sip.ready() {
			return RefusedEngine
		}
	}
	t := w.knownTemplate(&r.Tuple, call)
	if t != nil && w.snap.Dests[t.Dest].Service == NoService { // perhaps its server has come
		if _, ok := w.sync.servers.find(r); ok {
			w.end(t)
			t = nil
		}
	}
	known := t != nil
	if !known {
		id, _, ok := w.bind(r)
		if !ok {
			return RefusedServer
		}
		spec := conntrack.Spec{Tuple: r.Tuple, Real: r.Real, RealPort: r.RealPort, Dest: id,
			Service: uint32(w.snap.Dests[id].Service), Flags: conntrack.Synced}
		if w.table.Room() == 0 {
			return RefusedFull
		}
		if t = w.newTemplate(&spec, call, r.Timeout, now); t == nil {
			return RefusedEngine
		}
	}
	w.table.Learn(t, r.State, r.Timeout, now)
	w.learned(t, r)
	if known {
		w.plain.SyncRenewed++
	} else {
		w.plain.SyncLearned++
	}
	return Taken
}

// bind finds the destination of what r tells of, and how packets get there: as this director says if it has the server, else
// as the one that tells.
func (w *Worker) bind(r *conntrack.Record) (conntrack.DestID, Method, bool) {
	if id, ok := w.sync.servers.find(r); ok {
		return id, w.snap.Dests[id].Method, true
	}
	if r.Flags&conntrack.RecordMethod == conntrack.RecordBypass && !r.IsTemplate() {
		if svc, ok := w.snap.serviceTold(r); ok && w.snap.Services[svc].Bypasses {
			return w.snap.Services[svc].Bypass, Bypass, true
		}
		return 0, 0, false
	}
	id, ok := w.snap.Sync.Strangers[r.Real]
	return id, methodTold(r.Flags), ok
}

// methodTold is how the director that tells sends packets to a server.
func methodTold(f conntrack.RecordFlags) Method {
	switch f & conntrack.RecordMethod {
	case conntrack.RecordMasq:
		return NAT
	case conntrack.RecordTunnel:
		return TUN
	case conntrack.RecordBypass:
		return Bypass
	}
	return DR
}

// Servers are the real servers of a snapshot, by what a record names them by.
type Servers struct {
	snap *Snapshot
	byID map[serverKey]conntrack.DestID
}

// serverKey is what a server of a record is found by.
type serverKey struct {
	service ServiceID
	port    uint16
	addr    packet.Addr
}

// Servers lists the servers that connections may be told of.
func (s *Snapshot) Servers() *Servers {
	all := make(map[serverKey]conntrack.DestID, len(s.Dests))
	for i := range s.Dests {
		if d := &s.Dests[i]; (!d.Gone || d.Awaited) && d.Service != NoService && d.Method != Bypass {
			all[serverKey{d.Service, d.Port, d.Addr}] = conntrack.DestID(i)
		}
	}
	return &Servers{snap: s, byID: all}
}

// Knows reports whether a service of the snapshot has the server that r tells of.
func (s *Servers) Knows(r *conntrack.Record) bool {
	_, ok := s.find(r)
	return ok
}

// find returns the server that r tells of: by its port, or by none where the service is on all ports (kernel: ip_vs_find_dest).
func (s *Servers) find(r *conntrack.Record) (conntrack.DestID, bool) {
	if s == nil {
		return 0, false
	}
	svc, ok := s.snap.serviceTold(r)
	if !ok {
		return 0, false
	}
	first, second := r.RealPort, uint16(0)
	if r.Mark != 0 && r.Flags&conntrack.RecordMethod != conntrack.RecordMasq {
		first, second = second, first
	}
	id, ok := s.byID[serverKey{svc, first, r.Real}]
	if !ok {
		id, ok = s.byID[serverKey{svc, second, r.Real}]
	}
	return id, ok
}

// serviceTold finds the service of what r tells of: by its mark if it has one, then by its address.
func (s *Snapshot) serviceTold(r *conntrack.Record) (ServiceID, bool) {
	if r.Mark != 0 {
		if id, ok := s.Lookup[MarkKey(r.Mark, r.Family)]; ok {
			return id, true
		}
	}
	return s.service(&r.Tuple)
}

// sound reports whether a record says what a director can know.
func sound(r *conntrack.Record) bool {
	v4 := r.Family == packet.IPv4Family
	switch {
	case !v4 && r.Family != packet.IPv6Family, r.Timeout < 0, int(r.EngineLen) > len(r.Engine):
		return false
	case r.Src.Is4() != v4, r.Real.Is4() != v4, r.Dst.Is4() != v4:
		return false
	case r.Flags&conntrack.RecordMethod > conntrack.RecordBypass, r.Flags&conntrack.RecordNoClientPort != 0:
		return false
	case r.EngineLen != 0 && (string(r.Engine[:r.EngineLen]) != SIP.String() || r.DataLen == 0):
		return false
	case r.IsTemplate():
		return r.SrcPort == 0 && (r.State == conntrack.None || r.State == conntrack.Assured) &&
			(scheduled(r.Proto) || r.Proto == 0 && r.Mark != 0)
	}
	return scheduled(r.Proto) && conntrack.StateOf(r.Proto, r.State)
}
