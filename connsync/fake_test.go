package connsync

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
)

// network is what was sent, and what is to be received, in memory. Sockets may be made to fail.
type network struct {
	mu      sync.Mutex
	opened  []Endpoint          // by senders; of a Backup these say hello only
	heard   []Endpoint          // by receivers
	sent    map[uint16][][]byte // by port
	moved   bool                // the interface is another one now
	open    error               // of opening
	send    error               // of sending
	blocked chan struct{}       // if not nil, Send waits until it or the socket is closed
	news    *sync.Cond

	inbox chan []byte // for receivers
}

func newNetwork() *network {
	n := &network{sent: map[uint16][][]byte{}, inbox: make(chan []byte)}
	n.news = sync.NewCond(&n.mu)
	return n
}

// fakeConn is a socket of a network.
type fakeConn struct {
	n    *network
	at   Endpoint
	once sync.Once
	end  chan struct{}
}

var errClosed = errors.New("closed")

func (n *network) OpenSender(e Endpoint) (Conn, error)   { return n.conn(&n.opened, e) }
func (n *network) OpenReceiver(e Endpoint) (Conn, error) { return n.conn(&n.heard, e) }

func (n *network) conn(list *[]Endpoint, e Endpoint) (Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*list = append(*list, e)
	n.news.Broadcast()
	if n.open != nil {
		return nil, n.open
	}
	n.moved = false
	return &fakeConn{n: n, at: e, end: make(chan struct{})}, nil
}

func (c *fakeConn) Send(msg []byte) error {
	c.n.mu.Lock()
	wait, err := c.n.blocked, c.n.send
	c.n.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-c.end:
			return errClosed
		}
	}
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if err == nil {
		c.n.sent[c.at.Port] = append(c.n.sent[c.at.Port], bytes.Clone(msg))
	}
	c.n.news.Broadcast()
	return err
}

func (c *fakeConn) Receive(buf []byte) (int, netip.Addr, error) {
	select {
	case msg := <-c.n.inbox:
		return copy(buf, msg), netip.AddrFrom4([4]byte{192, 0, 2, 1}), nil
	case <-c.end:
		return 0, netip.Addr{}, errClosed
	}
}

func (c *fakeConn) Check() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.n.moved {
		return errors.New("another interface")
	}
	return nil
}

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.end) })
	return nil
}

// set changes a network.
func (n *network) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// await waits until something is so.
func (n *network) await(ok func() bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for !ok() {
		n.news.Wait()
	}
}

// ring is a Source that a test fills.
type ring struct {
	mu   sync.Mutex
	list []conntrack.Record
}

func (r *ring) TakeRecords(dst []conntrack.Record) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(dst, r.list)
	r.list = r.list[n:]
	return n
}

// put adds n small records, whose client ports count from first.
func (r *ring) put(first, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		rec := record()
		rec.Flags, rec.EngineLen, rec.DataLen, rec.SrcPort = 0, 0, 0, uint16(first+i)
		r.list = append(r.list, rec)
	}
}

// ticks moves a clock that a runner waits on, one of its waits after the other.
type ticks struct {
	t    *testing.T
	c    *clock.Manual
	seen map[time.Duration]int
}

// pass lets n waits of d go by.
func (k *ticks) pass(d time.Duration, n int) {
	k.t.Helper()
	if k.seen == nil {
		k.seen = map[time.Duration]int{}
	}
	for range n {
		k.seen[d]++
		k.c.Await(d, k.seen[d])
		k.c.Advance(d)
	}
}
