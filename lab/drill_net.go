package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"dirsw/config"
)

// around is the network that an address is taken to be in where nothing says it.
func around(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// add puts a prefix into a network, unless one of it holds it already.
func (n *lan) add(p netip.Prefix) {
	if !slices.ContainsFunc(n.prefixes, func(x netip.Prefix) bool { return x.Bits() <= p.Bits() && x.Contains(p.Addr()) }) {
		n.prefixes = append(n.prefixes, p.Masked())
	}
}

// near puts the network around an address into a network, unless one of its prefixes holds it already.
func (n *lan) near(a netip.Addr) {
	if _, ok := n.holds(a); !ok {
		n.prefixes = append(n.prefixes, around(a))
	}
}

// holds returns the longest prefix of a network with an address.
func (n *lan) holds(a netip.Addr) (best netip.Prefix, ok bool) {
	for _, p := range n.prefixes {
		if p.Contains(a) && (!ok || p.Bits() > best.Bits()) {
			best, ok = p, true
		}
	}
	return best, ok
}

// lanWith returns the network that has an address, and its prefix there; nil if none has.
func (p *plan) lanWith(a netip.Addr) (found *lan, at netip.Prefix) {
	for _, n := range p.nets {
		if x, ok := n.holds(a); ok && (found == nil || x.Bits() > at.Bits()) {
			found, at = n, x
		}
	}
	return found, at
}

// prefixes finds out which addresses are in which network: first what the files say with a length, then the networks around
// the directors' own addresses, then those around virtual addresses alone.
func (p *plan) prefixes() {
	p.eachAddress(func(n *lan, a netip.Prefix) {
		if a.Bits() < a.Addr().BitLen() {
			n.add(a)
		}
	})
	for k := range p.members {
		m := p.members[k].model
		for i := range m.Instances {
			in := &m.Instances[i]
			n := p.lanOf(k, linkOf(in))
			for _, a := range append(sourcesOf(in), peersOf(in.UnicastPeers)...) {
				n.near(a)
			}
			for _, h := range in.Heartbeats {
				if n := p.lanOf(k, h.Interface); n != nil {
					for _, a := range append(peersOf(h.Peers), h.SrcIP) {
						if a.IsValid() {
							n.near(a)
						}
					}
				}
			}
		}
	}
	p.eachAddress(func(n *lan, a netip.Prefix) { n.near(a.Addr()) })
	for k := range p.members {
		p.routes(k)
	}
	for i, n := range p.nets {
		if !slices.ContainsFunc(n.prefixes, func(x netip.Prefix) bool { return x.Addr().Is4() }) {
			n.add(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 0}), 24)) // of RFC 2544: nobody's
		}
	}
}

// eachAddress calls f for every address that the directors hold by the files, with its network.
func (p *plan) eachAddress(f func(*lan, netip.Prefix)) {
	for k := range p.members {
		m := p.members[k].model
		for i := range m.Instances {
			in := &m.Instances[i]
			for _, a := range in.Addresses {
				n := p.lanOf(k, a.Dev)
				if n == nil {
					n = p.lanOf(k, linkOf(in))
				}
				f(n, a.Prefix)
			}
		}
		for _, a := range m.VRRP.Static.Addresses {
			if n := p.lanOf(k, a.Dev); n != nil {
				f(n, a.Prefix)
			}
		}
	}
}

