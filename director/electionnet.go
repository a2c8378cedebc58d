package director

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/host"
	"dirsw/vrrp"
)

// ElectionNet is the machine as the election sees it: a vrrp.Net over a host.VRRP. The runner's thread is its only user, but
// for Wake.
type ElectionNet struct {
	v     *host.VRRP
	vmacs *host.VMACs

	// Before the runner begins: who is told of links and of strangers that claim an address of ours, on the runner's thread.
	link     func(vrrp.LinkState)
	stranger func(host.Answer)
	// taking is told of a link that is about to have a virtual address, or has one for longer.
	taking func(link string)

	noSwap bool
	ours   map[vrrp.Address]bool // nobody else's any more

	clock   clock.Clock
	probes  atomic.Pointer[map[netip.Addr]bool] // who else has these is asked for while they are held (probe_addresses)
	guarded map[string]map[netip.Addr]bool      // such addresses that are held, by link
	changed map[string]bool                     // links whose guarded addresses are others since the host was told
	probeAt clock.Mono                          // when it is asked for the next time
}

// probeEvery is how often the others on a link are asked whether somebody has an address of ours.
const probeEvery = 10 * time.Second

var _ vrrp.Net = (*ElectionNet)(nil)

// NewElectionNet makes it of what Host offers. NoSwap keeps the memory of the process from being swapped out.
func NewElectionNet(v *host.VRRP, vmacs *host.VMACs, c clock.Clock, noSwap bool) *ElectionNet {
	return &ElectionNet{v: v, vmacs: vmacs, noSwap: noSwap, link: func(vrrp.LinkState) {}, stranger: func(host.Answer) {}, taking: func(string) {},
		ours: map[vrrp.Address]bool{}, clock: c, guarded: map[string]map[netip.Addr]bool{}, changed: map[string]bool{}}
}

// Open is vrrp.Net's.
func (n *ElectionNet) Open(id int, p vrrp.Path) (netip.Addr, error) {
	return n.v.Add(id, host.Path{Link: p.Link, Base: p.Base, VRF: p.VRF, IPv6: p.IPv6, AH: p.AH, Source: p.Source, Group: p.Group,
		TTL: p.TTL, RxBuf: p.RxBuf})
}

// Shut is vrrp.Net's.
func (n *ElectionNet) Shut(id int) { n.v.Remove(id) }

// Send is vrrp.Net's.
func (n *ElectionNet) Send(id int, dst netip.Addr, msg []byte) error { return n.v.Send(id, dst, msg) }

// Wake is vrrp.Net's.
func (n *ElectionNet) Wake() { n.v.Wake() }

// Receive is vrrp.Net's.
func (n *ElectionNet) Receive(wait time.Duration) (vrrp.Packet, bool) {
	e, ok := n.v.Receive(n.probe(wait))
	if !ok {
		return vrrp.Packet{}, false
	}
	switch e.Kind {
	case host.AdvertCame:
		p := &e.Packet
		return vrrp.Packet{IDs: p.Paths, Link: p.Link, Src: p.Src, Dst: p.Dst, TTL: p.TTL, Protocol: p.Protocol, Header: p.Header, Data: p.Data}, true
	case host.LinkChanged:
		n.link(vrrp.LinkState{Name: e.Link.Name, Up: e.Link.Exists && e.Link.Up, Addrs: slices.Clone(e.Link.Addrs)})
	case host.AnswerCame:
		if !e.Answer.Own {
			n.stranger(e.Answer)
		}
	}
	return vrrp.Packet{}, false
}

// probe asks for strangers when it is time to, and returns how long may be waited.
func (n *ElectionNet) probe(wait time.Duration) time.Duration {
	for link := range n.changed {
		_ = n.v.Guard(link, slices.Collect(maps.Keys(n.guarded[link]))) // a link that vanishes is guarded again when it comes back
		delete(n.changed, link)
	}
	if len(n.guarded) == 0 {
		return wait
	}
	now := n.clock.Now()
	if now >= n.probeAt {
		n.probeAt = now.Add(probeEvery)
		for link, addrs := range n.guarded {
			for a := range addrs {
				_ = n.v.Probe(link, a) // a link that is down has no strangers
			}
		}
	}
	return min(wait, n.probeAt.Sub(now))
}

