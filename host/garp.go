package host

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Announce tells every neighbour on the link called link that a is at the link's MAC address: a gratuitous ARP request, as
// keepalived sends it, or an unsolicited Neighbor Advertisement (RFC 4861, section 7.2.6), which says that its sender is a
// router if the link forwards. One frame is sent, at once: who wants certainty, or a distance between frames, calls again.
func (v *VRRP) Announce(link string, a netip.Addr) error {
	a = a.Unmap()
	if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("announce %v: not the address of a machine", a)
	}
	index, mac, err := v.sender(link)
	if err != nil {
		return fmt.Errorf("announce %v: %w", a, err)
	}
	if a.Is4() {
		return v.emit(link, index, gratuitousARP(mac, a))
	}
	msg := advertisement(mac, a)
	if v.forwards(link) {
		msg[4] |= 0x80 // R
	}
	return v.emit(link, index, neighborFrame(mac, []byte(allNodes), a, netip.IPv6LinkLocalAllNodes(), msg))
}

// sender returns the index and the MAC address of a link.
func (v *VRRP) sender(link string) (int, net.HardwareAddr, error) {
	l := v.Link(link)
	if !l.Exists {
		return 0, nil, fmt.Errorf("%w: %s", ErrNoLink, link)
	}
	if l.MAC == [6]byte{} {
		return 0, nil, fmt.Errorf("%s has no Ethernet address", link)
	}
	return l.Index, l.MAC[:], nil
}

// emit sends a frame as it is.
func (v *VRRP) emit(link string, index int, frame []byte) error {
	to := unix.SockaddrLinklayer{Ifindex: index, Protocol: networkOrder(uint16(frame[12])<<8 | uint16(frame[13])), Halen: 6}
	copy(to.Addr[:], frame[:6])
	if err := unix.Sendto(v.packets, frame, unix.MSG_DONTWAIT, &to); err != nil {
		return fmt.Errorf("send a frame by %s: %w", link, err)
	}
	return nil
}

// networkOrder turns a number of 16 bits so that it lies in memory as on the wire.
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(n >> 8), byte(n)})
}

// gratuitousARP is a request in which the sender asks for itself, with the target's hardware address all ones, which
// RFC 826 leaves open and keepalived fills in so. It is not filled up to 60 bytes: the device does that.
func gratuitousARP(mac net.HardwareAddr, a netip.Addr) []byte {
	b := arpRequest(mac, a, a)[:42]
	copy(b[32:38], broadcast)
	return b
}

// forwards reports whether a link forwards IPv6, so that its host is a router to its neighbours. It is read once, and
// again after the kernel said that a setting of the link changed.
func (v *VRRP) forwards(link string) bool {
	e := v.links.byName[link]
	if e == nil {
		return false
	}
	if e.forwards == unknown {
		e.forwards = no
		if on, err := v.host.sysctl("ipv6", link, "forwarding"); err == nil && on != "0" {
			e.forwards = yes
		}
	}
	return e.forwards == yes
}

// answer is yes or no, or not known.
type answer uint8

const (
	unknown answer = iota
	no
	yes
)
