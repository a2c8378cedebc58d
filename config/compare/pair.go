package compare

import (
	"net/netip"
	"slices"
	"strings"

	"dirsw/config"
)

// pair is an instance, and its partner.
type pair struct {
	*comparer
	a, b *config.Instance
}

func (p pair) compare() {
	if p.a.Is6() != p.b.Is6() {
		p.wrong(p.a.Pos, p.b.Pos, "write the same in both", "%q is of IPv%s, and of IPv%s at the peer", p.a.Name, family(p.a), family(p.b))
		return
	}
	p.protocol()
	p.roles()
	p.addresses()
	p.ways()
}

// protocol compares what an advert must say so that the other takes it.
func (p pair) protocol() {
	a, b := p.a, p.b
	const same = "write the same in both"
	if a.RouterID != b.RouterID {
		p.wrong(a.Pos, b.Pos, same, "virtual_router_id %d of %q, and %d at the peer: both become master", a.RouterID, a.Name, b.RouterID)
	}
	if a.Version != b.Version {
		p.wrong(a.Pos, b.Pos, same, "version %d of %q, and %d at the peer: adverts are dropped, and both become master", a.Version, a.Name, b.Version)
		return
	}
	switch {
	case a.AuthType != b.AuthType:
		p.wrong(a.Pos, b.Pos, same, "auth_type %s of %q, and %s at the peer: adverts are dropped, and both become master", orNone(a.AuthType), a.Name, orNone(b.AuthType))
	case a.AuthType != "" && first8(a.AuthPass) != first8(b.AuthPass):
		p.wrong(a.Pos, b.Pos, same, "the auth_pass of %q is another one at the peer: adverts are dropped, and both become master", a.Name)
	}
	if a.AdvertInt != b.AdvertInt {
		if a.Version == 2 {
			p.wrong(a.Pos, b.Pos, same, "advert_int %v of %q, and %v at the peer: VRRP version 2 drops adverts of another interval, and both become master",
				a.AdvertInt, a.Name, b.AdvertInt)
		} else {
			p.note(a.Pos, b.Pos, same, "advert_int %v of %q, and %v at the peer: a backup takes over the master's, so that the time of a takeover depends on who is master",
				a.AdvertInt, a.Name, b.AdvertInt)
		}
	}
	if a.Version == 3 && !a.Is6() && a.ChecksumAsV2 != b.ChecksumAsV2 {
		p.wrong(a.Pos, b.Pos, same, "v3_checksum_as_v2 of %q differs at the peer: adverts are dropped, and both become master", a.Name)
	}
}

func family(in *config.Instance) string {
	if in.Is6() {
		return "6"
	}
	return "4"
}

// first8 is what of a password is sent (RFC 2338, 5.3.6.1).
func first8(s string) string { return s[:min(len(s), 8)] }

// roles compares who is to be master.
func (p pair) roles() {
	a, b := p.a, p.b
	switch {
	case a.Priority == 255 && b.Priority == 255:
		p.wrong(a.Pos, b.Pos, "give 255 to one of them at most", "both are the owner of the addresses of %q (priority 255): both stay master", a.Name)
	case a.Priority == b.Priority:
		p.note(a.Pos, b.Pos, "give the one that is to be master more", "priority %d of %q in both: the director with the higher address becomes master", a.Priority, a.Name)
	}
	if a.NoPreempt != b.NoPreempt {
		p.note(a.Pos, b.Pos, "write it in both, or in none", "nopreempt of %q in one of the two: the other takes the addresses back whenever it comes", a.Name)
	}
	if a.VMAC.Use != b.VMAC.Use {
		p.note(a.Pos, b.Pos, "write use_vmac in both", "use_vmac of %q in one of the two: the MAC address of its addresses changes with the master", a.Name)
	}
}

// addresses compares what goes over to the other.
func (p pair) addresses() {
	a, b := p.a, p.b
	for _, excluded := range []bool{false, true} {
		where := "virtual_ipaddress"
		if excluded {
			where = "virtual_ipaddress_excluded"
		}
		missing, extra := difference(held(a, excluded), held(b, excluded))
		effect := "; adverts that name other addresses are dropped, and both become master"
		if excluded {
			effect = ""
		}
		if len(missing) > 0 {
			p.wrong(a.Pos, b.Pos, "write the same in both", "%s of %q has %s, which the peer has not%s", where, a.Name, strings.Join(missing, " "), effect)
		}
		if len(extra) > 0 {
			p.wrong(a.Pos, b.Pos, "write the same in both", "%s of %q has not %s, which the peer has%s", where, a.Name, strings.Join(extra, " "), effect)
		}
	}
	for i := range a.Addresses {
		x := &a.Addresses[i]
		for k := range b.Addresses {
			if y := &b.Addresses[k]; y.Prefix.Addr() == x.Prefix.Addr() && y.Prefix.Bits() != x.Prefix.Bits() {
				p.note(x.Pos, y.Pos, "write the same length in both", "%v of %q is %v at the peer", x.Prefix, a.Name, y.Prefix)
			}
		}
	}
}

