package host

import (
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// IP protocols of advertisements.
const (
	ipVRRP = 112
	ipAH   = 51
)

// Path is one way by which advertisements go and come.
type Path struct {
	Link string // interface by which they leave; empty: unicast by the routing table
	// Base is the interface below a VMAC, if Link is one: adverts are heard on it, and its address is the source. The
	// group is joined on Base only, so that no membership report carries the virtual MAC address, which would tell switches
	// that it is here while it is elsewhere.
	Base   string
	VRF    string     // the VRF device of a path without Link; may be empty
	IPv6   bool       // the family
	AH     bool       // IP protocol 51 instead of 112
	Source netip.Addr // not valid: the first address of Base or Link; for IPv6 the one of link scope
	Group  netip.Addr // the multicast group to join; not valid: unicast
	TTL    int        // hop limit of what is sent over IPv6; 0 stands for 255
	RxBuf  int        // bytes that the socket may keep until Receive reads them; 0: the system's default
}

// path is an open Path.
type path struct {
	Path
	id    int
	ear   *ear
	mouth *mouth
	err   error // why ear or mouth is missing
}

// heardOn is the link that packets of the path arrive on.
func (p *path) heardOn() string {
	switch {
	case p.Base != "":
		return p.Base
	case p.Link != "":
		return p.Link
	}
	return p.VRF
}

// leavesBy is the link that a socket to send from is bound to.
func (p *path) leavesBy() string {
	if p.Link != "" {
		return p.Link
	}
	return p.VRF
}

// earKey names a socket to receive with. Paths that agree in it share the socket, as 255 virtual routers of a link do:
// each socket more costs the kernel a copy of each packet.
type earKey struct {
	link  string // empty: all
	ipv6  bool
	proto int
}

// ear is a socket to receive with.
type ear struct {
	key   earKey
	fd    int
	index int // of the link; 0: all
	users map[int]*path
	joins map[netip.Addr]int // groups, with the number of paths that want them
	room  int                // the greatest RxBuf of its paths; 0: the system's
	lost  uint32             // packets for which there was no room, as the kernel counts
}

// mouthKey names a socket to send with.
type mouthKey struct {
	link string
	ipv6 bool
}

// mouth is a socket to send with: every byte of the IP header is ours.
type mouth struct {
	key   mouthKey
	fd    int
	index int
	users map[int]*path
}

// Add opens a path by the number id, and returns the source address of what is sent by it, which is not valid when none
// was given and the link has none. If the link does not exist the path is added all the same, and opened when the link
// appears; that is the error then, which wraps ErrNoLink. It is opened again when the link vanished and came back.
func (v *VRRP) Add(id int, o Path) (source netip.Addr, err error) {
	if v.paths[id] != nil {
		return netip.Addr{}, fmt.Errorf("path %d is open already", id)
	}
	v.know(o.Link, o.Base, o.VRF)
	p := &path{Path: o, id: id}
	v.paths[id] = p
	err = v.host.within(func() error { return v.connect(p) })
	return v.source(p), err
}

// Source returns the source address of a path, as Add does, by what is known now.
func (v *VRRP) Source(id int) netip.Addr {
	if p := v.paths[id]; p != nil {
		return v.source(p)
	}
	return netip.Addr{}
}

func (v *VRRP) source(p *path) netip.Addr {
	if p.Path.Source.IsValid() {
		return p.Path.Source
	}
	for _, a := range v.links.state(p.heardOn()).Addrs {
		if a.Is6() == p.IPv6 && (a.Is4() || a.IsLinkLocalUnicast()) {
			return a
		}
	}
	return netip.Addr{}
}

// Remove closes a path.
func (v *VRRP) Remove(id int) {
	if p := v.paths[id]; p != nil {
		v.disconnect(p)
		delete(v.paths, id)
	}
}

// connect opens the sockets of p, or joins those that are there.
func (v *VRRP) connect(p *path) error {
	err := v.connectEar(p)
	if err == nil {
		err = v.connectMouth(p)
	}
	if err != nil {
		v.disconnect(p)
		err = fmt.Errorf("open path %d: %w", p.id, err)
	}
	p.err = err
	return err
}

// indexOf returns the index of the link called name, 0 for the empty name.
func (v *VRRP) indexOf(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if e := v.links.byName[name]; e != nil {
		return e.Index, nil
	}
	return 0, fmt.Errorf("%w: %s", ErrNoLink, name)
}

func (v *VRRP) connectEar(p *path) error {
	k := earKey{p.heardOn(), p.IPv6, ipVRRP}
	if p.AH {
		k.proto = ipAH
	}
	e := v.ears[k]
	if e == nil {
		index, err := v.indexOf(k.link)
		if err != nil {
			return err
		}
		if e, err = openEar(k, index); err != nil {
			return err
		}
		if err := v.listen(e.fd, e); err != nil {
			unix.Close(e.fd)
			return err
		}
		v.ears[k] = e
	}
	e.users[p.id], p.ear = p, e
	if p.RxBuf > e.room {
		e.room = p.RxBuf
		setBuffer(e.fd, e.room)
	}
	if !p.Group.IsValid() {
		return nil
	}
	if e.joins[p.Group]++; e.joins[p.Group] > 1 {
		return nil
	}
	if err := e.membership(p.Group, unix.IP_ADD_MEMBERSHIP, unix.IPV6_JOIN_GROUP); err != nil {
		return fmt.Errorf("join %v on %s: %w", p.Group, k.link, err)
	}
	return nil
}

// membership joins or leaves a group.
func (e *ear) membership(group netip.Addr, opt4, opt6 int) error {
	if group.Is4() {
		return unix.SetsockoptIPMreqn(e.fd, unix.IPPROTO_IP, opt4, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(e.index)})
	}
	return unix.SetsockoptIPv6Mreq(e.fd, unix.IPPROTO_IPV6, opt6, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(e.index)})
}

