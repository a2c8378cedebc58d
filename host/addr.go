package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addr is an address of this host.
type Addr struct {
	Link int
	Addr netip.Addr
	// Source says that the kernel may choose it to send from: it is neither the second of a net, nor deprecated, nor in
	// question (RFC 4862), and it is valid beyond its link.
	Source bool
}

// Addrs lists the addresses of this host, those of each link in the kernel's order: the first that is a Source is what
// the kernel as a rule sends from.
func (h *Host) Addrs() ([]Addr, error) {
	var out []Addr
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		all, err := h.addrList(family)
		if err != nil {
			return nil, err
		}
		for i := range all {
			a := &all[i]
			const no = unix.IFA_F_SECONDARY | unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
			out = append(out, Addr{a.LinkIndex, fromIP(a.IP), a.Flags&no == 0 && a.Scope < unix.RT_SCOPE_LINK})
		}
	}
	return out, nil
}

// addrList lists the addresses of a's family, asking again if the answer was interrupted by a change.
func (h *Host) addrList(a netip.Addr) ([]netlink.Addr, error) {
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	var err error
	for range 5 {
		var all []netlink.Addr
		if all, err = h.links.AddrList(nil, family); err == nil {
			return all, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return nil, fmt.Errorf("list addresses: %w", err)
}
