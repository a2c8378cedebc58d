package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dirsw/internal/testenv"
	"dirsw/lab"
)

// reload has dirsw read its file again, and wants the plan to hold these lines and no others.
func (r *rig) reload(conf string, want ...string) {
	r.t.Helper()
	r.write(conf)
	plan, notes, code := r.as(r.bin, "", "reload", "-n", "--socket", r.sock)
	if code != 0 {
		r.t.Fatalf("dirsw reload -n: exit %d\n%s%s", code, plan, notes)
	}
	out, code := r.tool("reload", "--socket", r.sock)
	if code != 0 {
		r.t.Fatalf("dirsw reload: exit %d\n%s", code, out)
	}
	if plan != out {
		r.t.Errorf("dirsw reload -n foresaw\n%s\nand it was\n%s", plan, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			r.t.Errorf("the plan of the reload lacks %q:\n%s", w, out)
		}
	}
	if n := strings.Count(out, "\n"); n != max(len(want), 1) {
		r.t.Errorf("the plan has %d lines, want %d:\n%s", n, max(len(want), 1), out)
	}
}

// steady sends requests until the function that it returns is called, which waits until there were some, tells how many were
// sent and fails the test if one of them was not answered.
func (r *rig) steady() (end func() int) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var n atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := lab.Fetch(context.Background(), r.c.HTTPClient("client"), "http://"+r.vip+"/"); err != nil {
				r.t.Errorf("request %d: %v", n.Load(), err)
			}
			n.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() int {
		testenv.Await(r.t, "some requests", func() bool { return n.Load() >= 20 })
		cancel()
		<-done
		return int(n.Load())
	}
}

// TestReloadKeepsState changes one thing after the other while pages are fetched: nothing else may notice.
func TestReloadKeepsState(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	note := r.program("note", `echo "$@" >> `+r.dir()+`/notes`)
	globals := "global_defs {\n script_user root\n}\n"
	script := "vrrp_script S {\n script /bin/true\n interval 1\n}\n"
	tracking := vipBlock + "track_script { S }\nnotify \"" + note + "\"\n"
	told := "notify_down \"" + note + " down ADDRESS\"\n"
	conf := globals + script + instance("VI", "51", "200", tracking) + service("", told)
	r.write(conf)
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	p.said("success.", 2)
	capture, err := r.c.OpenCapture("lb2", "enp0s8")
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	end := r.steady()
	r.reload(conf, "nothing has changed")
	r.reload(strings.Replace(conf, "weight 1", "weight 3", 1), "~ real 192.168.56.103:80 of TCP 192.168.56.200:80: weight 1 -> 3")
	r.reload(conf, "~ real 192.168.56.103:80 of TCP 192.168.56.200:80: weight 3 -> 1")
	r.reload(strings.Replace(conf, "interval 1\n", "interval 2\n", 1), "~ vrrp_script S: ")
	more := instance("V2", "52", "100", "virtual_ipaddress { 192.168.56.201 }")
	group := "vrrp_sync_group G {\n group { VI }\n}\n"
	r.reload(conf+more, "~ vrrp_script S: ", "+ vrrp_instance V2", "+ address 192.168.56.201/32")
	r.has(true, "192.168.56.201", "lb1", "addr")
	r.reload(strings.Replace(conf, vipBlock, "virtual_ipaddress {\n192.168.56.200\n192.168.56.201\n}\n", 1),
		"- vrrp_instance V2", "+ address 192.168.56.201/32")
	r.has(true, "192.168.56.201", "lb1", "addr")
	r.reload(group+conf, "- address 192.168.56.201/32", "+ vrrp_sync_group G")
	r.has(false, "192.168.56.201", "lb1", "addr")
	r.reload(conf, "- vrrp_sync_group G")
	r.reload(strings.Replace(conf, "retry 1", "retry 2", 1), "~ real", "~ real")
	if text := r.content("notes"); strings.Contains(text, "down") || strings.Contains(text, "FAULT") || strings.Count(text, "INSTANCE VI ") != 2 {
		t.Errorf("somebody was told of changes:\n%s", text)
	}
	r.write(strings.Replace(conf, "lb_algo rr", "lb_algo rrr", 1))
	if out, code := r.tool("reload", "-n", "--socket", r.sock); code != exitConfig || !strings.Contains(out, "unknown scheduler") {
		t.Errorf("dirsw reload -n of a bad file: exit %d\n%s", code, out)
	}
	end() // what a server has in flight that is removed is lost (expire_nodest_conn)
	i := strings.Index(conf, "    real_server 192.168.56.104")
	r.reload(conf[:i]+"}\n", "- real 192.168.56.104:80", "~ real")
	p.said("Removing service [192.168.56.104]:tcp:80 from VS [192.168.56.200]:tcp:80", 1)
	r.lines("notes", "INSTANCE VI BACKUP 200", "INSTANCE VI MASTER 200", "down 192.168.56.104")
	heard := 0
	testenv.Await(t, "another advert after all that", func() bool { // one of priority 0 would have come before
		frames, _, err := capture.Frames()
		if err != nil {
			t.Fatal(err)
		}
		list := adverts(frames, 51)
		for _, priority := range list {
			if priority != 200 {
				t.Errorf("an advert of priority %d", priority)
			}
		}
		heard++
		return heard > 1 && len(list) > 0
	})
	if n := strings.Count(p.text(), "(VI) Entering"); n != 2 {
		t.Errorf("VI changed its state %d times", n)
	}
	if n := strings.Count(p.text(), "Activating healthchecker for service [192.168.56.103]"); n != 1 {
		t.Errorf("the check of a server was begun %d times", n)
	}
}

