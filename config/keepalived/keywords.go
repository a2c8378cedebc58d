package keepalived

import (
	"maps"
	"slices"
	"strings"

	"dirsw/config"
)

// use says what dirsw makes of a keyword.
type use uint8

const (
	served  use = iota // it reaches the Model, or has a handler that says why not
	idle               // understood and accepted, without effect; told once per topic
	refused            // understood, and accepting it without effect would be wrong
)

// topic is why a keyword is idle; all idle keywords of a topic share one note in a file.
type topic uint8

const (
	noTopic topic = iota
	mail
	scripts
	vrrpTuning
	tracking
	machine // addresses, routes and rules of the host
	kernel  // how keepalived talks to the kernel and to its own children
	exports // SNMP, DBus, dump files
	bfd
	checks
	legacyIdle
)

// why is the note of a topic, after the keywords.
func (t topic) why() string {
	switch t {
	case mail:
		return "no mail is sent yet"
	case scripts:
		return "scripts are not run yet"
	case vrrpTuning:
		return "VRRP is not spoken yet: the addresses are held while dirsw runs alone"
	case tracking:
		return "nothing is tracked yet: the addresses are held while dirsw runs, whatever happens to what is tracked"
	case machine:
		return "addresses, routes and rules of the host are not managed yet: set them up where the host's network is configured"
	case kernel:
		return "has no meaning here: dirsw is one process and does not use the kernel's IPVS or firewall"
	case exports:
		return "states and counters are not exported this way yet"
	case bfd:
		return "BFD is not spoken yet"
	case checks:
		return "health checks are not run yet: every real server counts as up"
	case legacyIdle:
		return "an old keyword without effect in keepalived as well"
	}
	return ""
}

// keyword is a name and what may follow it.
type keyword struct {
	use   use
	topic topic
	block string // the block it opens; empty: it takes words only
	fix   string // of a refused one
}

// raw is the block whose lines are values: anything may stand there.
const raw = "*"

// vocabulary holds the keywords of each block; the outermost is "".
type vocabulary map[string]map[string]keyword

// entry lists keywords of one block in one string. A name ending in `{` opens the block of the same name, one ending
// in `{x` the block x, one ending in `{*` a block of values.
type entry struct {
	block string
	use   use
	topic topic
	names string
	fix   string
}

// newVocabulary makes the tables. The keywords are those of keepalived 2.2.7 and 2.4, those older versions had, and the
// block dataplane, which is dirsw's own.
func newVocabulary() vocabulary {
	v := vocabulary{raw: {}}
	for _, e := range slices.Concat(rootKeywords(), vrrpKeywords(), serverKeywords(), checkKeywords()) {
		if v[e.block] == nil {
			v[e.block] = map[string]keyword{}
		}
		for name := range strings.FieldsSeq(e.names) {
			name, block, opens := strings.Cut(name, "{")
			if opens && block == "" {
				block = name
			}
			v[e.block][name] = keyword{use: e.use, topic: e.topic, block: block, fix: e.fix}
		}
	}
	return v
}

