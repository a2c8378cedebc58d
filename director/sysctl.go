package director

import (
	"time"

	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/forward"
)

// settings are what the workers follow of the net.ipv4.vs settings. Each of several workers defends its own share of the
// room in the connection table.
func settings(d *config.Dataplane, workers int) forward.Settings {
	on := func(name string) bool { return d.SysctlNumber(name) != 0 }
	return forward.Settings{
		SloppyTCP:       on("sloppy_tcp"),
		SloppySCTP:      on("sloppy_sctp"),
		ReuseMode:       reuseMode(d.SysctlNumber("conn_reuse_mode")),
		ExpireNodest:    on("expire_nodest_conn"),
		ExpireQuiescent: on("expire_quiescent_template"),
		NATICMPSend:     on("nat_icmp_send"),
		PMTUDisc:        on("pmtu_disc"),
		ScheduleICMP:    on("schedule_icmp"),
		CacheBypass:     on("cache_bypass"),
		SecureTCP:       defence(d.SysctlNumber("secure_tcp")),
		DropEntry:       defence(d.SysctlNumber("drop_entry")),
		DropPacket:      defence(d.SysctlNumber("drop_packet")),
		AMemThresh:      uint32(d.SysctlNumber("amemthresh") / int64(max(workers, 1))),
		AMDropRate:      uint32(d.SysctlNumber("am_droprate")),
	}
}

// reuseMode reads conn_reuse_mode, whose second bit the kernel looks at by itself.
func reuseMode(n int64) conntrack.ReuseMode {
	switch {
	case n == 0:
		return conntrack.ReuseNever
	case n&2 != 0:
		return conntrack.ReuseClosing
	}
	return conntrack.ReuseClosed
}

// defence reads a mode of drop_entry, drop_packet or secure_tcp. 1 and 2 mean the same: the kernel writes 2 while an
// automatic defence is at work, and 1 back when it rests.
func defence(n int64) forward.Defence {
	switch n {
	case 0:
		return forward.Never
	case 3:
		return forward.Always
	}
	return forward.Automatic
}

// expiry is how long lblc and lblcr remember an address without use: the setting NAME_expiration. 0 means at once, as in the
// kernel, that is at the next of the half hours; sched takes 0 for the default.
func expiry(d *config.Dataplane, scheduler string) time.Duration {
	switch scheduler {
	case "lblc", "lblcr":
		return max(time.Duration(d.SysctlNumber(scheduler+"_expiration"))*time.Second, 1)
	}
	return 0
}

// Dataplane returns the block dataplane that is in force, with what commands have set. Any goroutine; nothing of it may be
// changed.
func (d *Director) Dataplane() config.Dataplane {
	now := d.now.Load()
	if now == nil {
		return d.o.Model.Dataplane
	}
	return now.model.Dataplane
}