// TestReloadMovesAddress gives the virtual address of one instance to another in one reload.
func TestReloadMovesAddress(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	both := func(first, second string) string {
		return instance("V1", "51", "200", first) + instance("V2", "52", "200", second) + service("", "")
	}
	const filler = "virtual_ipaddress { 192.168.56.201 }"
	r.write(both(vipBlock, filler))
	p := r.run().ready()
	p.said("Entering MASTER STATE", 2)
	end := r.steady()
	for range 3 {
		r.reload(both(filler, vipBlock), "address 192.168.56.200", "address 192.168.56.201", "address 192.168.56.200", "address 192.168.56.201")
		r.has(true, "192.168.56.200", "lb1", "addr")
		r.has(true, "192.168.56.201", "lb1", "addr")
		r.reload(both(vipBlock, filler), "address 192.168.56.200", "address 192.168.56.201", "address 192.168.56.200", "address 192.168.56.201")
	}
	time.Sleep(5 * time.Second) // longer than an address lives that nobody prolongs
	end()
	if n := strings.Count(p.text(), "Entering MASTER STATE"); n != 2 {
		t.Errorf("somebody became master again")
	}
}

// TestReloadAndCommands mixes reloads with commands, on servers that are down.
func TestReloadAndCommands(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	conf := instance("VI", "51", "200", vipBlock) + service("", "inhibit_on_failure")
	r.write(conf)
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	ipvsadm := r.named("ipvsadm")
	listing := func(want ...string) {
		t.Helper()
		var out string
		for _, w := range want {
			testenv.AwaitOr(t, func() bool {
				out, _, _ = r.as(ipvsadm, "", "-Ln")
				return strings.Contains(strings.Join(strings.Fields(out), " "), w)
			}, func() { t.Fatalf("%q is not in\n%s", w, out) })
		}
	}
	do := func(args string) {
		t.Helper()
		if out, errs, code := r.as(ipvsadm, "", strings.Fields(args)...); code != 0 {
			t.Errorf("ipvsadm %s: exit %d\n%s%s", args, code, out, errs)
		}
	}
	const svc = "-t 192.168.56.200:80"
	r.c.StopServer("rs1")
	listing("192.168.56.103:80 Route 0")
	out, _ := r.tool("explain", "--socket", r.sock, "tcp 192.168.56.1:4000 > 192.168.56.200:80")
	if !strings.Contains(out, "192.168.56.103:80 is down and has weight 0 for 1 (inhibit_on_failure): TCP_CHECK ") {
		t.Errorf("dirsw explain:\n%s", out)
	}
	do("-e " + svc + " -r 192.168.56.103 -g -w 5")
	listing("192.168.56.103:80 Route 0") // it is down all the same
	r.reload(strings.Replace(conf, "lb_algo rr", "lb_algo wrr", 1), "~ service", "~ real 192.168.56.103:80 of TCP 192.168.56.200:80: weight 5 -> 1")
	listing("192.168.56.103:80 Route 0")
	do("-e " + svc + " -r 192.168.56.104 -g -w 7")
	do("-a " + svc + " -r 192.168.56.105 -g -w 2")
	if err := r.c.StartServer("rs1"); err != nil {
		t.Fatal(err)
	}
	listing("192.168.56.103:80 Route 1", "192.168.56.104:80 Route 7", "192.168.56.105:80 Route 2")
	r.c.StopServer("rs1")
	listing("192.168.56.103:80 Route 0")
	do("-d " + svc + " -r 192.168.56.103")
	if out, _, _ := r.as(ipvsadm, "", "-Ln"); strings.Contains(out, "192.168.56.103") {
		t.Errorf("a server that was deleted is listed:\n%s", out)
	}
	do("-a " + svc + " -r 192.168.56.103 -g -w 4")
	saved, _, _ := r.as(ipvsadm, "", "-Sn")
	if !strings.Contains(saved, "-a -t 192.168.56.200:80 -r 192.168.56.105:80 -g -w 2\n") {
		t.Errorf("saved:\n%s", saved)
	}
	do("-C")
	if out, _, _ := r.as(ipvsadm, "", "-Ln"); strings.Contains(out, "192.168.56.200") {
		t.Errorf("after -C:\n%s", out)
	}
	if _, errs, code := r.as(ipvsadm, saved, "-R"); code != 0 {
		t.Errorf("restore: %d %s", code, errs)
	}
	if again, _, _ := r.as(ipvsadm, "", "-Sn"); again != saved {
		t.Errorf("saved\n%sand restored\n%s", saved, again)
	}
	r.write(conf)
	if out, code := r.tool("reload", "--socket", r.sock); code != 0 {
		t.Errorf("reload: %d %s", code, out)
	}
	if err := r.c.StartServer("rs1"); err != nil {
		t.Fatal(err)
	}
	listing("192.168.56.200:80 rr", "192.168.56.103:80 Route 1", "192.168.56.104:80 Route 1")
	r.awaitFetch()
}
