// Package pipeline measures forward.Worker without a network: on lanes in memory, against a floor in the same rounds.
package pipeline

import (
	"context"
	"fmt"
	"time"

	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/sched"
)

// Case is the traffic of a measurement. Zero fields: direct routing, TCP, IPv4, rr, one server. Tunnels are IP in IP.
type Case struct {
	Method    forward.Method
	IPv6      bool
	Proto     uint8
	Scheduler string
	Servers   int
}

// start is the time at which each measurement begins.
const start = clock.Mono(time.Hour)

func (c *Case) service() packet.Tuple {
	t := packet.Tuple{Dst: packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 80}, DstPort: 80, Proto: c.proto()}
	if c.IPv6 {
		t.Dst = packet.Addr{0x20, 0x01, 0x0d, 0xb8, 15: 0x80}
	}
	return t
}

func (c *Case) proto() uint8 {
	if c.Proto == 0 {
		return packet.ProtoTCP
	}
	return c.Proto
}

// flows are the clients, who send to the director's first port.
func (c *Case) flows() traffic.Flows {
	return traffic.Flows{Seed: 20, Service: c.service(), SrcMAC: packet.MAC{2, 0, 0, 0, 0, 2},
		DstMAC: forwardtest.DefaultPorts()[0].MAC}
}

// serverMAC is the Ethernet address of server i.
func serverMAC(i int) packet.MAC { return packet.MAC{2, 0, 0, 1, byte(i >> 8), byte(i)} }

// serverPort is the port of the servers behind NAT; the others have that of the service.
const serverPort = 8080

// own is the director's address towards the servers.
func (c *Case) own() packet.Addr {
	if c.IPv6 {
		return packet.Addr{0x20, 0x01, 0x0d, 0xb8, 15: 0xfe}
	}
	return packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 254}
}

// serverAddr returns the address of server i.
func (c *Case) serverAddr(i int) packet.Addr {
	addr := c.service().Dst
	addr[13]++
	addr[14], addr[15] = byte(i>>8), byte(i)
	return addr
}

// dest is server i.
func (c *Case) dest(i, workers int) forward.Dest {
	out := forwardtest.DefaultPorts()[1]
	d := forward.Dest{Method: max(c.Method, forward.DR), Weight: int32(1 + i%10), Port: c.service().DstPort, Addr: c.serverAddr(i),
		Load: sched.NewLoad(workers), Tally: forward.NewTally(workers),
		Hop: forward.Hop{OK: true, Port: 1, MTU: uint16(out.MTU), Src: out.MAC, Dst: serverMAC(i), Own: c.own()}}
	if d.Method == forward.NAT {
		d.Port = serverPort
	}
	return d
}

// snapshot is one service with its servers on the director's second port, with different weights.
func (c *Case) snapshot() (*forward.Snapshot, error) { return c.snapshotFor(1) }

func (c *Case) snapshotFor(workers int) (*forward.Snapshot, error) {
	name := c.Scheduler
	if name == "" {
		name = "rr"
	}
	kind, ok := sched.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("no scheduler %q", name)
	}
	service := c.service()
	key := forward.ServiceKey{Addr: service.Dst, Port: service.DstPort, Proto: service.Proto}
	pool := &sched.Pool{Cursor: new(sched.Cursor)}
	s := &forward.Snapshot{Gen: 1, Lookup: map[forward.ServiceKey]forward.ServiceID{key: 0}, Services: []forward.Service{
		{Key: key, Kind: kind, SchedGen: 1, PoolGen: 1, Pool: pool, Tally: forward.NewTally(workers)}},
		Steer: forward.Steer{Workers: workers}, Settings: forward.DefaultSettings()}
	for i := range max(c.Servers, 1) {
		d := c.dest(i, workers)
		s.Dests = append(s.Dests, d)
		pool.Dests = append(pool.Dests, sched.Dest{ID: uint32(i), Addr: d.Addr, Port: d.Port, Weight: d.Weight, Load: d.Load})
	}
	return s, nil
}

// worker returns a worker of the case on a lane, with room for n connections.
func (c *Case) worker(lane forward.Lane, n int) (*forward.Worker, *forward.Snapshot, error) {
	s, err := c.snapshot()
	if err != nil {
		return nil, nil, err
	}
	w, err := forward.NewWorker(0, lane, forward.Options{Table: conntrack.Options{MaxConns: n, Seed: 1}})
	if err != nil {
		return nil, nil, err
	}
	w.Publish(s)
	return w, s, nil
}

// begun is when packets of connections begin that were opened before, at start.
const begun = start + clock.Mono(5*time.Second)

// settle lets the worker breathe without frames until begun, as it does between the opening of many connections and their
// traffic: its table gets huge pages meanwhile.
func settle(w *forward.Worker) {
	w.SetLane(&stream{})
	for now := start; now < begun; now += clock.Mono(10 * time.Millisecond) {
		_, _ = w.Step(now) // the end of the lane
	}
}

// steps lets the worker breathe at one time until it has received n frames.
func steps(ctx context.Context, w *forward.Worker, n int, now clock.Mono) error {
	for got := 0; got < n; {
		k, err := w.Step(now)
		if err != nil || k == 0 {
			return fmt.Errorf("breath after %d of %d frames: %d frames, %w", got, n, k, err)
		}
		if got += k; ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
