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
	case e.Cmd == "ipvsadm -Ln --nosort" && e.Group == "sort":
		return "order of services in the kernel's hash table, which differs from boot to boot"
	}
	return ""
}

// machine is a table in memory with the shell that changes it: the kernel's part of the transcript.
type machine struct {
	model config.Model
	shell Shell
	conns []Conn
	out   bytes.Buffer
	errs  bytes.Buffer
}

func newMachine() *machine {
	services, _ := ReadServices(strings.NewReader("http 80/tcp www\nhttp-alt 8080/tcp\ndomain 53/tcp\ndomain 53/udp\nssh 22/tcp\nhttps 443/tcp\nsip 5060/udp\n"))
	m := &machine{}
	m.shell = Shell{Table: m, Names: Names{Port: services.Name}, Schedulers: schedulers(),
		Resolver: Resolver{Port: services.Port, Host: func(string) (netip.Addr, bool) { return netip.Addr{}, false }},
		Link:     func(name string) (int, bool) { return 1500, name == "s0" }}
	return m
}

func (m *machine) Edit(change func(*config.Model) error) error {
	next := m.model.Clone()
	err := change(next)
	if err == nil {
		m.model = *next
	}
	return err
}

func (m *machine) Zero(only *config.ServiceKey) error {
	if only != nil && m.model.Service(*only) == nil {
		return ErrNoService
	}
	return nil
}

func (m *machine) Listing(Format) (Listing, error) {
	l := FromModel(&m.model)
	l.Conns = connsOf(m.conns)
	return l, nil
}

// connsOf is a table of connections.
func connsOf(list []Conn) func(func(*Conn) bool) error {
	return func(yield func(*Conn) bool) error {
		for i := range list {
			if !yield(&list[i]) {
				break
			}
		}
		return nil
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

// run carries out a command line and returns its exit status. Hints are not ipvsadm's, but there may be one.
func (m *machine) run(args []string, stdin string) int {
	var errs bytes.Buffer
	exit := m.shell.Run(args, strings.NewReader(stdin), &m.out, &errs)
	text := errs.String()
	if at := strings.LastIndex(text, "hint: "); at >= 0 && strings.Index(text[at:], "\n") == len(text[at:])-1 {
		text = text[:at]
	}
	m.errs.WriteString(text)
	return exit
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
