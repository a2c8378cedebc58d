package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestSyncDaemons(t *testing.T) {
	instances := []Instance{{Name: "A", RouterID: 51}, {Name: "B", RouterID: 52}}
	byCommand := []SyncDaemon{{Interface: "eth1", SyncID: 7, Master: true, MaxLen: 1000}}
	for _, tt := range []struct {
		name   string
		global *SyncGlobals
		by     []SyncDaemon
		master string // the instance that is
		want   string
	}{
		{"none", nil, nil, "", ""},
		{"by commands", nil, byCommand, "A", "master eth1 7 1000 invalid IP 0 0"},
		{"without an instance", &SyncGlobals{Interface: "eth0"}, nil, "",
			"master eth0 0 1472 224.0.0.81 8848 1, backup eth0 0 8972 224.0.0.81 8848 1"},
		{"its instance is master", &SyncGlobals{Interface: "eth0", Instance: "A", ID: -1}, nil, "A", "master eth0 51 1472 224.0.0.81 8848 1"},
		{"its instance is not", &SyncGlobals{Interface: "eth0", Instance: "A", ID: -1}, nil, "B", "backup eth0 51 8972 224.0.0.81 8848 1"},
		{"with everything", &SyncGlobals{Interface: "eth0", Instance: "A", ID: 3, MaxLen: 1400, Port: 8850, TTL: 4,
			Group: netip.MustParseAddr("ff02::82")}, nil, "A", "master eth0 3 1400 ff02::82 8850 4"},
		{"too short to receive", &SyncGlobals{Interface: "eth0", Instance: "A", MaxLen: 300}, nil, "", "backup eth0 0 1024 224.0.0.81 8848 1"},
		{"IPv6", &SyncGlobals{Interface: "eth0", Instance: "A", Group: netip.MustParseAddr("ff02::82")}, nil, "A",
			"master eth0 0 1452 ff02::82 8848 1"},
		{"beside a command", &SyncGlobals{Interface: "eth0"}, byCommand, "", "master eth1 7 1000 invalid IP 0 0, backup eth0 0 8972 224.0.0.81 8848 1"},
		{"an interface that is not there", &SyncGlobals{Interface: "none"}, nil, "",
			"master none 0 1472 224.0.0.81 8848 1, backup none 0 1472 224.0.0.81 8848 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Model{Instances: instances, Daemons: tt.by, Globals: Globals{Sync: tt.global}}
			var got []string
			for _, d := range m.SyncDaemons(func(in string) bool { return in == tt.master }, func(link string) int {
				return map[string]int{"eth0": 9000}[link]
			}) {
				got = append(got, fmt.Sprint(d.name(), " ", d.Interface, " ", d.SyncID, " ", d.MaxLen, " ", d.Group, " ", d.Port, " ", d.TTL))
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSyncNamesAnInstance(t *testing.T) {
	m := Model{Instances: []Instance{{Name: "VI_1"}}, Globals: Globals{Sync: &SyncGlobals{Interface: "eth0", Instance: "VI_2", Pos: Pos{"f", 3, 5}}}}
	v := &validator{}
	if v.sync(&m); len(v.errs) != 1 || v.errs[0].Error() != `f:3:5: lvs_sync_daemon names the vrrp_instance "VI_2", which is nowhere; write VI_1` {
		t.Errorf("got %v", v.errs)
	}
	for _, name := range []string{"VI_1", ""} {
		m.Globals.Sync.Instance = name
		v := &validator{}
		if v.sync(&m); len(v.errs) != 0 {
			t.Errorf("%q: %v", name, v.errs)
		}
	}
}
