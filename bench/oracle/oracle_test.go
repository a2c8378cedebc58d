package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small holds a few short cases of each format that dirsw does as the kernel did.
const small = "testdata/small.jsonl"

// play plays lines of a transcript and returns what was printed.
func play(t *testing.T, lines ...string) (text string, r *report) {
	t.Helper()
	var out bytes.Buffer
	r = &report{out: &out}
	if err := playAll(strings.NewReader(strings.Join(lines, "\n")), r); err != nil {
		t.Fatal(err)
	}
	return out.String(), r
}

// line returns the line of small that has all of the words.
func line(t *testing.T, words ...string) string {
	t.Helper()
	b, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
next:
	for l := range strings.SplitSeq(string(b), "\n") {
		for _, w := range words {
			if !strings.Contains(l, w) {
				continue next
			}
		}
		return l
	}
	t.Fatalf("no line with %q", words)
	return ""
}

func TestSmall(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"-v", small}, &out, &errs); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
	if got := strings.Count(out.String(), "\nok ") + 1; got != 41 || !strings.HasSuffix(out.String(), "41 ok, 0 differ\n") {
		t.Errorf("%d ok\n%s", got, out.String())
	}
}

// TestTellsDifferences changes one thing in a transcript that is played right. Each must be told.
func TestTellsDifferences(t *testing.T) {
	for _, c := range []struct {
		name     string
		words    []string // that find the line
		old, new string   // the change
		want     string   // in what is told
	}{
		{"server chosen", []string{"edit-sched/rr-wrr"}, `"192.0.2.100:80","172.16.0.13:80"`, `"192.0.2.100:80","172.16.0.12:80"`, "server, got 172.16.0.13:80 (none), want 172.16.0.12:80"},
		{"no server", []string{"edit-sched/rr-wrr"}, `"192.0.2.100:80","172.16.0.13:80"`, `"192.0.2.100:80",null`, "server, got 172.16.0.13:80 (none), want none"},
		{"counts", []string{"rr/thr-x4y2/udp"}, `[[0,1],`, `[[1,0],`, "servers, got [0 1, "},
		{"weight after a step", []string{"two-services"}, `["172.16.0.13:443",1,`, `["172.16.0.13:443",2,`, "servers, got "},
		{"reply", []string{"rr/thr-x4y2/udp"}, `"icmp 3/3"`, `"icmp 3/1"`, "reply, got icmp 3/3"},
		{"left to the kernel", []string{"delete-service/dr"}, `"tcp RA"`, `null`, "reply, got tcp RA"},
		{"state of an entry", []string{"time/p3-tcp"}, `SYN_RECV 56"`, `ESTABLISHED 56"`, "connections, got TCP 10.1.0.1:1001"},
		{"time left, too long", []string{"time/p3-tcp"}, `NONE 2"`, `NONE 4"`, "connections, got TCP 10.1.0.1:0"},
		{"time left, too short", []string{"time/p3-tcp"}, `SYN_RECV 59"`, `SYN_RECV 58"`, "connections, got TCP 10.1.0.1:1001"},
		{"server of an entry", []string{"time/p3-tcp"}, `172.16.0.13:80 NONE 2"`, `172.16.0.13:81 NONE 2"`, "connections, got TCP"},
		{"an entry more", []string{"time/p3-tcp"}, `"conns":["TCP`, `"conns":["TCP 10.1.0.9:1 192.0.2.100:80 172.16.0.13:80 NONE 9","TCP`, "got no such entry"},
		{"an entry less", []string{"time/p3-tcp"}, `"conns":["TCP 10.1.0.1:0 192.0.2.100:80 172.16.0.13:80 NONE 2",`, `"conns":[`, "want no such entry"},
		{"frames out", []string{"quiesce/nopersist"}, `"fwd":1`, `"fwd":2`, "frames out, got 1"},
		{"table at the end", []string{"edit-sched/rr-wrr"}, `"end":[{"svc":"TCP 192.0.2.100:80","sched":"rr"`, `"end":[{"svc":"TCP 192.0.2.100:80","sched":"wrr"`, "end: TCP 192.0.2.100:80, got rr"},
		{"mask", []string{"time/p3-tcp"}, `"FFFFFFFF"`, `"FFFFFF00"`, "persistent 300 FFFFFFFF, want"},
		{"byte of a frame", []string{"dr4/udp"}, `"out":[{"if":"s0","hex":"02000000021102`, `"out":[{"if":"s0","hex":"02000000021202`, "byte 5 11, want 12"},
		{"no frame", []string{"dr4/udp"}, `"out":[{"if":"s0"`, `"out":[{"if":"c0"`, "by c0, got nothing"},
		{"answer", []string{"dr4/ttl1"}, `"hex":"0200000001fe`, `"hex":"0200000001ff`, "byte 5 fe, want ff"},
		{"frame forwarded that is left", []string{"dr4/noservice"}, `"out":[{"if":"c0"`, `"out":[{"if":"s0"`, "got left to the kernel"},
		{"next state", []string{`"table":"tcp/dr"`, `"pkt":"R"`}, `"next":"CLOSE"`, `"next":"TIME_WAIT"`, "state, got CLOSE"},
		{"timer of a state", []string{`"table":"tcp/dr"`, `"pkt":"R"`}, `"left":9`, `"left":8`, "time left, got 10s"},
		{"timer that was set", []string{"dr-client-closes/set-100-50-30"}, `"set":"100 50 30"`, `"set":"90 50 30"`, "time left, got 1m30s"},
		{"active and inactive", []string{"sctp/dr/abort-c"}, `"act":[0,1]`, `"act":[1,0]`, "active and inactive, got [0 1]"},
		{"interface", []string{"sctp/dr/abort-c"}, `"out":["s0"]`, `"out":["c0"]`, "frames out, got [s0]"},
		{"expired too early", []string{"udp/2s"}, `[2.15,null`, `[4.15,null`, "after"},
		{"expired too late", []string{"udp/2s"}, `[2.15,null`, `[1.5,null`, "after"},
		{"SYN again", []string{`"conn_reuse_mode":1`, `"prefix":"c:S"`}, `"syn_again":"172.16.0.12:80"`, `"syn_again":"172.16.0.11:80"`, "SYN: server, got 172.16.0.12:80"},
		{"entry after the SYN", []string{`"conn_reuse_mode":1`, `"prefix":"c:S"`}, `SYN_RECV 59"]`, `SYN_RECV 58"]`, "after the SYN: connections"},
		{"standard output", []string{`"cmd":"ipvsadm -L --timeout"`}, `900 120 300`, `900 120 301`, "standard output, line 1"},
		{"exit status", []string{`"cmd":"ipvsadm --set 900 120 300"`}, `"exit":0`, `"exit":2`, "exit status, got 0"},
		{"standard error", []string{`"cmd":"ipvsadm --set 900 120 300"`}, `"stderr":""`, `"stderr":"no\n"`, "standard error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := line(t, c.words...)
			if out, r := play(t, l); r.differ != 0 {
				t.Fatalf("before the change: %s", out)
			}
			changed := strings.Replace(l, c.old, c.new, 1)
			if changed == l {
				t.Fatalf("%q is not in the line", c.old)
			}
			out, r := play(t, changed)
			if r.differ != 1 || !strings.HasPrefix(out, "differs ") || !strings.Contains(out, c.want) {
				t.Errorf("%s\nwant a difference with %q", out, c.want)
			}
		})
	}
}

