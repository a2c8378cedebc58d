package host

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

// ip runs ip(8) in the namespace.
func (n *node) ip(args string) {
	n.t.Helper()
	n.do(func() {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			n.t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	})
}

func TestLocalNets(t *testing.T) {
	testenv.NeedProgram(t, "ip")
	n := newNode(t)
	for _, line := range []string{
		"addr add 192.0.2.1/24 dev lo",
		"route add local 198.51.100.0/24 dev lo",
		"route add local 203.0.113.7 dev lo",
		"route add local 203.0.113.9/32 dev lo table 100", // no rule leads there
		"route add local 0.0.0.0/0 dev lo table 101",
		"rule add fwmark 7 lookup 101",
		"rule add fwmark 0x10/0xf0 lookup 101",
		"-6 route add local 2001:db8:9::/48 dev lo",
		"-6 route add local ::/0 dev lo table 102",
		"-6 rule add fwmark 9 lookup 102",
	} {
		n.ip(line)
	}
	nets, err := n.host().LocalNets()
	must(t, err)
	var got []string
	for _, l := range nets {
		got = append(got, fmt.Sprintf("%v %#x/%#x", l.Prefix, l.Mark, l.Mask))
	}
	slices.Sort(got)
	want := []string{"0.0.0.0/0 0x10/0xf0", "0.0.0.0/0 0x7/0xffffffff", "192.0.2.0/24 0x0/0x0", "198.51.100.0/24 0x0/0x0",
		"2001:db8:9::/48 0x0/0x0", "203.0.113.7/32 0x0/0x0", "::/0 0x9/0xffffffff"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
