package forward

import "sync/atomic"

// Tally is the traffic of a service or a destination since it was made. Each worker writes its own cell, once a breath;
// everyone may read.
type Tally struct{ cells []tallyCell }

type tallyCell struct {
	conns, packets, bytes, outPackets, outBytes atomic.Uint64
	_                                           [24]byte // a cache line for each writer
}

// NewTally returns an empty tally for that many workers.
func NewTally(workers int) *Tally { return &Tally{cells: make([]tallyCell, workers)} }

// Traffic is what a Tally counts: connections made, packets from clients and (NAT only) from the server, and bytes of those
// from the IP header on.
type Traffic struct{ Conns, Packets, Bytes, OutPackets, OutBytes uint64 }

// Read sums the workers.
func (t *Tally) Read() (s Traffic) {
	for i := range t.cells {
		c := &t.cells[i]
		s.Conns += c.conns.Load()
		s.Packets += c.packets.Load()
		s.Bytes += c.bytes.Load()
		s.OutPackets += c.outPackets.Load()
		s.OutBytes += c.outBytes.Load()
	}
	return s
}

// add is called by the worker that owns the cell. Load and store instead of an atomic addition: it has one writer.
func (c *tallyCell) add(t *Traffic) {
	if t.Conns != 0 {
		c.conns.Store(c.conns.Load() + t.Conns)
	}
	c.packets.Store(c.packets.Load() + t.Packets)
	c.bytes.Store(c.bytes.Load() + t.Bytes)
	if t.OutPackets != 0 {
		c.outPackets.Store(c.outPackets.Load() + t.OutPackets)
		c.outBytes.Store(c.outBytes.Load() + t.OutBytes)
	}
}

// account collects the traffic of the destinations between two commits, without atomics.
type account struct {
	dests []destAccount // by DestID
	dirty []uint32      // DestIDs with something to commit
}

type destAccount struct {
	Traffic
	dirty bool
}

// packet counts a packet from a client.
func (a *account) packet(dest uint32, bytes int) *destAccount {
	d := &a.dests[dest]
	d.Packets++
	d.Bytes += uint64(bytes)
	if !d.dirty {
		a.touch(d, dest)
	}
	return d
}

// passed counts packets from clients that the accelerator has sent.
func (a *account) passed(dest uint32, packets, bytes uint64) {
	d := &a.dests[dest]
	d.Packets += packets
	d.Bytes += bytes
	if !d.dirty {
		a.touch(d, dest)
	}
}

// reply counts a packet from the server.
func (a *account) reply(dest uint32, bytes int) {
	d := &a.dests[dest]
	d.OutPackets++
	d.OutBytes += uint64(bytes)
	if !d.dirty {
		a.touch(d, dest)
	}
}

// opened counts a connection that the server opened.
func (a *account) opened(dest uint32) {
	d := &a.dests[dest]
	d.Conns++
	if !d.dirty {
		a.touch(d, dest)
	}
}

// touch notes that there is something to commit.
func (a *account) touch(d *destAccount, dest uint32) {
	d.dirty = true
	a.dirty = append(a.dirty, dest) // room for every destination was made in grow
}

// grow makes room for n destinations, away from the cache lines of other workers: the few destinations of a small director
// would else lie beside theirs, and two workers took 7 ns longer for each packet. It may allocate: called when a snapshot is
// adopted.
func (a *account) grow(n int) {
	if n <= len(a.dests) {
		return
	}
	const apart = 2 // more than a cache line
	dests := make([]destAccount, n+2*apart)[apart : n+apart]
	copy(dests, a.dests)
	a.dests = dests
	a.dirty = append(make([]uint32, 0, max(n, cacheLine)), a.dirty...)
}

// commit moves everything to the tallies of the snapshot. Each word of a tally takes an atomic store, so destinations of
// one service that stand together are added to it at once.
func (a *account) commit(worker int, s *Snapshot) {
	var sum Traffic
	service := NoService
	flush := func() {
		if service != NoService {
			s.Services[service].Tally.cells[worker].add(&sum)
		}
	}
	for _, id := range a.dirty {
		d := &a.dests[id]
		dest := &s.Dests[id]
		if dest.Method == Bypass { // counted nowhere: it is no server
			*d = destAccount{}
			continue
		}
		dest.Tally.cells[worker].add(&d.Traffic)
		if dest.Service != service {
			flush()
			service, sum = dest.Service, Traffic{}
		}
		sum.add(&d.Traffic)
		*d = destAccount{}
	}
	flush()
	a.dirty = a.dirty[:0]
}

func (t *Traffic) add(o *Traffic) {
	t.Conns += o.Conns
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.OutPackets += o.OutPackets
	t.OutBytes += o.OutBytes
}
