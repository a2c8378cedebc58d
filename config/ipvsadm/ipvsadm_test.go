package ipvsadm

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

// articles are command lines as articles publish them, and what their authors meant, as -S writes it.
func articles() []struct{ name, commands, want string } {
	return []struct{ name, commands, want string }{
		{"the direct routing lab", `-C
-A -t 192.168.114.180:80 -s rr
-a -t 192.168.114.180:80 -r 192.168.114.252:80 -g
-a -t 192.168.114.180:80 -r 192.168.114.253:80 -g
-ln`, `-A -t 192.168.114.180:80 -s rr
-a -t 192.168.114.180:80 -r 192.168.114.252:80 -g -w 1
-a -t 192.168.114.180:80 -r 192.168.114.253:80 -g -w 1
`},
		{"https on the port of http", `-A -t 192.168.0.220:80 -s rr
-A -t 192.168.0.220:443 -s rr
-a -t 192.168.0.220:80 -r 192.168.0.10:80 -g
-a -t 192.168.0.220:80 -r 192.168.0.20:80 -g
-a -t 192.168.0.220:443 -r 192.168.0.20:80 -g
-a -t 192.168.0.220:443 -r 192.168.0.10:80 -g`, `-A -t 192.168.0.220:80 -s rr
-a -t 192.168.0.220:80 -r 192.168.0.10:80 -g -w 1
-a -t 192.168.0.220:80 -r 192.168.0.20:80 -g -w 1
-A -t 192.168.0.220:443 -s rr
-a -t 192.168.0.220:443 -r 192.168.0.10:443 -g -w 1
-a -t 192.168.0.220:443 -r 192.168.0.20:443 -g -w 1
`},
		{"a firewall mark", `-A -f 6666 -s rr
-a -f 6666 -r 192.168.0.10 -g
-a -f 6666 -r 192.168.0.20 -g
-E -f 6666 -s rr -p 3000`, `-A -f 6666 -s rr -p 3000
-a -f 6666 -r 192.168.0.10:0 -g -w 1
-a -f 6666 -r 192.168.0.20:0 -g -w 1
`},
		{"the table of options", `-A -t 192.168.1.100:80 -s rr
-E -t 192.168.1.100:80 -s wlc
-a -t 192.168.1.100:80 -r 192.168.1.11 -g
-e -t 192.168.1.100:80 -r 192.168.1.11 -w 5
-L -n
-L --stats
-Ln --rate
-Z
-Ln --stats`, `-A -t 192.168.1.100:80 -s wlc
-a -t 192.168.1.100:80 -r 192.168.1.11:80 -g -w 5
`},
		{"dashes and blanks as published", "\u2013A \u2013t 192.0.2.1:80 \u2013s rr\n\u2014add-server \u2014tcp-service 192.0.2.1：80 \u2013r 192.0.2.11 \u2013w 3\n\u2013ln\n" +
			"\u2013Ln \u2013\u2013stats\n\u2013Ln \u2013stats\n\u2212Ln \u2014stats\n-a\u00A0-t\u00A0192.0.2.1:80 -r\u3000192.0.2.12 -w\u200B 2",
			"-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.11:80 -g -w 3\n-a -t 192.0.2.1:80 -r 192.0.2.12:80 -g -w 2\n"},
	}
}

func TestArticles(t *testing.T) {
	for _, row := range articles() {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine()
			for line := range strings.SplitSeq(row.commands, "\n") {
				args := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' })
				if exit := m.run(args, ""); exit != 0 {
					t.Fatalf("%s: exit %d, %s", line, exit, m.errs.String())
				}
			}
			m.out.Reset()
			m.run([]string{"-S", "-n"}, "")
			if got := m.out.String(); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// TestNotes tells what was mended or changed on the way.
func TestNotes(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"-ln", ""},
		{"\u2013ln", `"–ln" was read as "-ln"`},
		{"-Ln \u2013stats", `"–stats" was read as "--stats"`},
		{"-Ln \u2013t\u00A0192.0.2.1:80", "\"–t\\u00a0192.0.2.1:80\" was read as \"-t 192.0.2.1:80\""},
		{"-a -t 192.0.2.1:443 -r 192.0.2.11:80", "port 80 of the real server became 443, the service's: only -m changes ports"},
		{"-a -t 192.0.2.1:443 -r 192.0.2.11", ""},
	} {
		c, err := newMachine().shell.Resolver.ParseArgs(strings.FieldsFunc(row.line, func(r rune) bool { return r == ' ' }))
		if err != nil {
			t.Errorf("%s: %v", row.line, err)
		}
		if got := strings.Join(c.Notes, "\n"); got != row.want {
			t.Errorf("%s: got %s, want %s", row.line, got, row.want)
		}
	}
}

