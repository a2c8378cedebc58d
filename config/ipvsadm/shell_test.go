package ipvsadm

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

// typed runs command lines one after the other and returns what the last one left, standard error in full.
func typed(m *machine, stdin string, lines ...string) (stdout, stderr string, exit int) {
	for _, l := range lines {
		var out, errs bytes.Buffer
		exit = m.shell.Run(strings.Fields(l), strings.NewReader(stdin), &out, &errs)
		stdout, stderr = out.String(), errs.String()
	}
	return stdout, stderr, exit
}

// TestHintsOfTheTable: what is known to ipvsadm is said in its words, what may have been meant in one line after it.
func TestHintsOfTheTable(t *testing.T) {
	before := []string{"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 198.51.100.1:8080 -m -w 2 -x 10 -y 5",
		"-a -t 192.0.2.1:80 -r 198.51.100.2 -m"}
	for _, tt := range []struct {
		line, stderr string
		exit         int
	}{
		{"-e -t 192.0.2.1:80 -r 198.51.100.1:8080 -w 3", "No such destination\nhint: there is 198.51.100.1:8080; -e without -m " +
			"means -g, whose port is the service's: write -m again\n", 255},
		{"-d -t 192.0.2.1:80 -r 198.51.100.1", "No such destination\nhint: there is 198.51.100.1:8080: write its port\n", 255},
		{"-e -t 192.0.2.1:80 -r 198.51.100.2 -w 3", "hint: 198.51.100.2:80 is Route now, it was Masq: -e without -m or -i means -g\n", 0},
		{"-e -t 192.0.2.1:80 -r 198.51.100.1:8080 -m -w 3", "hint: the thresholds of 198.51.100.1:8080 are gone: -e without -x and -y means none\n", 0},
		{"-e -t 192.0.2.1:80 -r 198.51.100.1:8080 -m -x 3 -y 4", "Numerical result out of range\nhint: the lower threshold (-y) " +
			"must not be above the upper one (-x)\n", 255},
		{"-e -t 192.0.2.1:81 -r 198.51.100.2 -w 3", "Service not defined\nhint: there is TCP 192.0.2.1:80\n", 255},
		{"-E -u 192.0.2.1:80 -s rr", "No such service\nhint: there is TCP 192.0.2.1:80\n", 255},
		{"-D -t 203.0.113.1:81", "No such service\n", 255},
		{"-E -t 192.0.2.1:80 -s wlc -w 3", "Illegal 'weight' option with the 'edit-service' command\nhint: a weight belongs to a " +
			"real server: ipvsadm -e -t VIP:PORT -r RIP:PORT -g -w WEIGHT\n", 2},
		{"-e -t 192.0.2.1:80 -r 198.51.100.2 -m -x", "-x: missing argument\nhint: " + notDisable + "\n", 255},
		{"-e -t 192.0.2.1:80 -r 198.51.100.2 -m -x -1", "illegal u_threshold specified\nhint: " + notDisable + "\n", 2},
		{"-a -t 192.0.2.1:80 -r 198.51.100.3:8080", "hint: port 8080 of the real server became 80, the service's: only -m changes ports\n", 0},
		{"--start-daemon master --mcast-interface s0", "", 0},
		{"-a -t 192.0.2.1:80 -r 198.51.100.3 -m -w 1", "", 0},
		{"–Ln", "hint: \"–Ln\" was read as \"-Ln\"\n", 0},
		{"-L -t 192.0.2.1:80 --origin", "", 0},
		{"-S --origin", "Illegal 'origin' option with the 'save' command\n", 2},
		{"-A --atomic", "Illegal 'atomic' option with the 'add-service' command\n", 2},
	} {
		t.Run(tt.line, func(t *testing.T) {
			m := newMachine()
			if _, stderr, exit := typed(m, "", before...); stderr != "" || exit != 0 {
				t.Fatalf("setting up: %s%d", stderr, exit)
			}
			if _, stderr, exit := typed(m, "", tt.line); stderr != tt.stderr || exit != tt.exit {
				t.Errorf("got %q, %d\nwant %q, %d", stderr, exit, tt.stderr, tt.exit)
			}
		})
	}
}

