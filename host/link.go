package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoLink is the error for a link that does not exist.
var ErrNoLink = errors.New("no such interface")

// Link is a network interface.
type Link struct {
	Index  int
	Name   string
	MAC    [6]byte // zero if the link has no Ethernet address
	MTU    int     // bytes of the IP packet
	Up     bool    // administratively up, with carrier
	Driver string  // the kernel driver ("veth", "virtio_net", "bridge"); the kind of link if the driver does not say
	Queues int     // receive queues in use; at least 1
	// TxQueues are the transmit queues in use; at least 1.
	TxQueues int
	// Kind is what the kernel calls the sort of link ("veth", "bridge", "bond", "vlan"; "device" is hardware). Parent is the
	// index of the link below it, as of a VLAN, and Master that of the bridge or bond that it is in; 0: none.
	Kind           string
	Parent, Master int
	// Unfinished says that frames from senders on this machine, or from guests and the hypervisor beside it, may arrive
	// with a transport checksum that holds only the sum of the pseudo-header: the kernel passes the mark that says so
	// (CHECKSUM_PARTIAL, include/linux/skbuff.h) from device to device, and AF_XDP loses it.
	Unfinished bool
}

// Links lists the links of the namespace in the order of their index.
func (h *Host) Links() ([]Link, error) {
	all, err := h.linkList()
	if err != nil {
		return nil, err
	}
	out := make([]Link, 0, len(all))
	for _, l := range all {
		out = append(out, h.link(l, all))
	}
	slices.SortFunc(out, func(a, b Link) int { return a.Index - b.Index })
	return out, nil
}

// Link returns the link of that name. The error wraps ErrNoLink if there is none, and lists the names that exist.
func (h *Host) Link(name string) (Link, error) {
	l, err := h.links.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) { // EINVAL, ERANGE: it cannot be a name
		return Link{}, h.noLink(name)
	}
	if err != nil {
		return Link{}, fmt.Errorf("ask for interface %s: %w", name, err)
	}
	var below []netlink.Link
	if l.Attrs().ParentIndex != 0 || l.Type() == "bond" || l.Type() == "team" {
		if below, err = h.linkList(); err != nil {
			return Link{}, err
		}
	}
	return h.link(l, below), nil
}

// noLink is the error for a name that no link has.
func (h *Host) noLink(name string) error {
	all, err := h.linkList()
	if err != nil {
		return fmt.Errorf("%w: %s; %w", ErrNoLink, name, err)
	}
	var names []string
	for _, l := range all {
		if l.Attrs().RawFlags&unix.IFF_LOOPBACK == 0 {
			names = append(names, l.Attrs().Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: %s; there is none here but the loopback", ErrNoLink, name)
	}
	slices.Sort(names)
	return fmt.Errorf("%w: %s; there is %s", ErrNoLink, name, strings.Join(names, ", "))
}

// linkList asks for all links, again if the answer was interrupted by a change.
func (h *Host) linkList() ([]netlink.Link, error) {
	for range 5 {
		all, err := h.links.LinkList()
		if err == nil {
			return all, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("list interfaces: %w", err)
		}
	}
	return nil, fmt.Errorf("list interfaces: %w", netlink.ErrDumpInterrupted)
}

// link converts l; all are the links it may be stacked on.
func (h *Host) link(l netlink.Link, all []netlink.Link) Link {
	a := l.Attrs()
	rx, tx := h.queues(l)
	out := Link{
		Index:      a.Index,
		Name:       a.Name,
		MTU:        a.MTU,
		Up:         a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
		Driver:     h.driver(l),
		Queues:     rx,
		TxQueues:   tx,
		Kind:       l.Type(),
		Parent:     a.ParentIndex,
		Master:     a.MasterIndex,
		Unfinished: h.unfinished(l, all, 8),
	}
	if a.EncapType == "ether" {
		copy(out.MAC[:], a.HardwareAddr)
	}
	return out
}

// unfinished reports whether l may deliver frames with checksums left for an offload. Hardware does not; the drivers
// listed are those of hypervisors that hand over the mark of their guests. A link made of others inherits from the
// ones below it; any other kind of virtual link has local senders, or may have. depth bounds the stack; the kernel allows
// eight (MAX_NEST_DEV, include/linux/netdevice.h).
func (h *Host) unfinished(l netlink.Link, all []netlink.Link, depth int) bool {
	a := l.Attrs()
	var below func(*netlink.LinkAttrs) bool
	switch l.Type() {
	case "device":
		switch h.driver(l) {
		case "virtio_net", "xen_netfront", "vif":
			return true
		}
		return a.RawFlags&unix.IFF_LOOPBACK != 0
	case "vlan", "macsec":
		if a.NetNsID >= 0 {
			return true // the parent is in another namespace, and not known here
		}
		below = func(b *netlink.LinkAttrs) bool { return b.Index == a.ParentIndex }
	case "bond", "team":
		below = func(b *netlink.LinkAttrs) bool { return b.MasterIndex == a.Index }
	default:
		return true
	}
	return depth > 0 && slices.ContainsFunc(all, func(b netlink.Link) bool {
		return below(b.Attrs()) && h.unfinished(b, all, depth-1)
	})
}
