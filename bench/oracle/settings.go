package main

import (
	"fmt"
	"slices"
	"strings"
)

// defaults are the settings below net.ipv4.vs as the kernel starts with them.
var defaults = map[string]string{
	"am_droprate": "10", "amemthresh": "1024", "backup_only": "0", "cache_bypass": "0", "conn_reuse_mode": "1",
	"conntrack": "0", "debug_level": "0", "drop_entry": "0", "drop_packet": "0", "expire_nodest_conn": "0",
	"expire_quiescent_template": "0", "ignore_tunneled": "0", "lblc_expiration": "86400", "lblcr_expiration": "86400",
	"nat_icmp_send": "0", "pmtu_disc": "1", "run_estimation": "1", "schedule_icmp": "0", "secure_tcp": "0",
	"sloppy_sctp": "0", "sloppy_tcp": "0", "snat_reroute": "1", "sync_persist_mode": "0", "sync_ports": "1",
	"sync_refresh_period": "0", "sync_retries": "0", "sync_threshold": "3 50", "sync_version": "1",
}

// sysctl changes a setting of the director. There is no way to tell the worker of one yet: a value that is not the
// default is refused.
func (m *machine) sysctl(key string, value any) error {
	name := strings.TrimPrefix(key, "net.ipv4.vs.")
	v := fmt.Sprint(value)
	if d, ok := defaults[name]; ok && name != key && d == strings.Join(strings.Fields(v), " ") {
		return nil
	}
	return &unserved{why: "sysctl " + key + "=" + v}
}

// sysctls changes several, in the order of their names.
func (m *machine) sysctls(all map[string]any) error {
	var names []string
	for k := range all {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		if err := m.sysctl(k, all[k]); err != nil {
			return err
		}
	}
	return nil
}

// prepare does what a case asks for besides its rules.
func (m *machine) prepare(lines []string) error {
	for _, l := range lines {
		if err := m.top.command(l); err != nil {
			return err
		}
	}
	return nil
}
