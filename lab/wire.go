package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// bridgeName is the bridge inside the switch.
const bridgeName = "br0"

// makeSwitch puts the bridges into ns. They learn addresses and flood what they do not know, as a cheap switch does,
// without the listening period of spanning tree.
func makeSwitch(ns netns.NsHandle, bridges []string) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	snooping := false
	for _, name := range bridges {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}, MulticastSnooping: &snooping}
		if err := h.LinkAdd(br); err != nil {
			return fmt.Errorf("make the bridge: %w", err)
		}
	}
	return up(h, append(bridges, "lo")...)
}

// plug makes the wires between ports of the switch, named like the node, and the node's interfaces. A veth is born in
// the switch with its far end in the node: it is in no other namespace at any time.
func plug(sw, ns netns.NsHandle, n *NodeSpec) error {
	h, err := netlink.NewHandleAt(sw, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	for i, w := range n.interfaces() {
		br, err := h.LinkByName(bridge(w.Net))
		if err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		err = h.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: n.port(i), MasterIndex: br.Attrs().Index, MTU: w.MTU, NumTxQueues: w.Queues,
				NumRxQueues: w.Queues},
			PeerName:         w.Interface,
			PeerNamespace:    netlink.NsFd(ns),
			PeerHardwareAddr: w.MAC,
			PeerMTU:          uint32(w.MTU),
			PeerNumTxQueues:  uint32(w.Queues),
			PeerNumRxQueues:  uint32(w.Queues),
		})
		if err != nil {
			return fmt.Errorf("make the wire to %s: %w", n.Name, err)
		}
		if err := up(h, n.port(i)); err != nil {
			return err
		}
	}
	return nil
}

// configure gives a node its addresses and settings.
func configure(ns netns.NsHandle, n *NodeSpec) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if len(n.VIPs) > 0 {
		if err := inside(ns, quietARP); err != nil {
			return err
		}
	}
	if n.Forward {
		if err := inside(ns, routing); err != nil {
			return err
		}
	}
	if err := up(h, "lo"); err != nil {
		return err
	}
	for _, w := range n.interfaces() {
		if err := up(h, w.Interface); err != nil {
			return err
		}
		for _, p := range w.Addrs {
			if err := addAddr(h, w.Interface, "", p); err != nil {
				return err
			}
		}
	}
	for _, gw := range n.Gateways {
		if err := h.RouteAdd(&netlink.Route{Gw: net.IP(gw.AsSlice())}); err != nil {
			return fmt.Errorf("add the default route by %v: %w", gw, err)
		}
	}
	for _, p := range n.VIPs {
		if err := addAddr(h, "lo", "lo:0", p); err != nil {
			return err
		}
	}
	return nil
}

// settledIn reports whether a node takes packets for its IPv6 addresses: the kernel makes the local routes of these some time
// after it has added them, on its own time.
func settledIn(ns netns.NsHandle, n *NodeSpec) (bool, error) {
	all := slices.Clone(n.VIPs)
	for _, w := range n.interfaces() {
		all = append(all, w.Addrs...)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer h.Close()
	for _, p := range all {
		if p.Addr().Is4() {
			continue
		}
		routes, err := h.RouteGet(p.Addr().AsSlice())
		if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
			return false, nil // an error: there is no route at all yet
		}
	}
	return true, nil
}

// quietARP makes the calling thread's namespace silent about addresses on its loopback
// (Documentation/networking/ip-sysctl.rst, arp_ignore and arp_announce).
func quietARP() error {
	for _, s := range [...][2]string{
		{"lo/arp_ignore", "1"}, {"lo/arp_announce", "2"}, {"all/arp_ignore", "1"}, {"all/arp_announce", "2"},
	} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+s[0], []byte(s[1]), 0); err != nil {
			return fmt.Errorf("set %s: %w", s[0], err)
		}
	}
	return nil
}

// routing makes the calling thread's namespace a router.
func routing() error {
	for _, s := range [...]string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+s, []byte("1"), 0); err != nil {
			return fmt.Errorf("set %s: %w", s, err)
		}
	}
	return nil
}

// up brings links up.
func up(h *netlink.Handle, names ...string) error {
	for _, name := range names {
		l, err := h.LinkByName(name)
		if err == nil {
			err = h.LinkSetUp(l)
		}
		if err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	return nil
}

// addAddr adds an address; an IPv6 one without duplicate address detection, so that it can be used at once.
func addAddr(h *netlink.Handle, link, label string, p netip.Prefix) error {
	l, err := h.LinkByName(link)
	if err != nil {
		return fmt.Errorf("interface %s: %w", link, err)
	}
	ip := net.IP(p.Addr().AsSlice())
	a := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(p.Bits(), 8*len(ip))}, Label: label}
	if p.Addr().Is6() {
		a.Flags, a.Label = unix.IFA_F_NODAD, ""
	}
	if err := h.AddrAdd(l, a); err != nil {
		return fmt.Errorf("add %v to %s: %w", p, link, err)
	}
	return nil
}

// unplug removes the switch's links, and with them every wire.
func unplug(sw netns.NsHandle) error {
	h, err := netlink.NewHandleAt(sw, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	all, err := h.LinkList()
	if err != nil {
		return err
	}
	for _, l := range all {
		if k := l.Type(); k == "veth" || k == "bridge" {
			if err := h.LinkDel(l); err != nil {
				return fmt.Errorf("remove %s: %w", l.Attrs().Name, err)
			}
		}
	}
	return nil
}

// carrier reports whether every port of the switch forwards.
func carrier(sw netns.NsHandle) (bool, error) {
	h, err := netlink.NewHandleAt(sw, unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer h.Close()
	all, err := h.LinkList()
	if err != nil {
		return false, err
	}
	for _, l := range all {
		if l.Type() == "veth" && l.Attrs().OperState != netlink.OperUp {
			return false, nil
		}
	}
	return true, nil
}
