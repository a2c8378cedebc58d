package conntrack

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// twin is what a Table promises, without any of its cleverness: maps, and a look at everything for each expiry.
type twin struct {
	max       int
	conns     map[packet.Tuple]*twinConn
	expected  map[packet.Tuple]*twinConn // by the flow with client port 0
	templates map[packet.Tuple]*twinConn
	lost      []*twinConn // retired templates
	orphaned  int         // removed templates whose connections live
	timeouts  Timeouts
}

type twinConn struct {
	key      packet.Tuple
	real     packet.Addr
	flags    Flags
	state    State
	packets  uint32
	deadline clock.Mono
	timeout  time.Duration // templates
	users    int           // templates and connections that control others
	template *twinConn     // or the connection that announced it
	dead     bool
	service  uint32 // a name for this very entry
}

func (w *twin) live() int {
	return len(w.conns) + len(w.expected) + len(w.templates) + len(w.lost) + w.orphaned
}

func (w *twin) timeoutOf(s State) time.Duration {
	switch s {
	case TCPEstablished:
		return w.timeouts.TCP
	case TCPFinWait:
		return w.timeouts.TCPFin
	case UDPNormal:
		return w.timeouts.UDP
	}
	return time.Duration(stateTimeouts[s]) * time.Second
}

func (w *twin) drop(c *twinConn) {
	c.dead = true
	if c.users > 0 {
		w.orphaned++
	}
	if c.flags&Expected != 0 {
		delete(w.expected, c.key)
	} else if c.flags&Template == 0 {
		delete(w.conns, c.key)
	} else if c.flags&Retired != 0 {
		w.lost = slices.DeleteFunc(w.lost, func(o *twinConn) bool { return o == c })
	} else {
		delete(w.templates, c.key)
	}
	if p := c.template; p != nil {
		if p.users--; p.dead && p.users == 0 {
			w.orphaned--
		}
	}
}

func (w *twin) all() (cs []*twinConn) {
	for _, c := range w.conns {
		cs = append(cs, c)
	}
	for _, c := range w.expected {
		cs = append(cs, c)
	}
	for _, c := range w.templates {
		cs = append(cs, c)
	}
	return append(cs, w.lost...)
}

// pair keeps a table and its twin in step.
type pair struct {
	t    *testing.T
	x    *Table
	w    *twin
	rnd  *rand.Rand
	now  clock.Mono
	name uint32
}

// tuple draws one of few flows, so that they meet again.
func (p *pair) tuple() packet.Tuple {
	k := tcp("198.51.100.1", uint16(p.rnd.IntN(40)))
	k.Src[15] = byte(p.rnd.IntN(4))
	if p.rnd.IntN(2) == 0 {
		k.Proto = packet.ProtoUDP
	}
	if p.rnd.IntN(4) == 0 {
		k.Family, k.Src[0], k.Src[10], k.Src[11] = packet.IPv6Family, 0x20, 0, 0
	}
	return k
}

func (p *pair) event(k packet.Tuple) Event {
	if k.Proto == packet.ProtoUDP {
		return UDPAny
	}
	return []Event{TCPSyn, TCPSyn, TCPAck, TCPAck, TCPAck, TCPFin, TCPRst, Keep}[p.rnd.IntN(8)]
}

// template fetches or makes the template of k in both; nil when the table is full.
func (p *pair) template(k packet.Tuple) (*Conn, *twinConn) {
	k.SrcPort = 0
	h := p.x.HashTemplate(&k)
	c, w := p.x.Template(&k, h), p.w.templates[k]
	p.same(c, w)
	if c != nil {
		return c, w
	}
	p.name++
	timeout := time.Duration(1+p.rnd.IntN(100)) * time.Second
	c, err := p.x.InsertTemplate(&Spec{Tuple: k, Service: p.name}, h, timeout, p.now)
	if full := p.w.live() == p.w.max; (err != nil) != full {
		p.t.Fatalf("InsertTemplate: %v, full %v", err, full)
	} else if full {
		return nil, nil
	}
	w = &twinConn{key: k, flags: Template, timeout: timeout, deadline: p.now.Add(timeout), service: p.name}
	p.w.templates[k] = w
	return c, w
}

