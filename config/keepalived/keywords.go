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
	kernel        // how keepalived talks to the kernel and to its own children
	buffers
	priorities
	dumps
	management // SNMP and DBus
	reloading
	grouping // of the members of a virtual_server_group under a firewall mark
	history
	namespace
	watched
	pcre
	dpvs
	dpvsLists
	legacyIdle
)

// why is the note of a topic, after the keywords.
func (t topic) why() string {
	switch t {
	case kernel:
		return "has no meaning here: dirsw is one process and does not use the kernel's IPVS or firewall"
	case buffers:
		return "dirsw chooses the sizes of its receive buffers itself"
	case priorities:
		return "the thread of VRRP has real-time priority in any case (vrrp_rt_priority says which); the rest runs as the process was started"
	case dumps:
		return "the files that signals ask for have the names that the configuration says"
	case management:
		return "SNMP and DBus are not spoken: `dirsw stats` shows states and counters"
	case reloading:
		return "a reload is asked for by SIGHUP or `dirsw reload` only, and checks the whole file before it changes anything"
	case grouping:
		return "each address and port of a virtual_server_group is a service of its own, looked up at the same cost as one: nothing is gained by a firewall mark for all"
	case history:
		return "no copies are kept: the log says what each reload changed"
	case namespace:
		return "dirsw stays in the network namespace that it is started in: use ip netns exec, or NetworkNamespacePath= of systemd"
	case watched:
		return "a file is watched, and counts as it is: nothing is asked again"
	case pcre:
		return "regular expressions need no stack here"
	case dpvs:
		return "of DPVS, and not served: the service is forwarded as if the line were not there"
	case dpvsLists:
		return "of DPVS, and not served: nobody is kept out, and nothing gets another address"
	case legacyIdle:
		return "an old keyword without effect in keepalived as well"
	}
	return t.whyVRRP()
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
	for _, e := range slices.Concat(rootKeywords(), globalKeywords(), vrrpRootKeywords(), vrrpKeywords(), serverKeywords(), checkKeywords()) {
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
		{"", served, 0, "global_defs{ virtual_server_group{* virtual_server{ SSL{ instance dataplane{", ""},
		{"", idle, namespace, "net_namespace net_namespace_ipvs", ""},
		{"", idle, kernel, "namespace_with_ipsets use_pid_dir child_wait_time", ""},
		{"", idle, dpvsLists, "local_address_group{* deny_address_group{* allow_address_group{* tunnel_group{*", ""},
		{"SSL", served, 0, "password ca certificate key", ""},
		{"dataplane", served, 0, "accelerate coalesce interfaces queues workers cores steer mode zero_copy wait connections replace_xdp sysctl " +
			"iptables ip6tables iptables_save ip6tables_save", ""},
	}
}

func globalKeywords() []entry {
	return []entry{
		{"global_defs", served, 0, "router_id lvs_id notification_email{* notification_email_from smtp_server smtp_helo_name " +
			"smtp_connect_timeout smtp_alert smtp_alert_vrrp smtp_alert_checker no_email_faults no_checker_emails lvs_timeouts " +
			"checker_log_all_failures include_check random_seed lvs_sync_daemon", ""},
		{"global_defs", served, 0, "lvs_flush lvs_flush_on_stop lvs_flush_onstop json_version", ""},
		{"global_defs", served, dumps, "data_use_instance", ""},
		{"global_defs", served, 0, "state_dump_file stats_dump_file json_dump_file state_file_location stats_file_location " +
			"json_file_location", ""},
		{"global_defs", idle, management, "snmp_socket enable_snmp_vrrp enable_snmp_keepalived enable_snmp_checker enable_snmp_rfc " +
			"enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps snmp_vs_stats_update_interval snmp_rs_stats_update_interval " +
			"enable_dbus dbus_service_name dbus_no_interface_name", ""},
		{"global_defs", idle, history, "config_save_dir", ""},
		{"global_defs", idle, reloading, "reload_check_config reload_time_file reload_repeat reload_file", ""},
		{"global_defs", idle, priorities, "max_auto_priority min_auto_priority_delay vrrp_priority checker_priority bfd_priority " +
			"checker_no_swap bfd_no_swap checker_rt_priority bfd_rt_priority checker_cpu_affinity bfd_cpu_affinity " +
			"vrrp_rlimit_rttime checker_rlimit_rttime bfd_rlimit_rttime vrrp_rlimit_rtime checker_rlimit_rtime " +
			"bfd_rlimit_rtime", ""},
		{"global_defs", idle, buffers, "vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs " +
			"vrrp_netlink_monitor_rcv_bufs_force lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force " +
			"lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs " +
			"process_monitor_rcv_bufs_force vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier", ""},
		{"global_defs", idle, grouping, "nftables_ipvs nftables_ipvs_start_fwmark", ""},
		{"global_defs", idle, kernel, "tmp_config_directory process_names process_name vrrp_process_name checker_process_name " +
			"lvs_process_name bfd_process_name vrrp_iptables vrrp_ipsets nftables nftables_priority nftables_counters " +
			"nftables_ifindex nftables_ipvs_priority iproute_usr_dir iproute_etc_dir", ""},
	}
}

