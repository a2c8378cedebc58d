package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// vmacAlias is the alias of the links that VMACs makes, by which those of a director that was killed are known.
const vmacAlias = "dirsw virtual router"

// VMAC is a link with a MAC address of its own on top of another one: a macvlan in private mode, or an ipvlan, which
// shares the MAC address.
type VMAC struct {
	Name   string // "vrrp.51"
	Base   string // the link below
	IPv6   bool   // the family of its virtual router
	MAC    [6]byte
	IPvlan bool
	Mode   string       // of an ipvlan: "bridge", "private" or "vepa"; empty: bridge
	Addr   netip.Prefix // of an ipvlan; may be not valid
	Group  uint32       // interface group
}

// VMACs makes and removes the links of virtual routers, and keeps the settings that their base links had. One goroutine
// uses it; it needs CAP_NET_ADMIN.
type VMACs struct {
	host    *Host
	made    map[string]VMAC
	bases   map[string]*baseLink
	filters []loan // rp_filter of all links, "all" the last of them; nil: as it was
}

// baseLink is what a link was before a VMAC was put on it.
type baseLink struct {
	users    int
	settings []loan
}

// VMACs returns an empty set.
func (h *Host) VMACs() *VMACs {
	return &VMACs{host: h, made: map[string]VMAC{}, bases: map[string]*baseLink{}}
}

// Make makes the link, up, or takes over one that is there and is as it should be. One of that name that a director left
// and that is otherwise is replaced; anything else of that name is an error. What it sets beside it is what keepalived
// 2.2.7 sets: a VMAC of IPv4 answers ARP for its own addresses alone, accepts packets from them, and has no IPv6; one
// of IPv6 gets no address by itself and asks for no router; the base link answers ARP for its own addresses only, by
// the way that packets to the asker would take.
func (m *VMACs) Make(v VMAC) error {
	if was, ok := m.made[v.Name]; ok {
		if was == v && m.stands(&v) {
			return nil
		}
		if err := m.Remove(v.Name); err != nil {
			return err
		}
	}
	if err := m.make(v); err != nil {
		return fmt.Errorf("make %s on %s: %w", v.Name, v.Base, err)
	}
	m.made[v.Name] = v
	return nil
}

// stands reports whether the link is still there: it vanishes with the one below it.
func (m *VMACs) stands(v *VMAC) bool {
	base, err := m.host.links.LinkByName(v.Base)
	if err != nil {
		return false
	}
	l, err := m.host.links.LinkByName(v.Name)
	return err == nil && l.Attrs().ParentIndex == base.Attrs().Index
}

func (m *VMACs) make(v VMAC) error {
	base, err := m.host.links.LinkByName(v.Base)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrNoLink, v.Base)
	}
	there, err := m.adopt(v, base.Attrs().Index)
	if err != nil {
		return err
	}
	if !there {
		if err := m.host.links.LinkAdd(v.link(base.Attrs().Index)); err != nil {
			return err
		}
	}
	if err = m.prepareBase(v); err == nil {
		err = m.finish(v)
	}
	if err != nil {
		_ = m.restoreBase(v)
		if !there {
			_ = m.delete(v.Name)
		}
	}
	return err
}

// adopt looks for a link of that name, and removes it if it is another director's and not as v says.
func (m *VMACs) adopt(v VMAC, base int) (there bool, err error) {
	l, err := m.host.links.LinkByName(v.Name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a := l.Attrs()
	want := "macvlan"
	if v.IPvlan {
		want = "ipvlan"
	}
	if l.Type() != want {
		return false, fmt.Errorf("there is an interface of that name, of the kind %q", l.Type())
	}
	fits := a.ParentIndex == base && (v.IPvlan || string(a.HardwareAddr) == string(v.MAC[:]))
	if mv, ok := l.(*netlink.Macvlan); ok {
		fits = fits && mv.Mode == netlink.MACVLAN_MODE_PRIVATE
	}
	if fits {
		return true, nil
	}
	virtual := len(a.HardwareAddr) == 6 && strings.HasPrefix(string(a.HardwareAddr), "\x00\x00\x5e\x00")
	if a.Alias != vmacAlias && !virtual {
		return false, errors.New("there is an interface of that name, on another link or with another MAC address")
	}
	m.host.log.Info("replacing the interface of a virtual router that was left behind", zap.String("interface", v.Name))
	return false, m.delete(v.Name)
}

// link is the link as netlink takes it.
func (v *VMAC) link(base int) netlink.Link {
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex, a.Group = v.Name, base, v.Group
	if !v.IPvlan {
		a.HardwareAddr = net.HardwareAddr(v.MAC[:])
		return &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_PRIVATE}
	}
	flags := map[string]netlink.IPVlanFlag{"private": netlink.IPVLAN_FLAG_PRIVATE, "vepa": netlink.IPVLAN_FLAG_VEPA}
	return &netlink.IPVlan{LinkAttrs: a, Mode: netlink.IPVLAN_MODE_L2, Flag: flags[v.Mode]}
}

