package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Answer is a frame from the wire that claims a guarded address: a neighbour says that it has it.
type Answer struct {
	Link string
	Addr netip.Addr
	MAC  [6]byte // who says so
	Src  [6]byte // the source of its frame, which is another one if a proxy answers
	Own  bool    // MAC is that of a link of this host: another of its links on the same wire, or a partner with the same virtual MAC
}

// guardKey names a socket that hears who claims addresses.
type guardKey struct {
	link string
	ipv6 bool
}

// guard is a packet socket that hears ARP, or Neighbor Advertisements.
type guard struct {
	key   guardKey
	fd    int // -1: the link is not there
	index int
	addrs map[netip.Addr]bool
}

// Guard has Receive tell of each frame on a link that claims one of the addresses: any ARP packet that has it as sender
// (RFC 5227, section 2.4), and any Neighbor Advertisement for it. Frames that this host sends do not count. No addresses:
// the guard of the link ends. The link need not exist yet.
func (v *VRRP) Guard(link string, addrs []netip.Addr) error {
	v.know(link)
	var err error
	for _, six := range []bool{false, true} {
		k := guardKey{link, six}
		want := map[netip.Addr]bool{}
		for _, a := range addrs {
			if a = a.Unmap(); a.Is6() == six {
				want[a] = true
			}
		}
		g := v.guards[k]
		switch {
		case len(want) == 0:
			v.dropGuard(k)
			continue
		case g == nil:
			g = &guard{key: k, fd: -1}
			v.guards[k] = g
		case maps.Equal(g.addrs, want) && g.fd >= 0:
			continue
		}
		g.addrs = want
		err = errors.Join(err, v.connectGuard(g))
	}
	return err
}

// dropGuard ends one guard.
func (v *VRRP) dropGuard(k guardKey) {
	if g := v.guards[k]; g != nil && g.fd >= 0 {
		v.deafen(g.fd)
	}
	delete(v.guards, k)
}

// reguard looks anew at the guards of a link, which may have come, gone or changed its index.
func (v *VRRP) reguard(link string) {
	index := v.links.state(link).Index
	for _, six := range []bool{false, true} {
		g := v.guards[guardKey{link, six}]
		if g == nil || g.fd >= 0 && g.index == index {
			continue
		}
		if index == 0 {
			if g.fd >= 0 {
				v.deafen(g.fd)
				g.fd = -1
			}
			continue
		}
		if err := v.connectGuard(g); err != nil {
			v.log.Warn("cannot listen for strangers that have virtual addresses", zap.String("interface", link), zap.Error(err))
		}
	}
}

// connectGuard opens the socket of g, in place of the one there is.
func (v *VRRP) connectGuard(g *guard) error {
	if g.fd >= 0 {
		v.deafen(g.fd)
		g.fd = -1
	}
	index, err := v.indexOf(g.key.link)
	if err != nil {
		return nil // reguard will open it
	}
	err = v.host.within(func() error {
		fd, err := openGuard(g, index)
		if err == nil {
			g.fd, g.index = fd, index
			err = v.listen(fd, g)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("listen on %s for who has virtual addresses: %w", g.key.link, err)
	}
	return nil
}

// openGuard opens a packet socket with a filter, so that the thread is woken for what matters only.
func openGuard(g *guard, index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	proto, compile := uint16(unix.ETH_P_ARP), arpFilter
	if g.key.ipv6 {
		proto, compile = unix.ETH_P_IPV6, naFilter
	}
	filter := compile(g.addrs)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: networkOrder(proto)}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Offsets in an Ethernet frame.
const (
	arpOperation = 14 + 6
	arpSenderMAC = 14 + 8
	arpSenderIP  = 14 + 14
	arpTargetIP  = 14 + 24
	ip6Next      = 14 + 6
	icmp6Type    = 14 + 40
	naTarget     = icmp6Type + 8
	naOptions    = naTarget + 16
	filterList   = 200 // addresses that a filter compares one by one: the jumps of classic BPF reach 255 instructions
)

func load(size, at int) unix.SockFilter {
	return unix.SockFilter{Code: uint16(unix.BPF_LD | size | unix.BPF_ABS), K: uint32(at)}
}

func jumpEqual(value uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: uint8(yes), Jf: uint8(no)}
}

func give(bytes uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: bytes}
}

// oneOf accepts if the word at an offset is one of the words.
func oneOf(at int, words map[uint32]bool) []unix.SockFilter {
	f := []unix.SockFilter{load(unix.BPF_W, at)}
	left := len(words)
	for w := range words {
		f = append(f, jumpEqual(w, left, 0))
		left--
	}
	return append(f, give(0), give(128))
}