func serverKeywords() []entry {
	return []entry{
		{"virtual_server", served, 0, "ip_family delay_loop lb_algo lvs_sched lb_kind lvs_method nat_mask ops flag-1 flag-2 " +
			"flag-3 sh-port sh-fallback mh-port mh-fallback persistence_timeout persistence_granularity persistence_engine " +
			"protocol ha_suspend virtualhost alpha omega quorum hysteresis quorum_up quorum_down weight retry " +
			"delay_before_retry warmup connect_timeout inhibit_on_failure sorry_server sorry_server_inhibit " +
			"sorry_server_lvs_method smtp_alert snmp_name establish_timeout expire_quiescent_conn real_server{", ""},
		{"virtual_server", idle, legacyIdle, "hashed", ""},
		{"virtual_server", idle, dpvs, "laddr_group_name syn_proxy proxy_protocol quic hash_target vip_bind_dev bps " +
			"limit_proportion", ""},
		{"virtual_server", idle, dpvsLists, "daddr_group_name waddr_group_name", ""},
		{"real_server", served, 0, "weight lvs_method uthreshold lthreshold inhibit_on_failure notify_up notify_down alpha " +
			"retry delay_before_retry warmup connect_timeout delay_loop virtualhost smtp_alert snmp_name check_path " +
			"TCP_CHECK{ HTTP_GET{ SSL_GET{ SMTP_CHECK{ DNS_CHECK{ MISC_CHECK{ PING_CHECK{ UDP_CHECK{ FILE_CHECK{ BFD_CHECK{ " +
			"AGENT_CHECK{", ""},
	}
}

func checkKeywords() []entry {
	const timing = "retry nb_get_retry delay_before_retry warmup delay_loop alpha log_all_failures "
	const connecting = "connect_ip connect_port bindto bind_port bind_if fwmark connect_timeout " + timing
	const common = connecting + "check_path "
	const web = common + "http_protocol virtualhost fast_recovery url{ "
	return []entry{
		{"TCP_CHECK", served, 0, common, ""},
		{"PING_CHECK", served, 0, connecting, ""},
		{"UDP_CHECK", served, 0, common + "payload require_reply min_reply_length max_reply_length", ""},
		{"HTTP_GET", served, 0, web, ""},
		{"SSL_GET", served, 0, web + "enable_sni sni_name tls_compliant", ""},
		{"url", served, 0, "path digest status_code virtualhost regex regex_no_match regex_options regex_min_offset " +
			"regex_max_offset tls_compliant", ""},
		{"url", idle, pcre, "regex_stack", ""},
		{"SMTP_CHECK", served, 0, common + "helo_name host{", ""},
		{"host", served, 0, "connect_ip connect_port bindto bind_port bind_if fwmark connect_timeout", ""},
		{"DNS_CHECK", served, 0, common + "type name", ""},
		{"MISC_CHECK", served, 0, timing + "misc_path misc_timeout misc_dynamic user", ""},
		{"FILE_CHECK", served, 0, "alpha track_file weight dynamic", ""},
		{"FILE_CHECK", idle, watched, "retry nb_get_retry delay_before_retry warmup delay_loop log_all_failures", ""},
		{"BFD_CHECK", served, 0, "name alpha", ""},
		{"AGENT_CHECK", served, 0, connecting + "send max_step min_interval", ""},
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