// setBuffer sets how much a socket may keep; the kernel's limit for those without privilege does not count.
func setBuffer(fd, bytes int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
}

// option is one setsockopt with a number.
type option struct{ level, name, value int }

func setAll(fd int, options []option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("socket option %d/%d: %w", o.level, o.name, err)
		}
	}
	return nil
}

// openEar opens a socket that hears one protocol on one link. Groups that other programs joined are not heard.
func openEar(k earKey, index int) (*ear, error) {
	family := unix.AF_INET
	options := []option{
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
		{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0},
	}
	if k.ipv6 {
		family = unix.AF_INET6
		options = []option{
			{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1},
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0},
		}
	}
	options = append(options, option{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1})
	if index != 0 {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index})
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, k.proto)
	if err != nil {
		return nil, fmt.Errorf("raw socket of protocol %d: %w", k.proto, err)
	}
	if err := setAll(fd, options); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("raw socket of protocol %d on %s: %w", k.proto, k.link, err)
	}
	return &ear{key: k, fd: fd, index: index, users: map[int]*path{}, joins: map[netip.Addr]int{}}, nil
}

func (v *VRRP) connectMouth(p *path) error {
	k := mouthKey{p.leavesBy(), p.IPv6}
	m := v.mouths[k]
	if m == nil {
		index, err := v.indexOf(k.link)
		if err != nil {
			return err
		}
		if m, err = openMouth(k, index); err != nil {
			return err
		}
		v.mouths[k] = m
	}
	m.users[p.id], p.mouth = p, m
	return nil
}

// openMouth opens a socket of protocol 255, which receives nothing and for which the caller writes the IP header.
func openMouth(k mouthKey, index int) (*mouth, error) {
	family, loop := unix.AF_INET, option{unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0}
	if k.ipv6 {
		family, loop = unix.AF_INET6, option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0}
	}
	// The queue of the device serves what is urgent first (pfifo_fast and its like).
	options := []option{loop, {unix.SOL_SOCKET, unix.SO_PRIORITY, 6}} // TC_PRIO_INTERACTIVE, linux/pkt_sched.h
	if k.ipv6 {                                                       // a VMAC has no address of its own to send from: it is the base link's
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1})
	}
	if index != 0 {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index})
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	if err := setAll(fd, options); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("raw socket on %s: %w", k.link, err)
	}
	return &mouth{key: k, fd: fd, index: index, users: map[int]*path{}}, nil
}

// disconnect takes p from its sockets and closes those that nobody uses.
func (v *VRRP) disconnect(p *path) {
	if e := p.ear; e != nil {
		p.ear = nil
		delete(e.users, p.id)
		if n := e.joins[p.Group]; n > 1 {
			e.joins[p.Group] = n - 1
		} else if n == 1 {
			delete(e.joins, p.Group)
			_ = e.membership(p.Group, unix.IP_DROP_MEMBERSHIP, unix.IPV6_LEAVE_GROUP) // the link may be gone
		}
		if len(e.users) == 0 {
			delete(v.ears, e.key)
			v.deafen(e.fd)
		}
	}
	if m := p.mouth; m != nil {
		p.mouth = nil
		delete(m.users, p.id)
		if len(m.users) == 0 {
			delete(v.mouths, m.key)
			unix.Close(m.fd)
		}
	}
}

// reopen has all paths look anew at the link called name: those that were opened on one of another index are closed,
// and those that are not open are opened if there is such a link.
func (v *VRRP) reopen(name string) {
	index := v.links.state(name).Index
	for _, p := range v.paths {
		if name != p.heardOn() && name != p.leavesBy() {
			continue
		}
		e, m := p.ear, p.mouth
		if e != nil && e.key.link == name && e.index != index || m != nil && m.key.link == name && m.index != index {
			v.disconnect(p)
			p.err = fmt.Errorf("open path %d: %w: %s", p.id, ErrNoLink, name)
		}
	}
	if index == 0 {
		return
	}
	for _, p := range v.paths {
		if p.ear != nil || name != p.heardOn() && name != p.leavesBy() {
			continue
		}
		if err := v.host.within(func() error { return v.connect(p) }); err == nil {
			v.log.Info("opened a path of VRRP again", zap.String("interface", name), zap.Int("path", p.id))
		} else if !errors.Is(err, ErrNoLink) {
			v.log.Warn("cannot open a path of VRRP", zap.String("interface", name), zap.Error(err))
		}
	}
}
