package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

// other runs a second director in lb2.
func (r *rig) other(conf string, args ...string) *process {
	r.t.Helper()
	return r.runIn("lb2", r.put("other.conf", conf), r.sock+"2", args...)
}

// masterIs waits until the virtual address is on one node and not on another.
func (r *rig) masterIs(node, not string) {
	r.t.Helper()
	r.has(true, "192.168.56.200", node, "-o", "addr", "show", "enp0s8")
	r.has(false, "192.168.56.200", not, "-o", "addr", "show", "enp0s8")
}

// TestTracking lets a master lose its weight for every reason that there is, and get it back.
func TestTracking(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	file := r.put("value", "0\n")
	r.put("script", "")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	watched := filepath.Join(r.dir(), "watched-by-test") // a name that nobody else has
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(watched, text, 0o700); err != nil {
		t.Fatal(err)
	}
	begin := func() *exec.Cmd {
		c := exec.Command(watched, "600")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	end := func(c *exec.Cmd) {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	process := begin()
	defer func() { end(process) }()
	r.write(`global_defs {
    script_user root
}
vrrp_script S {
    script "` + r.program("look", "test -e "+r.dir()+"/script") + `"
    interval 0.1
    fall 2
    rise 2
}
track_file F {
    file "` + file + `"
    weight 1
}
vrrp_track_process P {
    process "` + watched + `"
    delay 0.1
}
vrrp_arbiter A {
    address 192.168.56.1
    interval 0.2
    timeout 1
    fall 2
    rise 2
}
` + instance("VI", "51", "200", vipBlock+`
    track_script { S weight -100 }
    track_file { F weight 1 }
    track_process { P weight -100 }
    track_arbiter { A weight -100 }
`) + service("", ""))
	lb1 := r.run().ready()
	lb1.said("Entering MASTER STATE", 1)
	lb2 := r.other(instance("VI", "51", "150", vipBlock) + service("", ""))
	lb2.said("Entering BACKUP STATE", 1)
	for i, c := range []struct {
		name       string
		lose, gain func()
	}{
		{"script", func() { os.Remove(filepath.Join(r.dir(), "script")) }, func() { r.put("script", "") }},
		{"file", func() { r.put("value", "-100\n") }, func() { r.put("value", "1\n") }},
		{"process", func() { end(process) }, func() { process = begin() }},
		{"arbiter", func() { r.setLink("client", false) }, func() { r.setLink("client", true) }},
	} {
		t.Log(c.name)
		c.lose()
		lb2.said("Entering MASTER STATE", i+1)
		r.masterIs("lb2", "lb1")
		c.gain()
		lb1.said("Entering MASTER STATE", i+2)
		r.masterIs("lb1", "lb2")
	}
	r.mustFetch()
	out, code := r.tool("vrrp", "--socket", r.sock)
	if code != 0 || !strings.Contains(out, "weight -100: up") {
		t.Errorf("dirsw vrrp: exit %d\n%s", code, out)
	}
}

// TestTrackInterface sets another interface down, on which the instance depends without a weight.
func TestTrackInterface(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	r.ip("lb1", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
	r.ip("lb1", "link", "set", "other1", "up")
	r.ip("lb1", "link", "set", "other0", "up")
	r.write(instance("VI", "51", "200", vipBlock+"track_interface { other0 }") + service("", ""))
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	for i := range 2 {
		r.ip("lb1", "link", "set", "other0", "down")
		p.said("Entering FAULT STATE", i+1)
		r.has(false, "192.168.56.200", "lb1", "addr")
		r.ip("lb1", "link", "set", "other0", "up")
		p.said("Entering MASTER STATE", i+2)
		r.has(true, "192.168.56.200", "lb1", "addr")
	}
	r.awaitFetch()
}

// TestStrangers has somebody else claim the virtual address by ARP, and then by adverts.
func TestStrangers(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	alarm := r.program("alarm", `echo "$@" >> `+r.dir()+`/alarms`)
	r.ip("sorry", "addr", "add", "192.168.56.200/32", "dev", "enp0s8")
	for _, key := range []string{"arp_ignore", "arp_announce"} {
		if out, err := r.c.Command(t.Context(), "sorry", "sysctl", "-w", "net.ipv4.conf.all."+key+"=0", "net.ipv4.conf.enp0s8."+key+"=0").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	r.write("global_defs {\n script_user root\n}\n" + instance("VI", "51", "200", vipBlock+"probe_addresses\nsplit_brain_script "+alarm) + service("", ""))
	p := r.run().ready()
	p.said("somebody else has a virtual address that is held here", 1)
	testenv.Await(t, "the alarm", func() bool { return strings.HasPrefix(r.content("alarms"), "VI STRANGER 08:00:27:00:01:05\n") })
	r.ip("sorry", "addr", "del", "192.168.56.200/32", "dev", "enp0s8")
	if out, err := r.c.Command(t.Context(), "lb2", "nft", "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }; "+
		"add rule ip deaf in ip protocol 112 drop").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	q := r.other(instance("VI", "51", "150", vipBlock) + service("", ""))
	q.said("Entering MASTER STATE", 1)
	p.said("split brain: another master is heard", 1)
	testenv.Await(t, "the second alarm", func() bool { return strings.Contains(r.content("alarms"), "VI SPLIT_BRAIN 192.168.56.102\n") })
	if out, err := r.c.Command(t.Context(), "lb2", "nft", "delete table ip deaf").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	p.said("split brain has ended", 1)
	testenv.Await(t, "the end of the alarm", func() bool { return strings.Contains(r.content("alarms"), "VI HEALED ") })
	r.masterIs("lb1", "lb2")
	r.awaitFetch()
}
