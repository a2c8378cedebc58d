package keepalived

// The topics of what is idle around VRRP. They come after those of keywords.go.
const (
	linkPolling topic = 100 + iota
	staticTracking
	symlinks
	creation
)

// whyVRRP is the note of a topic of VRRP, after the keywords.
func (t topic) whyVRRP() string {
	switch t {
	case linkPolling:
		return "links are not polled: the kernel tells at once when their state changes"
	case staticTracking:
		return "no instance depends on static addresses, routes and rules"
	case symlinks:
		return "whether a program is safe to run is looked at along its symbolic links and behind them"
	case creation:
		return "pipes are made for their owner alone, tracked files (init_file) for all to read"
	}
	return ""
}

func vrrpRootKeywords() []entry {
	return []entry{
		{"", served, 0, "vrrp_instance{ vrrp_sync_group{ vrrp_script{ vrrp_track_process{ vrrp_track_file{track_file track_file{ " +
			"bfd_instance{ vrrp_arbiter{ interface_up_down_delays{* garp_group{ static_ipaddress{* static_routes{* static_rules{*", ""},
		{"", idle, linkPolling, "linkbeat_interfaces{* linkbeat_use_polling", ""},
		{"", idle, staticTracking, "track_group{*", ""},

		{"global_defs", served, 0, "vrrp_mcast_group4 vrrp_mcast_group6 vrrp_garp_master_delay vrrp_garp_master_repeat " +
			"vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat " +
			"vrrp_garp_interval vrrp_gna_interval vrrp_min_garp vrrp_down_timer_adverts vrrp_lower_prio_no_advert " +
			"vrrp_higher_prio_send_advert vrrp_version vrrp_check_unicast_src vrrp_skip_check_adv_addr vrrp_strict " +
			"vrrp_notify_priority_changes vrrp_startup_delay vrrp_delay_after_boot log_unknown_vrids v3_checksum_as_v2 " +
			"vmac_prefix vmac_addr_prefix vrrp_garp_extra_if vrrp_vmac_garp_intvl vrrp_owner_ignore_adverts default_interface dynamic_interfaces vrrp_rt_priority vrrp_no_swap vrrp_cpu_affinity " +
			"script_user enable_script_security set_supplementary_groups startup_script startup_script_timeout shutdown_script " +
			"shutdown_script_timeout notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script lvs_notify_fifo " +
			"lvs_notify_fifo_script rs_init_notifies fifo_write_vrrp_states_on_reload disable_local_igmp", ""},
		{"global_defs", idle, symlinks, "use_symlink_paths", ""},
		{"global_defs", idle, creation, "umask", ""},
	}
}

func vrrpKeywords() []entry {
	const notify = "notify_master notify_backup notify_fault notify_stop notify notify_priority_changes smtp_alert "
	const track = "track_interface{* track_script{* track_file{* track_process{* track_bfd{* track_arbiter{* "
	return []entry{
		{"vrrp_instance", served, 0, "state interface vrf virtual_router_id priority advert_int version strict_mode accept no_accept " +
			"authentication{ nopreempt preempt preempt_delay down_timer_adverts timer_expired_backup thread_timer_expired " +
			"skip_check_adv_addr lower_prio_no_advert higher_prio_send_advert v3_checksum_as_v2 old_unicast_checksum " +
			"mcast_src_ip mcast_dst_ip unicast_src_ip unicast_peer{* unicast_ttl check_unicast_src unicast_fault_no_peer " +
			"track_src_ip kernel_rx_buf_size use_vmac use_vmac_addr use_ipvlan vmac_xmit_base garp_extra_if vmac_garp_intvl owner_ignore_adverts " +
			"garp_master_delay garp_master_repeat garp_master_refresh garp_master_refresh_repeat garp_lower_prio_delay " +
			"garp_lower_prio_repeat virtual_ipaddress{* virtual_ipaddress_excluded{* no_virtual_ipaddress promote_secondaries " +
			"virtual_routes{* virtual_rules{* dont_track_primary notify_deleted notify_master_rx_lower_pri " +
			"lvs_sync_daemon_interface heartbeat{ split_brain_script probe_addresses " + notify + track, ""},
		{"vrrp_instance", idle, linkPolling, "linkbeat_use_polling", ""},
		{"vrrp_instance", idle, legacyIdle, "native_ipv6 debug", ""},
		{"vrrp_instance", refused, 0, "auth_hmac{*", "remove it: the trailer that keepalived 2.4 signs adverts with is no standard yet, and 2.2.7 has none; let adverts come from unicast_peer only, with check_unicast_src"},
		{"authentication", served, 0, "auth_type auth_pass", ""},
		{"heartbeat", served, 0, "interface source_ip unicast_peer{*", ""},

		{"vrrp_sync_group", served, 0, "group{* global_tracking sync_group_tracking_weight " + notify + track, ""},
		{"vrrp_script", served, 0, "script interval timeout weight rise fall user init_fail", ""},
		{"track_file", served, 0, "file weight init_file", ""},
		{"vrrp_track_process", served, 0, "process param_match weight quorum quorum_max fork_delay terminate_delay delay full_command", ""},
		{"bfd_instance", served, 0, "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit max_hops " +
			"multihop weight vrrp checker", ""},
		{"garp_group", served, 0, "garp_interval gna_interval interface interfaces{*", ""},
		{"vrrp_arbiter", served, 0, "address quorum interval timeout rise fall weight", ""},
	}
}