// TestDaemonsOfTheFile: what lvs_sync_daemon says is not a command's to change.
func TestDaemonsOfTheFile(t *testing.T) {
	const hint = "\nhint: lvs_sync_daemon of the configuration says which daemons run: change it there and reload\n"
	for _, tt := range []struct{ line, stderr string }{
		{"--start-daemon backup --mcast-interface s0", ErrDaemonRuns.Message + hint},
		{"--stop-daemon master", ErrNoDaemon.Message + hint},
	} {
		m := newMachine()
		m.model.Globals.Sync = &config.SyncGlobals{Interface: "s0"}
		if _, stderr, exit := typed(m, "", tt.line); stderr != tt.stderr || exit != 255 {
			t.Errorf("%s: got %q, %d; want %q", tt.line, stderr, exit, tt.stderr)
		}
	}
}

func TestRestore(t *testing.T) {
	const header = "IP Virtual Server"
	for _, tt := range []struct {
		name, line, stdin string
		stderr            string
		exit              int
		services          string // afterwards
		edits             int
	}{
		{name: "one edit", line: "-R", stdin: "-A -t 192.0.2.1:80 -s rr\n\nipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1 -m\n-A -f 7\n",
			services: "TCP 192.0.2.1:80 1, fwmark 7 0", edits: 1},
		{name: "the table refuses a line", line: "-R", stdin: "-A -t 192.0.2.1:80\n-A -t 192.0.2.1:80\n-A -t 192.0.2.1:81\n",
			stderr:   "Service already exists\nhint: line 2: -A -t 192.0.2.1:80\n",
			services: "TCP 192.0.2.1:80 0, TCP 192.0.2.1:81 0", edits: 1},
		{name: "the table refuses the last line", line: "-R", stdin: "-A -t 192.0.2.1:80\n-A -t 192.0.2.1:80\n",
			stderr: "Service already exists\nhint: line 2: -A -t 192.0.2.1:80\n", exit: 255, services: "TCP 192.0.2.1:80 0", edits: 1},
		{name: "a line is no command", line: "-R", stdin: "-A -t 192.0.2.1:80\nfoo\n-A -t 192.0.2.1:81\n",
			stderr: ErrUsage.Message + "\nhint: line 2: foo\n", exit: 255, services: "TCP 192.0.2.1:80 0", edits: 1},
		{name: "a line has an unknown option", line: "-R", stdin: "-A -t 192.0.2.1:80 -q\n-A -t 192.0.2.1:81\n",
			stderr: "-q: unknown option\nhint: line 1: -A -t 192.0.2.1:80 -q\n", services: "TCP 192.0.2.1:81 0", edits: 1},
		{name: "zeroing in between", line: "-R", stdin: "-A -t 192.0.2.1:80\n-Z\n-A -t 192.0.2.1:81\n",
			services: "TCP 192.0.2.1:80 0, TCP 192.0.2.1:81 0", edits: 2},
		{name: "all lines", line: "-R --atomic", stdin: "-C\n-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 198.51.100.1 -g\n",
			services: "TCP 192.0.2.1:80 1", edits: 1},
		{name: "no line, because the table refuses one", line: "-R --atomic", stdin: "-A -t 192.0.2.1:80\n\n-A -t 192.0.2.1:80\n-A -t 192.0.2.1:81\n",
			stderr: "Service already exists\nhint: nothing has changed; line 3: -A -t 192.0.2.1:80\n", exit: 255},
		{name: "no line, because one is no command", line: "-R --atomic", stdin: "-A -t 192.0.2.1:80\n-A -t 192.0.2.1\n",
			stderr: "Zero port specified for non-persistent service\nhint: nothing has changed; line 2: -A -t 192.0.2.1; " +
				"write HOST:PORT, or -p for a persistent service on all ports\n", exit: 2},
		{name: "no line, because one only lists", line: "--restore --atomic", stdin: "-A -t 192.0.2.1:80\n-Ln\n",
			stderr: "only commands that change the table can be restored together\nhint: nothing has changed; line 2: -Ln\n", exit: 2},
		{name: "in the place of what is there", line: "-R --replace", stdin: "# saved\n-A -t 192.0.2.1:80\n",
			services: "TCP 192.0.2.1:80 0", edits: 1},
		{name: "the line that failed in a file with comments", line: "-R --replace", stdin: "# saved\n-A -t 192.0.2.1:80 -s bogus\n",
			stderr: "Scheduler or persistence engine not found\nhint: nothing has changed; line 2: -A -t 192.0.2.1:80 -s bogus\n", exit: 255},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine()
			count := &counting{machine: m}
			m.shell.Table = count
			_, stderr, exit := typed(m, tt.stdin, tt.line)
			if stderr != tt.stderr || exit != tt.exit {
				t.Errorf("got %q, %d\nwant %q, %d", stderr, exit, tt.stderr, tt.exit)
			}
			var list []string
			for i := range m.model.Services {
				s := &m.model.Services[i]
				list = append(list, fmt.Sprintf("%s %d", s.Key(), len(s.Reals)))
			}
			if got := strings.Join(list, ", "); got != tt.services {
				t.Errorf("services %q, want %q", got, tt.services)
			}
			if tt.edits != 0 && count.edits != tt.edits {
				t.Errorf("%d edits, want %d", count.edits, tt.edits)
			}
			if out, _, _ := typed(m, "", "-Ln"); !strings.HasPrefix(out, header) {
				t.Errorf("afterwards %q", out)
			}
		})
	}
}

