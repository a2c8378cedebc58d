package conntrack

import (
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// Template returns the persistence template for k: the client's network and port 0, the virtual address and port, the
// protocol. nil if there is none. h is HashTemplate(k). Templates have keys of their own: a client that uses port 0 does
// not meet them.
func (t *Table) Template(k *packet.Tuple, h uint64) *Conn {
	return t.find(&k.Src, &k.Dst, portsKey(k, spaceTemplate), h)
}

// find returns the entry with this key, which is not that of a connection.
func (t *Table) find(src, dst *packet.Addr, ports, h uint64) *Conn {
	tag := tagOf(h)
	for i := t.index.home(tag); ; {
		cell := t.index.cells[i]
		if uint32(cell>>32) == tag && cell&cellServer == 0 {
			if c := &t.slab[cell&cellSlot]; c.matches(src, dst, ports) {
				return c
			}
		}
		if cell == 0 {
			return nil
		}
		if i++; i == t.index.n {
			i = 0
		}
	}
}

// InsertTemplate enters a template that Template did not find; h is HashTemplate(&s.Tuple). It lives for timeout, in
// whole seconds and at least one, after the last connection through it was opened. It returns ErrFull if there is no
// room.
func (t *Table) InsertTemplate(s *Spec, h uint64, timeout time.Duration, now clock.Mono) (*Conn, error) {
	c := t.takeTemplate(s, timeout, now)
	if c == nil {
		return nil, ErrFull
	}
	t.enter(c, h, now)
	return c, nil
}

// InsertUnkeyed enters a template that the caller finds by itself, by its slot: a persistence engine tells clients apart by
// what they say, so that there may be many templates with the same addresses and ports. Else it is as InsertTemplate.
func (t *Table) InsertUnkeyed(s *Spec, timeout time.Duration, now clock.Mono) (*Conn, error) {
	c := t.takeTemplate(s, timeout, now)
	if c == nil {
		return nil, ErrFull
	}
	c.flags |= Unkeyed
	t.arm(c, now)
	return c, nil
}

// takeTemplate fetches a free slot and makes it the template that s describes; nil if there is none.
func (t *Table) takeTemplate(s *Spec, timeout time.Duration, now clock.Mono) *Conn {
	c := t.take(s, spaceTemplate, now)
	if c == nil {
		return nil
	}
	c.flags = s.Flags&(OnePacket|Synced) | Template
	c.Packets = 0
	c.state = s.State
	c.via = uint32(max(timeout/time.Second, 1))
	c.deadline = now + seconds(c.via)
	t.templates++
	return c
}

// Control notes that p controls the new connection c, and so lives as long as c does: p is the template that c came
// through, whose time starts again and which an established c assures, or the connection whose helper announced c.
func (t *Table) Control(c, p *Conn, now clock.Mono) {
	t.letGo(c)
	c.via = p.self
	c.flags |= led
	p.users++
	if p.flags&Template != 0 {
		if c.state == TCPEstablished || c.state == SCTPEstablished { // by its first packet (sloppy_tcp)
			p.state = Assured
		}
		t.again(p, now)
	}
}

// Touch notes that a packet was scheduled through template p and left no connection, and starts p's time again.
func (t *Table) Touch(p *Conn, now clock.Mono) {
	p.Packets++
	t.again(p, now)
}

// again starts the time of template p again.
func (t *Table) again(p *Conn, now clock.Mono) {
	p.deadline = now + seconds(p.via)
	if int32(ceilTick(p.deadline)-p.armed) < 0 {
		t.wheel.unlink(t.slab, p)
		t.wheel.link(t.slab, p)
	}
}

// letGo ends the control over c, and frees the slot of an entry that was removed before and only waited for that.
func (t *Table) letGo(c *Conn) {
	if c.via == 0 {
		return
	}
	p := &t.slab[c.via]
	c.via = 0
	if p.users--; p.users == 0 && !p.used() {
		t.orphaned--
		t.put(p)
	}
}

// Controller returns the template or connection that controls c (Control); nil if none does, or it has been removed.
func (t *Table) Controller(c *Conn) *Conn {
	if c.via == 0 || c.flags&Template != 0 {
		return nil
	}
	if p := &t.slab[c.via]; p.used() {
		return p
	}
	return nil
}

// TemplateOf returns the template that c came through; nil if it came through none, or that has been removed.
func (t *Table) TemplateOf(c *Conn) *Conn {
	if p := t.Controller(c); p != nil && p.flags&Template != 0 {
		return p
	}
	return nil
}

// Retire makes Template blind for p, because its server is gone or no longer wanted; p lives on while connections
// through it do. Its client port becomes 0, its virtual and real ports 65535, as the kernel lists it
// (ip_vs_check_template).
func (t *Table) Retire(p *Conn) {
	if p.flags&Retired != 0 {
		return
	}
	if p.flags&Unkeyed == 0 {
		t.index.remove(p.tags[0], p.self)
	}
	p.flags |= Retired
	p.ports = p.ports&^0xffff_ffff | 0xffff_0000
	p.realPort = 0xffff
}