// packet lets a packet come: the connection advances, or one is made, perhaps through a template.
func (p *pair) packet() {
	k := p.tuple()
	h := p.x.Hash(&k)
	p.x.prefetch([]uint64{h})
	c, d := p.x.Lookup(&k, h)
	w := p.w.conns[k]
	p.same(c, w)
	if w == nil {
		c, w = p.claim(k, h), p.w.conns[k]
	}
	ev := p.event(k)
	if w != nil {
		p.advance(c, d, w, ev)
		return
	}
	if !ev.Opens(false) {
		return
	}
	var tc *Conn
	var tw *twinConn
	if p.rnd.IntN(2) == 0 {
		if tc, tw = p.template(k); tc == nil {
			return
		}
	}
	p.name++
	// The server's address is made from the flow, so that no two connections answer to the same reply.
	s := Spec{Tuple: k, Real: k.Src, RealPort: k.SrcPort + 100, Service: p.name, Event: ev}
	s.Real[14], s.Flags = k.Proto, Flags(p.rnd.IntN(2))*OneWay
	c, err := p.x.Insert(&s, h, p.now)
	if full := p.w.live() == p.w.max; (err != nil) != full {
		p.t.Fatalf("Insert: %v, full %v", err, full)
	} else if full {
		return
	}
	w = &twinConn{key: k, real: s.Real, flags: s.Flags, state: c.State(), packets: 1, service: p.name}
	w.deadline = p.now.Add(p.w.timeoutOf(w.state))
	p.w.conns[k] = w
	if tc != nil {
		p.x.Control(c, tc, p.now)
		w.template = tw
		tw.users++
		tw.deadline = p.now.Add(tw.timeout)
	}
}

// expect announces a connection of some client on the one that it has, as a helper does.
func (p *pair) expect() {
	k := p.tuple()
	h := p.x.Hash(&k)
	by, _ := p.x.Lookup(&k, h)
	wb := p.w.conns[k]
	p.same(by, wb)
	if wb == nil {
		return
	}
	k.SrcPort = 0
	k.DstPort = uint16(1000 + p.rnd.IntN(3))
	p.name++
	s := Spec{Tuple: k, Real: k.Src, RealPort: k.DstPort, Service: p.name, State: TCPListen, Flags: Flags(p.rnd.IntN(2)) * OneWay}
	s.Real[14] = k.Proto
	c, err := p.x.InsertExpected(&s, p.now)
	if w := p.w.expected[k]; w != nil {
		p.same(c, w)
		return
	}
	if full := p.w.live() == p.w.max; (err != nil) != full {
		p.t.Fatalf("InsertExpected: %v, full %v", err, full)
	} else if full {
		return
	}
	w := &twinConn{key: k, real: s.Real, flags: s.Flags | Expected, state: TCPListen, service: p.name,
		deadline: p.now.Add(p.w.timeoutOf(TCPListen))}
	p.w.expected[k] = w
	p.x.Control(c, by, p.now)
	w.template = wb
	wb.users++
}

// claim asks whether a flow that is not known was announced.
func (p *pair) claim(k packet.Tuple, h uint64) *Conn {
	c := p.x.Claim(&k, h)
	any := k
	any.SrcPort = 0
	w := p.w.expected[any]
	if w != nil {
		delete(p.w.expected, any)
		w.flags &^= Expected
		w.key = k
		p.w.conns[k] = w
	}
	p.same(c, w)
	return c
}

// advance gives an event to a connection, from the server if replies pass.
func (p *pair) advance(c *Conn, d Dir, w *twinConn, ev Event) {
	if w.flags&OneWay == 0 && p.rnd.IntN(2) == 0 {
		r := packet.Tuple{Src: w.real, SrcPort: c.RealPort(), Dst: w.key.Src, DstPort: w.key.SrcPort,
			Proto: w.key.Proto, Family: w.key.Family}
		back, rd := p.x.Lookup(&r, p.x.Hash(&r))
		if back != c || rd != FromServer {
			p.t.Fatalf("Lookup of the reply to %v: %v %v", w.key, back, rd)
		}
		d = rd
	}
	was, is := p.x.Advance(c, d, ev, p.now)
	if was != w.state {
		p.t.Fatalf("%v was %v, want %v", w.key, was, w.state)
	}
	w.state = is
	w.deadline = p.now.Add(p.w.timeoutOf(is))
	if p.rnd.IntN(8) == 0 {
		life := time.Duration(p.rnd.IntN(3000)) * time.Second
		p.x.Limit(c, life, p.now)
		w.deadline = p.now.Add(life)
	}
	if d == FromClient {
		w.packets++
	}
	established := is != was && is == TCPEstablished || is == UDPNormal && d == FromServer
	if established && w.template != nil && !w.template.dead && w.template.flags&Template != 0 {
		w.template.state = Assured
	}
}

