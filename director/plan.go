package director

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dirsw/config"
	"dirsw/vrrp"
)

// Plan is what the election does for a model. Its Extras hold a config.Route or a config.Rule.
func Plan(m *config.Model) vrrp.Plan {
	g := &m.Globals.VRRP
	p := vrrp.Plan{StartupDelay: g.StartupDelay, LogUnknown: g.LogUnknownVRIDs, Priority: g.RealTime, CPUs: g.CPUs}
	without := notRun(m)
	for i := range m.Instances {
		c := instance(m, &m.Instances[i])
		c.Track = tracks(m.Instances[i].Tracks, without)
		p.Instances = append(p.Instances, c)
	}
	for i := range m.VRRP.Groups {
		g := group(&m.VRRP.Groups[i])
		g.Track = tracks(m.VRRP.Groups[i].Tracks, without)
		p.Groups = append(p.Groups, g)
	}
	for _, group := range m.VRRP.Pacing {
		p.Pacing = append(p.Pacing, vrrp.Pacing{Links: group.Interfaces, ARP: group.ARP, NA: group.NA})
	}
	if g.GarpInterval > 0 || g.GNAInterval > 0 {
		p.Pacing = append(p.Pacing, vrrp.Pacing{ARP: g.GarpInterval, NA: g.GNAInterval})
	}
	return p
}

func instance(m *config.Model, in *config.Instance) vrrp.Config {
	c := vrrp.Defaults()
	c.Name, c.VRID, c.Version, c.IPv6, c.Interface = in.Name, in.RouterID, uint8(in.Version), in.Is6(), in.Interface
	c.VMAC, c.XmitBase = vmac(in), in.VMAC.XmitBase
	c.Master, c.Priority, c.Interval = in.State == "MASTER", in.Priority, in.AdvertInt
	c.Auth = map[string]vrrp.AuthType{"PASS": vrrp.AuthPass, "AH": vrrp.AuthAH}[in.AuthType]
	copy(c.Password[:], in.AuthPass)
	c.Group, c.Source = in.McastGroup, in.McastSrcIP
	if len(in.UnicastPeers) > 0 {
		c.Group, c.Source, c.Peers = netip.Addr{}, in.UnicastSrcIP, peers(in.UnicastPeers)
	}
	c.TTL, c.CheckPeer, c.VRF, c.RxBuf = in.UnicastTTL, in.CheckPeers, in.VRF, in.ReceiveBuffer
	if !c.Unicast() {
		c.TTL = 0
	}
	for i := range in.Heartbeats {
		c.Second = append(c.Second, heartbeat(in, &in.Heartbeats[i]))
	}
	c.VMACs = otherVMACs(in)
	for i := range in.Addresses {
		a := address(&in.Addresses[i])
		if v := in.Addresses[i].VMAC; v != "" {
			a.Link = v
		} else if a.UseVMAC {
			a.Link = "" // the instance's own
		}
		if c.VMAC != nil && a.Link == "" && a.Prefix.Addr().Is6() != c.IPv6 {
			a.Link = in.Interface // a VMAC is of one family
		}
		if in.Addresses[i].Excluded {
			c.Excluded = append(c.Excluded, a)
		} else {
			c.Addresses = append(c.Addresses, a)
		}
	}
	for _, r := range in.Routes {
		r.Pos = config.Pos{}
		c.Routes = append(c.Routes, vrrp.Extra{Text: fmt.Sprintf("%+v", r), Value: r})
	}
	for _, r := range in.Rules {
		r.Pos = config.Pos{}
		c.Rules = append(c.Rules, vrrp.Extra{Rule: true, Text: fmt.Sprintf("%+v", r), Value: r})
	}
	c.NoPreempt, c.PreemptDelay, c.DownTimerAdverts = in.NoPreempt, in.PreemptDelay, in.DownAdverts
	c.Strict, c.NoAccept, c.SkipCheckAdvAddr = in.Strict, !in.Accept, in.SkipAddressCheck
	// A master that yields always has a last word (higher_prio_send_advert): after a split the winner would otherwise not know that
	// there was another one, announce nothing, and hosts would go on sending there.
	c.LowerPrioNoAdvert, c.HigherPrioAdvert, c.OwnerIgnore = in.LowerSilent, true, in.OwnerIgnores
	c.ChecksumAsV2, c.OldUnicast, c.NeverOldUnicast = in.ChecksumAsV2, in.UnicastOldSum == config.OldSumOn, in.UnicastOldSum == config.OldSumNever
	c.DontTrackPrimary, c.TrackSource = in.DontTrackPrimary, in.TrackSrcIP
	c.FaultNoPeer = in.FaultNoPeer && len(in.UnicastPeers) == 0
	c.TimerExpired, c.OtherPriority = in.StallPriority > 0, int(in.StallPriority)
	c.PriorityNotices = in.Notify.PriorityChanges
	c.GARP = vrrp.GARP{Repeat: in.Garp.Repeat, Delay: in.Garp.Delay, Refresh: in.Garp.Refresh, RefreshRepeat: in.Garp.RefreshRepeat,
		LowerRepeat: in.Garp.LowerPrioRepeat, LowerDelay: in.Garp.LowerPrioDelay, ExtraIf: in.Garp.Extra, ExtraAll: in.Garp.ExtraAll}
	c.Debounce, c.DebounceUp = debounce(m, in.Interface)
	return c
}

