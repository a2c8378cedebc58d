package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// instances checks each vrrp_instance, and that no two fight over a virtual router or an address.
func (v *validator) instances(m *Model, known trackable) {
	names, addrs := map[string]Pos{}, map[netip.Addr]string{}
	routers := map[routerKey][]*Instance{}
	for i := range m.Instances {
		in := &m.Instances[i]
		if p, ok := names[in.Name]; ok {
			v.fail(in.Pos, "give each its own name", "the vrrp_instance %q is there twice%s", in.Name, at(p))
			continue
		}
		names[in.Name] = in.Pos
		v.instance(in)
		v.tracks(known, in.Tracks, "vrrp_instance "+in.Name)
		key := routerKey{in.Interface, in.RouterID, in.Is6()}
		if k := slices.IndexFunc(routers[key], in.clashes); k >= 0 {
			v.fail(in.Pos, "give each its own number", "the virtual_router_id %d of %q on %s is also that of %q", in.RouterID, in.Name,
				or(in.Interface, "any interface"), routers[key][k].Name)
		}
		routers[key] = append(routers[key], in)
		for _, a := range in.Addresses {
			if other, ok := addrs[a.Prefix.Addr()]; ok {
				v.fail(a.Pos, "keep one of them", "the address %s of %q is there already, in %q", a.Prefix.Addr(), in.Name, other)
			}
			addrs[a.Prefix.Addr()] = in.Name
		}
	}
}

// routerKey is what instances that may clash have in common.
type routerKey struct {
	link string
	id   uint8
	six  bool
}

// clashes reports whether two instances of one key hear each other's adverts as their own: sent to the same group or to the
// same peer.
func (in *Instance) clashes(o *Instance) bool {
	if in.RouterID == 0 {
		return false
	}
	if len(in.UnicastPeers) == 0 && len(o.UnicastPeers) == 0 {
		return in.McastGroup == o.McastGroup
	}
	return slices.ContainsFunc(in.UnicastPeers, func(p Peer) bool {
		return slices.ContainsFunc(o.UnicastPeers, func(q Peer) bool { return p.Addr == q.Addr })
	})
}

func (v *validator) instance(in *Instance) {
	if in.RouterID == 0 {
		v.fail(in.Pos, "write `virtual_router_id` with 1 to 255", "the vrrp_instance %q has no virtual router id", in.Name)
	}
	if in.Priority == 0 {
		v.fail(in.Pos, "write 1 to 255", "the priority of %q is 0", in.Name)
	}
	if in.State != "MASTER" && in.State != "BACKUP" {
		v.fail(in.Pos, "write MASTER or BACKUP", "the state of %q is %q", in.Name, in.State)
	}
	v.advertInt(in)
	v.paths(in)
	v.addresses(in)
}

// advertInt checks the interval: a byte of seconds in VRRPv2 (RFC 3768, 5.3.7), 12 bits of centiseconds in VRRPv3
// (RFC 9568, 5.2.7).
func (v *validator) advertInt(in *Instance) {
	unit, most := time.Second, 255*time.Second
	switch in.Version {
	case 2:
	case 3:
		unit, most = 10*time.Millisecond, 40950*time.Millisecond
	default:
		v.fail(in.Pos, "write 2 or 3", "the version of %q is %d", in.Name, in.Version)
		return
	}
	if in.AdvertInt < unit || in.AdvertInt > most || in.AdvertInt%unit != 0 {
		fix := fmt.Sprintf("write %g to %g seconds", unit.Seconds(), most.Seconds())
		if in.Version == 2 {
			fix = "write whole seconds, 1 to 255, or `version 3`"
		}
		v.fail(in.Pos, fix, "the advert_int %s of %q is none that VRRP version %d has", in.AdvertInt, in.Name, in.Version)
	}
}

// paths checks the ways that adverts take.
func (v *validator) paths(in *Instance) {
	six := in.Is6()
	unicast := len(in.UnicastPeers) > 0
	switch {
	case in.Interface != "":
	case !unicast:
		v.fail(in.Pos, "write `interface NAME`", "the vrrp_instance %q names no interface", in.Name)
	case !in.UnicastSrcIP.IsValid():
		v.fail(in.Pos, "write unicast_src_ip, or `interface NAME`", "the vrrp_instance %q sends to unicast peers from no address and no interface", in.Name)
	case in.UnicastSrcIP.IsLinkLocalUnicast():
		v.fail(in.Pos, "write `interface NAME`", "the unicast_src_ip %s of %q is link-local, and no interface is named", in.UnicastSrcIP, in.Name)
	}
	for _, a := range []struct {
		name string
		addr netip.Addr
	}{{"mcast_src_ip", in.McastSrcIP}, {"unicast_src_ip", in.UnicastSrcIP}, {"mcast_dst_ip", in.McastGroup}} {
		if a.addr.IsValid() && a.addr.Is6() != six {
			v.fail(in.Pos, "write one of the family of its addresses", "the %s %s of %q is of another family than its addresses", a.name, a.addr, in.Name)
		}
	}
	v.peers(in, in.UnicastPeers, in.UnicastSrcIP)
	for i := range in.Heartbeats {
		v.heartbeat(in, &in.Heartbeats[i])
	}
}

