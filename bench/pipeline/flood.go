package pipeline

import (
	"context"
	"fmt"
	"time"

	"dirsw/bench/measure"
	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// FloodCase is a SYN flood beside connections.
type FloodCase struct {
	Established    int  // connections
	PerEstablished int  // SYNs of flows that never come again, to one packet of theirs
	Room           int  // entries of the table
	Guard          bool // drop_entry, drop_packet and secure_tcp begin by themselves; else the table runs full
}

// Flood is what a SYN flood does, round by round.
type Flood struct {
	Share       []float64 // of the packets of established connections, those that were forwarded
	Alone       []float64 // nanoseconds for a packet of theirs with no flood, without the lane
	SYN         []float64 // for a SYN of the flood with nothing beside it
	Beside      []float64 // for a packet of theirs in the mixture: all of it less what its SYNs take alone
	Connections uint64    // in the table at the end
	Shed        uint64    // that drop_entry ended
	TableBytes  uint64    // memory that the table may come to use
}

// mixture is a lane of SYNs that never come again, and packets of known flows. It tells what became of the latter by their
// destination port, which is the service's in both.
type mixture struct {
	*forwardtest.Loop
	established, through uint64
}

// Send counts what leaves of the established connections.
func (l *mixture) Send(b *packet.Batch) (int, error) {
	for i := range b.N {
		if packet.TCP(b.Frames[i].Bytes()[packet.EthernetLen+packet.IPv4MinLen:]).Flags()&packet.SYN == 0 {
			l.through++
		}
	}
	return l.Loop.Send(b)
}

// Recv counts what comes of them.
func (l *mixture) Recv(b *packet.Batch) (int, error) {
	n, err := l.Loop.Recv(b)
	for i := range b.N {
		if packet.TCP(b.Frames[i].Bytes()[packet.EthernetLen+packet.IPv4MinLen:]).Flags()&packet.SYN == 0 {
			l.established++
		}
	}
	return n, err
}

// MeasureFlood measures it. It must run on a goroutine of its own, which it pins.
func MeasureFlood(ctx context.Context, f FloodCase, e Effort) (*Flood, error) {
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	alone, err := f.side(ctx, true, false)
	if err != nil {
		return nil, err
	}
	defer alone.w.Close()
	syn, err := f.side(ctx, false, true)
	if err != nil {
		return nil, err
	}
	defer syn.w.Close()
	both, err := f.side(ctx, true, true)
	if err != nil {
		return nil, err
	}
	defer both.w.Close()
	r := new(Flood)
	mixed := contender("flood beside connections", both.step)
	run := mixed.Run
	mixed.Run = func(ctx context.Context, d time.Duration) (float64, error) {
		came, went := both.lane.established, both.lane.through
		ns, err := run(ctx, d)
		if n := both.lane.established - came; n > 0 {
			r.Share = append(r.Share, float64(both.lane.through-went)/float64(n))
		}
		return ns, err
	}
	got, err := measure.Rounds(ctx, e.Rounds, e.Each, contender("connections", alone.step), contender("flood", syn.step), mixed,
		contender("lane", alone.empty), contender("lane of the flood", syn.empty), contender("lane of both", both.empty))
	if err != nil {
		return nil, err
	}
	r.Share = r.Share[1:] // the first round does not count
	r.Alone, r.SYN = measure.Less(got[0], got[3]), measure.Less(got[1], got[4])
	for i, ns := range measure.Less(got[2], got[5]) {
		r.Beside = append(r.Beside, ns*float64(f.PerEstablished+1)-r.SYN[i]*float64(f.PerEstablished))
	}
	return r, both.books(r)
}

// side is a worker and its traffic.
type side struct {
	w     *forward.Worker
	lane  *mixture
	bare  *mixture // the same frames, for the lane's own cost
	now   clock.Mono
	batch packet.Batch
	taken int // frames
}

// side makes a worker that knows the established connections, and its lane.
func (f *FloodCase) side(ctx context.Context, established, flood bool) (*side, error) {
	c := Case{Servers: servers}
	s, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	if f.Guard {
		s.Settings.DropEntry, s.Settings.DropPacket, s.Settings.SecureTCP = forward.Automatic, forward.Automatic, forward.Automatic
		s.Settings.AMemThresh = uint32(f.Room / 4)
	}
	d := &side{now: start}
	for _, l := range []**mixture{&d.lane, &d.bare} {
		loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: f.frames(c.flows(), established, flood)})
		if err != nil {
			return nil, err
		}
		*l = &mixture{Loop: loop}
	}
	open := &stream{flows: c.flows(), flags: packet.SYN, end: f.Established}
	if d.w, err = forward.NewWorker(0, open, forward.Options{Table: conntrack.Options{MaxConns: f.Room, Seed: 1}}); err != nil {
		return nil, err
	}
	d.w.Publish(s)
	for _, flags := range []uint8{packet.SYN, packet.ACK} {
		open.next, open.flags = 0, flags
		if err := steps(ctx, d.w, f.Established, start); err != nil {
			d.w.Close()
			return nil, err
		}
	}
	d.w.SetLane(d.lane)
	if flood {
		for range 2 { // until it is as bad as it gets, and what looks once a second has seen it
			for range 2 * f.Room / packet.BatchSize {
				d.step()
			}
			d.now += clock.Mono(time.Second)
		}
	}
	return d, nil
}

// frames yields SYNs, each of a flow of its own, and packets of the established flows between them.
func (f *FloodCase) frames(flows traffic.Flows, established, flood bool) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		var buf []byte
		for i := range floodFlows * f.Room {
			if flood {
				if buf = flows.Frame(buf, f.Established+i, packet.SYN, 0); !yield(buf) {
					return
				}
			}
			if established && i%f.PerEstablished == 0 {
				if buf = flows.Frame(buf, i/f.PerEstablished%f.Established, packet.ACK, 0); !yield(buf) {
					return
				}
			}
		}
	}
}

// floodFlows is how many flows the flood has for each entry of the table: when the first comes again, it has been forgotten.
const floodFlows = 4

func (d *side) step() int {
	d.now += clockStep
	n, _ := d.w.Step(d.now)
	d.taken += n
	return n
}

func (d *side) empty() int {
	d.bare.Recv(&d.batch)
	n := d.batch.N
	d.bare.Send(&d.batch)
	return n
}

// books reads what the worker has counted when it stands still.
func (d *side) books(r *Flood) error {
	d.w.SetLane(&stream{})
	if _, err := d.w.Step(d.now); err == nil { // the end of the lane lets it commit
		return fmt.Errorf("a lane without frames goes on")
	}
	var c forward.Counters
	d.w.ReadCounters(&c)
	r.Connections, r.Shed, r.TableBytes = c.Connections, c.Shed, c.TableBytes
	return d.lane.Check()
}
