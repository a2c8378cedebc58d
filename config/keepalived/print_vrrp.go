package keepalived

import (
	"strconv"

	"dirsw/config"
)

// vrrp writes all blocks that are about VRRP: first what is tracked, then who tracks it.
func (p *printer) vrrp(m *config.Model) {
	v := &m.VRRP
	if len(v.Delays) > 0 {
		p.block(func() {
			for _, d := range v.Delays {
				p.value(d.Interface, inSeconds(d.Down), inSeconds(d.Up))
			}
		}, "interface_up_down_delays")
	}
	for _, g := range v.Pacing {
		p.block(func() {
			p.time("garp_interval", g.ARP)
			p.time("gna_interval", g.NA)
			if len(g.Interfaces) > 0 {
				p.block(func() {
					for _, name := range g.Interfaces {
						p.value(name)
					}
				}, "interfaces")
			}
		}, "garp_group")
	}
	phrases(p, "static_ipaddress", v.Static.Addresses)
	phrases(p, "static_routes", v.Static.Routes)
	phrases(p, "static_rules", v.Static.Rules)
	p.tracked(v)
	for i := range v.Groups {
		p.syncGroup(&v.Groups[i])
	}
	for i := range m.Instances {
		p.instance(&m.Instances[i], &m.Globals.VRRP)
	}
}

// tracked writes scripts, files, processes, BFD sessions and arbiters.
func (p *printer) tracked(v *config.VRRP) {
	for i := range v.Scripts {
		p.script(&v.Scripts[i])
	}
	for _, f := range v.Files {
		p.block(func() {
			p.text("file", f.Path)
			p.weight(f.Weight, f.Reverse)
			switch f.Init {
			case config.FileInitMissing:
				p.line("init_file", strconv.Itoa(f.Value))
			case config.FileInitAlways:
				p.line("init_file", strconv.Itoa(f.Value), "overwrite")
			}
		}, "track_file", f.Name)
	}
	for i := range v.Processes {
		p.process(&v.Processes[i])
	}
	for i := range v.BFDs {
		p.bfd(&v.BFDs[i])
	}
	for _, a := range v.Arbiters {
		p.block(func() {
			for _, addr := range a.Addresses {
				p.line("address", addr.String())
			}
			p.line("quorum", strconv.Itoa(a.Quorum))
			p.line("interval", inSeconds(a.Interval))
			p.line("timeout", inSeconds(a.Timeout))
			p.line("rise", strconv.Itoa(a.Rise))
			p.line("fall", strconv.Itoa(a.Fall))
			p.weight(a.Weight, a.Reverse)
		}, "vrrp_arbiter", a.Name)
	}
}

func (p *printer) script(s *config.Script) {
	p.block(func() {
		p.program("script", s.Command)
		p.line("interval", inSeconds(s.Interval))
		p.line("timeout", inSeconds(s.Timeout))
		p.weight(s.Weight, s.Reverse)
		p.line("rise", strconv.Itoa(s.Rise))
		p.line("fall", strconv.Itoa(s.Fall))
		p.flag("init_fail", s.InitFail)
	}, "vrrp_script", s.Name)
}

func (p *printer) process(t *config.TrackProcess) {
	p.block(func() {
		if t.Command != "" {
			p.line(append([]string{"process", t.Command}, t.Params...)...)
		}
		if t.Match == config.ParamInitial || t.Match == config.ParamPartial {
			p.line("param_match", t.Match.String())
		}
		p.weight(t.Weight, t.Reverse)
		p.line("quorum", strconv.Itoa(t.Quorum))
		if t.QuorumMax != config.NoQuorumMax {
			p.line("quorum_max", strconv.Itoa(t.QuorumMax))
		}
		p.time("fork_delay", t.UpDelay)
		p.time("terminate_delay", t.DownDelay)
		p.flag("full_command", t.FullCommand)
	}, "vrrp_track_process", t.Name)
}

func (p *printer) bfd(f *config.BFD) {
	p.block(func() {
		p.addr("neighbor_ip", f.Neighbor)
		p.addr("source_ip", f.Source)
		p.line("min_rx", inMilliseconds(f.MinRx))
		p.line("min_tx", inMilliseconds(f.MinTx))
		p.line("idle_tx", inMilliseconds(f.IdleTx))
		p.line("multiplier", strconv.Itoa(f.Multiplier))
		p.flag("passive", f.Passive)
		keyword := "ttl"
		if f.Neighbor.Is6() {
			keyword = "hoplimit"
		}
		p.line(keyword, strconv.Itoa(f.TTL))
		p.line("max_hops", strconv.Itoa(f.MaxHops))
		p.flag("multihop", f.Multihop)
		p.weight(f.Weight, f.Reverse)
		p.flag("vrrp", f.NoChecker)
		p.flag("checker", f.NoVRRP)
	}, "bfd_instance", f.Name)
}