// sourcesOf lists the addresses that an instance sends from, as far as it says.
func sourcesOf(in *config.Instance) (out []netip.Addr) {
	for _, a := range []netip.Addr{in.UnicastSrcIP, in.McastSrcIP} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func peersOf(list []config.Peer) (out []netip.Addr) {
	for _, x := range list {
		out = append(out, x.Addr)
	}
	return out
}

// routes notes the gateways of a director's routes: the client has their addresses.
func (p *plan) routes(k int) {
	m := p.members[k].model
	gate := func(n *lan, r *config.Route) {
		if own := p.lanOf(k, r.Dev); own != nil {
			n = own
		}
		hops := []netip.Addr{r.Via}
		for _, h := range r.Nexthops {
			hops = append(hops, h.Via)
		}
		for _, via := range hops {
			if via.IsValid() && n != nil {
				n.near(via)
				p.gateways[via] = true
			}
		}
	}
	for i := range m.Instances {
		in := &m.Instances[i]
		for k2 := range in.Routes {
			gate(p.lanOf(k, linkOf(in)), &in.Routes[k2])
		}
	}
	for i := range m.VRRP.Static.Routes {
		gate(nil, &m.VRRP.Static.Routes[i])
	}
}

// reserve takes the addresses that the files give to somebody.
func (p *plan) reserve() {
	take := func(list ...netip.Addr) {
		for _, a := range list {
			p.taken[a] = true
		}
	}
	p.eachAddress(func(_ *lan, a netip.Prefix) { take(a.Addr()) })
	for k := range p.members {
		m := p.members[k].model
		for i := range m.Instances {
			in := &m.Instances[i]
			take(append(sourcesOf(in), peersOf(in.UnicastPeers)...)...)
			for _, h := range in.Heartbeats {
				take(append(peersOf(h.Peers), h.SrcIP)...)
			}
		}
		for i := range m.Services {
			s := &m.Services[i]
			take(s.Addr)
			for _, r := range realsOf(s) {
				take(r.Addr)
			}
		}
		for _, a := range m.VRRP.Arbiters {
			take(a.Addresses...)
		}
	}
	for a := range p.gateways {
		take(a)
	}
}

// free takes an address of a prefix that nobody has: from its beginning, or its end.
func (p *plan) free(in netip.Prefix, last bool) (netip.Prefix, error) {
	a := in.Addr().Next()
	next := netip.Addr.Next
	if last {
		next = netip.Addr.Prev
		b := in.Addr().AsSlice()
		for bit := max(in.Bits(), in.Addr().BitLen()-8); bit < in.Addr().BitLen(); bit++ {
			b[bit/8] |= 1 << (7 - bit%8)
		}
		a, _ = netip.AddrFromSlice(b)
		a = a.Prev() // not the broadcast address
	}
	for range 254 {
		if !in.Contains(a) || a == in.Addr() {
			break
		}
		if !p.taken[a] {
			p.taken[a] = true
			return netip.PrefixFrom(a, in.Bits()), nil
		}
		a = next(a)
	}
	return netip.Prefix{}, fmt.Errorf("there is no free address left in %v", in)
}

// addresses gives the directors and the client their own.
func (p *plan) addresses() error {
	for _, n := range p.nets {
		for k := range p.members {
			if err := p.ownAddresses(n, k); err != nil {
				return err
			}
		}
		for _, x := range n.prefixes {
			if x.Addr().IsLinkLocalUnicast() {
				continue
			}
			for _, a := range slices.SortedFunc(maps.Keys(p.gateways), netip.Addr.Compare) {
				if x.Contains(a) {
					n.client = append(n.client, netip.PrefixFrom(a, x.Bits()))
				}
			}
			own, err := p.free(x, true)
			if err != nil {
				return err
			}
			n.client = append(n.client, own)
		}
	}
	return nil
}

// ownAddresses gives a director the addresses that it says it has in a network, and a free one of each prefix in which it says
// nothing.
func (p *plan) ownAddresses(n *lan, k int) error {
	if len(n.links[k]) == 0 {
		return nil
	}
	has := func(x netip.Prefix) bool {
		for _, list := range n.addrs[k] {
			if slices.ContainsFunc(list, func(a netip.Prefix) bool { return x.Contains(a.Addr()) }) {
				return true
			}
		}
		return false
	}
	for link, list := range p.claimed(k) {
		if !slices.Contains(n.links[k], link) {
			continue
		}
		for _, a := range list {
			if x, ok := n.holds(a); ok {
				n.addrs[k][link] = append(n.addrs[k][link], netip.PrefixFrom(a, x.Bits()))
			}
		}
	}
	for _, x := range n.prefixes {
		if x.Addr().IsLinkLocalUnicast() || has(x) {
			continue
		}
		own, err := p.free(x, false)
		if err != nil {
			return err
		}
		n.addrs[k][n.links[k][0]] = append(n.addrs[k][n.links[k][0]], own)
	}
	return nil
}

// claimed lists by interface the addresses that a director has: those that it sends from, or, where it does not say, those
// that the other one sends to. What both claim is the first one's.
func (p *plan) claimed(k int) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	add := func(link string, list ...netip.Addr) {
		for _, a := range list {
			if a.IsValid() && !slices.Contains(out[link], a) {
				out[link] = append(out[link], a)
			}
		}
	}
	a := p.members[0].model
	for i := range a.Instances {
		both := [2]*config.Instance{&a.Instances[i], p.partnerOf(&a.Instances[i])}
		own, other := both[k], both[1-k]
		if own == nil {
			continue
		}
		mine := sourcesOf(own)
		var theirs []netip.Addr
		if other != nil {
			theirs = sourcesOf(other)
		}
		if k == 1 {
			mine = slices.DeleteFunc(mine, func(x netip.Addr) bool { return slices.Contains(theirs, x) })
		}
		add(linkOf(own), mine...)
		if len(mine) == 0 && other != nil {
			for _, x := range peersOf(other.UnicastPeers) {
				if !slices.Contains(theirs, x) && !slices.Contains(peersOf(own.UnicastPeers), x) {
					add(linkOf(own), x)
					break
				}
			}
		}
		for h, hb := range own.Heartbeats {
			add(hb.Interface, hb.SrcIP)
			if !hb.SrcIP.IsValid() && other != nil && h < len(other.Heartbeats) && len(other.Heartbeats[h].Peers) > 0 {
				add(hb.Interface, other.Heartbeats[h].Peers[0].Addr)
			}
		}
	}
	return out
}

// clientLink is the client's interface in a network.
func (n *lan) clientLink(p *plan) string { return fmt.Sprintf("eth%d", slices.Index(p.nets, n)) }

// clientIn is the client's address in a prefix of a network.
func (n *lan) clientIn(x netip.Prefix) netip.Addr {
	for _, a := range n.client {
		if x.Contains(a.Addr()) {
			return a.Addr()
		}
	}
	return netip.Addr{}
}