// TestHints gives ipvsadm's message, its status, and what was meant.
func TestHints(t *testing.T) {
	const weight = "a weight belongs to a real server: ipvsadm -e -t VIP:PORT -r RIP:PORT -g -w WEIGHT"
	for _, row := range []struct {
		line, message, hint string
		exit                int
	}{
		{"-E -t 192.0.2.1:80 -s wlc -w 3", "Illegal 'weight' option with the 'edit-service' command", weight, 2},
		{"-E -t VIP:port -s wlc -w 权重值", "illegal virtual server address[:port] specified", weight, 2},
		{"-A -t 192.0.2.1", "Zero port specified for non-persistent service", "write HOST:PORT, or -p for a persistent service on all ports", 2},
		{"-e -t 192.0.2.1:80 -r 192.0.2.11 -x", "-x: missing argument",
			"-x is the upper threshold of connections; to give a server no new connections write -w 0", 255},
		{"-Lnc --stats", "options conflicts in the list command",
			"-c, --timeout and --daemon show something else than the counters of services", 2},
		{"-D -t 192.0.2.1:80 -s rr", "Illegal 'scheduler' option with the 'delete-service' command", "", 2},
	} {
		_, err := newMachine().shell.Resolver.ParseArgs(strings.Fields(row.line))
		var e *Error
		if !errors.As(err, &e) || e.Message != row.message || e.Hint != row.hint || e.Exit != row.exit || ExitStatus(err) != row.exit {
			t.Errorf("%s: got %#v", row.line, err)
		}
		want := row.message + "\n"
		if row.hint != "" {
			want += "hint: " + row.hint + "\n"
		}
		if got := Stderr(err); got != want {
			t.Errorf("%s: got %q, want %q", row.line, got, want)
		}
	}
}

// TestMistakes are those that the transcript has no example of.
func TestMistakes(t *testing.T) {
	for _, row := range []struct {
		line, message string
		exit          int
	}{
		{"-Lnq", "-Lnq: unknown option", 255},
		{"-L --stats=1", "--stats=1: unknown option", 255},
		{"-A -t 192.0.2.1:80 -s rr -- -n", "unexpected argument -n", 2},
		{"-L -", "unexpected argument -", 2},
		{"-A -t 1.2.3.4.5:80", "illegal virtual server address[:port] specified", 2},
		{"-A -t [2001:db8::1:80", "illegal virtual server address[:port] specified", 2},
		{"-a -t 192.0.2.1:80 -r 192.0.2.11 -y x", "illegal l_threshold specified", 2},
		{"-a -t 192.0.2.1:80 -r 192.0.2.11 -i --tun-type gue --tun-port 1 --tun-csum --tun-remcsum",
			"The option 'tun-remcsum' conflicts with the 'tun-csum' option in the 'gue' tunnel type", 2},
		{"-L --stats --stats", "multiple 'stats' options specified", 2},
		{"--start-daemon master --mcast-group ff02::x", "invalid IPv6 mcast-group `ff02::x'", 2},
		{"extra -q", "Try `ipvsadm -h' or 'ipvsadm --help' for more information.", 255},
		{"-f 1", "Try `ipvsadm -h' or 'ipvsadm --help' for more information.", 255},
	} {
		_, err := newMachine().shell.Resolver.ParseArgs(strings.Fields(row.line))
		if err == nil || err.(*Error).Message != row.message || ExitStatus(err) != row.exit {
			t.Errorf("%s: got %v, want %s", row.line, err, row.message)
		}
	}
}

