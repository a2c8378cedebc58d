package main

import (
	"strings"
	"testing"
	"time"
)

// TestDrain takes a real server out by weight 0 and puts it in again, by commands and by reloads, while pages are fetched by
// several clients at once: no request may fail, and the server gets none while its weight is 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	conf := instance("VI", "51", "200", vipBlock) + service("", "")
	drained := strings.Replace(conf, "192.168.56.103 80 {\n        weight 1", "192.168.56.103 80 {\n        weight 0", 1)
	r.write(conf)
	p := r.run().ready()
	p.said("success.", 2)
	var ends []func() int
	for range 4 {
		ends = append(ends, r.steady())
	}
	weigh := func(weight string) {
		t.Helper()
		if out, code := r.tool("ipvsadm", "--socket", r.sock, "-e", "-t", "192.168.56.200:80", "-r", "192.168.56.103", "-g", "-w", weight); code != 0 {
			t.Fatalf("exit %d\n%s", code, out)
		}
	}
	alone := func() {
		t.Helper()
		for range 10 {
			if who := r.mustFetch(); who != "RS2" {
				t.Errorf("with weight 0, %s answers", who)
			}
		}
	}
	for range 2 {
		weigh("0")
		alone()
		weigh("1")
		time.Sleep(100 * time.Millisecond)
		r.reload(drained, "~ real 192.168.56.103:80 of TCP 192.168.56.200:80: weight 1 -> 0")
		alone()
		r.reload(conf, "~ real 192.168.56.103:80 of TCP 192.168.56.200:80: weight 0 -> 1")
		time.Sleep(100 * time.Millisecond)
	}
	sent := 0
	for _, end := range ends {
		sent += end()
	}
	t.Logf("%d requests were answered", sent)
}

// TestSyncGroup has two instances change together.
func TestSyncGroup(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	for _, l := range []string{"in", "out"} {
		r.ip("lb1", "link", "add", l+"0", "type", "veth", "peer", "name", l+"1")
		r.ip("lb1", "link", "set", l+"1", "up")
		r.ip("lb1", "link", "set", l+"0", "up")
	}
	group := "vrrp_sync_group G {\n group {\n V1\n V2\n }\n}\n"
	r.write(group + instance("V1", "51", "200", vipBlock+"track_interface { in0 }") +
		instance("V2", "52", "200", "virtual_ipaddress { 192.168.56.201 }\ntrack_interface { out0 }") + service("", ""))
	p := r.run().ready()
	p.said("VRRP_Group(G) Syncing instances to MASTER state", 1)
	vips := func(want bool) {
		t.Helper()
		r.has(want, "192.168.56.200", "lb1", "addr")
		r.has(want, "192.168.56.201", "lb1", "addr")
	}
	vips(true)
	q := r.other(group + instance("V1", "51", "150", vipBlock) + instance("V2", "52", "150", "virtual_ipaddress { 192.168.56.201 }") + service("", ""))
	q.said("Entering BACKUP STATE", 2)
	for i, l := range []string{"in0", "out0"} {
		r.ip("lb1", "link", "set", l, "down")
		p.said("VRRP_Group(G) Syncing instances to FAULT state", i+1)
		vips(false)
		q.said("VRRP_Group(G) Syncing instances to MASTER state", i+1)
		r.has(true, "192.168.56.201", "lb2", "addr")
		r.awaitFetch()
		r.ip("lb1", "link", "set", l, "up")
		p.said("VRRP_Group(G) Syncing instances to MASTER state", i+2)
		vips(true)
		r.has(false, "192.168.56.201", "lb2", "addr")
		r.awaitFetch()
	}
}
