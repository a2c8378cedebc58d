package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

func instanceFields(in *Instance) []field {
	fields := list("state", in.State, "interface", in.Interface, "vrf", in.VRF, "virtual_router_id", in.RouterID, "priority", in.Priority,
		"advert_int", in.AdvertInt, "version", in.Version, "strict_mode", in.Strict, "accept", in.Accept, "auth_type", in.AuthType,
		"nopreempt", in.NoPreempt, "preempt_delay", in.PreemptDelay, "down_timer_adverts", in.DownAdverts,
		"timer_expired_backup", in.StallPriority, "skip_check_adv_addr", in.SkipAddressCheck, "lower_prio_no_advert", in.LowerSilent,
		"higher_prio_send_advert", in.HigherAnswer, "owner_ignore_adverts", in.OwnerIgnores, "v3_checksum_as_v2", in.ChecksumAsV2)
	fields = append(fields, pathFields(in)...)
	fields = append(fields, list("garp_master_delay", in.Garp.Delay, "garp_master_repeat", in.Garp.Repeat, "garp_master_refresh", in.Garp.Refresh,
		"garp_master_refresh_repeat", in.Garp.RefreshRepeat, "garp_lower_prio_delay", in.Garp.LowerPrioDelay,
		"garp_lower_prio_repeat", in.Garp.LowerPrioRepeat, "garp_extra_if", extraText(&in.Garp), "no_virtual_ipaddress", in.NoAddresses,
		"promote_secondaries", in.PromoteSecondaries, "dont_track_primary", in.DontTrackPrimary,
		"split_brain_script", in.SplitBrainScript, "probe_addresses", in.ProbeAddresses)...)
	fields = append(fields, trackFields(in.Tracks)...)
	fields = append(fields, notifyFields(&in.Notify, in.SMTPAlert)...)
	return append(fields, field{name: "auth_pass", value: in.AuthPass, secret: true})
}

// pathFields are those of the way that adverts take.
func pathFields(in *Instance) []field {
	var beats []string
	for _, h := range in.Heartbeats {
		var w phrase
		w.add("interface", h.Interface)
		w.addr("source_ip", h.SrcIP)
		w.add("unicast_peer", peersText(h.Peers))
		beats = append(beats, strings.Join(w, " "))
	}
	vmac := ""
	if in.VMAC.Use {
		w := phrase{or(in.VMAC.Name, "on")}
		w.flag("ipvlan", in.VMAC.IPVLAN)
		w.flag(macText(in.VMAC.MAC), in.VMAC.MAC != MAC{})
		w.flag(in.VMAC.Mode, in.VMAC.Mode != "")
		w.prefix("address", in.VMAC.Addr)
		w.number("group", uint64(in.VMAC.Group))
		vmac = strings.Join(w, " ")
	}
	return list("mcast_dst_ip", in.McastGroup, "mcast_src_ip", in.McastSrcIP, "unicast_src_ip", in.UnicastSrcIP,
		"unicast_peer", peersText(in.UnicastPeers), "unicast_ttl", in.UnicastTTL, "check_unicast_src", in.CheckPeers,
		"unicast_fault_no_peer", in.FaultNoPeer, "track_src_ip", in.TrackSrcIP, "old_unicast_checksum", in.UnicastOldSum,
		"kernel_rx_buf_size", in.ReceiveBuffer, "use_vmac", vmac, "vmac_xmit_base", in.VMAC.XmitBase, "use_vmac_addr", in.VMAC.OtherLinks,
		"heartbeat", strings.Join(beats, ", "))
}

func macText(m MAC) string {
	if m == (MAC{}) {
		return ""
	}
	return m.String()
}

func peersText(peers []Peer) string {
	var all []string
	for i := range peers {
		all = append(all, strings.Join(peers[i].Words(), " "))
	}
	return strings.Join(all, ", ")
}

// extraText writes garp_extra_if as the file does.
func extraText(g *GarpTiming) string {
	switch {
	case g.Extra == 0 && !g.ExtraAll:
		return ""
	case g.ExtraAll:
		return "all " + g.Extra.String()
	}
	return g.Extra.String()
}

func pacingFields(g *GARPGroup) []field { return list("garp_interval", g.ARP, "gna_interval", g.NA) }

// trackFields are one for each kind.
func trackFields(tracks []Track) []field {
	var fields []field
	for k := TrackInterface; k <= TrackArbiter; k++ {
		var all []string
		for i := range tracks {
			if tracks[i].Kind == k {
				all = append(all, strings.TrimSuffix(strings.Join(tracks[i].Words(), " "), " noreverse"))
			}
		}
		fields = append(fields, field{name: k.String(), value: strings.Join(all, ", ")})
	}
	return fields
}

