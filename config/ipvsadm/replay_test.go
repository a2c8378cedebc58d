package ipvsadm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"

	"dirsw/config"
)

// transcript is what ipvsadm 1.31 and the kernel's IPVS (Linux 6.1) said, command by command. A group begins with an empty
// table.
const transcript = "testdata/ipvsadm-1.31.jsonl.gz"

// entry is a line of the transcript: a command, or something else that happened.
type entry struct {
	Group   string
	Cmd     string
	Stdin   *string
	Exit    int
	Stdout  string
	Stderr  string
	Traffic []string
	Sleep   float64
}

func readTranscript(t *testing.T) []entry {
	t.Helper()
	f, err := os.Open(transcript)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	scan := bufio.NewScanner(z)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var e entry
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// except names commands whose outcome differs from ipvsadm's, and why.
func except(e entry) string {
	switch {
	case !strings.HasPrefix(e.Cmd, "ipvsadm"):
		return "not ipvsadm: " + strings.Fields(e.Cmd)[0]
	case e.Cmd == "ipvsadm -h", e.Cmd == "ipvsadm --help", e.Cmd == "ipvsadm -v", e.Cmd == "ipvsadm --version":
		return "help and version are dirsw's own"
	case e.Cmd == "ipvsadm -Ln --nosort" && e.Group == "sort":
		return "order of services in the kernel's hash table, which differs from boot to boot"
	}
	return ""
}

// machine is a director's table and what a listing needs beside it: the kernel's part of the transcript.
type machine struct {
	resolve Resolver
	names   Names
	model   config.Model
	daemons []Daemon
	out     bytes.Buffer
	errs    bytes.Buffer
}

func newMachine() *machine {
	services, _ := ReadServices(strings.NewReader("http 80/tcp www\nhttp-alt 8080/tcp\ndomain 53/tcp\ndomain 53/udp\nssh 22/tcp\nhttps 443/tcp\nsip 5060/udp\n"))
	return &machine{
		resolve: Resolver{Port: services.Port, Host: func(string) (netip.Addr, bool) { return netip.Addr{}, false }},
		names:   Names{Port: services.Name},
	}
}

// schedulers are the modules that the transcript's kernel had.
func schedulers() []string {
	return strings.Fields("rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh none")
}

// words splits a command as a shell would; the only quotation in the transcript is that of the empty word.
func words(cmd string) []string {
	list := strings.Fields(cmd)[1:]
	for i := range list {
		if list[i] == `""` {
			list[i] = ""
		}
	}
	return list
}

// run carries out a command line and returns its exit status.
func (m *machine) run(args []string, stdin string) int {
	c, err := m.resolve.ParseArgs(args)
	if err == nil {
		err = m.do(c, stdin)
	}
	if err != nil {
		m.complain(err)
	}
	return ExitStatus(err)
}

// complain writes the message as ipvsadm does; hints are not ipvsadm's.
func (m *machine) complain(err error) {
	bare := *err.(*Error)
	bare.Hint = ""
	m.errs.WriteString(Stderr(&bare))
}

func (m *machine) do(c Command, stdin string) error {
	c.Schedulers = schedulers()
	switch c.Op {
	case OpList, OpSave:
		l := FromModel(&m.model)
		l.Daemons = m.daemons
		c.Format.Names = m.names
		return Print(&m.out, l, c.Format)
	case OpRestore:
		var last error
		for line, err := range m.resolve.Restore(strings.NewReader(stdin)) {
			if err != nil {
				return err
			}
			if last = m.do(line, ""); last != nil {
				m.complain(last)
			}
		}
		if last != nil {
			return &Error{Exit: ExitStatus(last)}
		}
		return nil
	case OpStartDaemon, OpStopDaemon:
		return m.daemon(c)
	}
	return c.Apply(&m.model)
}

// daemon stands in for the kernel's sync threads on a machine whose only interface is s0.
func (m *machine) daemon(c Command) error {
	at := -1
	for i, d := range m.daemons {
		if d.Master == c.Daemon.Master {
			at = i
		}
	}
	switch {
	case c.Op == OpStopDaemon && at < 0:
		return &Error{Message: "No daemon is running", Exit: 255}
	case c.Op == OpStopDaemon:
		m.daemons = append(m.daemons[:at:at], m.daemons[at+1:]...)
		return nil
	case c.Daemon.Interface != "s0":
		return &Error{Message: "No such device", Exit: 255}
	case at >= 0:
		return &Error{Message: "Daemon has already run", Exit: 255}
	}
	if c.Daemon.MaxLen == 0 { // an MTU of 1500 less IP and UDP headers
		c.Daemon.MaxLen = 1472
		if c.Daemon.Group.Is6() {
			c.Daemon.MaxLen = 1452
		}
	}
	m.daemons = append(m.daemons, c.Daemon)
	return nil
}

// TestTranscript runs every command of the transcript that needs no traffic, and compares exit status, standard output
// and standard error.
func TestTranscript(t *testing.T) {
	var m *machine
	group, traffic := "", false
	same, skipped := 0, map[string]int{}
	for i, e := range readTranscript(t) {
		if e.Group != group {
			m, group, traffic = newMachine(), e.Group, false
		}
		if e.Cmd == "" {
			traffic = traffic || len(e.Traffic) > 0
			continue
		}
		if traffic && e.Stdout != "" {
			skipped["shows what traffic did"]++
			continue
		}
		if why := except(e); why != "" {
			skipped[why]++
			continue
		}
		stdin := ""
		if e.Stdin != nil {
			stdin = *e.Stdin
		}
		m.out.Reset()
		m.errs.Reset()
		exit := m.run(words(e.Cmd), stdin)
		if exit != e.Exit || m.out.String() != e.Stdout || m.errs.String() != e.Stderr {
			t.Errorf("line %d, %s: %s\n got exit %d\n%s%s\nwant exit %d\n%s%s", i+1, e.Group, e.Cmd,
				exit, m.out.String(), m.errs.String(), e.Exit, e.Stdout, e.Stderr)
			continue
		}
		same++
	}
	t.Logf("%d commands came out as ipvsadm's", same)
	for why, n := range skipped {
		t.Logf("%d left out: %s", n, why)
	}
	if same < 580 {
		t.Errorf("only %d commands compared", same)
	}
}