// same compares an entry with its twin.
func (p *pair) same(c *Conn, w *twinConn) {
	p.t.Helper()
	if c == nil && w == nil {
		return
	}
	if c == nil || w == nil {
		p.t.Fatalf("%v: twin has %+v", c, w)
	}
	if c.Service != w.service || c.State() != w.state || c.Left(p.now) != max(0, w.deadline.Sub(p.now)) ||
		c.Users() != w.users || c.Flags() != w.flags || c.Packets != w.packets {
		p.t.Fatalf("entry %d %v %v left %v users %d packets %d, want %+v", c.Service, c.Tuple(), c.State(), c.Left(p.now),
			c.Users(), c.Packets, w)
	}
}

// remove ends one entry, or retires a template.
func (p *pair) remove() {
	k := p.tuple()
	if w := p.w.conns[k]; w != nil && p.rnd.IntN(2) == 0 {
		c, _ := p.x.Lookup(&k, p.x.Hash(&k))
		p.same(c, w)
		p.x.Remove(c)
		p.w.drop(w)
		return
	}
	k.SrcPort = 0
	w := p.w.templates[k]
	if w == nil {
		return
	}
	c := p.x.Template(&k, p.x.HashTemplate(&k))
	p.same(c, w)
	if p.rnd.IntN(2) == 0 {
		p.x.Remove(c)
		p.w.drop(w)
		return
	}
	p.x.Retire(c)
	delete(p.w.templates, k)
	w.flags |= Retired
	p.w.lost = append(p.w.lost, w)
}

// pass lets time go by and ends what is due in both. The table may be late by a tick, so it is asked a tick later; what
// both cannot agree on within that tick is not due for long.
func (p *pair) pass() {
	steps := []time.Duration{time.Microsecond, 3 * time.Millisecond, 400 * time.Millisecond, 9 * time.Second,
		2 * time.Minute, 3 * time.Hour}
	p.now = p.now.Add(time.Duration(p.rnd.Int64N(int64(steps[p.rnd.IntN(len(steps))]))))
	budget := 1 + p.rnd.IntN(60)
	// Now and then a breath is short of time: what is due may stay for later, what is not must not go.
	if p.rnd.IntN(4) == 0 {
		p.x.Expire(p.now, budget/16, p.ended)
		p.grace()
		return
	}
	for late := 0; ; late++ {
		done := p.x.Expire(p.now, budget, p.ended)
		if done > budget {
			p.t.Fatalf("Expire did %d, budget %d", done, budget)
		}
		if done < budget {
			break
		}
		if late > 1000 {
			p.t.Fatalf("Expire does not come to an end")
		}
	}
	p.grace()
	for _, w := range p.w.all() {
		if w.deadline.Add(tick) <= p.now {
			p.t.Fatalf("%v not ended %v after its time", w.key, p.now.Sub(w.deadline))
		}
	}
}

const tick = time.Duration(1 << tickShift)

// ended is called for each entry that the table ends: it must be due.
func (p *pair) ended(c *Conn) {
	for _, w := range p.w.all() {
		if w.service != c.Service {
			continue
		}
		p.same(c, w)
		if w.deadline > p.now || w.users > 0 {
			p.t.Fatalf("%v ended %v early, with %d users", w.key, w.deadline.Sub(p.now), w.users)
		}
		p.w.drop(w)
		return
	}
	p.t.Fatalf("%v ended, twin has it not", c.Tuple())
}

// grace gives templates in use their minute in the twin, at the moment the table did.
func (p *pair) grace() {
	byName := make(map[uint32]*twinConn)
	for _, w := range p.w.all() {
		byName[w.service] = w
	}
	p.x.Scan(0, 1<<30, func(c *Conn) bool {
		w := byName[c.Service]
		if w != nil && w.deadline <= p.now && c.Left(p.now) == time.Minute {
			w.timeout = time.Minute
			w.deadline = p.now.Add(time.Minute)
		}
		return true
	})
}

