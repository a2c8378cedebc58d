package host

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestNIC asks a veth with two of four queues, in a bridge, and the bridge.
func TestNIC(t *testing.T) {
	here, _, h := pair(t)
	must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	must(t, here.nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "two0", NumRxQueues: 2, NumTxQueues: 2,
		MasterIndex: here.link("br0").Attrs().Index}, PeerName: "two1"}))
	must(t, here.nl.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "mv0", ParentIndex: here.link("veth0").Attrs().Index}}))

	n, err := h.NIC("two0")
	must(t, err)
	if n.MaxQueues != 2 || n.MaxTxQueues != 2 || n.Combined || n.MemberOf != "br0" || n.Over != "" {
		t.Errorf("two0: at most %d and %d queues, combined %v, member of %q, over %q", n.MaxQueues, n.MaxTxQueues, n.Combined,
			n.MemberOf, n.Over)
	}
	if !n.XDPKnown || n.XDP&(XDPBasic|XDPRedirect) != XDPBasic|XDPRedirect || n.XDP&XDPZeroCopy != 0 {
		t.Errorf("two0: XDP features %b, known %v", n.XDP, n.XDPKnown)
	}
	if !slices.Contains(n.Offloads, "tx-checksum-ip-generic") {
		t.Errorf("two0: the offloads that are on: %v", n.Offloads)
	}
	if n, err = h.NIC("mv0"); err != nil || n.Over != "veth0" {
		t.Errorf("mv0: over %q, %v", n.Over, err)
	}
	if _, err = h.NIC("nothing"); err == nil {
		t.Error("an interface that does not exist has answered")
	}
}
