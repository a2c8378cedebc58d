package main

import (
	"bufio"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// sorry is a configuration whose one server is the director itself, on 127.0.0.1.
func sorry(kind string) string {
	head, _, _ := strings.Cut(plain(), "virtual_server")
	return head + "virtual_server 192.168.56.200 80 {\n    lb_algo rr\n    lb_kind " + kind +
		"\n    protocol TCP\n    sorry_server 127.0.0.1 80\n}\n"
}

// serveHere has lb1 answer HTTP on an address.
func (r *rig) serveHere(addr, page string) {
	r.t.Helper()
	l, err := r.c.Listen("lb1", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for line := ""; line != "\r\n"; {
					if line, err = in.ReadString('\n'); err != nil {
						return
					}
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"+page+"\n")
			}()
		}
	}()
}

// leftovers counts the taps of lb1 and the policy rules that lead to tables of dirsw.
func (r *rig) leftovers() (taps, rules int) {
	r.t.Helper()
	h, _ := r.inside("lb1")
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "dirsw") {
			taps++
		}
	}
	all, err := h.RuleList(netlink.FAMILY_V4)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range all {
		if all[i].Table > 255 { // not one that the kernel makes
			rules++
		}
	}
	return taps, rules
}

// dropRules removes the policy rules of lb1 that lead to tables of dirsw, as some programs do at their start.
func (r *rig) dropRules() {
	r.t.Helper()
	h, _ := r.inside("lb1")
	defer h.Close()
	all, err := h.RuleList(netlink.FAMILY_V4)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range all {
		if all[i].Table > 255 {
			all[i].Family = netlink.FAMILY_V4
			if err := h.RuleDel(&all[i]); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func TestLocalDeliveryAfterKill(t *testing.T) {
	r := newRig(t)
	r.serveHere("127.0.0.1:80", "SORRY")
	r.write(sorry("NAT"))
	p := r.run().ready()
	if who := r.mustFetch(); who != "SORRY" {
		t.Errorf("%s answers", who)
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	if taps, rules := r.leftovers(); taps != 0 || rules != 1 {
		t.Errorf("after kill -9 there are %d taps and %d rules, want the rule alone", taps, rules)
	}
	p = r.run().ready()
	if who := r.mustFetch(); who != "SORRY" {
		t.Errorf("%s answers after the kill", who)
	}
	if text, code := r.tool("stats", "--socket", r.sock); code != exitOK ||
		!strings.Contains(text, "interface dirsw0: up, local delivery") || !strings.Contains(text, "this host itself, by dirsw0") {
		t.Errorf("dirsw stats says\n%s", text)
	}
	if taps, rules := r.leftovers(); taps != 1 || rules != 1 {
		t.Errorf("the next one has %d taps and %d rules", taps, rules)
	}
	r.dropRules()
	testenv.Await(t, "the rule comes back", func() bool {
		_, rules := r.leftovers()
		return rules == 1
	})
	r.write(plain()) // no local server any more
	p.signal(unix.SIGHUP)
	p.said(`"reloaded"`, 1)
	if who := r.mustFetch(); who == "SORRY" {
		t.Errorf("%s answers after the reload", who)
	}
	testenv.Await(t, "the rule goes with the last connection", func() bool { // an established one is closed by now
		_, rules := r.leftovers()
		return rules <= 1
	})
	p.signal(unix.SIGTERM)
	<-p.done
	if taps, rules := r.leftovers(); taps != 0 || rules != 0 {
		t.Errorf("after the end there are %d taps and %d rules", taps, rules)
	}
}

// TestTapComesBack deletes the tap under a running director.
func TestTapComesBack(t *testing.T) {
	r := newRig(t)
	r.serveHere("127.0.0.1:80", "SORRY")
	r.write(sorry("NAT"))
	p := r.run().ready()
	r.mustFetch()
	h, _ := r.inside("lb1")
	defer h.Close()
	tap, err := h.LinkByName("dirsw0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkDel(tap); err != nil {
		t.Fatal(err)
	}
	p.said("interface is back", 1)
	r.awaitFetch()
	if taps, rules := r.leftovers(); taps != 1 || rules != 1 {
		t.Errorf("there are %d taps and %d rules", taps, rules)
	}
}

func TestWithoutTap(t *testing.T) {
	r := newRig(t)
	r.serveHere(":80", "SORRY")
	r.write(sorry("DR"))
	p := r.run("--tap", "none").ready()
	p.said("there is no tap", 1)
	if who, err := r.fetchWithin(time.Second); err == nil {
		t.Errorf("%s answers", who)
	}
	p.signal(unix.SIGTERM)
	<-p.done
	r.run("--tap", "lvs%d").ready()
	if who := r.mustFetch(); who != "SORRY" {
		t.Errorf("%s answers", who)
	}
	h, _ := r.inside("lb1")
	defer h.Close()
	if _, err := h.LinkByName("lvs0"); err != nil {
		t.Error(err)
	}
}
