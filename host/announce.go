package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	//lint:ignore SA1019 this file is its only user here, so that it can be replaced in one place
	"github.com/mdlayher/raw"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Ethernet addresses of groups.
const (
	broadcast = "\xff\xff\xff\xff\xff\xff"
	allNodes  = "\x33\x33\x00\x00\x00\x01" // of ff02::1, RFC 2464, section 7
)

// neighborAdvertisement and neighborSolicitation are ICMPv6 types, RFC 4861, sections 4.4 and 4.3.
const (
	neighborSolicitation  = 135
	neighborAdvertisement = 136
	icmpv6                = 58
)

// solicit asks all of the link for the MAC of hop's neighbour: an ARP request, or a Neighbor Solicitation to the
// solicited-node group (RFC 4861, section 7.2.2). The answer goes to the kernel, which believes it.
func (h *Host) solicit(hop Hop) error {
	a := hop.Gateway
	src := hop.Src
	if src.Is4() != a.Is4() || !src.IsValid() {
		if a.Is6() {
			return h.tell(neighbour{hop.Link, a}, netlink.Neigh{State: netlink.NUD_PROBE}) // a solicitation must have a source
		}
		src = netip.IPv4Unspecified() // an ARP probe, RFC 5227, section 2.1.1
	}
	return h.transmit(hop.Link, "solicit "+a.String(), func(mac net.HardwareAddr) []byte {
		if a.Is4() {
			return arpRequest(mac, src, a)
		}
		group := solicitedNode(a)
		b := group.As16()
		return neighborFrame(mac, append([]byte{0x33, 0x33}, b[12:]...), src, group, solicitation(mac, a))
	})
}

// transmit sends the frame that build makes for the MAC of a link to the address at its front.
func (h *Host) transmit(link int, what string, build func(mac net.HardwareAddr) []byte) error {
	l, err := h.links.LinkByIndex(link)
	if err != nil {
		return fmt.Errorf("%s: interface %d: %w", what, link, err)
	}
	at := l.Attrs()
	if at.EncapType != "ether" || len(at.HardwareAddr) != 6 {
		return fmt.Errorf("%s: %s has no Ethernet address", what, at.Name)
	}
	frame := build(at.HardwareAddr)
	err = h.within(func() error {
		// Protocol 0 binds the socket for sending only: nothing is queued on it.
		c, err := raw.ListenPacket(&net.Interface{Index: link, Name: at.Name, HardwareAddr: at.HardwareAddr}, 0, nil)
		if err != nil {
			return err
		}
		_, err = c.WriteTo(frame, &raw.Addr{HardwareAddr: frame[:6]})
		return errors.Join(err, c.Close())
	})
	if err != nil {
		return fmt.Errorf("%s on %s: %w", what, at.Name, err)
	}
	return nil
}

// arpRequest is a broadcast frame that asks, in the name of sender, who has target (RFC 826).
func arpRequest(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	b := append([]byte(broadcast), mac...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, their lengths, request
	b = append(b, mac...)
	b = append(b, sender.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	b = append(b, target.AsSlice()...)
	return append(b, make([]byte, 60-len(b))...) // the least that Ethernet carries
}

// advertisement is an unsolicited Neighbor Advertisement for a without its checksum: flag O, and the option with mac
// (RFC 4861, sections 4.4 and 4.6.1).
func advertisement(mac net.HardwareAddr, a netip.Addr) []byte {
	b := []byte{neighborAdvertisement, 0, 0, 0, 0x20, 0, 0, 0}
	b = append(b, a.AsSlice()...)
	return append(append(b, 2, 1), mac...)
}

// solicitation is a Neighbor Solicitation for a without its checksum, with the MAC to answer to (RFC 4861, section 4.3).
func solicitation(mac net.HardwareAddr, a netip.Addr) []byte {
	b := []byte{neighborSolicitation, 0, 0, 0, 0, 0, 0, 0}
	b = append(b, a.AsSlice()...)
	return append(append(b, 1, 1), mac...)
}

// solicitedNode is the group in which the owner of a listens (RFC 4291, section 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	copy(b[:], "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff")
	return netip.AddrFrom16(b)
}

// neighborFrame wraps a message of Neighbor Discovery in IPv6 and Ethernet and sets its checksum. The hop limit of 255
// shows the receiver that no router forwarded it.
func neighborFrame(mac net.HardwareAddr, to []byte, src, dst netip.Addr, msg []byte) []byte {
	b := append(append([]byte{}, to...), mac...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(msg)))
	b = append(b, icmpv6, 255)
	addrs := append(src.AsSlice(), dst.AsSlice()...)
	binary.BigEndian.PutUint16(msg[2:], checksum(uint32(len(msg))+icmpv6, addrs, msg))
	return append(append(b, addrs...), msg...)
}

// checksum is the Internet checksum (RFC 1071) of parts of even length, started with sum.
func checksum(sum uint32, parts ...[]byte) uint16 {
	for _, p := range parts {
		for i := 0; i+1 < len(p); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(p[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