// TestSpellings parses the same command written in several ways.
func TestSpellings(t *testing.T) {
	same := func(lines ...string) {
		var first Command
		for i, line := range lines {
			c, err := newMachine().shell.Resolver.ParseArgs(strings.Fields(line))
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if i == 0 {
				first = c
			} else if !reflect.DeepEqual(c, first) {
				t.Errorf("%s: got %+v, want %+v as of %s", line, c, first, lines[0])
			}
		}
	}
	same("-Ln --stats", "-ln --stats", "-L -n --stats", "--list --numeric --stats", "-L --stats -n --sort")
	same("-A -t 192.0.2.1:80 -s rr -p 60 -M 255.255.255.0", "-A -t192.0.2.1:80 -srr -p60 -M255.255.255.0",
		"--add-service --netmask=255.255.255.0 --persistent=60 --scheduler=rr --tcp-service=192.0.2.1:http",
		"-AM 255.255.255.0 -p 60 -t 192.0.2.1:www -s=rr")
	same("-A -u [2001:db8::1]:53 -p -M 64", "-A -M 64 -p -u [2001:db8::1]:domain", "-A -p 360 -M 64 -u [2001:0db8:0::1]:53")
	same("-A -t 192.0.2.1:80 -s sh -b sh-port", "-A -b sh-port -t 192.0.2.1:80 -s sh")
	same("--set 1 2 3", "1 --set 2 3")
	same("", "-L")
}

func TestNamesOfHosts(t *testing.T) {
	r := Resolver{Host: func(name string) (netip.Addr, bool) { return netip.MustParseAddr("192.0.2.7"), name == "web" }}
	c, err := r.ParseArgs(strings.Fields("-A -t web:80"))
	if err != nil || c.Service.Addr != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("got %+v, %v", c.Service, err)
	}
}

// TestNumber writes counters at the edges of K, M, G and T.
func TestNumber(t *testing.T) {
	for _, row := range []struct {
		n           uint64
		want, exact string
	}{
		{0, "        0", "        0"},
		{99999999, " 99999999", " 99999999"},
		{100000000, "  100000K", " 100000000"},
		{999999999, "  999999K", " 999999999"},
		{1000000000, "    1000M", " 1000000000"},
		{99999999999, "   99999M", " 99999999999"},
		{100000000000, "     100G", " 100000000000"},
		{99999999999999, "   99999G", " 99999999999999"},
		{100000000000000, "     100T", " 100000000000000"},
		{18446744073709551615, "18446744T", " 18446744073709551615"},
	} {
		if got := (&Format{}).number(row.n); got != row.want {
			t.Errorf("%d: got %q, want %q", row.n, got, row.want)
		}
		if got := (&Format{Exact: true}).number(row.n); got != row.exact {
			t.Errorf("%d exact: got %q, want %q", row.n, got, row.exact)
		}
	}
}