// arpFilter accepts ARP packets whose sender is one of the addresses. If there are too many to be compared it accepts
// answers and announcements.
func arpFilter(addrs map[netip.Addr]bool) []unix.SockFilter {
	if len(addrs) <= filterList {
		words := map[uint32]bool{}
		for a := range addrs {
			b := a.As4()
			words[binary.BigEndian.Uint32(b[:])] = true
		}
		return oneOf(arpSenderIP, words)
	}
	return []unix.SockFilter{
		load(unix.BPF_H, arpOperation),
		jumpEqual(2, 4, 0), // a reply
		load(unix.BPF_W, arpSenderIP),
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		load(unix.BPF_W, arpTargetIP),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X, Jt: 0, Jf: 1},
		give(128),
		give(0),
	}
}

// naFilter accepts Neighbor Advertisements of which the last four bytes of the target are those of one of the addresses;
// if there are too many to be compared, all.
func naFilter(addrs map[netip.Addr]bool) []unix.SockFilter {
	words := map[uint32]bool{}
	for a := range addrs {
		b := a.As16()
		words[binary.BigEndian.Uint32(b[12:])] = true
	}
	tail := []unix.SockFilter{give(128)}
	if len(words) <= filterList {
		tail = oneOf(naTarget+12, words)
	}
	return append([]unix.SockFilter{
		load(unix.BPF_B, ip6Next), jumpEqual(icmpv6, 1, 0), give(0),
		load(unix.BPF_B, icmp6Type), jumpEqual(neighborAdvertisement, 1, 0), give(0),
	}, tail...)
}

// read receives one frame.
func (g *guard) read(v *VRRP) (Event, bool, bool) {
	n, _, err := unix.Recvfrom(g.fd, v.buf, unix.MSG_DONTWAIT)
	if err != nil {
		return Event{}, false, errors.Is(err, unix.EINTR)
	}
	a, ok := g.parse(v.buf[:n])
	if !ok || !g.addrs[a.Addr] {
		return Event{}, false, true
	}
	a.Link = g.key.link
	for _, e := range v.links.byID {
		a.Own = a.Own || e.MAC == a.MAC
	}
	return Event{Kind: AnswerCame, Answer: a}, true, true
}

// parse reads who claims what.
func (g *guard) parse(b []byte) (a Answer, ok bool) {
	if len(b) < 14 {
		return a, false
	}
	copy(a.Src[:], b[6:12])
	if !g.key.ipv6 {
		if len(b) < arpTargetIP+4 {
			return a, false
		}
		copy(a.MAC[:], b[arpSenderMAC:])
		a.Addr = netip.AddrFrom4([4]byte(b[arpSenderIP : arpSenderIP+4]))
		return a, true
	}
	if len(b) < naOptions {
		return a, false
	}
	a.MAC = a.Src
	a.Addr = netip.AddrFrom16([16]byte(b[naTarget:naOptions]))
	for o := b[naOptions:]; len(o) >= 8 && o[1] > 0 && len(o) >= int(o[1])*8; o = o[int(o[1])*8:] {
		if o[0] == 2 { // target link-layer address, RFC 4861, section 4.6.1
			copy(a.MAC[:], o[2:8])
			break
		}
	}
	return a, true
}

// Probe asks all of a link who has a: an ARP probe, which names no sender and so changes nobody's tables (RFC 5227,
// section 2.1.1), or a Neighbor Solicitation from the link's own address. Receive brings the answers if a is guarded there.
func (v *VRRP) Probe(link string, a netip.Addr) error {
	a = a.Unmap()
	if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("probe %v: not the address of a machine", a)
	}
	index, mac, err := v.sender(link)
	if err != nil {
		return fmt.Errorf("probe %v: %w", a, err)
	}
	if a.Is4() {
		return v.emit(link, index, arpRequest(mac, netip.IPv4Unspecified(), a))
	}
	src := v.asker(link, a)
	if !src.IsValid() {
		return fmt.Errorf("probe %v: %s has no IPv6 address to ask from", a, link)
	}
	group := solicitedNode(a)
	b := group.As16()
	return v.emit(link, index, neighborFrame(mac, append([]byte{0x33, 0x33}, b[12:]...), src, group, solicitation(mac, a)))
}

// asker returns the address to ask from for a on a link, or below it: one of link scope if there is one.
func (v *VRRP) asker(link string, a netip.Addr) (src netip.Addr) {
	l := v.links.state(link)
	for _, own := range append(l.Addrs, v.links.state(v.links.name(l.Parent)).Addrs...) {
		if own.Is6() && own != a && (!src.IsValid() || own.IsLinkLocalUnicast() && !src.IsLinkLocalUnicast()) {
			src = own
		}
	}
	return src
}