// guard begins or ends to look for strangers that have an address. The host is told with the next Receive, once for all that
// come and go together.
func (n *ElectionNet) guard(a vrrp.Address, on bool) {
	addr := a.Prefix.Addr()
	if probes := n.probes.Load(); on {
		on = probes != nil && (*probes)[addr]
	}
	switch list := n.guarded[a.Link]; {
	case list[addr] == on:
		return
	case list == nil:
		n.guarded[a.Link] = map[netip.Addr]bool{addr: true}
	case on:
		list[addr] = true
	default:
		if delete(list, addr); len(list) == 0 {
			delete(n.guarded, a.Link)
		}
	}
	n.changed[a.Link] = true
}

// Own is vrrp.Net's.
func (n *ElectionNet) Own(a vrrp.Address, lifetime time.Duration) error {
	n.taking(a.Link)
	err := n.v.Own(hostAddress(a), lifetime)
	n.guard(a, err == nil)
	return err
}

// Disown is vrrp.Net's. The first time an address is taken away whoever set it: what is not master must not have it, and a
// keepalived that was killed leaves it.
func (n *ElectionNet) Disown(a vrrp.Address) error {
	n.guard(a, false)
	if !n.ours[a] {
		n.ours[a] = true
		return n.v.Evict([]host.Address{hostAddress(a)})
	}
	return n.v.Disown(hostAddress(a))
}

func hostAddress(a vrrp.Address) host.Address {
	return host.Address{Link: a.Link, Prefix: a.Prefix, Peer: a.Peer, Broadcast: a.Broadcast, Label: a.Label, Scope: a.Scope, Home: a.Home,
		NoDAD: a.NoDAD || a.Prefix.Addr().Is6(), ManageTempAddr: a.ManageTempAddr, NoPrefixRoute: a.NoPrefixRoute, AutoJoin: a.AutoJoin,
		Deprecated: a.Deprecated}
}

// Announce is vrrp.Net's.
func (n *ElectionNet) Announce(link string, a netip.Addr) error { return n.v.Announce(link, a) }

// MakeVMAC is vrrp.Net's.
func (n *ElectionNet) MakeVMAC(v vrrp.VMAC) error {
	return n.vmacs.Make(host.VMAC{Name: v.Name, Base: v.Base, IPv6: v.IPv6, MAC: v.MAC, IPvlan: v.IPvlan, Mode: v.Mode, Addr: v.Addr,
		Group: v.Group})
}

// RemoveVMAC is vrrp.Net's.
func (n *ElectionNet) RemoveVMAC(v vrrp.VMAC) error { return n.vmacs.Remove(v.Name) }

// Link is vrrp.Net's.
func (n *ElectionNet) Link(name string) (vrrp.LinkState, bool) {
	l := n.v.Link(name)
	return vrrp.LinkState{Name: l.Name, Up: l.Up, Addrs: l.Addrs}, l.Exists
}

// RealTime is vrrp.Net's.
func (n *ElectionNet) RealTime(priority int, cpus []int) error {
	return host.RealTime{Priority: priority, CPUs: cpus, NoSwap: n.noSwap}.Set()
}

// Set is vrrp.Net's.
func (n *ElectionNet) Set(e vrrp.Extra) error { return n.extra(e, true) }

// Unset is vrrp.Net's.
func (n *ElectionNet) Unset(e vrrp.Extra) error { return n.extra(e, false) }

// extra sets or removes a route or a rule.
func (n *ElectionNet) extra(e vrrp.Extra, set bool) error {
	switch v := e.Value.(type) {
	case config.Route:
		return n.route(&v, set)
	case config.Rule:
		return n.rule(&v, set)
	}
	return fmt.Errorf("%q is neither a route nor a rule", e.Text)
}
