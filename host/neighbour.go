package host

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Groups of neighbour states (include/net/neighbour.h). In the valid ones the kernel has a MAC and sends to it; in the
// fresh ones it also has good reason to believe it.
const (
	nudValid = netlink.NUD_PERMANENT | netlink.NUD_NOARP | netlink.NUD_REACHABLE | netlink.NUD_PROBE |
		netlink.NUD_STALE | netlink.NUD_DELAY
	nudFixed = netlink.NUD_PERMANENT | netlink.NUD_NOARP
	nudFresh = nudFixed | netlink.NUD_REACHABLE
)

// solicitations is how many of our own go unanswered before the kernel is told to probe. One may be ignored: for a
// second after the state of an entry changed the kernel does not believe in another MAC (locktime, arp(7)).
const solicitations = 2

// entry is what the kernel knows of a neighbour. A state of 0 means nothing.
type entry struct {
	state int
	mac   [6]byte
}

// neighbour asks for one entry of the neighbour tables.
func (h *Host) neighbour(k neighbour) (entry, error) {
	family := unix.AF_INET
	if k.addr.Is6() {
		family = unix.AF_INET6
	}
	req := h.request(unix.RTM_GETNEIGH, 0)
	req.AddData(&netlink.Ndmsg{Family: uint8(family), Index: uint32(k.link)})
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, k.addr.AsSlice()))
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if errors.Is(err, unix.ENOENT) || err == nil && len(answers) == 0 {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("ask for neighbour %v: %w", k.addr, err)
	}
	n, err := netlink.NeighDeserialize(answers[0])
	if err != nil {
		return entry{}, fmt.Errorf("ask for neighbour %v: %w", k.addr, err)
	}
	e := entry{state: n.State}
	if n.State&nudValid != 0 && len(n.HardwareAddr) == len(e.mac) {
		copy(e.mac[:], n.HardwareAddr)
	}
	return e, nil
}

// Resolve makes the kernel find out, or verify, the MAC of the neighbour of hop. It does not wait: Watch tells of the
// answer, and NextHop shows it. It sends no datagram, only what ARP (RFC 826) and Neighbor Discovery (RFC 4861) send.
//
// It is to be called now and then, at intervals of about a second, for a hop that is not Resolved or is Stale, since
// what bypasses the kernel never tells it that a neighbour still answers. It may be called for a fresh one, if a server
// stopped answering. Each call may send one frame.
//
// An unknown neighbour the kernel resolves itself. One it knows is solicited by a broadcast (a multicast, in IPv6) of
// ours, because the kernel would first ask at the old MAC for three seconds: the answer confirms the entry, or gives it
// the new MAC at once. If none comes, the kernel is told to probe, and gives the entry up unless it is answered. (A
// managed neighbour, NTF_EXT_MANAGED, would need none of this, but stays in the kernel for good when the process that
// asked for it is killed.)
func (h *Host) Resolve(hop Hop) error {
	if hop.Local || hop.Unreachable || !hop.Gateway.IsValid() {
		return nil
	}
	k := neighbour{hop.Link, hop.Gateway}
	e, err := h.neighbour(k)
	if err != nil {
		return err
	}
	switch {
	case e.state&nudFixed != 0 || e.state&netlink.NUD_PROBE != 0 || e.state&netlink.NUD_INCOMPLETE != 0:
		return nil // nothing to find out, or being found out
	case e.state&nudValid == 0:
		return h.tell(k, netlink.Neigh{Flags: netlink.NTF_USE})
	}
	if e.state&nudFresh == 0 && h.enough(k) {
		err := h.tell(k, netlink.Neigh{State: netlink.NUD_PROBE})
		if errors.Is(err, unix.EINVAL) { // the entry has lost its MAC since we asked
			return h.tell(k, netlink.Neigh{Flags: netlink.NTF_USE})
		}
		return err
	}
	return h.solicit(hop)
}

// enough counts the solicitations of a stale neighbour and reports whether there have been enough.
func (h *Host) enough(k neighbour) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked[k] < solicitations {
		h.asked[k]++
		return false
	}
	delete(h.asked, k)
	return true
}

// forget starts the count anew.
func (h *Host) forget(k neighbour) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asked, k)
}

// tell changes an entry of the neighbour tables, creating it if need be.
func (h *Host) tell(k neighbour, n netlink.Neigh) error {
	n.LinkIndex, n.IP = k.link, net.IP(k.addr.AsSlice())
	if err := h.links.NeighSet(&n); err != nil {
		return fmt.Errorf("have neighbour %v resolved: %w", k.addr, err)
	}
	return nil
}