func rootKeywords() []entry {
	return []entry{
		{"", served, 0, "global_defs{ vrrp_instance{ virtual_server{ dataplane{", ""},
		{"", refused, 0, "virtual_server_group{*", "write one virtual_server for each of its addresses"},
		{"", refused, 0, "include includer includem includew includeb includea", "paste the file's content here"},
		{"", refused, 0, "net_namespace", "start dirsw in that namespace (ip netns exec)"},
		{"", idle, vrrpTuning, "vrrp_sync_group{* garp_group{*", ""},
		{"", idle, tracking, "vrrp_script{* vrrp_track_process{* vrrp_track_file{* track_file{* track_group{* " +
			"linkbeat_interfaces{* interface_up_down_delays{* linkbeat_use_polling", ""},
		{"", idle, machine, "static_ipaddress{* static_routes{* static_rules{*", ""},
		{"", idle, bfd, "bfd_instance{*", ""},
		{"", idle, checks, "SSL{*", ""},
		{"", idle, kernel, "net_namespace_ipvs namespace_with_ipsets use_pid_dir instance child_wait_time", ""},
		{"dataplane", served, 0, "interfaces queues workers cores steer mode zero_copy wait connections replace_xdp sysctl " +
			"iptables ip6tables iptables_save ip6tables_save", ""},

		{"global_defs", served, 0, "router_id lvs_id notification_email{* notification_email_from smtp_server " +
			"smtp_connect_timeout lvs_timeouts", ""},
		{"global_defs", idle, mail, "smtp_helo_name smtp_alert smtp_alert_vrrp smtp_alert_checker no_email_faults " +
			"no_checker_emails", ""},
		{"global_defs", idle, scripts, "script_user enable_script_security set_supplementary_groups use_symlink_paths umask " +
			"startup_script startup_script_timeout shutdown_script shutdown_script_timeout notify_fifo notify_fifo_script " +
			"vrrp_notify_fifo vrrp_notify_fifo_script lvs_notify_fifo lvs_notify_fifo_script " +
			"fifo_write_vrrp_states_on_reload rs_init_notifies", ""},
		{"global_defs", idle, vrrpTuning, "vrrp_mcast_group4 vrrp_mcast_group6 vrrp_garp_master_delay " +
			"vrrp_garp_master_repeat vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay " +
			"vrrp_garp_lower_prio_repeat vrrp_garp_interval vrrp_gna_interval vrrp_min_garp vrrp_garp_extra_if " +
			"vrrp_vmac_garp_intvl vrrp_down_timer_adverts vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert vrrp_version " +
			"vrrp_check_unicast_src vrrp_skip_check_adv_addr vrrp_strict vrrp_notify_priority_changes vrrp_startup_delay " +
			"vrrp_delay_after_boot log_unknown_vrids vrrp_owner_ignore_adverts vmac_prefix vmac_addr_prefix " +
			"v3_checksum_as_v2 disable_local_igmp default_interface dynamic_interfaces lvs_sync_daemon", ""},
		{"global_defs", idle, checks, "checker_log_all_failures", ""},
		{"global_defs", idle, exports, "snmp_socket enable_snmp_vrrp enable_snmp_keepalived enable_snmp_checker " +
			"enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps snmp_vs_stats_update_interval " +
			"snmp_rs_stats_update_interval enable_dbus dbus_service_name dbus_no_interface_name data_use_instance " +
			"state_dump_file stats_dump_file json_dump_file json_version state_file_location stats_file_location " +
			"json_file_location config_save_dir", ""},
		{"global_defs", idle, kernel, "tmp_config_directory process_names process_name vrrp_process_name " +
			"checker_process_name lvs_process_name bfd_process_name max_auto_priority min_auto_priority_delay lvs_flush " +
			"lvs_flush_on_stop lvs_flush_onstop vrrp_iptables vrrp_ipsets nftables nftables_priority nftables_counters " +
			"nftables_ifindex nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark vrrp_priority checker_priority " +
			"bfd_priority vrrp_no_swap checker_no_swap bfd_no_swap vrrp_rt_priority checker_rt_priority bfd_rt_priority " +
			"vrrp_cpu_affinity checker_cpu_affinity bfd_cpu_affinity vrrp_rlimit_rttime checker_rlimit_rttime " +
			"bfd_rlimit_rttime vrrp_rlimit_rtime checker_rlimit_rtime bfd_rlimit_rtime vrrp_netlink_cmd_rcv_bufs " +
			"vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force " +
			"lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs " +
			"lvs_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs process_monitor_rcv_bufs_force vrrp_rx_bufs_policy " +
			"vrrp_rx_bufs_multiplier random_seed reload_check_config reload_time_file reload_repeat reload_file include_check " +
			"iproute_usr_dir iproute_etc_dir", ""},
	}
}

func vrrpKeywords() []entry {
	return []entry{
		{"vrrp_instance", served, 0, "state interface virtual_router_id priority advert_int version authentication{ nopreempt " +
			"preempt preempt_delay mcast_src_ip unicast_src_ip unicast_peer{* virtual_ipaddress{* " +
			"virtual_ipaddress_excluded{*", ""},
		{"authentication", served, 0, "auth_type auth_pass", ""},
		{"vrrp_instance", idle, vrrpTuning, "vrf use_vmac use_vmac_addr vmac_xmit_base use_ipvlan mcast_dst_ip track_src_ip " +
			"check_unicast_src unicast_fault_no_peer unicast_ttl old_unicast_checksum v3_checksum_as_v2 auth_hmac{* " +
			"no_virtual_ipaddress accept no_accept skip_check_adv_addr strict_mode garp_master_delay garp_master_repeat " +
			"garp_master_refresh garp_master_refresh_repeat garp_lower_prio_delay garp_lower_prio_repeat garp_extra_if " +
			"vmac_garp_intvl down_timer_adverts timer_expired_backup thread_timer_expired lower_prio_no_advert " +
			"higher_prio_send_advert owner_ignore_adverts kernel_rx_buf_size lvs_sync_daemon_interface", ""},
		{"vrrp_instance", idle, tracking, "dont_track_primary track_interface{* track_script{* track_file{* " +
			"track_process{* track_bfd{* linkbeat_use_polling", ""},
		{"vrrp_instance", idle, machine, "virtual_routes{* virtual_rules{* promote_secondaries", ""},
		{"vrrp_instance", idle, scripts, "notify_master notify_backup notify_fault notify_stop notify_deleted notify " +
			"notify_master_rx_lower_pri notify_priority_changes", ""},
		{"vrrp_instance", idle, mail, "smtp_alert", ""},
		{"vrrp_instance", idle, legacyIdle, "native_ipv6 debug", ""},
	}
}

