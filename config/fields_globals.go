package config

import "strings"

// fileFields returns global_defs and what stands beside it.
func fileFields(m *Model) []field {
	t := &m.TLS
	fields := append(list("instance", m.Name), globalFields(&m.Globals)...)
	return append(append(fields, list("SSL ca", t.CA, "SSL certificate", t.Certificate, "SSL key", t.Key)...),
		field{name: "SSL password", value: t.Password, secret: true})
}

func globalFields(g *Globals) []field {
	fields := list("router_id", g.RouterID, "notification_email", g.NotificationEmail, "notification_email_from", g.NotificationEmailFrom,
		"smtp_server", g.SMTPServer, "smtp_server port", g.SMTPPort, "smtp_helo_name", g.SMTPHeloName,
		"smtp_connect_timeout", g.SMTPConnectTimeout, "smtp_alert", g.SMTPAlert, "smtp_alert_vrrp", g.SMTPAlertVRRP,
		"smtp_alert_checker", g.SMTPAlertChecker, "no_email_faults", g.NoEmailFaults, "no_checker_emails", g.NoCheckerEmails,
		"timeout tcp", g.Timeouts.TCP, "timeout tcpfin", g.Timeouts.TCPFin, "timeout udp", g.Timeouts.UDP,
		"checker_log_all_failures", g.LogAllFailures, "rs_init_notifies", g.RSInitNotifies,
		"fifo_write_vrrp_states_on_reload", g.FIFOReload,
		"lvs_flush", g.Flush, "lvs_flush_on_stop", g.FlushOnStop, "lvs_sync_daemon", syncText(g.Sync))
	fields = append(fields, scriptFields(&g.Scripts)...)
	for _, f := range []struct {
		name string
		fifo *FIFO
	}{{"notify_fifo", &g.FIFO}, {"vrrp_notify_fifo", &g.FIFOVRRP}, {"lvs_notify_fifo", &g.FIFOLVS}} {
		fields = append(fields, list(f.name, strings.TrimSpace(f.fifo.Path+" "+f.fifo.User+" "+f.fifo.Group), f.name+"_script", f.fifo.Script)...)
	}
	fields = append(fields, vrrpGlobalFields(&g.VRRP)...)
	i, d := &g.Interfaces, &g.Dump
	return append(fields, list("dynamic_interfaces", i.Dynamic, "allow_if_changes", i.AllowChanges, "default_interface", i.Default,
		"disable_local_igmp", i.DisableLocalIGMP, "state_dump_file", d.State, "stats_dump_file", d.Stats, "json_dump_file", d.JSON,
		"json_version", d.JSONVersion, "data_use_instance", d.UseInstance)...)
}

func scriptFields(s *ScriptGlobals) []field {
	return list("script_user", strings.TrimSpace(s.User+" "+s.Group), "enable_script_security", s.Security,
		"set_supplementary_groups", s.SupplementaryGroups, "startup_script", s.Startup, "startup_script_timeout", s.StartupTimeout,
		"shutdown_script", s.Shutdown, "shutdown_script_timeout", s.ShutdownTimeout)
}

func vrrpGlobalFields(v *VRRPGlobals) []field {
	return list("vrrp_mcast_group4", v.Group4, "vrrp_mcast_group6", v.Group6, "vrrp_version", v.Version,
		"vrrp_garp_master_delay", v.Garp.Delay, "vrrp_garp_master_repeat", v.Garp.Repeat,
		"vrrp_garp_master_refresh", v.Garp.Refresh, "vrrp_garp_master_refresh_repeat", v.Garp.RefreshRepeat,
		"vrrp_garp_lower_prio_delay", v.Garp.LowerPrioDelay, "vrrp_garp_lower_prio_repeat", v.Garp.LowerPrioRepeat,
		"vrrp_garp_extra_if", extraText(&v.Garp), "vrrp_garp_interval", v.GarpInterval, "vrrp_gna_interval", v.GNAInterval, "vrrp_min_garp", v.MinGarp,
		"vrrp_down_timer_adverts", v.DownTimerAdverts, "vrrp_lower_prio_no_advert", v.LowerPrioNoAdvert,
		"vrrp_higher_prio_send_advert", v.HigherPrioSendAdvert, "vrrp_check_unicast_src", v.CheckUnicastSrc,
		"vrrp_skip_check_adv_addr", v.SkipCheckAdvAddr, "vrrp_strict", v.Strict, "v3_checksum_as_v2", v.ChecksumAsV2,
		"vrrp_owner_ignore_adverts", v.OwnerIgnoreAdverts, "vrrp_notify_priority_changes", v.NotifyPriorityChanges,
		"vrrp_startup_delay", v.StartupDelay, "vrrp_delay_after_boot", v.DelayAfterBoot, "log_unknown_vrids", v.LogUnknownVRIDs,
		"vmac_prefix", v.VMACPrefix, "vmac_addr_prefix", v.VMACAddrPrefix, "vrrp_rt_priority", v.RealTime,
		"vrrp_no_swap", v.NoSwap, "vrrp_cpu_affinity", numbers(v.CPUs))
}

// syncText writes lvs_sync_daemon as the file does.
func syncText(s *SyncGlobals) string {
	if s == nil {
		return ""
	}
	return s.Interface + " " + describe(list("instance", s.Instance, "id", s.ID, "maxlen", s.MaxLen, "port", s.Port, "ttl", s.TTL, "group", s.Group))
}
