package config

import (
	"fmt"
	"net/netip"
	"time"
)

// Whence says where the service comes from: "lvs.conf:12:1", "command 2026-11-21 12:30:05", or both where a command
// changed what the file says.
func (s *Service) Whence() string { return whence(s.Pos, s.Origin, s.Edited) }

// Whence says where the real server comes from, as Service.Whence does.
func (r *Real) Whence() string { return whence(r.Pos, r.Origin, r.Edited) }

func whence(p Pos, o Origin, edited time.Time) string {
	at := ""
	if !edited.IsZero() {
		at = " " + edited.Format(time.DateTime)
	}
	switch {
	case o == FromCommand:
		return "command" + at
	case at != "":
		return fmt.Sprintf("%v, changed by command%s", p, at)
	}
	return p.String()
}

// SyncDaemon is a connection synchronisation daemon, as ipvsadm --start-daemon starts it.
type SyncDaemon struct {
	Master    bool // sends; otherwise it receives
	Interface string
	SyncID    int
	MaxLen    int // bytes of a message
	Group     netip.Addr
	Port      uint16
	TTL       int
}

// name is how changes name a daemon: there is one of each role.
func (d *SyncDaemon) name() string {
	if d.Master {
		return "master"
	}
	return "backup"
}

func daemonFields(d *SyncDaemon) []field {
	return list("interface", d.Interface, "syncid", d.SyncID, "maxlen", d.MaxLen, "group", d.Group, "port", d.Port, "ttl", d.TTL)
}

func (d *differ) daemons(old, new []SyncDaemon) {
	find := func(list []SyncDaemon, master bool) *SyncDaemon {
		for i := range list {
			if list[i].Master == master {
				return &list[i]
			}
		}
		return nil
	}
	for i := range old {
		if find(new, old[i].Master) == nil {
			d.add(Removed, Change{Kind: KindDaemon, Name: old[i].name()}, "")
		}
	}
	for i := range new {
		c := Change{Kind: KindDaemon, Name: new[i].name()}
		if was := find(old, new[i].Master); was != nil {
			d.changed(c, daemonFields(was), daemonFields(&new[i]))
		} else {
			d.add(Added, c, describe(daemonFields(&new[i])))
		}
	}
}
