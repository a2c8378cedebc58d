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
	tag := tagOf(h)
	ports := portsKey(k, spaceTemplate)
	for i := t.index.home(tag); ; {
		cell := t.index.cells[i]
		if uint32(cell>>32) == tag {
			if c := &t.slab[cell&cellSlot]; c.matches(&k.Src, &k.Dst, ports) {
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
	c := t.take(s, spaceTemplate)
	if c == nil {
		return nil, ErrFull
	}
	c.flags = Template
	c.Packets = 0
	c.state = s.State
	c.timeout = uint32(max(timeout/time.Second, 1))
	c.deadline = now + seconds(c.timeout)
	t.templates++
	t.enter(c, h, now)
	return c, nil
}

// Control notes that the new connection c came through template p, and starts p's time again.
func (t *Table) Control(c, p *Conn, now clock.Mono) {
	if old := t.TemplateOf(c); old != nil {
		old.tpl--
	}
	c.tpl, c.tplGen = p.self, p.gen
	p.tpl++
	p.deadline = now + seconds(p.timeout)
	if int32(ceilTick(p.deadline)-p.armed) < 0 {
		t.wheel.unlink(t.slab, p)
		t.wheel.link(t.slab, p)
	}
}

// TemplateOf returns the template that c came through; nil if it came through none, or that has been removed.
func (t *Table) TemplateOf(c *Conn) *Conn {
	if c.tpl == 0 || c.flags&Template != 0 {
		return nil
	}
	if p := &t.slab[c.tpl]; p.gen == c.tplGen {
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
	t.index.remove(p.tags[0], p.self)
	p.flags |= Retired
	p.ports = p.ports&^0xffff_ffff | 0xffff_0000
	p.realPort = 0xffff
}
