package main

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/lab"
)

// resources is what a master has besides its address, and what is there whoever is master.
const resources = `static_ipaddress { 192.0.2.10/32 dev lo }
static_routes { 198.51.100.0/24 via 192.168.56.1 dev enp0s8 }
static_rules { from 192.0.2.10 table 100 }
`

const masters = vipBlock + `virtual_ipaddress_excluded {
        192.0.2.77/32 dev lo
        2001:db8::77/128 dev lo
    }
    virtual_routes { 203.0.113.0/24 via 192.168.56.1 dev enp0s8 metric 7 }
    virtual_rules { from 203.0.113.9 table 101 priority 1234 }
`

type held struct {
	text string
	args []string
}

var (
	always    = []held{{"192.0.2.10/32", args("addr")}, {"198.51.100.0/24", args("route")}, {"lookup 100", args("rule")}}
	ofMasters = []held{{"192.168.56.200/32", args("addr")}, {"192.0.2.77/32", args("addr")}, {"2001:db8::77/128", args("addr")},
		{"203.0.113.0/24", args("route")}, {"lookup 101", args("rule")}}
)

func args(list ...string) []string { return list }

func (r *rig) hold(want bool, lists ...[]held) {
	r.t.Helper()
	for _, list := range lists {
		for _, h := range list {
			r.has(want, h.text, "lb1", h.args...)
		}
	}
}

// TestResources looks at what a director sets and removes: when it becomes master, is backup again, stops, is killed, returns.
func TestResources(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	r.write(resources + instance("VI", "51", "200", masters+"nopreempt") + service("", ""))
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	r.hold(true, always, ofMasters)
	q := r.other(instance("VI", "51", "220", masters) + service("", ""))
	q.said("Entering MASTER STATE", 1)
	r.hold(false, ofMasters)
	r.hold(true, always)
	_ = q.cmd.Process.Kill()
	<-q.done
	p.said("Entering MASTER STATE", 2)
	r.hold(true, always, ofMasters)
	_ = p.cmd.Process.Kill()
	<-p.done
	p = r.run().ready()
	p.said("Entering MASTER STATE", 1)
	r.hold(true, always, ofMasters)
	r.masterIs("lb1", "lb2") // the kernel of lb2 has outlived its director for a while
	r.awaitFetch()
	p.stop()
	r.hold(false, always, ofMasters)
}

// setting reads a setting of the interface that virtual routers stand on.
func (r *rig) setting(key string) string {
	r.t.Helper()
	out, err := r.c.Command(context.Background(), "lb1", "cat", "/proc/sys/net/ipv4/conf/enp0s8/"+key).Output()
	if err != nil {
		r.t.Fatalf("read %s: %v", key, err)
	}
	return strings.TrimSpace(string(out))
}

// TestVirtualMAC has the virtual address answered for with the virtual router's own MAC, by which frames must come.
func TestVirtualMAC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, more, vip string }{{"use_vmac", "use_vmac", vipBlock}, {"vmac_xmit_base", "use_vmac vrrp51\nvmac_xmit_base", vipBlock},
		{"of the address", "", strings.Replace(vipBlock, "192.168.56.200", "192.168.56.200 use_vmac", 1)}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRigOf(t, duo())
			with := instance("VI", "51", "200", c.more+"\n"+c.vip) + service("", "")
			r.write(with)
			before := r.setting("arp_ignore")
			p := r.run().ready()
			p.said("Entering MASTER STATE", 1)
			if now := r.setting("arp_ignore"); before != "0" || now != "1" {
				t.Errorf("arp_ignore was %s and is %s, want 1 while there is a virtual MAC", before, now)
			}
			macs, err := r.c.WhoHas(context.Background(), "client", netip.MustParseAddr("192.168.56.200"), 300*time.Millisecond)
			if err != nil || len(macs) != 1 || macs[0].String() != "00:00:5e:00:01:33" {
				t.Errorf("ARP answers %v, %v", macs, err)
			}
			for range 4 {
				r.mustFetch()
			}
			if _, err := r.c.Ping("client", netip.MustParseAddr("192.168.56.200"), 1); err != nil {
				t.Errorf("ping: %v", err)
			}
			for _, conf := range []string{with, instance("VI", "51", "200", vipBlock) + service("", "")} {
				_ = p.cmd.Process.Kill()
				<-p.done
				r.write(conf)
				p = r.run().ready()
				p.said("Entering MASTER STATE", 1)
				r.awaitFetch()
			}
			if now := r.setting("arp_ignore"); now != before {
				t.Errorf("arp_ignore is %s without a virtual MAC, was %s before the director that was killed", now, before)
			}
			p.stop()
			r.has(false, "00:00:5e:00:01:33", "lb1", "link")
			if now := r.setting("arp_ignore"); now != before {
				t.Errorf("arp_ignore is left at %s, was %s before the director that was killed", now, before)
			}
			if left, err := filepath.Glob(r.sock + "*"); err != nil || len(left) > 0 {
				t.Errorf("%v are left, %v", left, err)
			}
		})
	}
}

