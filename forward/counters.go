package forward

import (
	"sync/atomic"

	"dirsw/packet"
)

// Counters are what one worker counted since it started, and the size of its table.
type Counters struct {
	Received    uint64 // frames taken from the lane
	Forwarded   uint64 // frames given to the lane
	Mended      uint64 // frames whose unfinished transport checksum was finished
	Answered    uint64 // RST and ICMP errors sent for frames that were dropped
	HandedOver  uint64 // frames given to the worker that owns their client
	GivenBack   uint64 // frames that were not ours, handed to the kernel; in Forwarded too
	Joined      uint64 // datagrams put together from their fragments
	Cut         uint64 // packets that left in pieces
	Shed        uint64 // connections and templates that drop_entry ended
	Accelerated uint64 // packets that the lane's accelerator sent (Received and Forwarded do not have them)
	Breaths     uint64 // breaths with at least one frame
	Drops       [packet.DropReasons]uint64

	SyncTold    uint64           // records written for other directors
	SyncDropped uint64           // records that there was no room for
	SyncLearned uint64           // connections and templates made because another director told of them
	SyncRenewed uint64           // records of others about what was known
	SyncRefused [Refusals]uint64 // records of others that were not taken in, by the reason

	Connections uint64 // entries of the table now, templates included
	Templates   uint64
	Quick       uint64 // of the connections those that are the accelerator's
	TableRoom   uint64 // entries the table may hold
	TableBytes  uint64 // memory that the table may come to use
	Lane        LaneCounters
}

// Add adds o to c, for the sum over workers.
func (c *Counters) Add(o *Counters) {
	from := o.words()
	for i, to := range c.words() {
		*to += *from[i]
	}
}

const counterWords = 27 + int(packet.DropReasons) + int(Refusals)

// words lists every field, always in the same order.
func (c *Counters) words() (w [counterWords]*uint64) {
	n := copy(w[:], []*uint64{&c.Received, &c.Forwarded, &c.Mended, &c.Answered, &c.HandedOver, &c.GivenBack, &c.Joined, &c.Cut, &c.Shed, &c.Accelerated, &c.Breaths, &c.Quick, &c.Connections, &c.Templates,
		&c.TableRoom, &c.TableBytes, &c.Lane.Received, &c.Lane.Sent, &c.Lane.SendFull, &c.Lane.SendFailed,
		&c.Lane.RxDropped, &c.Lane.Wakeups, &c.Lane.WakeErrors, &c.SyncTold, &c.SyncDropped, &c.SyncLearned, &c.SyncRenewed})
	for i := range c.SyncRefused {
		w[n+i] = &c.SyncRefused[i]
	}
	n += len(c.SyncRefused)
	for i := range c.Drops {
		w[n+i] = &c.Drops[i]
	}
	return w
}

// counterBlock publishes a worker's counters. The worker writes under an odd sequence number, readers try again when
// it moved: they get a set that belongs together, and the worker never waits.
type counterBlock struct {
	seq  atomic.Uint64
	vals [counterWords]atomic.Uint64
}

// publish stores what differs from what was published before. Called by the worker only.
func (b *counterBlock) publish(c *Counters) {
	b.seq.Add(1)
	for i, v := range c.words() {
		if b.vals[i].Load() != *v {
			b.vals[i].Store(*v)
		}
	}
	b.seq.Add(1)
}

// read fills c. Any goroutine.
func (b *counterBlock) read(c *Counters) {
	for {
		before := b.seq.Load()
		if before&1 == 0 {
			for i, v := range c.words() {
				*v = b.vals[i].Load()
			}
			if b.seq.Load() == before {
				return
			}
		}
	}
}