func notifyFields(n *Notify, mail bool) []field {
	return list("notify_master", n.Master, "notify_backup", n.Backup, "notify_fault", n.Fault, "notify_stop", n.Stop, "notify", n.Any,
		"notify_master_rx_lower_pri", n.LowerPriority, "notify_deleted", n.Deleted, "tell_deleted", n.TellDeleted,
		"notify_priority_changes", n.PriorityChanges, "smtp_alert", mail)
}

// addressFields are those of an address but for itself.
func addressFields(a *VirtualAddress) []field {
	var w phrase
	w.flag("use_vmac", a.UseVMAC)
	w.flag(a.VMAC, a.VMAC != "")
	w.flag("home", a.Home)
	w.flag("nodad", a.NoDAD)
	w.flag("mngtmpaddr", a.ManageTemp)
	w.flag("noprefixroute", a.NoPrefixRoute)
	w.flag("autojoin", a.AutoJoin)
	w.flag("no_track", a.NoTrack)
	peer := ""
	if a.Peer.IsValid() {
		peer = a.Peer.String()
	}
	return list("dev", a.Dev, "label", a.Label, "scope", a.Scope, "excluded", a.Excluded, "brd", a.Broadcast, "peer", peer,
		"options", strings.Join(w, " "), "deprecated", a.Deprecated, "preferred_lft", a.PreferredLft, "track_group", a.TrackGroup)
}

func groupFields(g *SyncGroup) []field {
	var names []string
	for _, in := range g.Instances {
		names = append(names, in.Name)
	}
	fields := list("group", names, "sync_group_tracking_weight", g.Weights)
	fields = append(fields, trackFields(g.Tracks)...)
	return append(fields, notifyFields(&g.Notify, g.SMTPAlert)...)
}

// weightText writes a weight and its direction.
func weightText(n int, reverse bool) string {
	if reverse {
		return strconv.Itoa(n) + " reverse"
	}
	return strconv.Itoa(n)
}

func scriptFieldsOf(s *Script) []field {
	return list("script", s.Command, "interval", s.Interval, "timeout", s.Timeout, "weight", weightText(s.Weight, s.Reverse),
		"rise", s.Rise, "fall", s.Fall, "init_fail", s.InitFail)
}

func trackFileFields(f *TrackFile) []field {
	return list("file", f.Path, "weight", weightText(f.Weight, f.Reverse), "init_file", f.Init, "value", f.Value)
}

func processFields(t *TrackProcess) []field {
	var command []string
	if t.Command != "" || t.Params != nil {
		command = append([]string{t.Command}, t.Params...)
	}
	return list("process", Command{Args: command}, "param_match", t.Match, "weight", weightText(t.Weight, t.Reverse), "quorum", t.Quorum,
		"quorum_max", t.QuorumMax, "fork_delay", t.UpDelay, "terminate_delay", t.DownDelay, "full_command", t.FullCommand)
}

func bfdFields(f *BFD) []field {
	return list("neighbor_ip", f.Neighbor, "source_ip", f.Source, "min_rx", f.MinRx, "min_tx", f.MinTx, "idle_tx", f.IdleTx,
		"multiplier", f.Multiplier, "passive", f.Passive, "ttl", f.TTL, "max_hops", f.MaxHops, "multihop", f.Multihop,
		"weight", weightText(f.Weight, f.Reverse), "not for vrrp", f.NoVRRP, "not for checks", f.NoChecker)
}

func arbiterFields(a *Arbiter) []field {
	var addrs []string
	for _, addr := range a.Addresses {
		addrs = append(addrs, addr.String())
	}
	return list("address", addrs, "quorum", a.Quorum, "interval", a.Interval, "timeout", a.Timeout, "rise", a.Rise, "fall", a.Fall,
		"weight", weightText(a.Weight, a.Reverse))
}

// beyond returns the fields that are not as a new entry has them: what is worth telling of one that comes.
func beyond(fields, fresh []field) []field {
	return slices.DeleteFunc(fields, func(f field) bool {
		i := slices.IndexFunc(fresh, func(o field) bool { return o.name == f.name })
		return i >= 0 && fresh[i].value == f.value
	})
}

// freshInstance is what an instance is by default. What is told of every one that comes is left at zero.
func freshInstance(of *Instance) *Instance {
	in := &Instance{Accept: true, DownAdverts: 3, UnicastTTL: 255, McastGroup: netip.AddrFrom4([4]byte{224, 0, 0, 18}),
		Garp: GarpTiming{Delay: 5 * time.Second, Repeat: 5, RefreshRepeat: 1, LowerPrioDelay: 5 * time.Second, LowerPrioRepeat: 5}}
	if of.Is6() {
		in.McastGroup = netip.MustParseAddr("ff02::12")
	}
	return in
}
