package main

import (
	"strings"
	"testing"
	"time"
)

// TestSysctlWhileRunning: what the command sets is in force when it returns, and through a reload.
func TestSysctlWhileRunning(t *testing.T) {
	r := newRig(t)
	r.write(plain() + "\ndataplane {\n  interfaces enp0s8\n  sysctl net.ipv4.vs.pmtu_disc 0\n}\n")
	p := r.run().ready()
	sysctl := func(wantCode int, want string, args ...string) {
		t.Helper()
		out, code := r.tool(append([]string{"sysctl", "--socket", r.sock}, args...)...)
		if code != wantCode || !strings.Contains(out, want) {
			t.Errorf("sysctl %v: exit %d, %q is not in\n%s", args, code, want, out)
		}
	}
	sysctl(exitOK, "net.ipv4.vs.pmtu_disc = 0\n", "-a")
	sysctl(exitOK, "net.ipv4.vs.sync_threshold = 3\t50\n", "-a")
	sysctl(exitFailed, `there is no setting "net.ipv4.vs.slopy_tcp"; write net.ipv4.vs.sloppy_tcp`, "slopy_tcp=1", "drop_packet=3")
	sysctl(exitOK, "0\n", "-n", "net.ipv4.vs.drop_packet")
	r.mustFetch()

	sysctl(exitOK, "net.ipv4.vs.drop_packet = 3\nnet.ipv4.vs.am_droprate = 1\n", "-w", "net.ipv4.vs.drop_packet=3",
		"net.ipv4.vs.am_droprate=1")
	if page, err := r.fetchWithin(500 * time.Millisecond); err == nil {
		t.Errorf("a new connection was served by %s although all are dropped", page)
	}
	if out, _ := r.tool("stats", "--socket", r.sock); !strings.Contains(out, "drop-packet") {
		t.Errorf("no drop-packet in\n%s", out)
	}
	if out, code := r.tool("reload", "--socket", r.sock); code != exitOK {
		t.Errorf("reload: exit %d, %s", code, out)
	}
	sysctl(exitOK, "3\n0\n", "-n", "drop_packet", "pmtu_disc")
	sysctl(exitOK, "net.ipv4.vs.drop_packet = 0\n", "drop_packet=0")
	r.mustFetch()
	p.said("net.ipv4.vs.drop_packet 0 -> 3", 1)
}
