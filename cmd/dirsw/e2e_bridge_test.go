package main

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
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