// counting counts the changes of a table.
type counting struct {
	*machine
	edits int
}

func (c *counting) Edit(change func(*config.Model) error) error {
	c.edits++
	return c.machine.Edit(change)
}

// TestRefusedEdit: what the director itself has against a change is told as it is.
func TestRefusedEdit(t *testing.T) {
	m := newMachine()
	m.shell.Table = refusing{m}
	if _, stderr, exit := typed(m, "", "-A -t 192.0.2.1:80"); stderr != "the worker does not follow\n" || exit != 255 {
		t.Errorf("got %q, %d", stderr, exit)
	}
	if _, stderr, exit := typed(m, "-A -t 192.0.2.1:80\n-Z\n-L -n\n", "-R"); stderr != "the worker does not follow\n" || exit != 255 {
		t.Errorf("restore: %q, %d", stderr, exit)
	}
}

type refusing struct{ *machine }

func (refusing) Edit(func(*config.Model) error) error {
	return errors.New("the worker does not follow")
}

func TestOrigin(t *testing.T) {
	m := newMachine()
	m.model = config.Model{Services: []config.Service{{Pos: config.Pos{File: "lvs.conf", Line: 3, Col: 1}, Scheduler: "rr",
		Addr: netip.MustParseAddr("192.0.2.1"), Port: 80, Proto: config.TCP, Reals: []config.Real{
			{Pos: config.Pos{File: "lvs.conf", Line: 9, Col: 5}, Addr: netip.MustParseAddr("198.51.100.1"), Port: 80, Weight: 1},
			{Pos: config.Pos{File: "lvs.conf", Line: 12, Col: 5}, Addr: netip.MustParseAddr("198.51.100.2"), Port: 80, Weight: 1}}}}}
	m.shell.Time = time.Date(2026, 11, 21, 12, 30, 5, 0, time.Local)
	out, stderr, _ := typed(m, "", "-a -t 192.0.2.1:80 -r 198.51.100.3 -g", "-e -t 192.0.2.1:80 -r 198.51.100.2 -g -w 0", "-Ln --origin")
	want := `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.1:80 rr  # lvs.conf:3:1
  -> 198.51.100.1:80              Route   1      0          0           # lvs.conf:9:5
  -> 198.51.100.2:80              Route   0      0          0           # lvs.conf:12:5, changed by command 2026-11-21 12:30:05
  -> 198.51.100.3:80              Route   1      0          0           # command 2026-11-21 12:30:05
`
	if out != want || stderr != "" {
		t.Errorf("got\n%s%s\nwant\n%s", out, stderr, want)
	}
}
