package director

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dirsw/clock"
	"dirsw/host"
	"dirsw/internal/testenv"
	"dirsw/vrrp"
)

// journal is a log that is written while it is read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) Sync() error { return nil }

// since returns what was written after the first n bytes.
func (j *journal) since(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.buf.Bytes()[n:])
}

func (j *journal) size() int { return len(j.since(0)) }

// await waits until a line is written behind the first n bytes.
func (j *journal) await(t *testing.T, n int, line string) {
	t.Helper()
	testenv.AwaitOr(t, func() bool { return strings.Contains(j.since(n), line) }, func() { t.Fatalf("no line %q; there is\n%s", line, j.since(n)) })
}

// node is one side of an election.
type node interface {
	start(t *testing.T, conf string)
	stop(t *testing.T) // with a farewell
	log() *journal
}

// keepalivedNode is Debian's keepalived.
type keepalivedNode struct {
	in  *testenv.Namespace
	out journal
	dir string
	cmd *exec.Cmd
}

func (k *keepalivedNode) log() *journal { return &k.out }

func (k *keepalivedNode) start(t *testing.T, conf string) {
	t.Helper()
	testenv.NeedProgram(t, "keepalived")
	k.dir = t.TempDir()
	file := func(name string) string { return filepath.Join(k.dir, name) }
	if err := os.WriteFile(file("conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	k.cmd = exec.Command("keepalived", "-P", "-n", "-l", "-D", "-f", file("conf"), "-p", file("pid"), "-r", file("vrrp"))
	k.cmd.Stdout, k.cmd.Stderr = &k.out, &k.out
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	k.in.Do(t, func() {
		if err := k.cmd.Start(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { k.end(syscall.SIGKILL) })
}

func (k *keepalivedNode) stop(*testing.T) { k.end(syscall.SIGTERM) }

// end signals all its processes, and waits for the first.
func (k *keepalivedNode) end(s syscall.Signal) {
	if k.cmd == nil || k.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-k.cmd.Process.Pid, s)
	_ = k.cmd.Wait()
	k.cmd = nil
}

// ownNode is the election of dirsw, on the real machine.
type ownNode struct {
	in     *testenv.Namespace
	out    journal
	runner *vrrp.Runner
	end    func()
}

func (o *ownNode) log() *journal { return &o.out }

func (o *ownNode) start(t *testing.T, conf string) {
	t.Helper()
	m := modelOf(t, "keepalived.conf", conf)
	var h *host.Host
	var v *host.VRRP
	o.in.Do(t, func() {
		var err error
		if h, err = host.Open(host.Options{}); err != nil {
			t.Fatal(err)
		}
		if v, err = h.OpenVRRP(); err != nil {
			t.Fatal(err)
		}
	})
	log := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"}), &o.out, zap.DebugLevel))
	sys := clock.NewSystem()
	net := NewElectionNet(v, h.VMACs(), sys, false)
	r := vrrp.NewRunner(vrrp.Options{Clock: sys, Log: log, Net: net})
	net.link = r.Link
	o.runner = r
	if err := r.Apply(Plan(m)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	o.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		v.Close()
		h.Close()
	})
	t.Cleanup(o.end)
}

func (o *ownNode) stop(*testing.T) { o.end() }

// complaints are words of keepalived's log when it does not like an advert.
var complaints = []string{"bogus", "invalid", "Invalid", "mismatch", "wrong", "ignor", "not present", "unknown", "incorrect", "dropping",
	"bad ", "Unexpected", "failed"}

// interop is an instance on both sides; PRIO, STATE, SELF, PEER and VIP are filled in.
type interop struct {
	name  string
	block string
	more  string // outside the instance
	own   string // lines of the instance, on dirsw's side only
	their string // likewise, on keepalived's
}

func interops() []interop {
	const head, tail = "vrrp_instance VI {\n  state STATE\n  interface eth0\n  virtual_router_id 51\n  priority PRIO\n", "  OWN\n}\n"
	vip := "  virtual_ipaddress {\n    10.0.0.200/24\n    10.0.0.201/24\n  }\n"
	vip6 := "  virtual_ipaddress {\n    fe80::5:57/64\n    2001:db8:5::57/64\n  }\n"
	make := func(name, lines, vips string) interop { return interop{name: name, block: head + lines + vips + tail} }
	list := []interop{
		make("v2-pass", "  advert_int 1\n  authentication {\n    auth_type PASS\n    auth_pass secret12\n  }\n", vip),
		make("v2-ah", "  advert_int 1\n  authentication {\n    auth_type AH\n    auth_pass secret12\n  }\n", vip),
		make("v2", "  version 2\n  advert_int 1\n", vip),
		make("v3", "  version 3\n  advert_int 0.2\n", vip),
		make("v3-unicast", "  version 3\n  advert_int 0.2\n  unicast_src_ip SELF\n  unicast_peer {\n    PEER\n  }\n", vip),
		make("v2-unicast", "  version 2\n  advert_int 1\n  unicast_src_ip SELF\n  unicast_peer {\n    PEER\n  }\n", vip),
		make("v3-ipv6", "  version 3\n  advert_int 0.2\n", vip6),
		make("v3-fast", "  version 3\n  advert_int 0.08\n", vip), // faster than that keepalived itself is late on a busy machine
	}
	group := make("v3-group", "  version 3\n  advert_int 0.2\n", vip)
	group.more = "vrrp_sync_group G {\n  group {\n    VI\n    V2\n  }\n}\n" +
		strings.NewReplacer("VI {", "V2 {", "_id 51", "_id 52").Replace(head+"  version 3\n  advert_int 0.2\n  virtual_ipaddress {\n    10.0.0.210/24\n  }\n}\n")
	vmac := make("v3-vmac", "  version 3\n  advert_int 0.2\n", vip)
	vmac.own = "use_vmac"
	theirs := make("v3-vmac-theirs", "  version 3\n  advert_int 0.2\n", vip)
	theirs.their = "use_vmac"
	base := make("v3-vmac-base", "  version 3\n  advert_int 0.2\n", vip)
	base.own, base.their = "use_vmac\n  vmac_xmit_base", "use_vmac\n  vmac_xmit_base"
	return append(list, group, vmac, theirs, base)
}

// conf is the configuration of one side.
func (c *interop) conf(own bool, high bool) string {
	lines, self, peer, prio, state := c.their, "10.0.0.2", "10.0.0.1", "100", "BACKUP"
	if own {
		lines, self, peer = c.own, peer, self
	}
	if high {
		prio, state = "150", "MASTER"
	}
	return strings.NewReplacer("OWN", lines, "SELF", self, "PEER", peer, "PRIO", prio, "STATE", state).Replace(c.block + c.more)
}

// TestInteropKeepalived has dirsw and Debian's keepalived elect a master, in both orders of priority, and looks at what both
// say: who is master at the start, who takes over when the master stops, and who is master when it returns.
func TestInteropKeepalived(t *testing.T) {
	testenv.NeedNetAdmin(t)
	for _, c := range interops() {
		for _, high := range []string{"dirsw", "keepalived"} {
			t.Run(c.name+"/"+high+" first", func(t *testing.T) {
				t.Parallel()
				c.play(t, high == "dirsw")
			})
		}
	}
}

func (c *interop) play(t *testing.T, ownHigh bool) {
	ours, theirs := &ownNode{in: testenv.NewNamespace(t)}, &keepalivedNode{in: testenv.NewNamespace(t)}
	a := testenv.End{In: ours.in, Name: "eth0", Addrs: []string{"10.0.0.1/24", "2001:db8:5::1/64"}}
	b := testenv.End{In: theirs.in, Name: "eth0", Addrs: []string{"10.0.0.2/24", "2001:db8:5::2/64"}}
	testenv.Veth(t, a, b)
	var high, low node = ours, theirs
	if !ownHigh {
		high, low = theirs, ours
	}
	low.start(t, c.conf(!ownHigh, false))
	high.start(t, c.conf(ownHigh, true))
	high.log().await(t, 0, "(VI) Entering MASTER STATE")
	low.log().await(t, 0, "(VI) Entering BACKUP STATE")

	n := low.log().size()
	high.stop(t)
	high.log().await(t, 0, "(VI) sent 0 priority")
	low.log().await(t, n, "(VI) Backup received priority 0 advertisement")
	low.log().await(t, n, "(VI) Entering MASTER STATE")

	n, m := low.log().size(), high.log().size()
	high.start(t, c.conf(ownHigh, true))
	high.log().await(t, m, "(VI) Entering MASTER STATE")
	low.log().await(t, n, "(VI) Entering BACKUP STATE")
	low.log().await(t, n, "Master received advert from") // of a group, by either member

	for _, line := range strings.Split(theirs.out.since(0), "\n") {
		if i := slices.IndexFunc(complaints, func(w string) bool { return strings.Contains(line, w) }); i >= 0 {
			t.Errorf("keepalived complains: %s", line)
		}
	}
	instances, _ := ours.runner.States()
	for i := range instances {
		for why, n := range instances[i].Stats.Rejects {
			if n > 0 {
				t.Errorf("dirsw refuses %d adverts of keepalived: %v", n, vrrp.Reject(why))
			}
		}
		if instances[i].Stats.EffectErrors+instances[i].Stats.SendErrors > 0 {
			t.Errorf("errors: %+v", instances[i].Stats)
		}
	}
	if t.Failed() {
		t.Logf("dirsw:\n%s\nkeepalived:\n%s", ours.out.since(0), theirs.out.since(0))
	}
}
