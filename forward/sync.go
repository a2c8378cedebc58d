package forward

import (
	"sync/atomic"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/internal/ring"
	"dirsw/packet"
)

// Synchronisation of connections between directors (kernel: net/netfilter/ipvs/ip_vs_sync.c). A worker writes what another
// director is to be told into a ring, from where TakeRecords fetches it, and takes in between two batches what Learn has
// queued for it. What goes over the network between the two is none of its business.

// Sync says what a worker does about synchronisation. The zero value does nothing.
type Sync struct {
	Master bool // tell another director of connections
	Backup bool // another director tells of them

	// BackupOnly is the kernel's backup_only: what clients send is left to the director's own network stack while it is a
	// backup, even if it is a master as well. So a director that is also a real server takes what another one sends it.
	BackupOnly bool

	// Threshold, Period, Refresh, Retries and Persist are as in conntrack.Telling.
	Threshold, Period uint32
	Refresh           time.Duration
	Retries           uint8
	PersistMode       bool
	// Version0 tells as much as the first version of the protocol can say: nothing of IPv6, and of a template only with a
	// connection through it.
	Version0 bool

	// Strangers are the destinations for connections whose server no service here has, by its address: the kernel forwards
	// their packets nevertheless. Each is a Dest of NoService that counts nothing (Method Bypass), has the weight 1 and is in no
	// pool.
	Strangers map[packet.Addr]conntrack.DestID
}

const (
	tellRoom      = 8192 // records on their way from a worker to who sends them
	learnRoom     = 1024 // records on their way to a worker
	learnsABreath = 64
)

// syncer is what a worker has for synchronisation.
type syncer struct {
	// Made by the worker when it first becomes a master; read by who takes.
	out atomic.Pointer[ring.SPSC[conntrack.Record]]
	// Made by who first calls Learn; read by the worker once a breath.
	in atomic.Pointer[ring.SPSC[conntrack.Record]]

	// The worker's own.
	telling bool     // tell of what packets of clients change
	aside   bool     // leave what clients send to the kernel
	written bool     // in this breath
	servers *Servers // of the snapshot, if another director may tell of connections
}

// TakeRecords fills dst with what other directors are to be told, oldest first, and returns how many records those are. One
// goroutine at a time.
func (w *Worker) TakeRecords(dst []conntrack.Record) int {
	if out := w.sync.out.Load(); out != nil {
		return out.Take(dst)
	}
	return 0
}

// Learn queues what another director has told of a connection or a template whose client w owns (Steer.Owner); false if
// there is no room. It is taken in within the next breaths. One goroutine at a time.
func (w *Worker) Learn(r *conntrack.Record) bool {
	in := w.sync.in.Load()
	if in == nil {
		in = ring.New[conntrack.Record](learnRoom)
		w.sync.in.Store(in)
	}
	slot := in.Reserve()
	if slot == nil {
		return false
	}
	*slot = *r
	in.Publish()
	w.rouse()
	return true
}

// adoptSync does as a snapshot says from now on. It may allocate.
func (w *Worker) adoptSync(s *Snapshot) {
	o := &s.Sync
	w.sync.telling = o.Master
	w.sync.aside = o.Backup && o.BackupOnly
	w.sync.servers = nil
	if o.Backup {
		w.sync.servers = s.Servers()
		if w.back.out.Load() == nil {
			w.back.out.Store(ring.New[packet.Addr](lostRoom))
		}
	}
	if !o.Master {
		w.table.StopTelling()
		return
	}
	if w.sync.out.Load() == nil {
		w.sync.out.Store(ring.New[conntrack.Record](tellRoom))
	}
	w.table.SetTelling(conntrack.Telling{Threshold: o.Threshold, Period: o.Period, Refresh: o.Refresh, Retries: o.Retries,
		Persist: o.PersistMode}, w.kept)
}

// inform writes down what other directors are to be told after a packet of the client of c (kernel: ip_vs_sync_conn,
// ip_vs_sync_conn_v0): of c, and of what controls it.
func (w *Worker) inform(c *conntrack.Conn, now clock.Mono) {
	if w.snap.Sync.Version0 && c.Family() != packet.IPv4Family {
		return
	}
	if w.table.Due(c, c.Packets, now) {
		w.record(c, c.Left(now))
	} else if w.snap.Sync.Version0 {
		return
	}
	if c.Led() {
		w.informOn(c, now)
	}
}

// informOn is inform for what controls c.
func (w *Worker) informOn(c *conntrack.Conn, now clock.Mono) {
	for p := w.table.Controller(c); p != nil; p = w.table.Controller(p) {
		packets := w.snap.Sync.Threshold
		if p.IsTemplate() {
			p.Packets++
			packets = p.Packets
		}
		if w.table.Due(p, packets, now) {
			w.again(p)
		} else if w.snap.Sync.Version0 {
			return
		}
	}
}

// again writes a record of what controls others, which with Refresh 0 is told of with each packet: while there is little room
// that is left to records which are told once.
func (w *Worker) again(p *conntrack.Conn) {
	if w.sync.out.Load().Len() > tellRoom*3/4 {
		w.plain.SyncDropped++
		return
	}
	w.record(p, w.table.Lifetime(p))
}

