package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"dirsw/internal/testenv"
)

func TestLinksOfEveryKind(t *testing.T) {
	here, _, h := pair(t)
	parent := here.link("veth0").Attrs().Index
	for _, l := range []netlink.Link{
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", MTU: 1400}},
		&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "mv0", ParentIndex: parent}, Mode: netlink.MACVLAN_MODE_BRIDGE},
		&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "two0", NumRxQueues: 2, NumTxQueues: 3}, PeerName: "two1"},
	} {
		must(t, here.nl.LinkAdd(l))
	}
	here.do(func() {
		must(t, netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tap0"}, Mode: netlink.TUNTAP_MODE_TAP}))
	})

	type facts struct {
		driver         string
		mtu, queues    int
		tx             int // 0 stands for 1
		up, unfinished bool
	}
	want := map[string]facts{
		"lo":    {driver: "device", mtu: 65536, queues: 1, up: true, unfinished: true},
		"veth0": {driver: "veth", mtu: 1500, queues: 1, up: true, unfinished: true},
		"br0":   {driver: "bridge", mtu: 1400, queues: 1, unfinished: true},
		"mv0":   {driver: "macvlan", mtu: 1500, queues: 1, unfinished: true},
		"two0":  {driver: "veth", mtu: 1500, queues: 2, tx: 3, unfinished: true},
		"tap0":  {driver: "tun", mtu: 1500, queues: 1, unfinished: true},
	}
	all, err := h.Links()
	must(t, err)
	seen := map[string]bool{}
	for _, l := range all {
		if l.Name == "mv0" && (l.Kind != "macvlan" || l.Parent != parent || l.Master != 0) {
			t.Errorf("mv0: kind %q, parent %d, master %d; want macvlan on %d", l.Kind, l.Parent, l.Master, parent)
		}
	}
	for i, l := range all {
		if i > 0 && all[i-1].Index >= l.Index {
			t.Errorf("links are not in the order of their index: %v", all)
		}
		w, ok := want[l.Name]
		if !ok {
			continue
		}
		seen[l.Name] = true
		w.tx = max(w.tx, 1)
		if got := (facts{l.Driver, l.MTU, l.Queues, l.TxQueues, l.Up, l.Unfinished}); got != w {
			t.Errorf("%s: got %+v, want %+v", l.Name, got, w)
		}
		if alone, err := h.Link(l.Name); err != nil || alone != l {
			t.Errorf("%s: asked for by name: got %+v, %v; want %+v", l.Name, alone, err, l)
		}
		if l.Name != "lo" && l.MAC != here.mac(l.Name) {
			t.Errorf("%s: got MAC %x, want %x", l.Name, l.MAC, here.mac(l.Name))
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("%s is not listed", name)
		}
	}
}

// Links of hardware cannot be made in a test; those on top of them can be described.
func TestUnfinishedChecksumsComeFromBelow(t *testing.T) {
	h, err := Open(Options{})
	must(t, err)
	defer h.Close()
	at := func(index, parent, master int) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, ParentIndex: parent, MasterIndex: master, NetNsID: -1, Name: "no such name"}
	}
	elsewhere := at(5, 1, 0)
	elsewhere.NetNsID = 0
	nic := &netlink.Device{LinkAttrs: at(1, 0, 0)} // its driver is not known
	port := &netlink.Device{LinkAttrs: at(2, 0, 3)}
	vethPort := &netlink.Veth{LinkAttrs: at(4, 0, 3)}
	bond := &netlink.Bond{LinkAttrs: at(3, 0, 0)}
	for _, c := range []struct {
		name string
		link netlink.Link
		all  []netlink.Link
		want bool
	}{
		{"hardware", nic, nil, false},
		{"vlan on hardware", &netlink.Vlan{LinkAttrs: at(9, 1, 0)}, []netlink.Link{nic}, false},
		{"vlan on a veth", &netlink.Vlan{LinkAttrs: at(9, 4, 0)}, []netlink.Link{nic, vethPort}, true},
		{"vlan on a parent elsewhere", &netlink.Vlan{LinkAttrs: elsewhere}, []netlink.Link{nic}, true},
		{"vlan on itself", &netlink.Vlan{LinkAttrs: at(9, 9, 0)}, []netlink.Link{&netlink.Vlan{LinkAttrs: at(9, 9, 0)}}, false},
		{"bond of hardware", bond, []netlink.Link{nic, port}, false},
		{"bond with a veth", bond, []netlink.Link{port, vethPort}, true},
		{"vlan on a bond with a veth", &netlink.Vlan{LinkAttrs: at(9, 3, 0)}, []netlink.Link{bond, port, vethPort}, true},
		{"macvlan on hardware", &netlink.Macvlan{LinkAttrs: at(9, 1, 0)}, []netlink.Link{nic}, true},
		{"kind nobody knows", &netlink.GenericLink{LinkAttrs: at(9, 0, 0), LinkType: "netkit"}, nil, true},
	} {
		if got := h.unfinished(c.link, c.all, 8); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLinkLosesItsCarrier(t *testing.T) {
	_, there, h := pair(t)
	l, err := h.Link("veth0")
	must(t, err)
	if !l.Up {
		t.Fatalf("got %+v, want it up", l)
	}
	must(t, there.nl.LinkSetDown(there.link("peer0")))
	eventually(t, "down", func() bool {
		l, err := h.Link("veth0")
		must(t, err)
		return !l.Up
	})
}

func TestLinkThatDoesNotExist(t *testing.T) {
	here, _, h := pair(t)
	must(t, here.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	_, err := h.Link("enp0s8")
	if !errors.Is(err, ErrNoLink) || !strings.Contains(err.Error(), "enp0s8; there is ") || !strings.Contains(err.Error(), "br0, ") || !strings.Contains(err.Error(), "veth0") {
		t.Errorf("got %q, want it to name br0 and veth0", err)
	}
	for _, name := range []string{"", "no/name", "a name that is longer than any name can be", strings.Repeat("x", 300)} {
		if _, err := h.Link(name); !errors.Is(err, ErrNoLink) {
			t.Errorf("%q: got %v, want ErrNoLink", name, err)
		}
	}
}

func TestWithoutPrivilegeLinksAreStillListed(t *testing.T) {
	// Nothing here needs a namespace or root: Open and Links ask what everybody may.
	h, err := Open(Options{})
	if err != nil {
		if testenv.Privileged() {
			t.Fatal(err)
		}
		t.Skipf("no netlink here: %v", err)
	}
	all, err := h.Links()
	must(t, err)
	if len(all) == 0 {
		t.Error("not even a loopback")
	}
	must(t, h.Close())
}
