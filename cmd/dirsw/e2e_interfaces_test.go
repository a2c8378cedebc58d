package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dirsw/internal/testenv"
	"dirsw/lab"
)

// lateConf is an instance and a service by an interface that is not there at first.
const lateConf = `
vrrp_instance VI_2 {
    state MASTER
    interface late0
    virtual_router_id 63
    priority 200
    version 3
    advert_int 0.05
    virtual_ipaddress {
        198.51.100.100
    }
}
virtual_server 198.51.100.100 80 {
    lvs_sched rr
    lvs_method DR
    protocol TCP
    real_server 192.168.56.103 80 {
    }
}
`

// TestInterfaceComes: an interface that is named when it does not exist (dynamic_interfaces), and one that a reload names
// first, is attached while the others go on, which they also do when it
// vanishes: nobody's connection is refused.
func TestInterfaceComes(t *testing.T) {
	const absent = `"interface":"late0","mode":"absent"`
	for _, way := range []string{"later", "by a reload"} {
		t.Run(way, func(t *testing.T) {
			r := newRig(t)
			for _, args := range [][]string{{"address", "add", "198.51.100.100/32", "dev", "lo"}, {"route", "add", "198.51.100.0/24", "via", "192.168.56.1"}} {
				r.ip("rs1", args...)
			}
			before, after := plain(), plain()+lateConf
			if way == "later" {
				after = strings.Replace(after, "global_defs {", "global_defs {\n   dynamic_interfaces", 1)
				before = after
			}
			r.write(before)
			p := r.run().ready()
			r.mustFetch()
			end := r.untroubled()
			r.layLate()
			if way == "by a reload" {
				r.write(after)
				if out, code := r.tool("reload", "--socket", r.sock); code != 0 {
					t.Fatalf("reload: %s", out)
				}
			}
			p.said(`"interface":"late0","mode":"native"`, 1)
			p.said("(VI_2) Entering MASTER STATE", 1)
			testenv.Await(t, "a page by the interface that came", func() bool {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				defer cancel()
				page, err := lab.Fetch(ctx, r.c.HTTPClient("client"), "http://198.51.100.100/")
				return err == nil && strings.Contains(page, "RS1")
			})
			if out, _ := r.tool("stats", "--socket", r.sock); !strings.Contains(out, "interface late0: up, native") {
				t.Errorf("stats do not show the interface:\n%s", out)
			}
			gone := strings.Count(p.text(), absent)
			r.ip("lb1", "link", "delete", "late0")
			p.said("interface has vanished", 1)
			p.said(absent, gone+1)
			r.mustFetch()
			end()
		})
	}
}

// layLate makes the interface late0 of lb1, whose other end is at the client.
func (r *rig) layLate() {
	r.t.Helper()
	var lb *os.File
	if err := r.c.Do("lb1", func() (err error) {
		lb, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	defer lb.Close()
	cl, err := r.c.Netlink("client")
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "late1"}, PeerName: "late0"}
	if err := cl.LinkAdd(veth); err != nil {
		r.t.Fatal(err)
	}
	inner, err := cl.LinkByName("late0")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cl.LinkSetNsFd(inner, int(lb.Fd())); err != nil {
		r.t.Fatal(err)
	}
	r.ip("client", "address", "add", "198.51.100.1/24", "dev", "late1")
	r.ip("client", "link", "set", "late1", "up")
	r.ip("lb1", "address", "add", "198.51.100.254/24", "dev", "late0")
	r.ip("lb1", "link", "set", "late0", "up")
}

// untroubled fetches pages from the first address without end, until end is called, which fails the test if a connection was
// refused or cut off: one whose frames are lost for a moment lives on.
func (r *rig) untroubled() (end func()) {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := r.fetchWithin(testenv.Patience); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() {
		r.t.Helper()
		close(stop)
		if err := <-done; err != nil {
			r.t.Errorf("while interfaces came: %v", err)
		}
	}
}

// TestQueuesAreAdded has the director's interface use four queues instead of one while it runs: all of them are served.
func TestQueuesAreAdded(t *testing.T) {
	spec := lab.DefaultSpec()
	for i := range spec.Nodes {
		if n := &spec.Nodes[i]; n.Name == "lb1" {
			n.Queues = 4
		}
	}
	r := newRigOf(t, spec)
	queues := func(node, name string, n int) {
		if err := r.c.Do(node, func() error { testenv.SetQueues(t, name, n); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	queues("switch", "lb1", 1)
	queues("lb1", "enp0s8", 1)
	p := r.run().ready()
	r.mustFetch()
	end := r.untroubled()
	queues("lb1", "enp0s8", 4)
	p.said(`"interface":"enp0s8","mode":"native","zero_copy":false,"queues":4`, 1)
	queues("switch", "lb1", 4) // not before: on queues that come a veth has no program until one is attached anew
	for range 20 {
		r.mustFetch()
	}
	end()
	if out, _ := r.tool("stats", "--socket", r.sock); !strings.Contains(out, "interface enp0s8: up, native, copy, 4 queues") {
		t.Errorf("stats do not show the queues:\n%s", out)
	}
}
