package mail

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMessagesAsKeepalived compares with mails that keepalived 2.2.7 sent.
func TestMessagesAsKeepalived(t *testing.T) {
	data, err := os.ReadFile("testdata/keepalived/mails.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(strings.TrimSpace(string(data)), "\n\n")[1:]
	if len(cases) < 30 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		lines := strings.Split(c, "\n")
		got, ok := call(t, lines[0])
		if want := (Message{lines[1], lines[2]}); got != want || !ok {
			t.Errorf("%s:\ngot  %+v\nwant %+v", lines[0], got, want)
		}
	}
}

// call makes the message that a line of mails.txt asks for.
func call(t *testing.T, line string) (m Message, ok bool) {
	t.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	f := strings.Split(rest, " | ")
	switch kind {
	case "Instance", "Group":
		name, state, _ := strings.Cut(rest, " ")
		if kind == "Group" {
			return Group(name, state)
		}
		return Instance(name, state)
	case "Real":
		return Real(f[0], f[1], f[2] == "UP", f[3]), true
	case "Quorum":
		var q, h, w int
		if _, err := fmt.Sscanf(f[3], "%d %d %d", &q, &h, &w); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return Quorum(f[0], f[1] == "UP", f[2] == "Starting", q, h, w), true
	}
	t.Fatalf("%s: what is it?", line)
	return
}

func TestNoMessage(t *testing.T) {
	for _, state := range []string{"", "INIT", "MASTER_RX_LOWER_PRI"} {
		if _, ok := Instance("a", state); ok {
			t.Errorf("an alert about instance state %q", state)
		}
	}
	if _, ok := Group("a", Deleted); ok {
		t.Error("an alert about a deleted group")
	}
	if a, b := Real("r", "s", false, "=> TCP CHECK failed on service <="), Real("r", "s", false, "TCP CHECK failed on service"); a != b {
		t.Errorf("with arrows %+v, without %+v", a, b)
	}
	if m, ok := Group("g", Stop); !ok || m != (Message{"VRRP Group g - Stopping", "=> All VRRP group instances are now stopping <="}) {
		t.Errorf("group stops: %+v", m)
	}
	if m, ok := Instance("i", Stop); !ok || m != (Message{"VRRP Instance i - Stopping", "=> VRRP Instance stopping <="}) {
		t.Errorf("instance stops: %+v", m)
	}
}
