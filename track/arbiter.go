package track

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"dirsw/clock"
)

// arbiterWatcher asks a set of addresses in rounds. A round is won as soon as enough have answered, and lost when its
// time is over before.
type arbiterWatcher struct {
	report
	given Arbiter // as Set had it
	a     Arbiter // with its defaults
	nonce uint64

	mu       sync.Mutex // guards what follows
	tally    tally
	peers    []*peer
	seq      uint16
	answered []bool // of this round, by peer
	decided  bool   // this round is won or lost
	timer    clock.Timer
	deadline clock.Timer
	ctx      context.Context
	cancel   context.CancelFunc // nil until started
}

// peer is one reference address.
type peer struct {
	addr netip.Addr
	conn net.Conn // nil if it could not be opened, or broke; guarded by arbiterWatcher.mu
	err  error    // why there is no conn, or why the last request could not be sent
}

var _ watcher = (*arbiterWatcher)(nil)

func (a Arbiter) watcher(t *Tracker) watcher {
	given := a
	a.Quorum = max(a.Quorum, 1)
	a.Interval = orElse(a.Interval, time.Second)
	a.Timeout = min(orElse(a.Timeout, a.Interval), a.Interval)
	var random [8]byte
	_, _ = rand.Read(random[:]) // does not fail
	w := &arbiterWatcher{given: given, a: a, tally: newTally(a.Rise, a.Fall), nonce: binary.BigEndian.Uint64(random[:])}
	w.report.t, w.report.now = t, State{Key: a.Key()}
	for _, addr := range a.Addresses {
		w.peers = append(w.peers, &peer{addr: addr.Unmap()})
	}
	return w
}

func (w *arbiterWatcher) object() Object { return w.given }
func (w *arbiterWatcher) kept()          {}

// prepare keeps the result where the addresses are the same.
func (w *arbiterWatcher) prepare(old watcher) {
	o, ok := old.(*arbiterWatcher)
	if !ok || !slices.Equal(o.a.Addresses, w.a.Addresses) || o.a.Quorum != w.a.Quorum {
		return
	}
	o.mu.Lock()
	was := o.tally
	o.mu.Unlock()
	w.mu.Lock()
	w.tally.keep(was)
	w.mu.Unlock()
	w.inherit(o.state())
}

func (w *arbiterWatcher) start(ctx context.Context) {
	w.mu.Lock()
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.mu.Unlock()
	w.due()
}

func (w *arbiterWatcher) stop() {
	w.mute()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel == nil {
		return
	}
	w.cancel()
	w.timer.Stop()
	if w.deadline != nil {
		w.deadline.Stop()
	}
	for _, p := range w.peers {
		if p.conn != nil {
			p.conn.Close() // ends its reader
			p.conn = nil
		}
	}
}

// due begins a round.
func (w *arbiterWatcher) due() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	w.timer = w.t.Clock.AfterFunc(w.a.Interval, w.due)
	if w.deadline != nil {
		w.deadline.Stop()
		if !w.decided { // its time ends with the round
			w.decide(false)
		}
	}
	w.seq++
	w.answered = make([]bool, len(w.peers))
	w.decided = false
	seq := w.seq
	w.deadline = w.t.Clock.AfterFunc(w.a.Timeout, func() { w.over(seq) })
	for i, p := range w.peers {
		w.ask(i, p)
	}
}

// ask sends one request. What goes wrong is the peer's silence; it is told with the result. mu is held.
func (w *arbiterWatcher) ask(i int, p *peer) {
	if p.conn == nil {
		if p.conn, p.err = w.t.Dial(p.addr); p.err != nil {
			p.conn = nil
			return
		}
		w.t.busy.Add(1)
		go w.read(i, p.conn)
	}
	_, p.err = p.conn.Write(echo{w.nonce, w.seq}.request(p.addr.Is6()))
}

// read takes the answers of one peer until its socket is closed. An error that comes back from the network is not the
// end of the socket.
func (w *arbiterWatcher) read(i int, c net.Conn) {
	defer w.t.busy.Done()
	buf := make([]byte, 1500)
	for errs := 0; errs < 100; {
		n, err := c.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed), err == io.EOF:
			return
		case err != nil:
			errs++
			continue
		}
		if e, ok := parseReply(buf[:n], w.peers[i].addr.Is6()); ok && e.nonce == w.nonce {
			errs = 0
			w.answer(i, e.seq)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c.Close()
	if w.peers[i].conn == c {
		w.peers[i].conn = nil
	}
}

// answer counts an answer to the round seq.
func (w *arbiterWatcher) answer(i int, seq uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil || seq != w.seq || w.answered[i] {
		return
	}
	w.answered[i] = true
	if !w.decided && w.count() >= w.a.Quorum {
		w.decide(true)
	}
}

// over ends a round that was not won.
func (w *arbiterWatcher) over(seq uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() == nil && seq == w.seq && !w.decided {
		w.decide(false)
	}
}

func (w *arbiterWatcher) count() int {
	n := 0
	for _, a := range w.answered {
		if a {
			n++
		}
	}
	return n
}

// decide takes the result of a round. mu is held.
func (w *arbiterWatcher) decide(won bool) {
	w.decided = true
	if !w.tally.add(won) {
		return
	}
	if won {
		w.t.Log.Info(fmt.Sprintf("VRRP_Arbiter(%s) succeeded", w.a.Name))
	} else {
		w.t.Log.Info(fmt.Sprintf("VRRP_Arbiter(%s) failed (%d of %d addresses answer, quorum %d; silent: %s)",
			w.a.Name, w.count(), len(w.peers), w.a.Quorum, w.silent()))
	}
	w.set(State{Known: true, Up: w.tally.up()})
}

// silent lists who did not answer, and why if it is known.
func (w *arbiterWatcher) silent() string {
	var list []string
	for i, p := range w.peers {
		switch {
		case w.answered[i]:
		case p.err != nil:
			list = append(list, fmt.Sprintf("%v (%v)", p.addr, p.err))
		default:
			list = append(list, p.addr.String())
		}
	}
	return strings.Join(list, ", ")
}
