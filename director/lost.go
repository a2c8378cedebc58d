package director

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"dirsw/forward"
	"dirsw/packet"
)

const (
	lostEvery  = 100 * time.Millisecond // how often the workers are asked
	lostIdle   = time.Second            // the same while nothing is synchronised
	lostTries  = 10                     // after which a neighbour that does not answer is given up
	lostAtOnce = 64                     // clients that are looked for, of each worker
)

// lostClient is a client that a worker has replies for, and does not know the way to.
type lostClient struct {
	worker int
	addr   packet.Addr
	tries  int
}

// findClients answers the workers where clients are that only another director has heard of: by the routes of this host, until
// ctx ends. Their servers send again what the worker drops meanwhile.
func (d *Director) findClients(ctx context.Context) error {
	var open []lostClient
	for {
		pause := lostIdle
		if len(d.syncing()) > 0 || len(open) > 0 {
			pause = lostEvery
		}
		over := make(chan struct{})
		t := d.o.Clock.AfterFunc(pause, func() { close(over) })
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-over:
		}
		open = d.look(d.lost(open))
	}
}

// lost adds clients that workers ask for now.
func (d *Director) lost(open []lostClient) []lostClient {
	var asked [lostAtOnce]packet.Addr
	for w := range d.o.Workers {
		for _, a := range asked[:d.o.Workers[w].TakeLost(asked[:])] {
			known := slices.ContainsFunc(open, func(c lostClient) bool { return c.worker == w && c.addr == a })
			if !known && len(open) < lostAtOnce*len(d.o.Workers) {
				open = append(open, lostClient{worker: w, addr: a})
			}
		}
	}
	return open
}

// look asks the kernel for the way to each, tells the workers, and returns those whose neighbour is yet to answer.
func (d *Director) look(open []lostClient) []lostClient {
	if len(open) == 0 {
		return nil
	}
	next := d.survey()
	left := open[:0]
	for _, c := range open {
		h, err := next(c.addr.Netip())
		switch port := d.portOf(h.Link); {
		case err != nil || h.Unreachable || h.Local || port < 0:
		case h.Resolved:
			if err := d.command(c.worker, forward.Command{Way: &forward.Way{Client: c.addr, Port: uint8(port), MAC: h.MAC}}); err != nil {
				d.o.Log.Warn("a worker is not told the way to a client", zap.Stringer("client", c.addr), zap.Error(err))
			}
		case d.o.Host.Resolve(h) == nil:
			if c.tries++; c.tries < lostTries {
				left = append(left, c)
			}
		}
	}
	return left
}

// portOf returns the port of the lanes for a link, -1 if there is none.
func (d *Director) portOf(link int) int {
	return slices.IndexFunc(*d.ports.Load(), func(p Port) bool { return p.Link == link && !p.Local })
}
