package forward

import (
	"encoding/binary"
	"math/bits"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// The persistence engine sip (kernel: net/netfilter/ipvs/ip_vs_pe_sip.c). What a client sends about one call goes to one
// server, whatever port it sends from: a template stands for a client and a Call-ID. A client with several calls has
// several templates. A message without a Call-ID that can be read is dropped.

// Engine is a persistence engine: what besides its address tells the connections of a client apart.
type Engine uint8

// The engines.
const (
	NoEngine Engine = iota
	SIP             // the Call-ID of SIP messages over UDP
)

// String returns the name as ipvsadm has it; "" for none.
func (e Engine) String() string {
	if e == SIP {
		return "sip"
	}
	return ""
}

// sipCallsMost bounds the calls that a worker keeps, whatever the room of its connection table: a call takes 272 bytes.
const sipCallsMost = 1 << 16

// sipCall is a template and the Call-ID that it has besides what stands in the connection table.
type sipCall struct {
	hash uint64
	conn uint32 // slot of the template in the connection table
	next uint32 // with the same hash, or in the free list; from 1
	keep bool   // it can be found
	n    uint8
	id   [callIDMax]byte
}

// sipCalls finds templates by their Call-ID. Conn.App of a template is its place here, from 1.
type sipCalls struct {
	heads   []uint32 // by hash, from 1
	list    []sipCall
	touched uint32
	unused  uint32
	seed    uint64
	// servers are those that may call clients on their own, by the address and port that they do it from.
	servers map[ServiceKey]conntrack.DestID
	once    conntrack.Conn // see Worker.called
	// The way that the last message of a client came: the one to a client that was never heard of.
	port uint8
	mac  packet.MAC
}

// prepare makes room for a part of so many connections; nothing if there is some.
func (s *sipCalls) prepare(conns, seed uint64) {
	if s.list == nil {
		n := min(conns, sipCallsMost)
		s.heads, s.list, s.seed = make([]uint32, n), make([]sipCall, n), seed
	}
}

// ready reports whether there is room that prepare has made.
func (s *sipCalls) ready() bool { return s.list != nil }

// hash mixes a Call-ID, so that nobody can aim at one place of heads who does not know the seed.
func (s *sipCalls) hash(id []byte) uint64 {
	const k0, k1 = 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9
	h := s.seed ^ uint64(len(id))*k0
	for len(id) > 0 {
		var word [8]byte
		n := copy(word[:], id)
		id = id[n:]
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(word[:]), k1^s.seed)
		h = hi ^ lo ^ k0
	}
	return h
}

func (s *sipCalls) head(hash uint64) *uint32 {
	hi, _ := bits.Mul64(hash, uint64(len(s.heads)))
	return &s.heads[hi]
}

// find returns the template of a call; nil if there is none. K is the templateKey (kernel: ip_vs_sip_ct_match).
func (s *sipCalls) find(t *conntrack.Table, k *packet.Tuple, id []byte) *conntrack.Conn {
	h := s.hash(id)
	for i := *s.head(h); i != 0; i = s.list[i-1].next {
		e := &s.list[i-1]
		if e.hash != h || string(e.id[:e.n]) != string(id) {
			continue
		}
		if c := t.At(e.conn); c.Tuple() == *k {
			return c
		}
	}
	return nil
}

// keep remembers the Call-ID of a template; false if there is no room.
func (s *sipCalls) keep(c *conntrack.Conn, id []byte) bool {
	i := s.unused
	switch {
	case i != 0:
		s.unused = s.list[i-1].next
	case int(s.touched) < len(s.list):
		s.touched++
		i = s.touched
	default:
		return false
	}
	e := &s.list[i-1]
	e.hash, e.conn, e.keep = s.hash(id), c.Slot(), true
	e.n = uint8(copy(e.id[:], id))
	head := s.head(e.hash)
	e.next, *head = *head, i
	c.App = i
	return true
}

// hide makes find blind for a template, whose Call-ID is still known (see conntrack.Table.Retire).
func (s *sipCalls) hide(c *conntrack.Conn) {
	if c.App == 0 || !s.list[c.App-1].keep {
		return
	}
	e := &s.list[c.App-1]
	e.keep = false
	at := s.head(e.hash)
	for *at != c.App {
		at = &s.list[*at-1].next
	}
	*at = e.next
}

// free forgets the Call-ID of a template that ends.
func (s *sipCalls) free(c *conntrack.Conn) {
	if c.App == 0 {
		return
	}
	s.hide(c)
	s.list[c.App-1].next = s.unused
	s.unused = c.App
}

// id returns the Call-ID of a template; nil if it has none. Valid until the template ends.
func (s *sipCalls) id(c *conntrack.Conn) []byte {
	if !c.IsTemplate() || c.App == 0 {
		return nil
	}
	e := &s.list[c.App-1]
	return e.id[:e.n]
}

// sipID returns the Call-ID of a packet; nil if there is none to go by.
func sipID(f *packet.Frame, m *packet.Meta) []byte {
	if m.Proto != packet.ProtoUDP {
		return nil
	}
	return callID(f.Bytes()[m.Payload:m.End])
}