// TestTellsRefusals: what dirsw has no way to be told is never left out silently.
func TestTellsRefusals(t *testing.T) {
	rules := `"rules":["-A -t 192.0.2.100:80 -s rr","-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g -w 1"]`
	for _, c := range []struct{ line, want string }{
		{`{"case":"a","sysctl":{"net.ipv4.vs.no_such_thing":1},` + rules + `,"steps":[]}`, "differs a: not served: sysctl net.ipv4.vs.no_such_thing=1"},
		{`{"case":"b","sysctl":{"net.ipv4.ip_forward":0},` + rules + `,"steps":[]}`, "differs b: not served: sysctl net.ipv4.ip_forward=0"},
		{`{"case":"c","sysctl":{"net.ipv4.vs.pmtu_disc":1},` + rules + `,"steps":[]}`, "ok c"},
		{`{"case":"d","setup":["tc qdisc add dev c0 root netem"],` + rules + `,"steps":[]}`, "differs d: not served: setup: tc qdisc"},
		{`{"case":"e",` + rules + `,"steps":[{"desc":"x","op":"cmd","arg":"true","out":[]}]}`, "differs e: not served: step 0 (x): cmd"},
		{`{"case":"f","rules":["-A -t 192.0.2.100:80 -s bogus"],"steps":[]}`, "differs f: rules: standard error, got Scheduler or persistence engine not found"},
		{`{"case":"g",` + rules + `,"steps":[{"op":"dance"}]}`, "differs g: step 0 (dance): not a step that is known"},
		{`{"group":"h","cmd":"cat /proc/net/ip_vs_app","exit":0,"stdout":"","stderr":""}`, "differs cli/h/1: cat /proc/net/ip_vs_app: not served: "},
		{`{"case":"i","rules":[],"inject":[],"sync":[]}`, "differs i: not served: connection synchronisation"},
		{`{"t":0,"ev":"log"}`, "differs keepalived: not served: "},
	} {
		if out, _ := play(t, c.line); !strings.HasPrefix(out, c.want) {
			t.Errorf("%s\n got %swant %s", c.line, out, c.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{write("any.name", z.String())}, 0, "41 ok, 0 differ\n"},
		{[]string{small, small}, 0, "82 ok, 0 differ\n"},
		{[]string{write("differs", `{"case":"x","sysctl":{"a":1},"steps":[]}`)}, 1, "0 ok, 1 differ\n"},
		{[]string{write("unknown", `{"colour":"red"}`)}, 2, "0 ok, 0 differ\n"},
		{[]string{write("text", `not JSON`)}, 2, "0 ok, 0 differ\n"},
		{[]string{filepath.Join(dir, "nothing")}, 2, "0 ok, 0 differ\n"},
		{nil, 2, ""},
		{[]string{"-x"}, 2, ""},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.HasSuffix(out.String(), c.out) || code == 2 && errs.Len() == 0 {
			t.Errorf("%q: exit %d, %s%s", c.args, code, out.String(), errs.String())
		}
	}
}

func TestOrderOfServices(t *testing.T) {
	a, b := [][]any{{1, 2}}, [][]any{{3, 4}, {5, 6}}
	for _, c := range []struct {
		want string
		ok   bool
	}{{"[1 2, 3 4, 5 6]", true}, {"[3 4, 5 6, 1 2]", true}, {"[3 4, 1 2, 5 6]", false}, {"[1 2]", false}} {
		if got := anyOrder([][][]any{a, b}, nil, func(flat [][]any) bool { return rows(flat) == c.want }); got != c.ok {
			t.Errorf("%s: %v", c.want, got)
		}
	}
}

func TestEntries(t *testing.T) {
	const want = "UDP 10.1.0.1:5060 192.0.2.100:5060 172.16.0.13:5060 NONE 59s sip call-1"
	for _, s := range []string{"UDP 10.1.0.1:5060 192.0.2.100:5060 172.16.0.13:5060 NONE 59 sip call-1",
		"UDP 0A010001 13C4 C0000264 13C4 AC10000D 13C4 NONE             59 sip call-1"} {
		if e, err := parseEntry(s); err != nil || e.String() != want {
			t.Errorf("%s: %v, %v", s, e, err)
		}
	}
	for _, s := range []string{"", "UDP a b c NONE", "UDP a b c NONE x", "UDP 0A01 13C4 C0000264 13C4 AC10000D 13C4 NONE 59"} {
		if e, err := parseEntry(s); err == nil {
			t.Errorf("%q was read as %v", s, e)
		}
	}
}