// TestNoAccept: a master that does not accept packets for its address forwards its service, and answers nothing else there, until
// it is told otherwise.
func TestNoAccept(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, duo())
	conf := instance("VI", "51", "200", "no_accept\n"+vipBlock) + service("", "")
	r.write(conf)
	p := r.run().ready()
	p.said("Entering MASTER STATE", 1)
	vip := netip.MustParseAddr("192.168.56.200")
	ping := func() bool {
		_, err := r.c.Ping("client", vip, 1)
		return err == nil
	}
	r.mustFetch()
	for end := time.Now().Add(time.Minute); ping(); { // until the address is known to be there
		if time.Now().After(end) {
			t.Fatal("ping is answered")
		}
	}
	for range 4 {
		r.mustFetch()
	}
	macs, err := r.c.WhoHas(context.Background(), "client", vip, 300*time.Millisecond)
	if err != nil || len(macs) != 1 {
		t.Errorf("ARP answers %v, %v", macs, err)
	}
	if out, _ := r.tool("stats", "--socket", r.sock); !strings.Contains(out, "not-accepted") {
		t.Errorf("the drops are not shown:\n%s", out)
	}
	if out, _ := r.tool("explain", "--socket", r.sock, "tcp 192.168.56.1:4000 > 192.168.56.200:22"); !strings.Contains(out, "dropped: not-accepted: ") ||
		!strings.Contains(out, "because: vrrp_instance VI (") {
		t.Errorf("the drops are not explained:\n%s", out)
	}
	r.reload(strings.Replace(conf, "no_accept", "accept", 1), "~ vrrp_instance VI: accept false -> true")
	if !ping() {
		t.Error("ping is not answered though it is accepted")
	}
	r.mustFetch()
	p.stop()
}

// TestIPv6Instance fetches pages from a virtual address of IPv6, with and without a virtual MAC.
func TestIPv6Instance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, more, mac string }{{"plain", "", "08:00:27:fb:6e:21"}, {"use_vmac", "use_vmac", "00:00:5e:00:02:34"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := lab.DefaultSpec()
			for i := range spec.Nodes {
				n := &spec.Nodes[i]
				last := n.Addrs[0].Addr().As4()[3]
				n.Addrs = append(n.Addrs, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: last}), 64))
				if n.Role == lab.RealServer {
					n.VIPs = append(n.VIPs, netip.MustParsePrefix("2001:db8::c8/128"))
				}
			}
			r := newRigOf(t, spec)
			r.vip = "[2001:db8::c8]:80"
			r.write(instance("V6", "52", "200", "native_ipv6\n"+c.more+"\nvirtual_ipaddress { 2001:db8::c8 }") + `virtual_server 2001:db8::c8 80 {
    delay_loop 0.2
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 2001:db8::67 80 {
        TCP_CHECK { connect_timeout 5 }
    }
    real_server 2001:db8::68 80 {
        TCP_CHECK { connect_timeout 5 }
    }
}
`)
			p := r.run().ready()
			p.said("Entering MASTER STATE", 1)
			seen := map[string]bool{}
			for range 4 {
				seen[r.mustFetch()] = true
			}
			if len(seen) != 2 {
				t.Errorf("%v answer", seen)
			}
			r.has(true, c.mac, "client", "-6", "neigh", "show", "to", "2001:db8::c8")
			p.signal(unix.SIGTERM)
			<-p.done
			r.has(false, "2001:db8::c8", "lb1", "addr")
		})
	}
}
