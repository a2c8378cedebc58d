package keepalived

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"dirsw/config"
)

// holdKeyword reads what a master holds.
func (p *parser) holdKeyword(b *block, s *statement, d *draft) bool {
	switch s.name() {
	case "virtual_ipaddress", "virtual_ipaddress_excluded":
		for _, line := range p.values(s) {
			if a, ok := p.virtualAddress(line, "a virtual address"+ofInstance(d)); ok {
				a.Excluded = s.name() == "virtual_ipaddress_excluded"
				p.addAddress(d, a)
			}
		}
	case "no_virtual_ipaddress":
		p.setFlag(b, s, &d.NoAddresses)
	case "promote_secondaries":
		p.setFlag(b, s, &d.PromoteSecondaries)
	case "accept", "no_accept":
		p.bare(b, s)
		d.Accept = s.name() == "accept"
	case "virtual_routes":
		d.Routes = append(d.Routes, p.routes(s)...)
	case "virtual_rules":
		d.Rules = append(d.Rules, p.rules(s)...)
	default:
		return false
	}
	return true
}

// addAddress gives an instance an address that it has not yet: the kernel has each once on an interface.
func (p *parser) addAddress(d *draft, a config.VirtualAddress) {
	for i := range d.Addresses {
		if was := &d.Addresses[i]; was.Prefix.Addr() == a.Prefix.Addr() && was.Dev == a.Dev {
			p.note(a.Pos, "%s is there already, in %s: that one counts", a.Prefix.Addr(), place(was.Pos, a.Pos))
			return
		}
	}
	d.Addresses = append(d.Addresses, a)
}

func ofInstance(d *draft) string {
	if d.Name == "" {
		return ""
	}
	return " of " + d.Name
}

// virtualAddress reads ADDRESS[/LENGTH] and what may follow it. what says in complaints what it is.
func (p *parser) virtualAddress(line *statement, what string) (config.VirtualAddress, bool) {
	a := config.VirtualAddress{Pos: line.pos()}
	prefix, ok := p.prefix(line.words[0])
	if !ok {
		return a, false
	}
	a.Prefix = prefix
	r := reader{p: p, words: line.words[1:], what: what}
	preferred := false
	for r.more() {
		switch w := r.next(); w.text {
		case "dev":
			if v, ok := r.value(); ok && p.link(v) {
				a.Dev = v.text
			}
		case "label":
			r.text(&a.Label)
		case "scope":
			r.scope(&a.Scope)
		case "brd", "broadcast":
			r.broadcast(prefix, &a)
		case "peer":
			if v, ok := r.value(); ok {
				a.Peer, _ = p.prefix(v)
			}
		case "preferred_lft":
			preferred = true
			r.preferred(&a)
		case "track_group":
			p.noteIdle(staticTracking, w.text, w.pos)
			r.text(&a.TrackGroup)
		default:
			if flag := addressFlag(&a, w.text); flag != nil {
				*flag = true
				continue
			}
			p.stray(w, "dev, label or scope", what)
			return a, false
		}
	}
	p.mendAddress(&a, preferred)
	return a, !r.bad
}

// addressFlag returns what a word without value sets, nil for other words.
func addressFlag(a *config.VirtualAddress, word string) *bool {
	switch word {
	case "use_vmac":
		return &a.UseVMAC
	case "home":
		return &a.Home
	case "-nodad", "nodad":
		return &a.NoDAD
	case "mngtmpaddr":
		return &a.ManageTemp
	case "noprefixroute":
		return &a.NoPrefixRoute
	case "autojoin":
		return &a.AutoJoin
	case "no_track":
		return &a.NoTrack
	}
	return nil
}

// mendAddress drops, with a note, what keepalived drops.
func (p *parser) mendAddress(a *config.VirtualAddress, preferred bool) {
	drop := func(what, why string) {
		p.note(a.Pos, "%s of %s has no effect, in keepalived as well: %s", what, a.Prefix.Addr(), why)
	}
	six := a.Prefix.Addr().Is6()
	if a.Scope == "global" {
		a.Scope = ""
	}
	if six && a.Scope != "" {
		drop("scope", "an address of IPv6 says its scope itself")
		a.Scope = ""
	}
	if six && a.Label != "" {
		drop("label", "only addresses of IPv4 have one")
		a.Label = ""
	}
	if a.Broadcast.IsValid() && (six || a.Peer.IsValid()) {
		drop("brd", "an address of IPv6, or with a peer, has no broadcast address")
		a.Broadcast = netip.Addr{}
	}
	if a.Peer.IsValid() && a.Prefix.Bits() < a.Prefix.Addr().BitLen() {
		drop("its length", "it is that of the peer")
		a.Prefix = netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
	}
	if !six {
		if preferred || a.Home || a.NoDAD || a.ManageTemp {
			drop("preferred_lft, home, nodad or mngtmpaddr", "only addresses of IPv6 have them")
		}
		a.Home, a.NoDAD, a.ManageTemp, a.Deprecated, a.PreferredLft = false, false, false, false, 0
		return
	}
	if !preferred && a.Prefix.IsSingleIP() {
		a.Deprecated = true
	}
	if a.PreferredLft > 0 {
		p.note(a.Pos, "preferred_lft of %s: its lifetime is prolonged while it is held, so it never is deprecated; write 0 for one that is",
			a.Prefix.Addr())
	}
}