// informOnce is inform for a packet that was scheduled through template p and left no connection.
func (w *Worker) informOnce(p *conntrack.Conn, now clock.Mono) {
	if !w.snap.Sync.Version0 && w.table.Due(p, p.Packets, now) {
		w.again(p)
	}
}

// kept is told of each entry that lives on for those that it controls.
func (w *Worker) kept(c *conntrack.Conn) {
	if w.table.Due(c, w.snap.Sync.Threshold, w.now) {
		w.record(c, c.Left(w.now))
	}
}

// record writes what is to be told of c, which lives for life after its last packet, if there is room.
func (w *Worker) record(c *conntrack.Conn, life time.Duration) {
	if !w.tellable(c) {
		return
	}
	r := w.sync.out.Load().Reserve()
	if r == nil {
		w.plain.SyncDropped++
		return
	}
	w.describe(r, c, life)
}

// tellable reports whether a record can say what c is: its server has an address of the client's family (the kernel runs no
// daemon while there is another), and version 0 has no room for IPv6.
func (w *Worker) tellable(c *conntrack.Conn) bool {
	v4 := c.Family() == packet.IPv4Family
	d := &w.snap.Dests[c.Dest]
	return (v4 || !w.snap.Sync.Version0) && (d.Method == Bypass || d.Addr.Is4() == v4)
}

// describe fills in a record of the ring.
func (w *Worker) describe(r *conntrack.Record, c *conntrack.Conn, life time.Duration) {
	w.sync.written = true
	w.plain.SyncTold++
	d := &w.snap.Dests[c.Dest]
	r.Tuple, r.Real, r.RealPort = c.Tuple(), c.Real(), c.RealPort()
	if d.Method != NAT && d.Method != Bypass { // see connect
		r.Real = d.Addr
	}
	method := d.Method
	if c.Method != 0 {
		method = Method(c.Method &^ quick)
	}
	r.State, r.Timeout, r.Mark = c.State(), life.Truncate(time.Second), 0
	if d.Service != NoService {
		r.Mark = w.snap.Services[d.Service].Key.Mark()
	}
	r.Flags = recordFlags(c, method)
	r.EngineLen, r.DataLen = 0, 0
	if c.App != 0 && c.Method&quick == 0 {
		w.recordApp(r, c)
	}
}

// recordFlags are those of the kernel's connection.
func recordFlags(c *conntrack.Conn, method Method) (f conntrack.RecordFlags) {
	switch method {
	case DR:
		f = conntrack.RecordRoute | conntrack.RecordNoOutput
	case TUN:
		f = conntrack.RecordTunnel | conntrack.RecordNoOutput
	case NAT:
		f = conntrack.RecordMasq
	case Bypass: // there is no server to be inactive on
		return conntrack.RecordBypass
	}
	switch {
	case c.IsTemplate():
		f |= conntrack.RecordTemplate | conntrack.RecordInactive
	case !c.State().Active():
		f |= conntrack.RecordInactive
	}
	if c.Flags()&conntrack.Synced != 0 {
		f |= conntrack.RecordSync
	}
	return f
}

// recordApp writes what is remembered of what c says: the Call-ID of a template, how a helper has shifted sequence numbers.
func (w *Worker) recordApp(r *conntrack.Record, c *conntrack.Conn) {
	if id := w.apps.sip.id(c); id != nil {
		r.EngineLen = uint8(copy(r.Engine[:], SIP.String()))
		r.DataLen = uint8(copy(r.Data[:], id))
		return
	}
	if c.IsTemplate() {
		return
	}
	if s := w.apps.ftp.of(c); s != nil {
		r.Flags |= conntrack.RecordOutSeq
		r.Out = conntrack.RecordSeq{Init: s.shift.at, Delta: uint32(s.shift.after), Previous: uint32(s.shift.before)}
	}
}

// publishRecords lets who sends records see those of this breath.
func (w *Worker) publishRecords() {
	if w.sync.written {
		w.sync.written = false
		w.sync.out.Load().Publish()
	}
}

// Telling asks for records of all that other directors are ever told of, for one that has joined: of templates, and of
// connections in those states that are told of. The caller sets From (0 at first); the worker looks at some entries, sets
// Told to how many records it has written, Next to where to go on, and End when there is no more. It stops where there is no
// more room for records: after those have been taken the caller asks again.
type Telling struct {
	From, Next uint32
	End        bool
	Told       int
}

// tellAll is for a worker that is a master; others have nothing to tell.
func (w *Worker) tellAll(t *Telling) {
	t.Told = 0
	if !w.sync.telling {
		t.Next, t.End = t.From, true
		return
	}
	full := uint32(0)
	t.Next, t.End = w.table.Scan(t.From, listScan, func(c *conntrack.Conn) bool {
		if !w.table.Tellable(c) || !w.tellable(c) {
			return true
		}
		r := w.sync.out.Load().Reserve()
		if r == nil {
			full = c.Slot()
			return false
		}
		w.describe(r, c, w.table.Lifetime(c))
		t.Told++
		return true
	})
	if full != 0 {
		t.Next, t.End = full, false
	}
	w.publishRecords()
}