// peers checks a list of unicast_peer.
func (v *validator) peers(in *Instance, list []Peer, src netip.Addr) {
	for i, p := range list {
		switch {
		case p.Addr.Is6() != in.Is6():
			v.fail(p.Pos, "write one of the family of its addresses", "the unicast peer %s of %q is of another family than its addresses", p.Addr, in.Name)
		case p.Addr.IsMulticast() || p.Addr.IsUnspecified():
			v.fail(p.Pos, "write a unicast address", "the unicast peer %s of %q is not the address of a host", p.Addr, in.Name)
		case p.Addr == src:
			v.fail(p.Pos, "name the other directors only", "the unicast peer %s of %q is its own address", p.Addr, in.Name)
		case p.MinTTL > p.MaxTTL:
			v.fail(p.Pos, "write the smaller one as min_ttl", "no advert of %s can have a TTL from %d to %d", p.Addr, p.MinTTL, p.MaxTTL)
		case slices.ContainsFunc(list[:i], func(q Peer) bool { return q.Addr == p.Addr }):
			v.fail(p.Pos, "name it once", "the unicast peer %s of %q is there twice", p.Addr, in.Name)
		}
	}
}

// heartbeat checks a second way of adverts.
func (v *validator) heartbeat(in *Instance, h *Heartbeat) {
	switch {
	case h.Interface == "" && len(h.Peers) == 0:
		v.fail(h.Pos, "write `interface NAME`, or unicast_peer", "a heartbeat of %q names neither interface nor peer", in.Name)
	case h.Interface == "" && !h.SrcIP.IsValid():
		v.fail(h.Pos, "write source_ip, or `interface NAME`", "a heartbeat of %q sends to unicast peers from no address and no interface", in.Name)
	case len(h.Peers) == 0 && h.Interface == in.Interface && len(in.UnicastPeers) == 0:
		v.fail(h.Pos, "name another interface", "the heartbeat of %q goes the way of its adverts: by multicast on %s", in.Name, h.Interface)
	case h.SrcIP.IsValid() && h.SrcIP.Is6() != in.Is6():
		v.fail(h.Pos, "write one of the family of its addresses", "the source_ip %s of a heartbeat of %q is of another family than its addresses",
			h.SrcIP, in.Name)
	}
	v.peers(in, h.Peers, h.SrcIP)
	for _, p := range h.Peers {
		if slices.ContainsFunc(in.UnicastPeers, func(q Peer) bool { return q.Addr == p.Addr }) {
			v.fail(p.Pos, "write another address of that director", "the heartbeat of %q to %s goes the way of its adverts", in.Name, p.Addr)
		}
	}
}

// addresses checks what a master holds.
func (v *validator) addresses(in *Instance) {
	six := in.Is6()
	for i := range in.Addresses {
		a := &in.Addresses[i]
		v.address(a, "virtual address", " of "+in.Name)
		switch {
		case !a.Prefix.IsValid():
		case !a.Excluded && a.Prefix.Addr().Is6() != six:
			v.fail(a.Pos, "write it in virtual_ipaddress_excluded", "the virtual address %s of %q is of another family than the first", a.Prefix.Addr(), in.Name)
		case a.Dev == "" && in.Interface == "":
			v.fail(a.Pos, "write `dev NAME` behind it", "the virtual address %s of %q has no interface", a.Prefix.Addr(), in.Name)
		case slices.ContainsFunc(in.UnicastPeers, func(p Peer) bool { return p.Addr == a.Prefix.Addr() }):
			v.fail(a.Pos, "write the peer's own address in unicast_peer", "the virtual address %s of %q is also a unicast peer", a.Prefix.Addr(), in.Name)
		}
	}
}

// maxLabel is the longest label of an address, in bytes.
const maxLabel = 15

// address checks one address. of says whose it is.
func (v *validator) address(a *VirtualAddress, what, of string) {
	switch {
	case !a.Prefix.IsValid():
		v.fail(a.Pos, "write ADDRESS or ADDRESS/LENGTH", "a %s%s is none", what, of)
	case a.Prefix.Addr().IsMulticast() || a.Prefix.Addr().IsUnspecified():
		v.fail(a.Pos, "write a unicast address", "the %s %s%s is not one of a host", what, a.Prefix.Addr(), of)
	case a.Peer.IsValid() && a.Peer.Addr().Is6() != a.Prefix.Addr().Is6():
		v.fail(a.Pos, "write one of the same family", "the peer %s of the %s %s%s is of another family", a.Peer.Addr(), what, a.Prefix.Addr(), of)
	case len(a.Label) > maxLabel:
		v.fail(a.Pos, "write 15 characters or less", "the label %q of the %s %s%s is too long", a.Label, what, a.Prefix.Addr(), of)
	}
}
