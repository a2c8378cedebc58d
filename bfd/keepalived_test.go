package bfd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	dir string

	mu  sync.Mutex
	out bytes.Buffer
}

func (k *keepalived) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.out.Write(b)
}

// text is what it has said so far.
func (k *keepalived) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.out.String()
}

// await waits until it has said something.
func (k *keepalived) await(text string) {
	k.t.Helper()
	testenv.AwaitOr(k.t, func() bool { return strings.Contains(k.text(), text) }, func() {
		k.t.Fatalf("keepalived has not said %q, but\n%s", text, k.text())
	})
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
	k.cmd.Stdout, k.cmd.Stderr = k, k
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
// and goes down when keepalived is killed.
func TestInteropKeepalived(t *testing.T) {
	const v4 = "neighbor_ip 192.0.2.1\nsource_ip 192.0.2.2\n"
	const v6 = "neighbor_ip 2001:db8::1\nsource_ip 2001:db8::2\n"
	const fast, pace = "min_rx 50\nmin_tx 50\nmultiplier 3\n", "min_rx 500\nmin_tx 500\nmultiplier 3\n"
	ours4, ours6 := calm("peer", "192.0.2.1", "192.0.2.2"), calm("peer", "2001:db8::1", "2001:db8::2")
	passive := ours4
	passive.Passive = true
	hasty := ours4 // so that a machine that stands still, or keepalived on it, may miss three packets: it comes up again
	hasty.MinRx, hasty.MinTx = 50*ms, 50*ms
	for _, tt := range []struct {
		name      string
		theirs    string
		ours      Config
		theyFirst bool
	}{
		{"we first", v4 + fast, hasty, false},
		{"they first", v4 + pace, ours4, true},
		{"they passive", v4 + pace + "passive", ours4, true},
		{"we passive", v4 + pace, passive, false},
		{"IPv6", v6 + pace, ours6, false},
		{"their defaults", v4, ours4, false},
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
			time.Sleep(calmly)
			var list []Status
			var unknown Rejects
			testenv.AwaitOr(t, func() bool {
				list, unknown = a.r.Status()
				return list[0].State == Up && list[0].RemoteState == Up && list[0].TxInterval == tt.ours.MinTx
			}, func() { t.Fatalf("after a while: %+v", list) })
			hurried := tt.ours.MinTx == hasty.MinTx
			if c, _ := a.changes(); slices.Contains(c, Down) && !hurried || unknown != (Rejects{}) || list[0].Rejects != (Rejects{}) {
				t.Errorf("changes %v; rejects %v and %v", c, list[0].Rejects, unknown)
			}
			killed := time.Now()
			k.end(syscall.SIGKILL)
			testenv.Await(t, "we are down", func() bool { return a.last() == Down })
			_, at := a.changes()
			t.Logf("down %v after the kill, detection time %v", at.Sub(killed), list[0].Detection)
			testenv.Await(t, "we are down because nothing was heard", func() bool {
				list, _ := a.r.Status()
				return list[0].Diag == DiagExpired
			})
			if theirs := k.text(); strings.Contains(theirs, "iscarding") || strings.Contains(theirs, "bogus") || strings.Contains(theirs, "Down state") && !hurried {
				t.Errorf("keepalived complains:\n%s", theirs)
			}
		})
	}
}

// TestInteropStop ends our side: keepalived goes down because it was told, not because time passed.
func TestInteropStop(t *testing.T) {
	left, right := pair(t)
	k := startKeepalived(t, right.In, "neighbor_ip 192.0.2.1\nsource_ip 192.0.2.2\nmin_rx 300\nmin_tx 300\nmultiplier 3")
	a := run(t, left.In, session("peer", "192.0.2.1", "192.0.2.2"))
	testenv.Await(t, "we are up", func() bool { return a.last() == Up })
	if err := a.r.Set([]Config{calm("peer", "192.0.2.1", "192.0.2.2")}); err != nil {
		t.Fatal(err)
	}
	k.await(fmt.Sprint((1500 * ms).Microseconds())) // it takes our slower pace
	a.stop()
	k.await("Entering Down state (Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - Administratively Down)")
	k.end(syscall.SIGTERM)
	if out := k.text(); strings.Contains(out, "Expired") || strings.Contains(out, "iscarding") {
		t.Errorf("keepalived complains\n%s", out)
	}
}
