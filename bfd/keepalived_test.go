package bfd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dirsw/internal/testenv"
)

// addAddr gives an end another address.
func addAddr(t *testing.T, e testenv.End, cidr string) {
	t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	if err == nil {
		err = e.In.Links.AddrAdd(e.Link(t), addr)
	}
	if err != nil {
		t.Fatalf("give %s the address %s: %v", e.Name, cidr, err)
	}
}

// route gives an end's namespace a default route.
func route(t *testing.T, e testenv.End, via string) {
	t.Helper()
	if err := e.In.Links.RouteAdd(&netlink.Route{LinkIndex: e.Link(t).Attrs().Index, Gw: net.ParseIP(via)}); err != nil {
		t.Fatalf("route of %s: %v", e.Name, err)
	}
}

// keepalived is Debian's keepalived with one bfd_instance.
type keepalived struct {
	t   *testing.T
	cmd *exec.Cmd
	out bytes.Buffer
	dir string
}

// startKeepalived starts it in a namespace. It ends with the test, or by kill.
func startKeepalived(t *testing.T, in *testenv.Namespace, instance string) *keepalived {
	t.Helper()
	testenv.NeedProgram(t, "keepalived")
	k := &keepalived{t: t, dir: t.TempDir()}
	conf := filepath.Join(k.dir, "conf")
	if err := os.WriteFile(conf, []byte("global_defs {\n}\nbfd_instance peer {\n"+instance+"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(k.dir, name) }
	k.cmd = exec.Command("keepalived", "-n", "-l", "-D", "-f", conf, "-p", file("pid"), "-r", file("vrrp"), "-c", file("checkers"), "-b", file("bfd"))
	k.cmd.Stdout, k.cmd.Stderr = &k.out, &k.out
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in.Do(t, func() {
		if err := k.cmd.Start(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { k.end(syscall.SIGKILL) })
	return k
}

// end signals all its processes, and waits for the first.
func (k *keepalived) end(s syscall.Signal) {
	if k.cmd == nil || k.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-k.cmd.Process.Pid, s)
	_ = k.cmd.Wait()
	k.cmd = nil
}

// TestInteropKeepalived has a session with keepalived: it comes up whoever starts first and whoever is passive, keeps up,
// goes down in time when keepalived is killed, and keepalived sees us go at once.
func TestInteropKeepalived(t *testing.T) {
	const v4 = "neighbor_ip 192.0.2.1\nsource_ip 192.0.2.2\n"
	const v6 = "neighbor_ip 2001:db8::1\nsource_ip 2001:db8::2\n"
	const fast, pace = "min_rx 50\nmin_tx 50\nmultiplier 3\n", "min_rx 100\nmin_tx 100\nmultiplier 3\n"
	ours4, ours6 := calm("peer", "192.0.2.1", "192.0.2.2"), calm("peer", "2001:db8::1", "2001:db8::2")
	passive := ours4
	passive.Passive = true
	for _, tt := range []struct {
		name      string
		theirs    string
		ours      Config
		theyFirst bool
	}{
		{"we first", v4 + fast, session("peer", "192.0.2.1", "192.0.2.2"), false},
		{"they first", v4 + pace, ours4, true},
		{"they passive", v4 + pace + "passive", ours4, true},
		{"we passive", v4 + pace, passive, false},
		{"IPv6", v6 + pace, ours6, false},
		{"their defaults", v4, calm("peer", "192.0.2.1", "192.0.2.2"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			left, right := pair(t)
			var k *keepalived
			if tt.theyFirst {
				k = startKeepalived(t, right.In, tt.theirs)
				time.Sleep(300 * ms)
			}
			a := run(t, left.In, tt.ours)
			if !tt.theyFirst {
				time.Sleep(300 * ms)
				k = startKeepalived(t, right.In, tt.theirs)
			}
			testenv.Await(t, "we are up", func() bool { return a.last() == Up })
			time.Sleep(time.Second)
			hurried := tt.ours.MinTx < 100*ms // where a machine that is busy may miss three packets
			if hurried {
				testenv.Await(t, "we are up still", func() bool { return a.last() == Up })
			}
			list, unknown := a.r.Status()
			if a.last() != Up && !hurried || list[0].RemoteState != Up && !hurried || unknown != (Rejects{}) || list[0].Rejects != (Rejects{}) {
				t.Errorf("after a while: %+v, rejects %v", list[0], unknown)
			}
			if list[0].TxInterval != tt.ours.MinTx {
				t.Errorf("we send every %v", list[0].TxInterval)
			}
			killed := time.Now()
			k.end(syscall.SIGKILL)
			testenv.Await(t, "we are down", func() bool { return a.last() == Down })
			_, at := a.changes()
			t.Logf("down %v after the kill, detection time %v", at.Sub(killed), list[0].Detection)
			if at.Sub(killed) > list[0].Detection+100*ms {
				t.Errorf("down %v after the kill", at.Sub(killed))
			}
			if theirs := k.out.String(); strings.Contains(theirs, "iscarding") || strings.Contains(theirs, "bogus") || strings.Contains(theirs, "Down state") && !hurried {
				t.Errorf("keepalived complains:\n%s", theirs)
			}
		})
	}
}

// TestInteropStop ends our side: keepalived goes down because it was told, not because time passed.
func TestInteropStop(t *testing.T) {
	left, right := pair(t)
	k := startKeepalived(t, right.In, "neighbor_ip 192.0.2.1\nsource_ip 192.0.2.2\nmin_rx 50\nmin_tx 50\nmultiplier 3")
	a := run(t, left.In, session("peer", "192.0.2.1", "192.0.2.2"))
	testenv.Await(t, "we are up", func() bool { return a.last() == Up })
	slow := session("peer", "192.0.2.1", "192.0.2.2")
	slow.MinRx, slow.MinTx = 100*ms, 100*ms
	if err := a.r.Set([]Config{slow}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	a.stop()
	time.Sleep(300 * ms)
	k.end(syscall.SIGTERM)
	out := k.out.String()
	want := "Entering Down state (Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - Administratively Down)"
	if !strings.Contains(out, want) || strings.Contains(out, "Expired") || strings.Contains(out, "iscarding") {
		t.Errorf("keepalived says\n%s\nwant %q, and no complaint", out, want)
	}
	if !strings.Contains(out, fmt.Sprintf("%d", (300*time.Millisecond).Microseconds())) {
		t.Errorf("keepalived did not take our slower pace:\n%s", out)
	}
}
