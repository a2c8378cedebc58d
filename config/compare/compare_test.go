package compare

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/config/keepalived"
)

var update = flag.Bool("update", false, "rewrite the expectations under testdata")

// read parses one of the two configurations.
func read(t *testing.T, name, text string) *config.Model {
	t.Helper()
	m, _, err := keepalived.Parse(name, strings.NewReader(text), &keepalived.Options{ConfigID: name})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPeers runs testdata/peers.txt: a title, what both files have, lines beginning with "@a " and "@b " being of one of
// them, "----", the findings.
func TestPeers(t *testing.T) {
	const name = "testdata/peers.txt"
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for row := range strings.SplitSeq(string(src), "\n====\n") {
		title, rest, _ := strings.Cut(row, "\n")
		input, _, ok := strings.Cut(rest, "\n----")
		if !ok {
			t.Fatalf("row %q has no ----", title)
		}
		if out.Len() > 0 {
			out.WriteString("\n====\n")
		}
		a, b := read(t, "a", input+"\n"), read(t, "b", input+"\n")
		fmt.Fprintf(&out, "%s\n%s\n----", title, input)
		for _, f := range Peers(a, b) {
			fmt.Fprintf(&out, "\n%v", f)
		}
		if found := Peers(a, a); wrong(found) > 0 && title != "unicast: one's own address" {
			t.Errorf("%s: a configuration with itself: %v", title, found)
		}
		if n, m := wrong(Peers(a, b)), wrong(Peers(b, a)); (n > 0) != (m > 0) {
			t.Errorf("%s: %d mistakes one way, %d the other", title, n, m)
		}
	}
	got := out.String() + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(src) {
		t.Errorf("got\n%s\nwant\n%s", got, src)
	}
}

// wrong counts what does not work; unicast addresses of one and the same file do not count.
func wrong(list []Finding) (n int) {
	for _, f := range list {
		if f.Wrong && !strings.Contains(f.Text, "unicast_") && !strings.Contains(f.Text, "priority 255") {
			n++
		}
	}
	return n
}
