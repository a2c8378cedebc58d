package main

import (
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

func TestSysctlCommand(t *testing.T) {
	for _, r := range []struct{ name, args, out, remarks, err string }{
		{"one", "net.ipv4.vs.pmtu_disc", "net.ipv4.vs.pmtu_disc = 1\n", "", ""},
		{"in other words", "sloppy_tcp net/ipv4/vs/sync_threshold",
			"net.ipv4.vs.sloppy_tcp = 1\nnet.ipv4.vs.sync_threshold = 3\t50\n", "", ""},
		{"values", "-n sloppy_tcp pmtu_disc", "1\n1\n", "", ""},
		{"names", "--names sloppy_tcp", "net.ipv4.vs.sloppy_tcp\n", "", ""},
		{"set", "-w net.ipv4.vs.drop_entry=3", "net.ipv4.vs.drop_entry = 3\n", "", ""},
		{"set and show", "drop_entry=1 secure_tcp", "net.ipv4.vs.drop_entry = 1\nnet.ipv4.vs.secure_tcp = 0\n", "", ""},
		{"set quietly", "-qw drop_entry=3", "", "", ""},
		{"set what does nothing", "conntrack=1 sync_ports=4 debug_level=0",
			"net.ipv4.vs.conntrack = 1\nnet.ipv4.vs.sync_ports = 4\nnet.ipv4.vs.debug_level = 0\n",
			"note: net.ipv4.vs.conntrack has no effect: packets do not pass netfilter here, whose connection tracking it is about\n", ""},
		{"unknown", "slopy_tcp drop_entry=5", "", "", `there is no setting "net.ipv4.vs.slopy_tcp"; write net.ipv4.vs.sloppy_tcp` +
			"\n" + `net.ipv4.vs.drop_entry cannot be "5"; write 0 to 3`},
		{"unknown and ignored", "-e slopy_tcp pmtu_disc", "net.ipv4.vs.pmtu_disc = 1\n", "", ""},
		{"no option", "-z pmtu_disc", "", "", `there is no option -z; "dirsw sysctl -h" lists them`},
	} {
		t.Run(r.name, func(t *testing.T) {
			m := &config.Model{}
			m.Dataplane.SetSysctl(config.Sysctl{Name: "sloppy_tcp", Value: "1"})
			s, err := parseSysctlArgs(strings.Fields(r.args))
			if err != nil || r.err != "" {
				if err == nil || err.Error() != r.err {
					t.Fatalf("got %v\nwant %s", err, r.err)
				}
				return
			}
			s.apply(m, time.Unix(1, 0))
			if got := s.show(&m.Dataplane); got != r.out {
				t.Errorf("got  %q\nwant %q", got, r.out)
			}
			if got := s.remarks(); got != r.remarks {
				t.Errorf("remarks %q\nwant    %q", got, r.remarks)
			}
			for _, o := range m.Dataplane.Sysctls[1:] {
				if o.Origin != config.FromCommand || o.Edited != time.Unix(1, 0) {
					t.Errorf("%+v was not made by a command", o)
				}
			}
		})
	}
}

func TestSysctlAll(t *testing.T) {
	s, err := parseSysctlArgs([]string{"-a"})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(s.show(&config.Dataplane{})), "\n")
	if len(got) != len(config.Knobs()) || got[0] != "net.ipv4.vs.am_droprate = 10" {
		t.Errorf("%d lines, the first %q, want %d", len(got), got[0], len(config.Knobs()))
	}
}