// vmac is the macvlan of an instance, nil if it has none.
func vmac(in *config.Instance) *vrrp.VMAC {
	if !in.VMAC.Use {
		return nil
	}
	v := &vrrp.VMAC{Name: in.VMAC.Name, Base: in.Interface, IPv6: in.Is6(), MAC: in.VMAC.MAC, IPvlan: in.VMAC.IPVLAN, Mode: in.VMAC.Mode, Addr: in.VMAC.Addr,
		Group: in.VMAC.Group}
	name := "vrrp."
	if in.Is6() {
		name = "vrrp6."
	}
	if v.MAC == ([6]byte{}) {
		v.MAC = virtualMAC(in, in.Is6())
	}
	if v.Name == "" {
		v.Name = fmt.Sprint(name, in.RouterID)
	}
	return v
}

// virtualMAC is the MAC address of a virtual router in a family (RFC 9568, section 7.3).
func virtualMAC(in *config.Instance, six bool) [6]byte {
	mac := [6]byte{0, 0, 0x5e, 0, 1, in.RouterID}
	if six {
		mac[4] = 2
	}
	return mac
}

// otherVMACs are the macvlans of an instance's addresses that are not on its own.
func otherVMACs(in *config.Instance) (out []vrrp.VMAC) {
	for i := range in.Addresses {
		a := &in.Addresses[i]
		if a.VMAC == "" || slices.ContainsFunc(out, func(v vrrp.VMAC) bool { return v.Name == a.VMAC }) {
			continue
		}
		v := vrrp.VMAC{Name: a.VMAC, Base: a.Dev, IPv6: a.Prefix.Addr().Is6(), Group: in.VMAC.Group}
		if v.Base == "" {
			v.Base = in.Interface
		}
		v.MAC = virtualMAC(in, v.IPv6)
		out = append(out, v)
	}
	return out
}

// vmacs are all macvlans of an instance.
func vmacs(in *config.Instance) []vrrp.VMAC {
	out := otherVMACs(in)
	if v := vmac(in); v != nil {
		out = append(out, *v)
	}
	return out
}

func peers(list []config.Peer) (out []vrrp.Peer) {
	for _, p := range list {
		out = append(out, vrrp.Peer{Addr: p.Addr, MinTTL: uint8(p.MinTTL), MaxTTL: uint8(p.MaxTTL)})
	}
	return out
}

// heartbeat is a further way for the adverts of an instance.
func heartbeat(in *config.Instance, h *config.Heartbeat) vrrp.Path {
	p := vrrp.Path{Link: h.Interface, IPv6: in.Is6(), AH: in.AuthType == "AH", Source: h.SrcIP, RxBuf: in.ReceiveBuffer}
	switch {
	case len(h.Peers) > 0:
		p.Peers, p.TTL = peers(h.Peers), in.UnicastTTL
	case p.IPv6:
		p.Group = vrrp.Group6()
	default:
		p.Group = vrrp.Group4()
	}
	if !p.Unicast() && in.McastGroup.IsValid() {
		p.Group = in.McastGroup
	}
	return p
}

func address(a *config.VirtualAddress) vrrp.Address {
	scope, _ := config.WellKnownScope(a.Scope) // validated
	return vrrp.Address{Prefix: a.Prefix, Link: a.Dev, Label: a.Label, Broadcast: a.Broadcast, Peer: a.Peer, Scope: scope,
		Home: a.Home, NoDAD: a.NoDAD, ManageTempAddr: a.ManageTemp, NoPrefixRoute: a.NoPrefixRoute, AutoJoin: a.AutoJoin,
		Deprecated: a.Deprecated, NoTrack: a.NoTrack, UseVMAC: a.UseVMAC}
}

var trackKinds = [...]vrrp.TrackKind{config.TrackInterface: vrrp.TrackInterface, config.TrackScript: vrrp.TrackScript,
	config.TrackOfFile: vrrp.TrackFile, config.TrackOfProcess: vrrp.TrackProcess, config.TrackBFD: vrrp.TrackBFD,
	config.TrackArbiter: vrrp.TrackArbiter}

// tracks leaves out scripts that are not run.
func tracks(list []config.Track, without map[string]bool) (out []vrrp.Track) {
	for _, t := range list {
		if t.Kind == config.TrackScript && without[t.Name] {
			continue
		}
		out = append(out, vrrp.Track{Kind: trackKinds[t.Kind], Name: t.Name, Weight: t.Weight, Reverse: t.Reverse, Takeover: t.Takeover})
	}
	return out
}

func group(g *config.SyncGroup) vrrp.GroupConfig {
	out := vrrp.GroupConfig{Name: g.Name, TrackingWeight: g.Weights}
	for _, in := range g.Instances {
		out.Members = append(out.Members, in.Name)
	}
	return out
}

// debounce is how long an interface is down, or up, before that counts.
func debounce(m *config.Model, link string) (down, up time.Duration) {
	i := slices.IndexFunc(m.VRRP.Delays, func(d config.InterfaceDelay) bool { return d.Interface == link })
	if i < 0 {
		return 0, 0
	}
	return m.VRRP.Delays[i].Down, m.VRRP.Delays[i].Up
}
