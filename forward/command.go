package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// Command is a request to a worker, carried out within one of its next breaths. Exactly one of the requests is set. The
// request belongs to the worker until it sends on Done, which must have room for that.
type Command struct {
	List    *Listing
	Explain *Question
	Tell    *Telling
	Way     *Way
	Done    chan<- struct{}
}

// Listing asks for a part of the connection table. The caller sets From (0 at first) and the capacity of Conns; the worker
// fills Conns up to that capacity and sets Next, where to go on, and End, when there is no more.
type Listing struct {
	From, Next uint32
	End        bool
	Conns      []ConnInfo
}

// ConnInfo is one entry of the connection table.
type ConnInfo struct {
	Tuple    packet.Tuple // from the client to the virtual address
	Dest     packet.Addr
	DestPort uint16
	State    conntrack.State
	Left     time.Duration
	Template bool
	Synced   bool   // another director has told of it, which made it
	Engine   Engine // of a template
	Call     string // what the engine goes by: of SIP the Call-ID
}

// Question asks what would happen to a frame now, without anything coming of it.
type Question struct {
	Frame   packet.Frame // given; afterwards the frame that would leave
	Drop    packet.DropReason
	Verdict Verdict
	// Snapshot that Verdict's IDs refer to.
	Snapshot *Snapshot
	// TemplateClient is the client part of the template, when that decided.
	TemplateClient packet.Addr
	// Mark is what the firewall rules of the snapshot give the packet; 0: nothing.
	Mark uint32
	// Retired is the server of a template that is there and places no connections any more; valid iff HasRetired.
	Retired    conntrack.DestID
	HasRetired bool
}

func (w *Worker) obey(c *Command, now clock.Mono) {
	switch {
	case c.List != nil:
		w.list(c.List, now)
	case c.Explain != nil:
		w.Explain(c.Explain, now)
	case c.Tell != nil:
		w.tellAll(c.Tell)
	case c.Way != nil:
		w.found(c.Way)
	}
	c.Done <- struct{}{}
}

// listScan bounds the slots looked at in one breath.
const listScan = 4096

func (w *Worker) list(l *Listing, now clock.Mono) {
	l.Conns = l.Conns[:0]
	l.Next, l.End = w.table.Scan(l.From, min(cap(l.Conns), listScan), func(c *conntrack.Conn) bool {
		if c.Method&quick != 0 {
			w.hear(c)
		}
		info := ConnInfo{Tuple: c.Tuple(), Dest: c.Real(), DestPort: c.RealPort(), State: c.State(), Left: c.Left(now),
			Template: c.IsTemplate(), Synced: c.Flags()&conntrack.Synced != 0}
		if d := &w.snap.Dests[c.Dest]; d.Method != NAT { // see connect
			info.Dest = d.Addr
		}
		if call := w.apps.sip.id(c); call != nil {
			info.Engine, info.Call = SIP, string(call)
		}
		l.Conns = append(l.Conns, info)
		return true
	})
}

// Explain answers q from the worker's state and changes nothing. Only on the worker's goroutine: others Post it.
func (w *Worker) Explain(q *Question, now clock.Mono) {
	var m packet.Meta
	counted := w.plain
	defer func() { w.plain = counted }()
	q.Snapshot = w.snap
	q.Verdict = Verdict{Service: NoService, Drop: packet.Parse(q.Frame.Bytes(), &m)}
	if q.Verdict.Drop == packet.NoDrop {
		q.Mark = w.mark(&q.Frame, &m)
		w.foresee(&q.Verdict, &q.Frame, &m, conntrack.EventOf(q.Frame.Bytes(), &m), now)
	}
	if q.Verdict.Why == WhyTemplate {
		if svc := &w.snap.Services[q.Verdict.Service]; svc.Persistence > 0 {
			q.TemplateClient = templateKey(svc, &m.Tuple).Src
		}
	}
	if q.Verdict.Service != NoService && q.Verdict.Why != WhyTemplate && q.Verdict.Why != WhyConnection {
		w.retired(q, &m)
	}
	if q.Verdict.Drop == packet.NoDrop {
		q.Verdict.Drop = w.rewrite(&q.Frame, &m, &q.Verdict)
	}
}

// retired looks for a template of the client that the scheduler was asked in spite of.
func (w *Worker) retired(q *Question, m *packet.Meta) {
	svc := &w.snap.Services[q.Verdict.Service]
	if svc.Persistence == 0 {
		return
	}
	k := templateKey(svc, &m.Tuple)
	if t := w.table.Template(&k, w.table.HashTemplate(&k)); t != nil && !w.snap.Settings.serves(&w.snap.Dests[t.Dest]) {
		q.Retired, q.HasRetired = t.Dest, true
	}
}

// foresee is decide without its effects.
func (w *Worker) foresee(v *Verdict, f *packet.Frame, m *packet.Meta, ev conntrack.Event, now clock.Mono) {
	c, dir := w.table.Lookup(&m.Tuple, w.table.Hash(&m.Tuple))
	if w.sync.aside && dir == conntrack.FromClient {
		w.stray(v, packet.DropNoService)
		return
	}
	if c == nil {
		c = w.table.Expected(&m.Tuple)
	}
	if c != nil && !(dir == conntrack.FromClient && w.outlived(c, &w.snap.Dests[c.Dest], ev)) {
		v.Why, v.Service, v.Dest, v.Dir, v.conn = WhyConnection, w.snap.Dests[c.Dest].Service, c.Dest, dir, c
		v.State, v.Left = c.State(), c.Left(now)
		if dir == conntrack.FromClient && w.snap.Dests[c.Dest].Gone {
			v.Drop = packet.DropServerGone
		}
		return
	}
	id, ok := w.serviceOf(f, m)
	if !ok {
		w.stray(v, packet.DropNoService)
		return
	}
	svc := &w.snap.Services[id]
	if svc.leaves(m) {
		w.stray(v, closed(m.Proto))
		return
	}
	v.Service = id
	if !w.snap.Settings.opens(m, ev) {
		v.Drop = packet.DropNoConnection
		return
	}
	if svc.Persistence > 0 {
		k := templateKey(svc, &m.Tuple)
		var call []byte
		if svc.Engine == SIP {
			if call = sipID(f, m); call == nil {
				v.Drop = packet.DropNoCall
				return
			}
		}
		t := w.knownTemplate(&k, call)
		if t != nil && w.snap.Settings.serves(&w.snap.Dests[t.Dest]) {
			v.Why, v.Dest, v.State, v.Left = WhyTemplate, t.Dest, t.State(), t.Left(now)
			return
		}
	}
	pool := *svc.Pool
	pool.Cursor = svc.Pool.Cursor.Copy() // the turn stays whose it was
	peek := *svc
	peek.Pool = &pool
	w.pick(v, &peek, m, now)
}
