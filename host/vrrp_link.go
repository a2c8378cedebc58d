package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// linkTable is what a VRRP knows of links and addresses, kept by the kernel's news.
type linkTable struct {
	byName map[string]*linkEntry
	byID   map[int]*linkEntry
	held   func(link int, a netip.Addr) bool // addresses that are ours do not count
}

// linkEntry is one link.
type linkEntry struct {
	LinkState
	addrs    []linkAddr // in the order of the kernel
	forwards answer     // IPv6
}

// linkAddr is an address of a link.
type linkAddr struct {
	netip.Prefix
	scope uint8
}

// rank sorts addresses as LinkState.Addrs has them.
func (a linkAddr) rank() int {
	switch {
	case a.Addr().Is4():
		return 0
	case a.Addr().IsLinkLocalUnicast():
		return 1
	}
	return 2
}

func (t *linkTable) clear() {
	t.byName, t.byID = map[string]*linkEntry{}, map[int]*linkEntry{}
}

// state returns what is known of the link called name.
func (t *linkTable) state(name string) LinkState {
	e := t.byName[name]
	if e == nil {
		return LinkState{Name: name}
	}
	s := e.LinkState
	s.Addrs = nil
	for rank := range 3 {
		for _, a := range e.addrs {
			if a.rank() == rank {
				s.Addrs = append(s.Addrs, a.Addr())
			}
		}
	}
	return s
}

// name returns the name of a link, empty if it is not known.
func (t *linkTable) name(index int) string {
	if e := t.byID[index]; e != nil {
		return e.Name
	}
	return ""
}

// learn takes what netlink says of a link, and returns the names whose state changed: two when it was renamed.
func (t *linkTable) learn(l netlink.Link) []string {
	a := l.Attrs()
	s := LinkState{
		Name: a.Name, Index: a.Index, Exists: true, Parent: a.ParentIndex,
		Up: a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
	}
	if a.EncapType == "ether" {
		copy(s.MAC[:], a.HardwareAddr)
	}
	var changed []string
	e := t.byID[s.Index]
	switch {
	case e == nil:
		if other := t.byName[s.Name]; other != nil { // its end will be told, or was lost
			delete(t.byID, other.Index)
		}
		e = &linkEntry{}
		changed = append(changed, s.Name)
	case e.Name != s.Name:
		delete(t.byName, e.Name)
		changed = append(changed, e.Name, s.Name)
	case e.Up != s.Up || e.MAC != s.MAC || e.Parent != s.Parent:
		changed = append(changed, s.Name)
	}
	e.LinkState = s
	t.byID[s.Index], t.byName[s.Name] = e, e
	return changed
}

// forget takes away a link and returns its name, if it had one.
func (t *linkTable) forget(index int) []string {
	e := t.byID[index]
	if e == nil {
		return nil
	}
	delete(t.byID, index)
	if t.byName[e.Name] == e {
		delete(t.byName, e.Name)
	}
	return []string{e.Name}
}

// address takes news of an address, and returns the name of its link if that changes its LinkState.
func (t *linkTable) address(link int, a linkAddr, there bool) []string {
	e := t.byID[link]
	if e == nil {
		return nil
	}
	same := func(b linkAddr) bool { return b.Prefix == a.Prefix }
	i := slices.IndexFunc(e.addrs, same)
	switch {
	case there && i < 0 && !t.held(link, a.Addr()):
		e.addrs = append(e.addrs, a)
	case !there && i >= 0:
		e.addrs = slices.Delete(e.addrs, i, i+1)
	default:
		return nil
	}
	return []string{e.Name}
}

// openNews subscribes to links and addresses and then asks for those that are.
func (v *VRRP) openNews() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	v.news = fd
	setBuffer(fd, watchBuffer)
	const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_NETCONF-1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("subscribe to changes of links: %w", err)
	}
	v.links.held = v.Holdings.has
	v.links.clear()
	if err := v.ask(); err != nil {
		return err
	}
	return v.listen(fd, news{})
}

// ask fills the table by asking for all links and addresses.
func (v *VRRP) ask() error {
	links, err := v.host.linkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		v.links.learn(l)
	}
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		all, err := v.host.addrList(family)
		if err != nil {
			return err
		}
		for i := range all {
			a := &all[i]
			ones, _ := a.Mask.Size()
			if counts(uint32(a.Flags), fromIP(a.IP)) {
				v.links.address(a.LinkIndex, linkAddr{netip.PrefixFrom(fromIP(a.IP), ones), uint8(a.Scope)}, true)
			}
		}
	}
	return nil
}