// sipID returns the Call-ID of a message of a client, and remembers which way it came.
func (w *Worker) sipID(f *packet.Frame, m *packet.Meta) []byte {
	id := sipID(f, m)
	if id != nil {
		w.apps.sip.port, w.apps.sip.mac = f.Port, packet.Ethernet(f.Bytes()).Src()
	}
	return id
}

// sipServers are the real servers that may call clients on their own: by masquerading, those of services with the engine
// sip (kernel: __ip_vs_rs_conn_out). One by firewall mark has no address to call from, one on all ports no port.
func sipServers(s *Snapshot) map[ServiceKey]conntrack.DestID {
	var all map[ServiceKey]conntrack.DestID
	for i := range s.Dests {
		d := &s.Dests[i]
		if d.Service == NoService {
			continue
		}
		svc := &s.Services[d.Service]
		if d.Method != NAT || d.Gone || svc.Gone || svc.Engine != SIP || svc.Key.Proto != packet.ProtoUDP || svc.Key.Port == 0 {
			continue
		}
		if all == nil {
			all = map[ServiceKey]conntrack.DestID{}
		}
		all[ServiceKey{d.Addr, d.Port, svc.Key.Proto}] = conntrack.DestID(i)
	}
	return all
}

// called says in v that a datagram is what a real server sends to a client on its own, if it is. With one-packet scheduling
// that is all that the server sends, and the connection is only lent for the way of this one.
func (w *Worker) called(v *Verdict, f *packet.Frame, m *packet.Meta, now clock.Mono) bool {
	if ttl(f, m) <= 1 {
		return false
	}
	c := w.call(f, m, now)
	if c == nil {
		return false
	}
	v.Why, v.Service, v.Dest, v.Dir, v.conn = WhyConnection, ServiceID(c.Service), c.Dest, conntrack.FromServer, c
	w.table.Advance(c, conntrack.FromServer, conntrack.UDPAny, now)
	w.acc.reply(uint32(c.Dest), m.Len())
	v.State, v.Left = c.State(), c.Left(now)
	if w.snap.Services[v.Service].OnePacket {
		w.apps.sip.once = *c
		v.conn = &w.apps.sip.once
		w.end(c)
	}
	return true
}

// call makes the connection of a datagram that a real server sends to a client on its own, so that what the client answers
// comes back to it; nil if m is no such datagram (kernel: ip_vs_new_conn_out).
func (w *Worker) call(f *packet.Frame, m *packet.Meta, now clock.Mono) *conntrack.Conn {
	id, ok := w.apps.sip.servers[ServiceKey{m.Src, m.SrcPort, m.Proto}]
	if !ok || w.apps.sip.mac == (packet.MAC{}) { // nobody knows the way
		return nil
	}
	d := &w.snap.Dests[id]
	svc := &w.snap.Services[d.Service]
	spec := conntrack.Spec{Real: m.Src, RealPort: m.SrcPort, Dest: id, Service: uint32(d.Service), Event: conntrack.UDPAny}
	spec.Tuple = packet.Tuple{Src: m.Dst, SrcPort: m.DstPort, Dst: svc.Key.Addr, DstPort: svc.Key.Port, Proto: m.Proto, Family: m.Family}
	var template *conntrack.Conn
	if svc.Persistence > 0 {
		if template = w.callTemplate(f, m, svc, &spec, now); template == nil {
			return nil
		}
	}
	h := w.table.Hash(&spec.Tuple)
	if c, _ := w.table.Lookup(&spec.Tuple, h); c != nil { // the client's, with another server
		w.end(c)
	}
	c, err := w.table.Insert(&spec, h, now)
	if err != nil {
		return nil
	}
	c.Packets, c.Method = 0, uint8(d.Method)
	c.SetHop(w.apps.sip.port, w.apps.sip.mac)
	if template != nil {
		w.table.Control(c, template, now)
	}
	d.Load.Add(w.id, 0, 1, 0)
	d.Load.Bound(d.Upper)
	w.acc.opened(uint32(id))
	return c
}

// callTemplate finds or makes the template of the call that a real server begins; nil if it does not say which.
func (w *Worker) callTemplate(f *packet.Frame, m *packet.Meta, svc *Service, s *conntrack.Spec, now clock.Mono) *conntrack.Conn {
	call := sipID(f, m)
	if call == nil {
		return nil
	}
	k := templateKey(svc, &s.Tuple)
	t := w.apps.sip.find(w.table, &k, call)
	if t != nil && t.Dest == s.Dest && w.snap.Settings.serves(&w.snap.Dests[t.Dest]) {
		return t
	}
	if t != nil {
		w.retire(t)
	}
	spec := conntrack.Spec{Tuple: k, Real: s.Real, RealPort: s.RealPort, Dest: s.Dest, Service: s.Service}
	return w.newTemplate(&spec, call, svc.Persistence, now)
}

// retire makes a template that is of no more use one that new connections do not find.
func (w *Worker) retire(t *conntrack.Conn) {
	if t.Flags()&conntrack.Unkeyed != 0 {
		w.apps.sip.hide(t)
	}
	w.table.Retire(t)
}
