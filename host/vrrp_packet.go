package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Packet is an advertisement that came.
type Packet struct {
	Paths    []int  // the open paths that it may be for, in rising order: those of its link, family, protocol and of its group or of none
	Link     string // where it arrived
	Src, Dst netip.Addr
	TTL      int    // TTL or hop limit; -1: not known
	Protocol uint8  // 112 or 51
	Header   []byte // IPv4: the header with its options, as it came; nil for IPv6
	Data     []byte // what follows the IP header
}

// Send sends one packet by a path. For IPv4 msg begins with the IP header, of which the kernel fills in the checksum and
// the total length; for IPv6 it is what follows the IP header, which gets traffic class 0xc0, the path's hop limit and
// its source. It never blocks: what finds no room in the device's queue is lost, and that is the error.
func (v *VRRP) Send(id int, dst netip.Addr, msg []byte) error {
	p := v.paths[id]
	switch {
	case p == nil:
		return fmt.Errorf("send to %v: path %d is not open", dst, id)
	case p.mouth == nil:
		return fmt.Errorf("send to %v: %w", dst, p.err)
	case dst.Is6() != p.IPv6 || !dst.IsValid():
		return fmt.Errorf("send to %v: not an address of the path's family", dst)
	}
	err := p.send(v, dst, msg)
	for try := 0; errors.Is(err, unix.EINTR) && try < 3; try++ {
		err = p.send(v, dst, msg)
	}
	if err != nil {
		return fmt.Errorf("send to %v by %s: %w", dst, p.leavesBy(), err)
	}
	return nil
}

func (p *path) send(v *VRRP, dst netip.Addr, msg []byte) error {
	if !p.IPv6 {
		if len(msg) < 20 || msg[0]>>4 != 4 {
			return errors.New("no IPv4 header")
		}
		return unix.Sendto(p.mouth.fd, msg, 0, &unix.SockaddrInet4{Addr: dst.As4()})
	}
	src := v.source(p)
	if !src.IsValid() {
		return errors.New("the link has no IPv6 address to send from")
	}
	to := &unix.SockaddrInet6{Addr: dst.As16()}
	if dst.IsLinkLocalUnicast() || dst.IsLinkLocalMulticast() {
		to.ZoneId = uint32(p.mouth.index)
	}
	from := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16(), Ifindex: uint32(p.mouth.index)})
	_, err := unix.SendmsgN(p.mouth.fd, p.header6(src, dst, msg), from, to, 0)
	return err
}

// header6 puts an IPv6 header before msg (RFC 8200, section 3).
func (p *path) header6(src, dst netip.Addr, msg []byte) []byte {
	proto, hops := byte(ipVRRP), byte(255)
	if p.AH {
		proto = ipAH
	}
	if p.TTL > 0 {
		hops = byte(min(p.TTL, 255))
	}
	b := make([]byte, 0, 40+len(msg))
	b = append(b, 0x6c, 0, 0, 0) // version 6, traffic class 0xc0 (internetwork control), no flow label
	b = binary.BigEndian.AppendUint16(b, uint16(len(msg)))
	b = append(b, proto, hops)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, msg...)
}

// read receives one packet.
func (e *ear) read(v *VRRP) (Event, bool, bool) {
	n, oobn, _, from, err := unix.Recvmsg(e.fd, v.buf, v.oob, unix.MSG_DONTWAIT)
	if err != nil {
		// Also when the link went down (ENETDOWN), which is told once; netlink tells it as well.
		return Event{}, false, errors.Is(err, unix.EINTR)
	}
	p := Packet{TTL: -1, Protocol: uint8(e.key.proto), Link: e.key.link}
	index := e.control(v, &p, v.oob[:oobn])
	if e.key.link == "" {
		p.Link = v.links.name(index)
	}
	ok := false
	switch sa := from.(type) {
	case *unix.SockaddrInet4:
		p.Src = netip.AddrFrom4(sa.Addr)
		ok = p.fill4(v.buf[:n])
	case *unix.SockaddrInet6:
		p.Src = netip.AddrFrom16(sa.Addr)
		p.Data, ok = v.buf[:n], true
	}
	v.ids = v.ids[:0]
	for id, u := range e.users {
		if !p.Dst.IsMulticast() && !u.Group.IsValid() || p.Dst == u.Group {
			v.ids = append(v.ids, id)
		}
	}
	slices.Sort(v.ids)
	p.Paths = v.ids
	return Event{Kind: AdvertCame, Packet: p}, ok && len(v.ids) > 0, true
}

// fill4 takes a packet apart behind its IPv4 header, which the kernel has checked.
func (p *Packet) fill4(b []byte) bool {
	if len(b) < 20 {
		return false
	}
	hl := int(b[0]&15) * 4
	if hl < 20 || hl > len(b) {
		return false
	}
	p.TTL = int(b[8])
	p.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	p.Header, p.Data = b[:hl:hl], b[hl:]
	return true
}

// control reads what the kernel says beside a packet, and returns the index of its link.
func (e *ear) control(v *VRRP, p *Packet, oob []byte) (index int) {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return index
		}
		oob = rest
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= 12: // struct in_pktinfo
			index = int(binary.NativeEndian.Uint32(data))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= 20: // struct in6_pktinfo
			p.Dst = netip.AddrFrom16([16]byte(data[:16]))
			index = int(binary.NativeEndian.Uint32(data[16:]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			p.TTL = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			e.lost = binary.NativeEndian.Uint32(data)
		}
	}
	return index
}

// Lost returns how many packets came for which the sockets now open had no room, because Receive was not called in time
// or somebody floods. A socket's count is brought by the next packet that it does take.
func (v *VRRP) Lost() uint64 {
	var sum uint64
	for _, e := range v.ears {
		sum += uint64(e.lost)
	}
	return sum
}
