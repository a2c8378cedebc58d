package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// HoldAddr gives a link an address that the kernel takes away by itself when lifetime has passed without another call:
// so no address outlives a director that was killed. label, for IPv4 only, must be empty or begin with the link's
// name. The lifetime counts in whole seconds, at least one.
//
// An address that is there for good was put there by somebody else; it is left as it is and ReleaseAddr will leave it
// too. One with a lifetime is taken over: the director before this one may have left it.
//
// An IPv6 address comes without duplicate address detection, which would make it useless for a second, and
// deprecated (RFC 4862, section 5.5.4), so that this host does not choose it as a source. It needs CAP_NET_ADMIN.
func (h *Host) HoldAddr(link int, p netip.Prefix, label string, lifetime time.Duration) error {
	p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits())
	key := heldAddr{link, p}
	there, forGood, err := h.address(key)
	if err != nil {
		return err
	}
	if there && forGood {
		h.noteForeign(key)
		return nil
	}
	seconds := max(1, int((lifetime+time.Second-1)/time.Second))
	a := h.netlinkAddr(key)
	a.Label, a.ValidLft, a.PreferedLft = label, seconds, seconds
	if p.Addr().Is6() {
		a.Label, a.PreferedLft, a.Flags = "", 0, unix.IFA_F_NODAD
		if p.IsSingleIP() { // a route to a net of one address says nothing, and would be announced with every refresh
			a.Flags |= unix.IFA_F_NOPREFIXROUTE
		}
	}
	if err := h.links.AddrReplace(nil, a); err != nil {
		return fmt.Errorf("add %v to interface %d: %w", p, link, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[key] = true
	return nil
}

// noteForeign says once that an address is not ours.
func (h *Host) noteForeign(k heldAddr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if held, noted := h.held[k]; held || !noted {
		h.held[k] = false
		h.log.Info("address is there for good and left as it is", zap.Stringer("address", k.prefix), zap.Int("interface", k.link))
	}
}

// ReleaseAddr takes away an address that HoldAddr added. That it is gone already, or the link, is no error.
func (h *Host) ReleaseAddr(link int, p netip.Prefix) error {
	key := heldAddr{link, netip.PrefixFrom(p.Addr().Unmap(), p.Bits())}
	h.mu.Lock()
	held := h.held[key]
	delete(h.held, key)
	h.mu.Unlock()
	if !held {
		return nil
	}
	if there, forGood, err := h.address(key); err != nil || !there || forGood {
		return err
	}
	err := h.links.AddrDel(nil, h.netlinkAddr(key))
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %v from interface %d: %w", p, link, err)
	}
	return nil
}

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

// HasAddr reports whether a is an address of this host, and names the link it is on.
func (h *Host) HasAddr(a netip.Addr) (link string, ok bool) {
	all, err := h.addrList(a.Unmap())
	if err != nil {
		h.log.Warn("cannot list addresses", zap.Error(err))
		return "", false
	}
	for _, have := range all {
		if fromIP(have.IP) != a.Unmap().WithZone("") {
			continue
		}
		if l, err := h.links.LinkByIndex(have.LinkIndex); err == nil {
			return l.Attrs().Name, true
		}
	}
	return "", false
}

// address looks for an address and reports whether it is there, and there without end.
func (h *Host) address(k heldAddr) (there, forGood bool, err error) {
	all, err := h.addrList(k.prefix.Addr())
	if err != nil {
		return false, false, err
	}
	for _, have := range all {
		if ones, _ := have.Mask.Size(); have.LinkIndex == k.link && fromIP(have.IP) == k.prefix.Addr() && ones == k.prefix.Bits() {
			return true, have.Flags&unix.IFA_F_PERMANENT != 0, nil
		}
	}
	return false, false, nil
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

// netlinkAddr converts. There is no broadcast address: the kernel needs none of ours.
func (h *Host) netlinkAddr(k heldAddr) *netlink.Addr {
	ip := net.IP(k.prefix.Addr().AsSlice())
	return &netlink.Addr{
		IPNet:     &net.IPNet{IP: ip, Mask: net.CIDRMask(k.prefix.Bits(), len(ip)*8)},
		LinkIndex: k.link,
		Broadcast: net.IPv4zero,
	}
}