// TestPrintOdd prints what the transcript has no example of.
func TestPrintOdd(t *testing.T) {
	key := config.ServiceKey{Addr: netip.MustParseAddr("192.0.2.1"), Port: 80, Proto: config.TCP}
	l := Listing{Size: 65536, Services: []Service{
		{ServiceKey: config.ServiceKey{Mark: 7, IPv6: true}, Scheduler: "rr", Persistence: time.Minute, Granularity: 64, Engine: "sip",
			Rate: Counters{1, 2, 3, 1e9, 5}},
		{ServiceKey: key, Scheduler: "sh", SchedFlags: []string{"flag-1", "sh-fallback", "flag-3"},
			Dests: []Dest{{RealKey: config.RealKey{Addr: netip.MustParseAddr("192.0.2.11"), Port: 80}, Rate: Counters{1e9, 2, 3, 1e9, 5}}}}},
		Conns: connsOf([]Conn{{Client: netip.MustParseAddrPort("192.0.2.9:0"), Virtual: netip.MustParseAddrPort("0.0.0.7:0"),
			Dest: netip.MustParseAddrPort("192.0.2.11:0"), State: "ASSURED", Expires: 3601 * time.Second, Engine: "sip", EngineData: "abc"}})}
	host := func(netip.Addr) string { return "a-name-longer-than-the-column-is.example.org" }
	for _, row := range []struct {
		f    Format
		want string
	}{
		{Format{View: ViewTable}, `IP Virtual Server version 1.2.1 (size=65536)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.1:80 sh (sh-fallback)
  -> 192.0.2.11:80                Route   0      0          0         
FWM  7 IPv6 rr persistent 60 mask 64 pe sip
`},
		{Format{View: ViewTable, Only: &key, Names: Names{Host: host}}, `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  a-name-longer-than-the-colum sh (sh-fallback)
  -> a-name-longer-than-the-colum Route   0      0          0         
`},
		{Format{View: ViewRate}, `IP Virtual Server version 1.2.1 (size=65536)
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  192.0.2.1:80                        0        0        0        0        0
  -> 192.0.2.11:80                1000000000        2        3    1000M        5
FWM  7 IPv6                              1        2        3    1000M        5
`},
		{Format{View: ViewConns, Engines: true}, `IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
IP  60:01  ASSURED     192.0.2.9:0        0.0.0.7:0          192.0.2.11:0     sip                abc
`},
		{Format{View: ViewSave}, `-A -t 192.0.2.1:80 -s sh -b sh-fallback
-a -t 192.0.2.1:80 -r 192.0.2.11:80 -g -w 0
-A -f 7 -6 -s rr -p 60 -M 64 --pe sip
`},
		{Format{View: ViewTimeouts}, "Timeout (tcp tcpfin udp): 900 120 300\n"},
	} {
		var b strings.Builder
		if err := Print(&b, l, row.f); err != nil || b.String() != row.want {
			t.Errorf("got %v\n%s\nwant\n%s", err, b.String(), row.want)
		}
	}
	if err := Print(&strings.Builder{}, l, Format{Only: &config.ServiceKey{Mark: 8}}); !errors.Is(err, ErrNoSuchService) || ExitStatus(err) != 1 {
		t.Errorf("a service that is not listed: %v", err)
	}
}

// TestApply holds what the kernel refuses and what an edit leaves alone.
func TestApply(t *testing.T) {
	file := config.Service{Addr: netip.MustParseAddr("192.0.2.1"), Port: 80, Proto: config.TCP, Scheduler: "rr", Quorum: 2,
		Reals: []config.Real{{Addr: netip.MustParseAddr("192.0.2.11"), Port: 80, Weight: 1, Inhibit: true, Checks: []config.Check{{Kind: config.TCPCheck}}}}}
	kept := &config.Model{Services: []config.Service{file}}
	m := kept.Clone()
	for _, row := range []struct {
		line string
		want error
	}{
		{"-a -t 192.0.2.1:80 -r 224.0.0.1", ErrInvalid},
		{"-a -t 192.0.2.1:80 -r 0.0.0.1", ErrInvalid},
		{"-a -t 192.0.2.2:80 -r 192.0.2.11", ErrNotDefined},
		{"-d -t 192.0.2.2:80 -r 192.0.2.11", ErrNotDefined},
		{"-E -t 192.0.2.1:80 -s twos", ErrNoScheduler},
		{"-A -t 192.0.2.1:81 --pe bogus", ErrNoScheduler},
		{"--stop-daemon master", ErrNoDaemon},
		{"--start-daemon master", nil},
		{"--start-daemon master", ErrDaemonRuns},
		{"-E -t 192.0.2.1:80 -s wrr -p 60 -M 255.255.255.0", nil},
		{"-e -t 192.0.2.1:80 -r 192.0.2.11 -w 9 -x 5 -y 2", nil},
		{"-A -f 3 -s rr", nil},
		{"-L", nil},
	} {
		c, err := newMachine().shell.Resolver.ParseArgs(strings.Fields(row.line))
		if err != nil {
			t.Fatal(err)
		}
		c.Schedulers = schedulers()
		if got := c.Apply(m); !errors.Is(got, row.want) || (got == nil) != (row.want == nil) {
			t.Errorf("%s: got %v, want %v", row.line, got, row.want)
		}
	}
	want := file
	want.Scheduler, want.Persistence, want.Granularity = "wrr", time.Minute, 24
	want.Reals = []config.Real{file.Reals[0]}
	want.Reals[0].Weight, want.Reals[0].Upper, want.Reals[0].Lower = 9, 5, 2
	want.Reals[0].Edits = m.Services[0].Reals[0].Edits
	if want.Reals[0].Edits == 0 {
		t.Error("the edit of a server left no trace")
	}
	if !reflect.DeepEqual(m.Services[0], want) {
		t.Errorf("got %+v, want %+v", m.Services[0], want)
	}
	if len(kept.Services) != 1 || kept.Services[0].Scheduler != "rr" || kept.Services[0].Reals[0].Weight != 1 {
		t.Errorf("the Model that was cloned has changed: %+v", kept)
	}
	if s := m.Services[1]; s.Origin != config.FromCommand || s.Mark != 3 {
		t.Errorf("got %+v", s)
	}
}