// held returns the addresses of an instance, sorted.
func held(in *config.Instance, excluded bool) []netip.Addr {
	var list []netip.Addr
	for i := range in.Addresses {
		if in.Addresses[i].Excluded == excluded {
			list = append(list, in.Addresses[i].Prefix.Addr())
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// difference returns what only the first of two sorted lists has, and what only the second.
func difference(a, b []netip.Addr) (missing, extra []string) {
	for _, x := range a {
		if _, ok := slices.BinarySearchFunc(b, x, netip.Addr.Compare); !ok {
			missing = append(missing, x.String())
		}
	}
	for _, x := range b {
		if _, ok := slices.BinarySearchFunc(a, x, netip.Addr.Compare); !ok {
			extra = append(extra, x.String())
		}
	}
	return missing, extra
}

// ways compares how adverts get from one to the other.
func (p pair) ways() {
	a, b := p.a, p.b
	p.heartbeats()
	switch {
	case len(a.UnicastPeers) == 0 && len(b.UnicastPeers) == 0:
		if a.McastGroup != b.McastGroup {
			p.wrong(a.Pos, b.Pos, "write the same group in both", "%q sends its adverts to %v, and the peer to %v: both become master", a.Name, a.McastGroup, b.McastGroup)
		}
		return
	case len(a.UnicastPeers) == 0 || len(b.UnicastPeers) == 0:
		p.wrong(a.Pos, b.Pos, "write unicast_peer in both, or in none", "%q sends unicast in one of the two, and multicast in the other: both become master", a.Name)
		return
	}
	p.mirrored(a, b, "")
	p.mirrored(b, a, " at the peer")
	if a.UnicastSrcIP.IsValid() && a.UnicastSrcIP == b.UnicastSrcIP {
		p.wrong(a.Pos, b.Pos, "write the address of each director in its own file", "unicast_src_ip %v of %q in both", a.UnicastSrcIP, a.Name)
	}
}

// heartbeats compares the further ways: each needs both ends.
func (p pair) heartbeats() {
	a, b := p.a, p.b
	if n, m := len(a.Heartbeats), len(b.Heartbeats); n != m {
		p.note(a.Pos, b.Pos, "write a heartbeat for each way in both", "%q has %d heartbeat here, and %d at the peer: a second way works only where both "+
			"have it, and without it the failure of the first makes both master", a.Name, n, m)
		return
	}
	for i := range a.Heartbeats {
		x, y := &a.Heartbeats[i], &b.Heartbeats[i]
		lost := func(from, to *config.Heartbeat) bool {
			return to.SrcIP.IsValid() && !slices.ContainsFunc(from.Peers, func(o config.Peer) bool { return o.Addr == to.SrcIP })
		}
		switch {
		case (len(x.Peers) == 0) != (len(y.Peers) == 0):
			p.note(x.Pos, y.Pos, "write unicast_peer in both, or in none", "a heartbeat of %q is unicast in one of the two, and multicast in the other: it "+
				"is not heard", a.Name)
		case len(x.Peers) > 0 && (lost(x, y) || lost(y, x)):
			p.note(x.Pos, y.Pos, "write there the source_ip of the other", "unicast_peer of a heartbeat of %q lacks the other's source_ip: it is not heard",
				a.Name)
		}
	}
}

// mirrored requires that one sends to where the other one is, and not to itself. where says whose unicast_peer it is.
func (p pair) mirrored(in, other *config.Instance, where string) {
	has := func(a netip.Addr) bool {
		return slices.ContainsFunc(in.UnicastPeers, func(peer config.Peer) bool { return peer.Addr == a })
	}
	if src := other.UnicastSrcIP; src.IsValid() && !has(src) {
		p.wrong(p.a.Pos, p.b.Pos, "write it there", "unicast_peer of %q%s lacks %v, the other's unicast_src_ip: that one gets no adverts", in.Name, where, src)
	}
	if src := in.UnicastSrcIP; src.IsValid() && has(src) {
		p.wrong(p.a.Pos, p.b.Pos, "write the other directors only", "unicast_peer of %q%s has its own address %v among them", in.Name, where, src)
	}
}