// counts says whether an address of these flags may be the source of an advert: not the second of a net, and not in
// question (RFC 4862).
func counts(flags uint32, a netip.Addr) bool {
	if a.Is4() {
		return flags&unix.IFA_F_SECONDARY == 0
	}
	return flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 || flags&unix.IFA_F_OPTIMISTIC != 0
}

// news is the netlink socket.
type news struct{}

// read reads once, applies what it says, and queues events of the links that changed.
func (news) read(v *VRRP) (Event, bool, bool) {
	var buf [1 << 15]byte
	n, _, err := unix.Recvfrom(v.news, buf[:], unix.MSG_DONTWAIT)
	switch {
	case err == nil:
	case errors.Is(err, unix.EINTR):
		return Event{}, false, true
	case errors.Is(err, unix.ENOBUFS):
		v.relearn()
		return Event{}, false, true
	default:
		return Event{}, false, false
	}
	msgs, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil {
		v.relearn()
		return Event{}, false, true
	}
	var changed []string
	for i := range msgs {
		changed = append(changed, v.apply(&msgs[i])...)
	}
	for _, name := range changed {
		v.tell(name)
	}
	return Event{}, false, true
}

// know reads the news that has not been read if one of the names is not known: it may be a link so new that nothing was
// heard of it yet. The kernel queues the news before who made the link is answered.
func (v *VRRP) know(names ...string) {
	for _, name := range names {
		if name == "" || v.links.byName[name] != nil {
			continue
		}
		for more := true; more; {
			_, _, more = news{}.read(v)
		}
		return
	}
}

// relearn is for when news was lost: everything is asked for again and what changed is told.
func (v *VRRP) relearn() {
	before := map[string]LinkState{}
	for name := range v.links.byName {
		before[name] = v.links.state(name)
	}
	v.links.clear()
	if err := v.ask(); err != nil {
		v.log.Warn("cannot ask for links and addresses", zap.Error(err))
	}
	for name := range v.links.byName {
		if _, was := before[name]; !was {
			before[name] = LinkState{}
		}
	}
	for name, was := range before {
		is := v.links.state(name)
		if is.Exists != was.Exists || is.Up != was.Up || is.Index != was.Index || is.MAC != was.MAC || !slices.Equal(is.Addrs, was.Addrs) {
			v.tell(name)
		}
	}
}

// tell notes that Receive is to tell of a link, by the state it then has, and opens what waited for the link. So what came
// and went, or went and came, between two calls is not told: a link that was just made is not down, then up.
func (v *VRRP) tell(name string) {
	v.reopen(name)
	v.reguard(name)
	if !slices.Contains(v.changed, name) {
		v.changed = append(v.changed, name)
	}
}

// apply applies a message and returns the names of the links whose state changed.
func (v *VRRP) apply(m *syscall.NetlinkMessage) []string {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC { // AF_BRIDGE tells of ports
			return nil
		}
		if m.Header.Type == unix.RTM_DELLINK {
			index := int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
			v.Holdings.forgetLink(index)
			return v.links.forget(index)
		}
		h := unix.NlMsghdr{Len: m.Header.Len, Type: m.Header.Type, Flags: m.Header.Flags}
		if l, err := netlink.LinkDeserialize(&h, m.Data); err == nil {
			return v.links.learn(l)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return v.applyAddress(m)
	case unix.RTM_NEWNETCONF: // forwarding was switched, or something near it
		for _, e := range v.links.byID {
			e.forwards = unknown
		}
	}
	return nil
}

// applyAddress applies news of an address.
func (v *VRRP) applyAddress(m *syscall.NetlinkMessage) []string {
	link, a, flags, ok := parseAddress(m.Data)
	if !ok {
		return nil
	}
	return v.links.address(link, a, m.Header.Type == unix.RTM_NEWADDR && counts(flags, a.Addr()))
}

// parseAddress reads a message of an address (struct ifaddrmsg, linux/if_addr.h).
func parseAddress(b []byte) (link int, a linkAddr, flags uint32, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0, a, 0, false
	}
	flags = uint32(b[2])
	var addr netip.Addr
	for kind, value := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_ADDRESS:
			if !addr.IsValid() {
				addr = fromIP(value)
			}
		case unix.IFA_LOCAL:
			addr = fromIP(value)
		case unix.IFA_FLAGS:
			if len(value) >= 4 {
				flags = binary.NativeEndian.Uint32(value)
			}
		}
	}
	link = int(binary.NativeEndian.Uint32(b[4:]))
	return link, linkAddr{netip.PrefixFrom(addr, int(b[1])), b[3]}, flags, addr.IsValid()
}

// Link returns what is known of the link called name. A link that was just made is known.
func (v *VRRP) Link(name string) LinkState {
	v.know(name)
	return v.links.state(name)
}
