package keepalived

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"dirsw/config"
)

// maxGroup is how many addresses a virtual_server_group may have: two IPv4 networks of the kind that was called class B.
const maxGroup = 1 << 17

// group is a virtual_server_group.
type group struct {
	pos     config.Pos
	entries []selected
	used    bool
}

// selected is what one service of a virtual_server takes: an address and a port, or a mark.
type selected struct {
	pos    config.Pos
	addr   netip.Addr
	port   uint16
	mark   uint32
	family bool // the family of the mark is given
	six    bool
}

// group reads a virtual_server_group. Groups are read before the virtual servers, wherever they stand.
func (p *parser) group(outer *block, s *statement) {
	args, ok := p.args(outer, s, 1, 1)
	if !ok {
		return
	}
	name := args[0].text
	if was := p.groups[name]; was != nil {
		p.fail(s.pos(), "merge the two", "the virtual_server_group %s is there twice; the first is in %s", show(name), place(was.pos, s.pos()))
		return
	}
	g := &group{pos: s.pos()}
	for _, line := range p.values(s) {
		g.entries = append(g.entries, p.groupEntry(line, maxGroup-len(g.entries))...)
	}
	if p.groups == nil {
		p.groups = map[string]*group{}
	}
	p.groups[name] = g
	if len(g.entries) == 0 && s.block != nil && len(s.block.statements) == 0 {
		p.fail(s.pos(), "write ADDRESS PORT or fwmark NUMBER", "the virtual_server_group %s is empty", show(name))
	}
}

// place says in which line a thing is, and in which file if that is another one.
func place(of, seenFrom config.Pos) string {
	if of.File != seenFrom.File {
		return fmt.Sprintf("line %d of %s", of.Line, of.File)
	}
	return fmt.Sprintf("line %d", of.Line)
}

// groupEntry reads ADDRESS [PORT], a range of addresses and a port, or fwmark NUMBER [inet|inet6]. room is how many there
// may still be.
func (p *parser) groupEntry(line *statement, room int) []selected {
	words := line.words
	if words[0].text == "fwmark" {
		return p.groupMark(words)
	}
	if len(words) > 2 {
		p.fail(words[2].pos, "write each entry on a line of its own", "%s after an address of a group", show(words[2].text))
		return nil
	}
	first, last, ok := p.addressRange(words[0])
	port := int64(0)
	if len(words) == 2 {
		n, good := p.integer(words[1], 1, math.MaxUint16)
		port, ok = n, ok && good
	}
	if !ok {
		return nil
	}
	var list []selected
	for a := first; ; a = a.Next() {
		if len(list) == room {
			p.fail(words[0].pos, fmt.Sprintf("write fewer than %d, or a firewall mark", maxGroup), "too many addresses in a virtual_server_group")
			return nil
		}
		list = append(list, selected{pos: words[0].pos, addr: a, port: uint16(port)})
		if a == last {
			return list
		}
	}
}

func (p *parser) groupMark(words []token) []selected {
	if len(words) < 2 {
		p.fail(words[0].pos, "write its number", "fwmark is missing its value")
		return nil
	}
	n, ok := p.integer(words[1], 1, math.MaxUint32)
	c := selected{pos: words[0].pos, mark: uint32(n)}
	if len(words) > 2 {
		switch words[2].text {
		case "inet", "inet6":
			c.family, c.six = true, words[2].text == "inet6"
		default:
			p.fail(words[2].pos, "write inet or inet6", "%s after the mark", show(words[2].text))
			return nil
		}
	}
	if !ok {
		return nil
	}
	return []selected{c}
}

// addressRange reads ADDRESS, ADDRESS-ADDRESS, ADDRESS-LAST (the last byte of IPv4, the last 16 bits of IPv6), or
// ADDRESS/LENGTH, which is all addresses of that network, the first and the last of IPv4 as well.
func (p *parser) addressRange(w token) (first, last netip.Addr, ok bool) {
	text, end, isRange := strings.Cut(w.text, "-")
	if prefix, err := netip.ParsePrefix(w.text); err == nil {
		if prefix != prefix.Masked() {
			p.fail(w.pos, "write "+prefix.Masked().String(), "%s is no network: keepalived leaves it out", show(w.text))
			return first, last, false
		}
		return prefix.Addr(), lastOf(prefix), true
	}
	first, ok = p.address(token{pos: w.pos, text: text})
	if !ok || !isRange {
		return first, first, ok
	}
	if last, err := netip.ParseAddr(end); err == nil && last.Is4() == first.Is4() {
		if last.Less(first) {
			p.fail(w.pos, "write the lower address first", "the range %s is empty", show(w.text))
			return first, last, false
		}
		return first, last, true
	}
	base, bytes := 10, 1
	if first.Is6() {
		base, bytes = 16, 2
	}
	n, err := strconv.ParseUint(end, base, 8*bytes)
	b := first.AsSlice()
	k := len(b) - bytes
	from := uint64(0)
	for i := range bytes {
		from = from<<8 | uint64(b[k+i])
		b[k+i] = byte(n >> (8 * (bytes - 1 - i)))
	}
	last, _ = netip.AddrFromSlice(b)
	if err != nil || n < from {
		p.fail(w.pos, "write ADDRESS-LAST, as 192.0.2.1-10, or ADDRESS/LENGTH", "malformed range %s", show(w.text))
		return first, last, false
	}
	return first, last, true
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// selector reads what follows virtual_server: ADDRESS [PORT], fwmark NUMBER, or group NAME.
func (p *parser) selector(s *statement, sv *config.Service) ([]selected, bool) {
	args := s.args()
	if len(args) == 0 {
		p.fail(s.pos(), "write ADDRESS PORT, fwmark NUMBER or group NAME after it", "virtual_server names no service")
		return nil, false
	}
	kind := args[0].text
	if (kind == "fwmark" || kind == "group") && len(args) < 2 {
		fix := "write its number"
		if kind == "group" {
			fix = "write the name of a virtual_server_group"
		}
		p.fail(args[0].pos, fix, "%s is missing its value", kind)
		return nil, false
	}
	if len(args) > 2 {
		p.note(args[2].pos, "%s after the virtual server is ignored", show(args[2].text))
		args = args[:2]
	}
	switch kind {
	case "fwmark":
		n, ok := p.integer(args[1], 1, math.MaxUint32)
		return []selected{{pos: s.pos(), mark: uint32(n)}}, ok
	case "group":
		g := p.groups[args[1].text]
		if g == nil {
			p.unknownGroup(args[1])
			return nil, false
		}
		g.used = true
		sv.Group.Name = args[1].text
		return g.entries, true
	}
	addr, port, ok := p.endpoint(args)
	return []selected{{pos: s.pos(), addr: addr, port: port}}, ok
}

func (p *parser) unknownGroup(w token) {
	fix := "write virtual_server_group " + w.text + " with its addresses"
	if near := config.Nearest(w.text, maps.Keys(p.groups)); near != "" {
		fix = "write " + near
	}
	p.fail(w.pos, fix, "there is no virtual_server_group %s", show(w.text))
}