// prefix reads ADDRESS or ADDRESS/LENGTH; without a length it is that of a host.
func (p *parser) prefix(w token) (netip.Prefix, bool) {
	if !strings.Contains(w.text, "/") {
		a, ok := p.address(w)
		return netip.PrefixFrom(a, a.BitLen()), ok
	}
	prefix, err := netip.ParsePrefix(w.text)
	if short, ok := shortNetwork(w.text); err != nil && ok {
		p.note(w.pos, "%s is read as %s; keepalived ignores the line", show(w.text), short)
		return short, true
	}
	if err != nil || prefix.Addr().Is4In6() {
		fix := "write ADDRESS or ADDRESS/LENGTH"
		if addr, mask, ok := strings.Cut(w.text, "/"); ok {
			if bits, ok := maskBits(mask); ok {
				fix = "write " + addr + "/" + itoa(bits)
			}
		}
		p.fail(w.pos, fix, "malformed address %s", show(w.text))
		return netip.Prefix{}, false
	}
	return prefix, true
}

// shortNetwork reads an IPv4 network whose last bytes are left out, as ip(8) takes it: 192.0.2/24, or 192.0.2./24.
func shortNetwork(text string) (netip.Prefix, bool) {
	addr, bits, ok := strings.Cut(text, "/")
	addr = strings.TrimSuffix(addr, ".")
	missing := 3 - strings.Count(addr, ".")
	if !ok || missing < 1 || addr == "" {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(addr + strings.Repeat(".0", missing) + "/" + bits)
	return p, err == nil && p.Bits() <= 32-8*missing
}

// maskBits returns the length of a mask like 255.255.255.0.
func maskBits(mask string) (int, bool) {
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return 0, false
	}
	for bits := range 33 {
		if netmask(bits) == a.String() {
			return bits, true
		}
	}
	return 0, false
}

// reader takes the words of a line one by one.
type reader struct {
	p     *parser
	words []token
	at    int
	what  string // the line is about, for complaints
	bad   bool   // a complaint was made
}

func (r *reader) more() bool { return r.at < len(r.words) }

func (r *reader) next() token {
	r.at++
	return r.words[r.at-1]
}

// value returns the word behind the one that was read last.
func (r *reader) value() (token, bool) {
	if !r.more() {
		if last := r.words[r.at-1]; !r.bad {
			r.p.fail(last.pos, "write it on the same line", "%q is missing its value", last.text)
		}
		r.bad = true
		return token{}, false
	}
	return r.next(), true
}

func (r *reader) text(to *string) {
	if w, ok := r.value(); ok {
		*to = w.text
	}
}

// number stores a number of 32 bits, in any notation.
func (r *reader) number(to *uint32) {
	if w, ok := r.value(); ok {
		if n, ok := r.p.unsigned(w, math.MaxUint32); ok {
			*to = uint32(n)
		} else {
			r.bad = true
		}
	}
}

func (r *reader) address() (a netip.Addr, ok bool) {
	w, ok := r.value()
	if !ok {
		return a, false
	}
	if a, ok = r.p.address(w); !ok {
		r.bad = true
	}
	return a, ok
}

func (r *reader) link(to *string) {
	if w, ok := r.value(); ok {
		if r.bad = r.bad || !r.p.link(w); !r.bad {
			*to = w.text
		}
	}
}

// scope stores a scope by its name or number.
func (r *reader) scope(to *string) {
	w, ok := r.value()
	if !ok {
		return
	}
	if _, ok := config.WellKnownScope(w.text); !ok {
		r.bad = true
		r.p.fail(w.pos, "write global, site, link, host or nowhere", "unknown scope %s", show(w.text))
		return
	}
	*to = w.text
}

// broadcast reads an address, or + and - for the host bits all set or clear.
func (r *reader) broadcast(prefix netip.Prefix, a *config.VirtualAddress) {
	w, ok := r.value()
	if !ok {
		return
	}
	switch w.text {
	case "+", "-":
		if !prefix.Addr().Is4() {
			return
		}
		b := prefix.Masked().Addr().As4()
		for i := range b {
			if w.text == "+" {
				b[i] |= ^netip.MustParseAddr(netmask(prefix.Bits())).As4()[i]
			}
		}
		a.Broadcast = netip.AddrFrom4(b)
	default:
		addr, ok := r.p.address(w)
		r.bad = r.bad || !ok
		a.Broadcast = addr
	}
}

// preferred reads preferred_lft N|forever.
func (r *reader) preferred(a *config.VirtualAddress) {
	w, ok := r.value()
	if !ok || w.text == "forever" {
		return
	}
	n, ok := r.p.unsigned(w, math.MaxUint32-1)
	if !ok {
		r.bad = true
		return
	}
	a.PreferredLft, a.Deprecated = time.Duration(n)*time.Second, n == 0
}
