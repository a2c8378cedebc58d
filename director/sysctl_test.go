package director

import (
	"strings"
	"testing"
	"time"

	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/forward"
)

// given is a dataplane block with settings in the words of sysctl.conf.
func given(t *testing.T, lines ...string) (d config.Dataplane) {
	t.Helper()
	for _, l := range lines {
		s, err := config.ParseSysctl([]string{l})
		if err != nil {
			t.Fatal(err)
		}
		d.SetSysctl(s)
	}
	return d
}

func TestSettings(t *testing.T) {
	none := given(t)
	if got := settings(&none, 1); got != forward.DefaultSettings() {
		t.Errorf("without any setting: %+v, want the defaults", got)
	}
	for _, r := range []struct {
		line    string
		workers int
		change  func(*forward.Settings)
	}{
		{"sloppy_tcp=1", 1, func(s *forward.Settings) { s.SloppyTCP = true }},
		{"sloppy_sctp=1", 1, func(s *forward.Settings) { s.SloppySCTP = true }},
		{"conn_reuse_mode=0", 1, func(s *forward.Settings) { s.ReuseMode = conntrack.ReuseNever }},
		{"conn_reuse_mode=2", 1, func(s *forward.Settings) { s.ReuseMode = conntrack.ReuseClosing }},
		{"conn_reuse_mode=3", 1, func(s *forward.Settings) { s.ReuseMode = conntrack.ReuseClosing }},
		{"expire_nodest_conn=1", 1, func(s *forward.Settings) { s.ExpireNodest = true }},
		{"expire_quiescent_template=1", 1, func(s *forward.Settings) { s.ExpireQuiescent = true }},
		{"nat_icmp_send=1", 1, func(s *forward.Settings) { s.NATICMPSend = true }},
		{"pmtu_disc=0", 1, func(s *forward.Settings) { s.PMTUDisc = false }},
		{"schedule_icmp=1", 1, func(s *forward.Settings) { s.ScheduleICMP = true }},
		{"cache_bypass=1", 1, func(s *forward.Settings) { s.CacheBypass = true }},
		{"secure_tcp=1", 1, func(s *forward.Settings) { s.SecureTCP = forward.Automatic }},
		{"secure_tcp=2", 1, func(s *forward.Settings) { s.SecureTCP = forward.Automatic }},
		{"drop_entry=3", 1, func(s *forward.Settings) { s.DropEntry = forward.Always }},
		{"drop_packet=3", 1, func(s *forward.Settings) { s.DropPacket = forward.Always }},
		{"amemthresh=9000", 1, func(s *forward.Settings) { s.AMemThresh = 9000 }},
		{"amemthresh=9000", 3, func(s *forward.Settings) { s.AMemThresh = 3000 }},
		{"am_droprate=2", 1, func(s *forward.Settings) { s.AMDropRate = 2 }},
		{"debug_level=3", 1, func(*forward.Settings) {}},
		{"conntrack=1", 1, func(*forward.Settings) {}},
	} {
		d := given(t, r.line)
		want := forward.DefaultSettings()
		r.change(&want)
		if got := settings(&d, r.workers); got != want {
			t.Errorf("%s for %d workers: %+v, want %+v", r.line, r.workers, got, want)
		}
	}
}

// TestExpiryReachesThePool: a change of lblc_expiration is news for services with lblc, and for no others.
func TestExpiryReachesThePool(t *testing.T) {
	conf := strings.Replace(directorConf, "lb_algo rr", "lb_algo lblc", 1)
	conf += strings.Replace(conf[strings.Index(conf, "virtual_server"):], "192.0.2.100 80", "192.0.2.100 81", 1)
	conf = strings.Replace(conf, "lb_algo lblc", "lb_algo lblcr", 1)
	m := parse(t, conf)
	var snap *forward.Snapshot
	for _, r := range []struct {
		line          string
		lblcr, lblc   time.Duration // of the first service and the second
		fresh, fresh2 bool
	}{
		{"sloppy_tcp=1", 24 * time.Hour, 24 * time.Hour, true, true},
		{"sloppy_tcp=0", 24 * time.Hour, 24 * time.Hour, false, false},
		{"lblc_expiration=60", 24 * time.Hour, time.Minute, false, true},
		{"lblcr_expiration=0", 1, time.Minute, true, false},
	} {
		s, err := config.ParseSysctl([]string{r.line})
		if err != nil {
			t.Fatal(err)
		}
		m = m.Clone()
		m.Dataplane.SetSysctl(s)
		next, err := Compile(&Inputs{Model: m, Workers: 1}, snap)
		if err != nil {
			t.Fatal(err)
		}
		snap = next
		a, b := &snap.Services[0], &snap.Services[1]
		if a.Pool.Expire != r.lblcr || b.Pool.Expire != r.lblc {
			t.Errorf("%s: %v and %v, want %v and %v", r.line, a.Pool.Expire, b.Pool.Expire, r.lblcr, r.lblc)
		}
		if (a.PoolGen == snap.Gen) != r.fresh || (b.PoolGen == snap.Gen) != r.fresh2 {
			t.Errorf("%s: pools of generation %d and %d in %d, want news %v and %v", r.line, a.PoolGen, b.PoolGen, snap.Gen,
				r.fresh, r.fresh2)
		}
	}
}

// TestSettingsAtRunTime: a command's setting is published, survives a reload, and is the file's when that names it.
func TestSettingsAtRunTime(t *testing.T) {
	d, _, text := start(t)
	set := func(line string) {
		t.Helper()
		s, err := config.ParseSysctl([]string{line})
		if err != nil {
			t.Fatal(err)
		}
		s.Origin = config.FromCommand
		changes, err := d.Edit(func(m *config.Model) error { m.Dataplane.SetSysctl(s); return nil })
		if err != nil || len(changes) != 1 {
			t.Fatalf("%s: %v, %v", line, changes, err)
		}
	}
	want := func(when, drop, reuse string) {
		t.Helper()
		b := d.Dataplane()
		if b.Sysctl("drop_entry") != drop || b.Sysctl("conn_reuse_mode") != reuse {
			t.Errorf("%s: drop_entry %s, conn_reuse_mode %s, want %s and %s", when, b.Sysctl("drop_entry"),
				b.Sysctl("conn_reuse_mode"), drop, reuse)
		}
	}
	want("at the start", "0", "1")
	set("drop_entry=3")
	set("conn_reuse_mode=0")
	want("after commands", "3", "0")
	if s := d.now.Load().snap.Settings; s.DropEntry != forward.Always || s.ReuseMode != conntrack.ReuseNever {
		t.Errorf("published: %+v", s)
	}
	for _, r := range []struct{ block, drop, reuse string }{
		{"", "3", "0"},
		{"dataplane {\n sysctl conn_reuse_mode 2\n}\n", "3", "2"},
	} {
		*text = directorConf + r.block
		_, notes, err := d.Reload()
		if err != nil {
			t.Fatal(err)
		}
		want("after a reload", r.drop, r.reuse)
		for _, n := range notes {
			if strings.Contains(n.Text, "next start") {
				t.Errorf("a setting waits for the next start: %v", n)
			}
		}
	}
}
