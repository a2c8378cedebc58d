package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKnobs(t *testing.T) {
	all := Knobs()
	if !slices.IsSortedFunc(all, func(a, b Knob) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("not in alphabetical order")
	}
	for _, k := range all {
		if got, ok := FindKnob(k.Name); !ok || got != k {
			t.Errorf("FindKnob(%q) = %v, %v", k.Name, got, ok)
		}
		s := Sysctl{Name: k.Name, Value: k.Default}
		if got, err := checkSysctl(s); err != nil || got != k.Default {
			t.Errorf("the default of %s is %q: %q, %v", k.Name, k.Default, got, err)
		}
		if (&Dataplane{}).Sysctl(k.Name) != k.Default || k.Text == "" {
			t.Errorf("%s: %q by default, text %q", k.Name, (&Dataplane{}).Sysctl(k.Name), k.Text)
		}
	}
}

func TestParseSysctl(t *testing.T) {
	for _, r := range []struct{ in, want, err string }{
		{"net.ipv4.vs.sloppy_tcp 1", "net.ipv4.vs.sloppy_tcp = 1", ""},
		{"sloppy_tcp 1", "net.ipv4.vs.sloppy_tcp = 1", ""},
		{"net.ipv4.vs.sloppy_tcp=1", "net.ipv4.vs.sloppy_tcp = 1", ""},
		{"net/ipv4/vs/sloppy_tcp = 0x1", "net.ipv4.vs.sloppy_tcp = 1", ""},
		{"sync_threshold  3   50", "net.ipv4.vs.sync_threshold = 3 50", ""},
		{"sync_threshold = 0 0", "net.ipv4.vs.sync_threshold = 0 0", ""},
		{"sync_threshold 8", "net.ipv4.vs.sync_threshold = 8 50", ""},
		{"sync_ports 16", "net.ipv4.vs.sync_ports = 16", ""},
		{"est_cpulist 1-3,5", "net.ipv4.vs.est_cpulist = 1-3,5", ""},
		{"est_nice -10", "net.ipv4.vs.est_nice = -10", ""},

		{"sloppy_tpc 1", "", `there is no setting "net.ipv4.vs.sloppy_tpc"; write net.ipv4.vs.sloppy_tcp`},
		{"qwertzuiop 1", "", `there is no setting "net.ipv4.vs.qwertzuiop"; remove it`},
		{"net.ipv4.ip_forward 1", "", `"net.ipv4.ip_forward" is no setting of IPVS; ` +
			`set it on the host with sysctl(8); only those below net.ipv4.vs are read here`},
		{"sloppy_tcp", "", "net.ipv4.vs.sloppy_tcp is missing its value; write 0 or 1"},
		{"sloppy_tcp 2", "", `net.ipv4.vs.sloppy_tcp cannot be "2"; write 0 or 1`},
		{"sloppy_tcp yes", "", `net.ipv4.vs.sloppy_tcp cannot be "yes"; write 0 or 1`},
		{"drop_entry 4", "", `net.ipv4.vs.drop_entry cannot be "4"; write 0 to 3`},
		{"sync_ports 3", "", `net.ipv4.vs.sync_ports cannot be "3"; write 1, 2, 4, 8, 16, 32 or 64`},
		{"sync_threshold 50 3", "", `net.ipv4.vs.sync_threshold cannot be "50 3"; write a number and a greater one, or 0, such as 3 50`},
		{"lblc_expiration 99999999999999999999", "", `net.ipv4.vs.lblc_expiration cannot be "99999999999999999999"; write 0 to 2147483647`},
		{"", "", `there is no setting "net.ipv4.vs."; remove it`},
	} {
		s, err := ParseSysctl(strings.Fields(r.in))
		switch {
		case r.err == "" && (err != nil || s.String() != r.want):
			t.Errorf("%q: %q, %v, want %q", r.in, s, err, r.want)
		case r.err != "" && (err == nil || err.Error() != r.err):
			t.Errorf("%q: %v, want %q", r.in, err, r.err)
		}
	}
}