// weight writes the weight of what is tracked.
func (p *printer) weight(n int, reverse bool) {
	words := []string{"weight", strconv.Itoa(n)}
	if reverse {
		words = append(words, "reverse")
	}
	p.line(words...)
}

func (p *printer) syncGroup(g *config.SyncGroup) {
	p.block(func() {
		if len(g.Instances) > 0 {
			p.block(func() {
				for _, in := range g.Instances {
					p.value(in.Name)
				}
			}, "group")
		}
		p.tracks(g.Tracks)
		p.flag("sync_group_tracking_weight", g.Weights)
		p.notify(&g.Notify, g.SMTPAlert)
	}, "vrrp_sync_group", g.Name)
}

// tracks writes what is tracked, a block for each run of one kind.
func (p *printer) tracks(list []config.Track) {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Kind == list[0].Kind {
			n++
		}
		p.block(func() {
			for i := range list[:n] {
				p.value(list[i].Words()...)
			}
		}, list[0].Kind.String())
		list = list[n:]
	}
}

func (p *printer) notify(n *config.Notify, mail bool) {
	p.command("notify_master", n.Master)
	p.command("notify_backup", n.Backup)
	p.command("notify_fault", n.Fault)
	p.command("notify_stop", n.Stop)
	p.command("notify", n.Any)
	p.command("notify_master_rx_lower_pri", n.LowerPriority)
	p.command("notify_deleted", n.Deleted)
	p.flag("notify_deleted", n.TellDeleted && n.Deleted.IsZero())
	p.bool("notify_priority_changes", n.PriorityChanges)
	p.bool("smtp_alert", mail)
}

// vrrpGlobals writes what global_defs says of VRRP. What it does not say is in the instances.
func (p *printer) vrrpGlobals(g *config.VRRPGlobals) {
	p.addr("vrrp_mcast_group4", g.Group4)
	p.addr("vrrp_mcast_group6", g.Group6)
	p.number("vrrp_version", int64(g.Version))
	p.time("vrrp_garp_master_delay", g.Garp.Delay)
	p.number("vrrp_garp_master_repeat", int64(g.Garp.Repeat))
	p.time("vrrp_garp_master_refresh", g.Garp.Refresh)
	p.number("vrrp_garp_master_refresh_repeat", int64(g.Garp.RefreshRepeat))
	p.time("vrrp_garp_lower_prio_delay", g.Garp.LowerPrioDelay)
	p.number("vrrp_garp_lower_prio_repeat", int64(g.Garp.LowerPrioRepeat))
	if g.Garp.Extra > 0 {
		p.garpExtra("vrrp_garp_extra_if", &g.Garp)
	}
	p.flag("vrrp_owner_ignore_adverts", g.OwnerIgnoreAdverts)
	p.time("vrrp_garp_interval", g.GarpInterval)
	p.time("vrrp_gna_interval", g.GNAInterval)
	p.flag("vrrp_min_garp", g.MinGarp)
	p.number("vrrp_down_timer_adverts", int64(g.DownTimerAdverts))
	p.text("vrrp_lower_prio_no_advert", g.LowerPrioNoAdvert.String())
	p.flag("vrrp_higher_prio_send_advert", g.HigherPrioSendAdvert)
	p.flag("vrrp_check_unicast_src", g.CheckUnicastSrc)
	p.flag("vrrp_skip_check_adv_addr", g.SkipCheckAdvAddr)
	p.flag("vrrp_strict", g.Strict)
	p.flag("v3_checksum_as_v2", g.ChecksumAsV2)
	p.flag("vrrp_notify_priority_changes", g.NotifyPriorityChanges)
	p.time("vrrp_startup_delay", g.StartupDelay)
	p.time("vrrp_delay_after_boot", g.DelayAfterBoot)
	p.flag("log_unknown_vrids", g.LogUnknownVRIDs)
	p.text("vmac_prefix", g.VMACPrefix)
	p.text("vmac_addr_prefix", g.VMACAddrPrefix)
	p.number("vrrp_rt_priority", int64(g.RealTime))
	p.flag("vrrp_no_swap", g.NoSwap)
	if len(g.CPUs) > 0 {
		words := []string{"vrrp_cpu_affinity"}
		for _, c := range g.CPUs {
			words = append(words, strconv.Itoa(c))
		}
		p.line(words...)
	}
}

// peers writes a block unicast_peer.
func (p *printer) peers(list []config.Peer) {
	if len(list) == 0 {
		return
	}
	p.block(func() {
		for i := range list {
			p.value(list[i].Words()...)
		}
	}, "unicast_peer")
}
