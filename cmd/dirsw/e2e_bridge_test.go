package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestBridge has the director's only interface in a bridge: dirsw runs on the bridge, in generic mode, and refuses the port.
func TestBridge(t *testing.T) {
	r := newRig(t)
	h, port := r.inside("lb1")
	defer h.Close()
	own, err := netlink.ParseAddr("192.168.56.101/24")
	if err != nil {
		t.Fatal(err)
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := h.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	r.ip("lb1", "link", "set", "br0", "type", "bridge", "forward_delay", "0") // it need not learn for 15 s
	for _, err := range []error{h.LinkSetMaster(port, br), h.AddrDel(port, own), h.AddrAdd(br, own), h.LinkSetUp(br)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := r.run()
	<-refused.done
	if text := refused.text(); !strings.Contains(text, "enp0s8 is a part of br0") || !strings.Contains(text, "give dirsw br0") {
		t.Errorf("on a port of the bridge dirsw says:\n%s", text)
	}
	r.write(strings.ReplaceAll(plain(), "enp0s8", "br0"))
	p := r.run().ready()
	r.awaitFetch()
	if text := p.text(); !strings.Contains(text, `"mode":"generic"`) {
		t.Errorf("on a bridge dirsw says:\n%s", text)
	}
}

// TestStackedInterfaces makes each kind of interface that stands on the director's own: dirsw refuses it with a sentence, or runs.
// Kinds that this kernel does not know cannot be shown.
func TestStackedInterfaces(t *testing.T) {
	r := newRig(t)
	h, below := r.inside("lb1")
	defer h.Close()
	attrs := netlink.LinkAttrs{Name: "up0", ParentIndex: below.Attrs().Index}
	for _, c := range []struct {
		link            netlink.Link
		native, generic string // what dirsw says
	}{
		{&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}, "up0 is a macvlan on enp0s8", ""},
		{&netlink.Vlan{LinkAttrs: attrs, VlanId: 10}, "up0 is a VLAN on enp0s8", "up0 is a VLAN on enp0s8"},
		{&netlink.IPVlan{LinkAttrs: attrs, Mode: netlink.IPVLAN_MODE_L2}, "up0 (ipvlan) stands on enp0s8", "give dirsw enp0s8"},
		{netlink.NewLinkBond(netlink.LinkAttrs{Name: "up0"}), "up0 is a bond", "in no bond"},
	} {
		t.Run(c.link.Type(), func(t *testing.T) {
			err := h.LinkAdd(c.link)
			if errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("this kernel has no such interfaces")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.LinkDel(c.link) }()
			r.ip("lb1", "link", "set", "up0", "up")
			r.write(strings.ReplaceAll(plain(), "enp0s8", "up0"))
			for mode, want := range map[string]string{"native": c.native, "generic": c.generic} {
				if want == "" {
					continue
				}
				if out, code := r.tool("run", "-f", r.conf, "--socket", r.sock, "--mode", mode); code != exitFailed || !strings.Contains(out, want) {
					t.Errorf("mode %s: exit %d, want %q in\n%s", mode, code, want, out)
				}
			}
			if c.generic != "" {
				return
			}
			own, err := netlink.ParseAddr("192.168.56.101/24")
			if err != nil {
				t.Fatal(err)
			}
			up, err := h.LinkByName("up0")
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{h.AddrDel(below, own), h.AddrAdd(up, own)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			const ignore = "net.ipv4.conf.enp0s8.arp_ignore=1" // or it answers for the addresses of up0
			if out, err := r.c.Command(t.Context(), "lb1", "sysctl", "-w", ignore).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			p := r.run("--mode", "generic").ready()
			for range 10 {
				r.awaitFetch()
			}
			if text := p.text(); !strings.Contains(text, `"interface":"up0","mode":"generic"`) {
				t.Errorf("dirsw says:\n%s", text)
			}
			p.stop()
			for _, err := range []error{h.AddrDel(up, own), h.AddrAdd(below, own)} {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