func TestSysctlsOfAModel(t *testing.T) {
	one := Sysctl{Pos: Pos{"f", 3, 3}, Name: "sloppy_tcp", Value: "1"}
	two := Sysctl{Pos: Pos{"f", 4, 3}, Name: "sloppy_tcp", Value: "0"}
	bad := Sysctl{Pos: Pos{"f", 5, 3}, Name: "drop_entry", Value: "7"}
	m := &Model{Dataplane: Dataplane{Sysctls: []Sysctl{one, two, bad}}}
	want := "f:4:3: net.ipv4.vs.sloppy_tcp is set twice (the first is in line 3); keep one of them\n" +
		"f:5:3: net.ipv4.vs.drop_entry cannot be \"7\"; write 0 to 3"
	if err := m.Validate(nil); err == nil || err.Error() != want {
		t.Errorf("Validate:\n%v\nwant\n%s", err, want)
	}

	was, is := &Model{}, &Model{Dataplane: Dataplane{Sysctls: []Sysctl{one}}}
	got := Diff(was, is)
	if len(got) != 1 || got[0].String() != "~ dataplane: net.ipv4.vs.sloppy_tcp 0 -> 1" {
		t.Errorf("Diff: %v", got)
	}
	if is.Dataplane.SysctlNumber("sloppy_tcp") != 1 || was.Dataplane.SysctlNumber("lblc_expiration") != 86400 {
		t.Errorf("SysctlNumber of what is set, and by default")
	}
	c := is.Clone()
	c.Dataplane.SetSysctl(Sysctl{Name: "sloppy_tcp", Value: "0", Origin: FromCommand})
	if is.Dataplane.Sysctl("sloppy_tcp") != "1" {
		t.Errorf("a clone shares its settings")
	}
	if s := c.Dataplane.Sysctls[0]; s.Pos != one.Pos || s.Origin != FromFile || s.Value != "0" {
		t.Errorf("a setting of the file, changed by a command: %+v", s)
	}
}

// TestMergeSysctls: what a command set lives on beside a file that does not name it.
func TestMergeSysctls(t *testing.T) {
	at := time.Unix(1, 0)
	file := func(list ...string) *Model {
		m := &Model{}
		for i, w := range list {
			s, err := ParseSysctl(strings.Fields(w))
			if err != nil {
				t.Fatal(err)
			}
			s.Pos = Pos{"f", i + 1, 3}
			m.Dataplane.SetSysctl(s)
		}
		return m
	}
	base := file("sloppy_tcp 1", "pmtu_disc 0")
	running := base.Clone()
	for _, w := range []string{"sloppy_tcp 0", "drop_entry 3", "secure_tcp 3"} {
		s, _ := ParseSysctl(strings.Fields(w))
		s.Origin, s.Edited = FromCommand, at
		running.Dataplane.SetSysctl(s)
	}
	for _, r := range []struct {
		name string
		file *Model
		want map[string]string
	}{
		{"the same file", base, map[string]string{"sloppy_tcp": "1", "pmtu_disc": "0", "drop_entry": "3", "secure_tcp": "3"}},
		{"an empty file", file(), map[string]string{"sloppy_tcp": "0", "pmtu_disc": "1", "drop_entry": "3", "secure_tcp": "3"}},
		{"a file that names one", file("secure_tcp 1"), map[string]string{"sloppy_tcp": "0", "drop_entry": "3", "secure_tcp": "1"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			m, _ := Merge(base, running, r.file)
			for name, want := range r.want {
				if got := m.Dataplane.Sysctl(name); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
		})
	}
}

// FuzzParseSysctl: what is accepted is printed so that it is read as the same again, and is a setting that exists.
func FuzzParseSysctl(f *testing.F) {
	for _, s := range []string{"net.ipv4.vs.sloppy_tcp=1", "sync_threshold 3 50", "net/ipv4/vs/drop_entry = 0x2", "est_cpulist 1-3",
		"est_nice = -5", "=", "sync_ports=64", "am_droprate 99999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := ParseSysctl(strings.Fields(line))
		if err != nil {
			return
		}
		again, err := ParseSysctl([]string{s.String()})
		if err != nil || again != s {
			t.Errorf("%q is read as %q, and that as %q, %v", line, s, again, err)
		}
		d := Dataplane{}
		d.SetSysctl(s)
		if k, ok := FindKnob(s.Name); !ok || d.Sysctl(k.Name) != s.Value {
			t.Errorf("%q: %+v is no setting", line, s)
		}
		if k, _ := FindKnob(s.Name); k.Name != "est_cpulist" && k.Name != "sync_threshold" {
			if n := d.SysctlNumber(s.Name); n < k.Low || n > k.High {
				t.Errorf("%q: %d is not within %d and %d", line, n, k.Low, k.High)
			}
		}
	})
}
