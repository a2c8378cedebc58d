package conntrack

import (
	"dirsw/clock"
	"dirsw/packet"
)

// InsertExpected enters a connection that a helper read about before its first packet: from the client of s to its virtual
// address and port, whatever the client's port, which s does not say (SrcPort 0). Its state is s.State, TCPListen for FTP
// (kernel: IP_VS_CONN_F_NO_CPORT, ip_vs_tcp_conn_listen). If one is there already it is that one, and it is told nothing.
// It returns ErrFull if there is no room.
func (t *Table) InsertExpected(s *Spec, now clock.Mono) (*Conn, error) {
	if c := t.Expected(&s.Tuple); c != nil {
		return c, nil
	}
	k := *s
	k.SrcPort = 0
	c := t.take(&k, spaceExpected, now)
	if c == nil {
		return nil, ErrFull
	}
	c.flags = s.Flags&OneWay | Expected
	c.Packets = 0
	c.state = s.State
	c.deadline = now + t.timeouts[c.state&31]
	t.expected++
	t.enter(c, t.key.hash(&c.client, &c.virtual, c.ports), now)
	return c, nil
}

// Expected returns the expected connection that the flow k from a client would be, whatever the client's port; nil if
// there is none.
func (t *Table) Expected(k *packet.Tuple) *Conn {
	if t.expected == 0 {
		return nil
	}
	any := *k
	any.SrcPort = 0
	ports := portsKey(&any, spaceExpected)
	return t.find(&any.Src, &any.Dst, ports, t.key.hash(&any.Src, &any.Dst, ports))
}

// Claim makes the flow k, which Lookup did not find, the one that a helper expected, and returns it; nil if none was. h is
// Hash(k). With nothing expected it costs a comparison.
func (t *Table) Claim(k *packet.Tuple, h uint64) *Conn {
	if t.expected == 0 {
		return nil
	}
	c := t.Expected(k)
	if c == nil {
		return nil
	}
	t.index.remove(c.tags[0], c.cell())
	t.expected--
	c.flags &^= Expected
	c.ports = portsKey(k, spaceConn)
	c.tags[0] = tagOf(h)
	t.index.add(c.tags[0], c.cell())
	if c.flags&OneWay == 0 {
		t.enterReply(c, tagOf(t.replyHash(&Spec{Tuple: *k, Real: c.real, RealPort: c.realPort})))
	}
	return c
}

// Listen puts a connection that is announced once more, and that may not have ended yet, back into the state before its
// first packet (kernel: ip_vs_tcp_conn_listen). It returns the state it was in.
func (t *Table) Listen(c *Conn, now clock.Mono) (was State) {
	was, c.state = c.state, TCPListen
	c.deadline = now + t.timeouts[TCPListen]
	if int32(ceilTick(c.deadline)-c.armed) < 0 {
		t.wheel.unlink(t.slab, c)
		t.wheel.link(t.slab, c)
	}
	return was
}
