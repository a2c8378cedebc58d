package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// adverts lists the priorities of the adverts of a virtual router among frames.
func adverts(frames [][]byte, vrid byte) (list []byte) {
	for _, f := range frames {
		if len(f) >= 38 && f[12] == 8 && f[13] == 0 && f[23] == 112 && f[35] == vrid {
			list = append(list, f[36])
		}
	}
	return list
}

// TestFarewell stops a director in every phase of its life: it must say so if it is master, and leave nothing.
func TestFarewell(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	r.write(instance("VI", "51", "200", vipBlock) + service("", ""))
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	capture, err := r.c.OpenCapture("lb2", "enp0s8")
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	for range 3 { // an operator in a hurry
		p.signal(unix.SIGTERM)
	}
	<-p.done
	if p.err != nil {
		t.Error(p.err)
	}
	frames, _, err := capture.Frames()
	if err != nil {
		t.Fatal(err)
	}
	list := adverts(frames, 51)
	if len(list) == 0 || list[len(list)-1] != 0 {
		t.Errorf("the priorities of the adverts at the end are %v, want 0 for the last", list)
	}
	if prog, vip := r.link(); prog != 0 || vip {
		t.Errorf("left: program %d, address %v", prog, vip)
	}
	for _, text := range []string{"", `"attached"`, "Entering BACKUP STATE"} {
		p := r.run()
		if text != "" {
			p.said(text, 1)
		} else {
			time.Sleep(50 * time.Millisecond)
		}
		p.signal(unix.SIGTERM)
		<-p.done
		var exit *exec.ExitError
		if text != "" && p.err != nil || errors.As(p.err, &exit) && exit.ExitCode() > 0 {
			t.Errorf("SIGTERM after %q: %v", text, p.err)
		}
		if prog, vip := r.link(); prog != 0 || vip {
			t.Errorf("SIGTERM after %q: left: program %d, address %v", text, prog, vip)
		}
	}
}

// TestLeftovers starts beside what a killed keepalived has left: its addresses, which have no lifetime, and its VMAC.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	keepalived, err := exec.LookPath("keepalived")
	if err != nil {
		t.Fatal("this test needs keepalived: ", err)
	}
	for _, c := range []struct{ name, more, link string }{{"plain", "", "enp0s8"}, {"use_vmac", "use_vmac", "vrrp.51"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRigOf(t, duo())
			vrrp := instance("VI", "51", "200", c.more+"\n"+vipBlock)
			conf := r.put("other.conf", vrrp)
			k := r.c.Command(t.Context(), "lb1", keepalived, "-P", "-n", "-l", "-f", conf, "-p", filepath.Join(r.dir(), "k.pid"), "-r", filepath.Join(r.dir(), "v.pid"))
			if err := k.Start(); err != nil {
				t.Fatal(err)
			}
			r.has(true, "192.168.56.200/32 scope global "+c.link, "lb1", "-o", "addr")
			children, _ := os.ReadFile(filepath.Join(r.dir(), "v.pid"))
			if out, err := exec.Command("kill", "-9", strings.TrimSpace(string(children))).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			_ = k.Process.Kill()
			_ = k.Wait()
			r.has(true, "192.168.56.200/32", "lb1", "addr")
			r.write(vrrp + service("", ""))
			p := r.run().ready()
			p.said("Entering MASTER STATE", 1)
			r.mustFetch()
			r.has(true, "192.168.56.200/32 scope global dynamic "+c.link, "lb1", "-o", "addr")
			p.stop()
			r.has(false, "192.168.56.200", "lb1", "addr")
			r.has(false, "00:00:5e:00:01:33", "lb1", "link")
		})
	}
}

// TestLinkOfInstanceVanishes deletes an interface of an instance, not that of the clients, and makes it again.
func TestLinkOfInstanceVanishes(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	begin := func() {
		r.ip("lb1", "link", "add", "beat0", "type", "veth", "peer", "name", "beat1")
		r.ip("lb1", "addr", "add", "198.51.100.1/24", "dev", "beat0")
		r.ip("lb1", "link", "set", "beat0", "up")
		r.ip("lb1", "link", "set", "beat1", "up")
	}
	begin()
	r.write("dataplane {\n interfaces enp0s8\n}\n" + strings.Replace(instance("VI", "51", "200", "virtual_ipaddress { 192.168.56.200 dev enp0s8 }"),
		"interface enp0s8", "interface beat0", 1) + service("", ""))
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	r.mustFetch()
	r.ip("lb1", "link", "del", "beat0")
	p.said("Entering FAULT STATE", 1)
	r.has(false, "192.168.56.200", "lb1", "addr")
	begin()
	p.said("Entering MASTER STATE", 2)
	r.has(true, "192.168.56.200", "lb1", "addr")
	r.awaitFetch()
}

// TestMissingInterface starts without the interface of an instance.
func TestMissingInterface(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	conf := instance("VI", "51", "200", vipBlock) + strings.Replace(instance("V2", "52", "200", "virtual_ipaddress { 198.51.100.200 }"),
		"interface enp0s8", "interface later0", 1) + service("", "")
	r.write(conf)
	out, code := r.tool("run", "-f", r.conf, "--socket", r.sock)
	if code == 0 || !strings.Contains(out, "later0") {
		t.Errorf("exit %d\n%s", code, out)
	}
	r.write("global_defs {\n dynamic_interfaces\n}\n" + conf)
	p := r.run().ready()
	p.said("(VI) Entering MASTER STATE", 1)
	testenv.Await(t, "V2 to be in fault", func() bool {
		out, _ := r.tool("vrrp", "--socket", r.sock)
		return strings.Contains(out, "FAULT")
	})
	r.ip("lb1", "link", "add", "later0", "type", "veth", "peer", "name", "later1")
	r.ip("lb1", "addr", "add", "198.51.100.1/24", "dev", "later0")
	r.ip("lb1", "link", "set", "later1", "up")
	r.ip("lb1", "link", "set", "later0", "up")
	p.said("(V2) Entering MASTER STATE", 1)
	r.has(true, "198.51.100.200", "lb1", "addr")
	r.mustFetch()
}