// finish does what comes after the link is there.
func (m *VMACs) finish(v VMAC) error {
	l, err := m.host.links.LinkByName(v.Name)
	if err != nil {
		return err
	}
	if err := m.host.links.LinkSetAlias(l, vmacAlias); err != nil {
		return fmt.Errorf("set its alias: %w", err)
	}
	if err := m.settings(v); err != nil {
		return err
	}
	if err := m.host.links.LinkSetUp(l); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	if v.IPvlan && v.Addr.IsValid() {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: v.Addr.Addr().AsSlice(), Mask: net.CIDRMask(v.Addr.Bits(), v.Addr.Addr().BitLen())}}
		if v.Addr.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := m.host.links.AddrReplace(l, a); err != nil {
			return fmt.Errorf("give it %v: %w", v.Addr, err)
		}
	}
	return nil
}

// settings are the sysctls of the VMAC itself.
func (m *VMACs) settings(v VMAC) error {
	type setting struct{ family, key, value string }
	list := []setting{
		{"ipv4", "arp_ignore", "1"}, {"ipv4", "accept_local", "1"}, {"ipv4", "rp_filter", "0"},
		{"ipv4", "promote_secondaries", "1"}, {"ipv6", "addr_gen_mode", "1"}, {"ipv6", "disable_ipv6", "1"},
	}
	if v.IPv6 {
		list = []setting{
			// 1: none (IN6_ADDR_GEN_MODE_NONE, linux/if_link.h). What asks for routers would show switches the MAC address.
			{"ipv6", "addr_gen_mode", "1"}, {"ipv6", "autoconf", "0"}, {"ipv6", "accept_ra", "0"},
			{"ipv6", "router_solicitations", "0"}, {"ipv6", "disable_ipv6", "0"},
		}
	}
	for _, s := range list {
		if _, err := m.host.setSysctl(s.family, v.Name, s.key, s.value); err != nil && !absentSetting(err) {
			return err
		}
	}
	return nil
}

// prepareBase makes the link below leave the answers to ARP for virtual addresses to the VMAC.
func (m *VMACs) prepareBase(v VMAC) error {
	if v.IPv6 || v.IPvlan {
		return nil
	}
	if b := m.bases[v.Base]; b != nil {
		b.users++
		return nil
	}
	b := &baseLink{users: 1}
	m.bases[v.Base] = b
	for _, key := range []string{"arp_ignore", "arp_filter"} {
		was, err := m.host.unlent(v.Base, key)
		if n, _ := strconv.Atoi(was); err == nil && n <= 0 { // else it is stricter already
			b.settings = append(b.settings, loan{v.Base, key, was, "1"})
		}
	}
	if err := m.host.borrow(b.settings); err != nil {
		return err
	}
	return m.loosen()
}

// loosen takes the filter of reverse paths from VMACs, over which come packets of the base link's net: the setting of
// all links is given to each other one, as the kernel takes the greater of the two (net/ipv4/fib_frontend.c).
func (m *VMACs) loosen() error {
	all, err := m.host.unlent("all", "rp_filter")
	if err != nil || all == "0" || m.filters != nil {
		return err
	}
	links, err := m.host.linkList()
	if err != nil {
		return err
	}
	names := []string{"default"}
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	for _, name := range names {
		if was, err := m.host.unlent(name, "rp_filter"); err == nil && was < all { // one digit each
			m.filters = append(m.filters, loan{name, "rp_filter", was, all})
		}
	}
	m.filters = append(m.filters, loan{"all", "rp_filter", all, "0"})
	return m.host.borrow(m.filters)
}

// Remove removes the link, and gives its base link back what was changed there with the last one. That it is gone
// already is no error.
func (m *VMACs) Remove(name string) error {
	v, ok := m.made[name]
	if !ok {
		return nil
	}
	delete(m.made, name)
	return errors.Join(m.delete(name), m.restoreBase(v))
}

// restoreBase undoes what prepareBase did, with the last VMAC.
func (m *VMACs) restoreBase(v VMAC) (err error) {
	if b := m.bases[v.Base]; b != nil && !v.IPv6 && !v.IPvlan {
		if b.users--; b.users == 0 {
			delete(m.bases, v.Base)
			err = m.host.giveBack(b.settings)
		}
	}
	if len(m.bases) == 0 && m.filters != nil {
		err = errors.Join(err, m.host.giveBack(m.filters))
		m.filters = nil
	}
	return err
}

// delete removes a link.
func (m *VMACs) delete(name string) error {
	l, err := m.host.links.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = m.host.links.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Sweep removes the links of virtual routers that a director left behind and that keep does not name.
func (m *VMACs) Sweep(keep func(name string) bool) error {
	all, err := m.host.linkList()
	if err != nil {
		return err
	}
	for _, l := range all {
		name := l.Attrs().Name
		if _, ours := m.made[name]; ours || l.Attrs().Alias != vmacAlias || keep(name) {
			continue
		}
		m.host.log.Info("removing the interface of a virtual router that was left behind", zap.String("interface", name))
		err = errors.Join(err, m.delete(name))
	}
	return err
}