func serverKeywords() []entry {
	return []entry{
		{"virtual_server", served, 0, "ip_family delay_loop lb_algo lvs_sched lb_kind lvs_method nat_mask ops flag-1 flag-2 " +
			"flag-3 sh-port sh-fallback mh-port mh-fallback persistence_timeout persistence_granularity persistence_engine " +
			"protocol ha_suspend virtualhost alpha omega quorum hysteresis quorum_up quorum_down weight retry " +
			"delay_before_retry warmup connect_timeout inhibit_on_failure sorry_server sorry_server_inhibit " +
			"sorry_server_lvs_method real_server{", ""},
		{"virtual_server", idle, legacyIdle, "hashed", ""},
		{"virtual_server", idle, mail, "smtp_alert", ""},
		{"virtual_server", idle, exports, "snmp_name", ""},
		{"virtual_server", refused, 0, "laddr_group_name syn_proxy proxy_protocol quic hash_target daddr_group_name " +
			"waddr_group_name vip_bind_dev bps limit_proportion establish_timeout expire_quiescent_conn",
			"remove the line: it is of DPVS, and not served yet"},
		{"real_server", served, 0, "weight lvs_method uthreshold lthreshold inhibit_on_failure notify_up notify_down alpha " +
			"retry delay_before_retry warmup connect_timeout delay_loop virtualhost TCP_CHECK{ HTTP_GET{ SSL_GET{HTTP_GET " +
			"SMTP_CHECK{ DNS_CHECK{ MISC_CHECK{ PING_CHECK{ UDP_CHECK{ FILE_CHECK{ BFD_CHECK{", ""},
		{"real_server", idle, mail, "smtp_alert", ""},
		{"real_server", idle, exports, "snmp_name", ""},
	}
}

func checkKeywords() []entry {
	const common = "connect_ip connect_port bindto bind_port bind_if fwmark connect_timeout retry nb_get_retry " +
		"delay_before_retry warmup delay_loop alpha log_all_failures "
	const timing = "retry nb_get_retry delay_before_retry warmup delay_loop alpha log_all_failures "
	return []entry{
		{"TCP_CHECK", served, 0, common, ""},
		{"PING_CHECK", served, 0, common, ""},
		{"UDP_CHECK", served, 0, common + "payload require_reply min_reply_length max_reply_length", ""},
		{"HTTP_GET", served, 0, common + "http_protocol virtualhost fast_recovery url{ enable_sni sni_name tls_compliant", ""},
		{"url", served, 0, "path digest status_code virtualhost regex regex_no_match regex_options regex_stack " +
			"regex_min_offset regex_max_offset tls_compliant", ""},
		{"SMTP_CHECK", served, 0, common + "helo_name host{", ""},
		{"host", served, 0, "connect_ip connect_port bindto bind_port bind_if fwmark connect_timeout", ""},
		{"DNS_CHECK", served, 0, common + "type name", ""},
		{"MISC_CHECK", served, 0, timing + "misc_path misc_timeout misc_dynamic user", ""},
		{"FILE_CHECK", served, 0, timing + "track_file weight", ""},
		{"BFD_CHECK", served, 0, "name alpha", ""},
	}
}

// nearest returns the keyword of block that a misspelt one most likely stands for, or "".
func (v vocabulary) nearest(block, name string) string {
	return config.Nearest(name, maps.Keys(v[block]))
}

// home returns the blocks that know a keyword, sorted: where it may have been meant to stand.
func (v vocabulary) home(name string) []string {
	var blocks []string
	for block, names := range v {
		if _, ok := names[name]; ok && block != "" {
			blocks = append(blocks, block)
		}
	}
	slices.Sort(blocks)
	return blocks
}