// shed ends what looks abandoned: nothing that was heard of lately, that is closing, or that controls what stays.
func (p *pair) shed() {
	byName := make(map[uint32]*twinConn)
	for _, w := range p.w.all() {
		byName[w.service] = w
	}
	if p.rnd.IntN(2) == 0 {
		p.x.OweShed()
	}
	p.x.Shed(p.now, p.rnd.IntN(20), nil, func(c *Conn) {
		w := byName[c.Service]
		p.same(c, w)
		idle := p.w.timeoutOf(w.state) - w.deadline.Sub(p.now)
		switch {
		case w.users > 0, w.flags&Template != 0 && w.state == Assured:
			p.t.Fatalf("shed %+v", w)
		case w.state == TCPSynRecv, w.flags&Template != 0, w.flags&Template == 0 && c.App == told:
		case idle < time.Minute || w.packets > shedMost:
			p.t.Fatalf("shed %+v, idle for %v", w, idle)
		}
		if w.template != nil && !w.template.dead && w.template.flags&Template == 0 {
			if by := p.x.Controller(c); by != nil {
				by.App = told // it may go with the last connection that it announced, whatever its state
			}
		}
		p.w.drop(w)
	})
	p.x.Scan(0, 1<<30, func(c *Conn) bool { c.App = 0; return true })
}

const told = 1

// list compares everything that both hold.
func (p *pair) list() {
	want := p.w.all()
	slices.SortFunc(want, func(a, b *twinConn) int { return cmp.Compare(a.service, b.service) })
	var got []*Conn
	for from, done := uint32(0), false; !done; {
		from, done = p.x.Scan(from, 1+p.rnd.IntN(20), func(c *Conn) bool {
			got = append(got, c)
			return p.rnd.IntN(8) != 0
		})
	}
	slices.SortFunc(got, func(a, b *Conn) int { return cmp.Compare(a.Service, b.Service) })
	if len(got) != len(want) || p.x.Len() != len(p.w.conns)+len(p.w.expected) ||
		p.x.Templates() != len(p.w.templates)+len(p.w.lost) {
		p.t.Fatalf("%d entries, %d connections, %d templates, want %d, %d and %d", len(got), p.x.Len(), p.x.Templates(),
			len(want), len(p.w.conns)+len(p.w.expected), len(p.w.templates)+len(p.w.lost))
	}
	for i := range got {
		p.same(got[i], want[i])
	}
}

func (p *pair) timeouts() {
	sec := func() time.Duration { return time.Duration(p.rnd.IntN(3000)) * time.Second }
	o := Timeouts{TCP: sec(), TCPFin: sec(), UDP: sec()}
	p.x.SetTimeouts(o)
	w := &p.w.timeouts
	w.TCP, w.TCPFin, w.UDP = cmp.Or(o.TCP, w.TCP), cmp.Or(o.TCPFin, w.TCPFin), cmp.Or(o.UDP, w.UDP)
	if got := p.x.Timeouts(); got != *w {
		p.t.Fatalf("Timeouts %v, want %v", got, *w)
	}
}

// TestTwin runs random operations on a table and its twin.
func TestTwin(t *testing.T) {
	for range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%#x", seed), func(t *testing.T) { runTwin(t, seed, 30_000) })
	}
}

func runTwin(t *testing.T, seed uint64, ops int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	room := 1 + rnd.IntN(300)
	p := &pair{t: t, rnd: rnd, now: clock.Mono(rnd.Int64N(1 << 60)),
		x: newTable(t, Options{MaxConns: room, Seed: seed, Timeouts: Timeouts{TCP: 2 * time.Hour}}),
		w: &twin{max: room, conns: map[packet.Tuple]*twinConn{}, templates: map[packet.Tuple]*twinConn{},
			expected: map[packet.Tuple]*twinConn{},
			timeouts: Timeouts{TCP: 2 * time.Hour, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}},
	}
	for i := range ops {
		switch n := rnd.IntN(100); {
		case n < 72:
			p.packet()
		case n < 77:
			p.expect()
		case n < 80:
			p.shed()
		case n < 86:
			p.remove()
		case n < 98:
			p.pass()
		case n < 99:
			p.timeouts()
		default:
			p.list()
		}
		if i%500 == 0 {
			if err := p.x.verify(); err != nil {
				t.Fatalf("after %d operations: %v", i+1, err)
			}
		}
	}
	p.list()
}
