package forward

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/internal/ring"
	"dirsw/packet"
)

// The way to clients that were never heard of here. A connection that another director has told of may have a server that
// speaks first, while its client waits; replies of others go the way that their client's packets came
// (docs/adr/0009-the-way-back-to-the-client.md). The kernel would ask its routes: so the director is asked to, and what it
// answers is kept until the server has sent again what was dropped.

// Way says which way a client is to be reached: by the lane's port, from the station with the MAC address.
type Way struct {
	Client packet.Addr
	Port   uint8
	MAC    packet.MAC
}

const (
	lostRoom     = 64          // clients that the director has not been told of
	lostMemory   = 8           // clients that are not asked for again so soon
	lostAgain    = time.Second // when they are
	waysAnswered = 256         // answers that are kept
)

// clientWays is what a worker knows about clients that it lacks the way to.
type clientWays struct {
	// Made by the worker when a snapshot first says that other directors tell of connections; read by who takes.
	out atomic.Pointer[ring.SPSC[packet.Addr]]

	asked [lostMemory]struct {
		client packet.Addr
		at     clock.Mono
	}
	turn     int
	answered []Way  // by the client's address, the last of those that share a place; nil until there is one
	seen     [2]way // of IPv4 and IPv6: where the client of the last new connection came from whose replies are seen
}

// TakeLost fills dst with clients whose way is not known and that replies are for, and returns how many those are. They are
// told again a second later at the soonest. One goroutine at a time.
func (w *Worker) TakeLost(dst []packet.Addr) int {
	if out := w.back.out.Load(); out != nil {
		return out.Take(dst)
	}
	return 0
}

// found keeps the way to a client.
func (w *Worker) found(to *Way) {
	if w.back.answered == nil {
		w.back.answered = make([]Way, waysAnswered)
	}
	*w.back.place(&to.Client) = *to
}

func (l *clientWays) place(client *packet.Addr) *Way {
	h := spread(binary.BigEndian.Uint64(client[:8]), binary.BigEndian.Uint64(client[8:]))
	return &l.answered[h%waysAnswered]
}

// wayTo finds a way to the client of c, which was never heard of: what the director has answered, or until it does the way
// that the last new connection came, which mostly is by the one router there is.
func (w *Worker) wayTo(c *conntrack.Conn) (port uint8, mac packet.MAC) {
	client := c.Client()
	if w.back.answered != nil {
		if to := w.back.place(&client); to.Client == client {
			c.SetHop(to.Port, to.MAC)
			return to.Port, to.MAC
		}
	}
	w.miss(&client)
	last := &w.back.seen[c.Family()/packet.IPv6Family]
	return last.port, last.mac
}

// miss has the director find out the way to a client.
func (w *Worker) miss(client *packet.Addr) {
	out := w.back.out.Load()
	if out == nil {
		return
	}
	for i := range w.back.asked {
		if a := &w.back.asked[i]; a.client == *client && w.now < a.at.Add(lostAgain) {
			return
		}
	}
	if out.Push(*client) {
		a := &w.back.asked[w.back.turn%lostMemory]
		a.client, a.at = *client, w.now
		w.back.turn++
	}
}
