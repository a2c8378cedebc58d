package keepalived

import (
	"slices"
	"strconv"
	"strings"

	"dirsw/config"
)

// instance writes a vrrp_instance with all that it has, given or by default. g is what global_defs says.
func (p *printer) instance(v *config.Instance, g *config.VRRPGlobals) {
	p.block(func() {
		p.line("state", v.State)
		p.text("interface", v.Interface)
		p.text("vrf", v.VRF)
		p.number("virtual_router_id", int64(v.RouterID))
		p.number("priority", int64(v.Priority))
		p.time("advert_int", v.AdvertInt)
		p.number("version", int64(v.Version))
		p.bool("strict_mode", v.Strict)
		p.line(map[bool]string{true: "accept", false: "no_accept"}[v.Accept])
		if v.AuthType != "" || v.AuthPass != "" {
			p.block(func() {
				p.text("auth_type", v.AuthType)
				p.text("auth_pass", v.AuthPass)
			}, "authentication")
		}
		p.election(v, g)
		p.path(v)
		p.garp(&v.Garp, g)
		p.held(v)
		p.flag("dont_track_primary", v.DontTrackPrimary)
		p.tracks(v.Tracks)
		p.notify(&v.Notify, v.SMTPAlert)
		for _, h := range v.Heartbeats {
			p.block(func() {
				p.text("interface", h.Interface)
				p.addr("source_ip", h.SrcIP)
				p.peers(h.Peers)
			}, "heartbeat")
		}
		p.command("split_brain_script", v.SplitBrainScript)
		p.differing("probe_addresses", v.ProbeAddresses, false)
	}, "vrrp_instance", v.Name)
}

// differing writes a switch that is not as it is by default: keepalived 2.2.7 does not know the keyword, or takes it for on
// whatever follows it (skip_check_adv_addr).
func (p *printer) differing(keyword string, on, otherwise bool) {
	if on != otherwise {
		p.bool(keyword, on)
	}
}

func (p *printer) election(v *config.Instance, g *config.VRRPGlobals) {
	p.flag("nopreempt", v.NoPreempt)
	p.time("preempt_delay", v.PreemptDelay)
	p.number("down_timer_adverts", int64(v.DownAdverts))
	p.number("timer_expired_backup", int64(v.StallPriority))
	p.bool("lower_prio_no_advert", v.LowerSilent)
	p.bool("higher_prio_send_advert", v.HigherAnswer)
	p.differing("skip_check_adv_addr", v.SkipAddressCheck, g.SkipCheckAdvAddr)
	p.differing("owner_ignore_adverts", v.OwnerIgnores, g.OwnerIgnoreAdverts)
	p.differing("v3_checksum_as_v2", v.ChecksumAsV2, g.ChecksumAsV2)
}

func (p *printer) path(v *config.Instance) {
	if len(v.UnicastPeers) == 0 {
		p.addr("mcast_dst_ip", v.McastGroup)
	}
	p.addr("mcast_src_ip", v.McastSrcIP)
	p.addr("unicast_src_ip", v.UnicastSrcIP)
	p.peers(v.UnicastPeers)
	if v.UnicastTTL != 255 {
		p.line("unicast_ttl", strconv.Itoa(v.UnicastTTL))
	}
	p.flag("check_unicast_src", v.CheckPeers)
	p.flag("unicast_fault_no_peer", v.FaultNoPeer)
	p.flag("track_src_ip", v.TrackSrcIP)
	switch v.UnicastOldSum {
	case config.OldSumOn:
		p.line("old_unicast_checksum")
	case config.OldSumNever:
		p.line("old_unicast_checksum", "never")
	}
	p.number("kernel_rx_buf_size", int64(v.ReceiveBuffer))
	p.vmac(&v.VMAC)
	p.flag("vmac_xmit_base", v.VMAC.XmitBase)
	p.flag("use_vmac_addr", v.VMAC.OtherLinks)
}

func (p *printer) vmac(v *config.VMAC) {
	if !v.Use {
		return
	}
	words := []string{"use_vmac"}
	if v.IPVLAN {
		words[0] = "use_ipvlan"
	}
	if v.Name != "" {
		if strings.Count(v.Name, ":") >= 4 || looksLikeAddress(v.Name) ||
			slices.Contains([]string{"name", "group", "bridge", "private", "vepa", "netlink_notify_msg"}, v.Name) {
			words = append(words, "name")
		}
		words = append(words, v.Name)
	}
	if v.MAC != (config.MAC{}) {
		words = append(words, v.MAC.String())
	}
	if v.Addr.IsValid() {
		words = append(words, v.Addr.String())
	}
	if v.Mode != "" {
		words = append(words, v.Mode)
	}
	if v.Group != 0 {
		words = append(words, "group", strconv.FormatUint(uint64(v.Group), 10))
	}
	p.line(words...)
}

func (p *printer) garp(g *config.GarpTiming, otherwise *config.VRRPGlobals) {
	p.line("garp_master_delay", inSeconds(g.Delay))
	p.line("garp_master_repeat", strconv.Itoa(g.Repeat))
	p.line("garp_master_refresh", inSeconds(g.Refresh))
	p.line("garp_master_refresh_repeat", strconv.Itoa(g.RefreshRepeat))
	p.line("garp_lower_prio_delay", inSeconds(g.LowerPrioDelay))
	p.line("garp_lower_prio_repeat", strconv.Itoa(g.LowerPrioRepeat))
	if g.Extra > 0 || otherwise.Garp.Extra > 0 {
		p.garpExtra("garp_extra_if", g)
	}
}

// garpExtra writes [all] SECONDS.
func (p *printer) garpExtra(keyword string, g *config.GarpTiming) {
	if g.ExtraAll {
		p.line(keyword, "all", whole(g.Extra))
		return
	}
	p.line(keyword, whole(g.Extra))
}

// held writes what a master holds: addresses in their order, in as many blocks as changes between adverted and excluded
// ones need.
func (p *printer) held(v *config.Instance) {
	for list := v.Addresses; len(list) > 0; {
		n := 1
		for n < len(list) && list[n].Excluded == list[0].Excluded {
			n++
		}
		name := "virtual_ipaddress"
		if list[0].Excluded {
			name = "virtual_ipaddress_excluded"
		}
		phrases(p, name, list[:n])
		list = list[n:]
	}
	p.flag("no_virtual_ipaddress", v.NoAddresses)
	p.flag("promote_secondaries", v.PromoteSecondaries)
	phrases(p, "virtual_routes", v.Routes)
	phrases(p, "virtual_rules", v.Rules)
}

// phrases writes a block with a line for each of a list, and nothing where there is none.
func phrases[T any, P interface {
	*T
	Words() []string
}](p *printer, keyword string, list []T) {
	if len(list) == 0 {
		return
	}
	p.block(func() {
		for i := range list {
			p.value(P(&list[i]).Words()...)
		}
	}, keyword)
}
