package config

import (
	"math"
	"net/netip"
	"slices"
)

// What lvs_sync_daemon and ipvsadm leave to the kernel (IP_VS_SYNC_PORT, IP_VS_SYNC_GROUP, DEFAULT_MCAST_TTL).
const (
	syncPort = 8848
	syncTTL  = 1

	// Sizes of headers in front of a message of the sync protocol: IP and UDP.
	syncHeaders4 = 20 + 8
	syncHeaders6 = 40 + 8
	syncMTU      = 1500 // of the interface, at least
	syncLeast    = 1024 // room for a message that is received
)

// Fit sets the length of messages as the kernel would (start_sync_thread in ip_vs_sync.c): who sends counts on an MTU of
// 1500, who receives on that of the interface if it is more; mtu is that, 0 if it is not known. What was asked for is bounded.
func (d *SyncDaemon) Fit(mtu int) {
	headers, least := syncHeaders4, 1
	if d.Group.Is6() {
		headers = syncHeaders6
	}
	if d.Master {
		mtu = syncMTU
	} else {
		mtu, least = min(max(mtu, syncMTU), math.MaxUint16), syncLeast
	}
	if d.MaxLen == 0 {
		d.MaxLen = mtu - headers
	} else {
		d.MaxLen = min(max(d.MaxLen, least), math.MaxUint16-headers)
	}
}

// SyncDaemons returns the daemons of connection synchronisation that are to run now, the master first: those that commands
// have started, and those of lvs_sync_daemon. The latter has a master while its instance is master, and else a backup; without
// an instance, both. master says whether an instance is, mtu that of an interface, 0 if it is not known.
func (m *Model) SyncDaemons(master func(instance string) bool, mtu func(link string) int) []SyncDaemon {
	list := slices.Clone(m.Daemons)
	g := m.Globals.Sync
	if g == nil {
		return list
	}
	d := SyncDaemon{Interface: g.Interface, SyncID: g.ID, MaxLen: g.MaxLen, Group: g.Group, Port: g.Port, TTL: g.TTL}
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	if d.Port == 0 {
		d.Port = syncPort
	}
	if d.TTL == 0 {
		d.TTL = syncTTL
	}
	if i := slices.IndexFunc(m.Instances, func(in Instance) bool { return in.Name == g.Instance }); g.ID < 0 {
		if d.SyncID = 0; i >= 0 {
			d.SyncID = int(m.Instances[i].RouterID)
		}
	}
	for _, role := range []bool{true, false} {
		taken := slices.ContainsFunc(list, func(o SyncDaemon) bool { return o.Master == role })
		if d.Master = role; taken || g.Instance != "" && master(g.Instance) != role {
			continue
		}
		own := d
		own.Fit(mtu(d.Interface))
		list = append(list, own)
	}
	slices.SortStableFunc(list, SyncDaemon.Compare)
	return list
}

// sync checks that the instance of lvs_sync_daemon is there.
func (v *validator) sync(m *Model) {
	g := m.Globals.Sync
	if g == nil || g.Instance == "" || slices.ContainsFunc(m.Instances, func(in Instance) bool { return in.Name == g.Instance }) {
		return
	}
	v.unknown(g.Pos, func(yield func(string) bool) {
		for i := range m.Instances {
			if !yield(m.Instances[i].Name) {
				return
			}
		}
	}, "vrrp_instance", g.Instance, "lvs_sync_daemon")
}

// Compare orders daemons as listings do: who sends stands first.
func (d SyncDaemon) Compare(o SyncDaemon) int {
	switch {
	case d.Master == o.Master:
		return 0
	case d.Master:
		return -1
	}
	return 1
}