// TestSaveRestores makes the same table of what -S writes.
func TestSaveRestores(t *testing.T) {
	first := newMachine()
	const lines = `-A -t 192.0.2.1:80 -s sh -b sh-port,sh-fallback -p 60 -M 255.255.0.0
-a -t 192.0.2.1:80 -r 192.0.2.11:80 -i -w 3 --tun-type gue --tun-port 6080 --tun-remcsum
-a -t 192.0.2.1:80 -r 192.0.2.12:80 -i --tun-type gre --tun-csum
-A -f 5 -6 -s wlc -p 60 -M 48 --pe sip
-a -f 5 -6 -r [2001:db8::11]:0 -g
-A -u [2001:db8::1]:53 -s rr -o
-a -u [2001:db8::1]:53 -r [2001:db8::11]:5353 -m -w 0
-A --sctp-service 192.0.2.1:9899 -s mh -b mh-port
`
	if exit := first.run([]string{"-R"}, lines); exit != 0 {
		t.Fatal(first.errs.String())
	}
	first.run([]string{"-S", "-n"}, "")
	second := newMachine()
	if exit := second.run([]string{"-R"}, first.out.String()); exit != 0 {
		t.Fatal(second.errs.String())
	}
	second.run([]string{"-S", "-n"}, "")
	if first.out.String() != second.out.String() {
		t.Errorf("got\n%s\nwant\n%s", second.out.String(), first.out.String())
	}
}

// FuzzParseArgs parses anything: it must not panic, its errors must be ipvsadm's, and what parses must apply without a
// panic, print, and leave a Model whose services are distinct.
func FuzzParseArgs(f *testing.F) {
	for _, row := range articles() {
		f.Add(row.commands)
	}
	for _, line := range []string{"-A -t 192.0.2.1:80 -s rr -p 60 -M 24", "-a -f 1 -6 -r [::1]:80 -i --tun-type gue --tun-port 1", "--set 1 2 3",
		"--start-daemon master --mcast-group ff02::1 --syncid 3", "-Lnc", "-b flag-1,flag-3 -A", "-p-5", "--tcp-service=", "-t0x7f.1:80 -A"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := newMachine()
		seen := map[config.ServiceKey]bool{}
		for line := range strings.SplitSeq(text, "\n") {
			words := strings.Split(line, " ")
			_, err := m.shell.Resolver.ParseArgs(words)
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Exit == 0 || e.Message == "") {
				t.Fatalf("%q: %#v", line, err)
			}
			before := m.errs.Len()
			if exit := m.run(words, text); exit != 0 && m.errs.Len() == before {
				t.Errorf("%q: status %d and not a word", line, exit)
			}
		}
		for i := range m.model.Services {
			k := m.model.Services[i].Key()
			if seen[k] {
				t.Errorf("twice: %s", k)
			}
			seen[k] = true
		}
	})
}

func TestReadServices(t *testing.T) {
	s, err := ReadServices(strings.NewReader("# comment\nhttp 80/tcp www # web\nhttp 80/sctp\nbad\nbad 99999/tcp\nother 80/tcp\ndns 53/xyz\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Name(80, config.TCP); got != "http" {
		t.Errorf("got %q, want http", got)
	}
	if n, ok := s.Port("www", config.TCP); n != 80 || !ok {
		t.Errorf("got %d %v, want 80", n, ok)
	}
	if _, ok := s.Port("www", config.UDP); ok || s.Name(53, config.UDP) != "" {
		t.Error("names that are not there")
	}
}
