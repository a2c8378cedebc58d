package health

import (
	"encoding/binary"
	"net/netip"
)

// Tunnel is how the packets of clients are wrapped for a server of lvs_method TUN.
type Tunnel uint8

// The ways. NoTunnel is lvs_method DR: the packet goes to the server's MAC as it is.
const (
	NoTunnel   Tunnel = iota
	TunnelIPIP        // RFC 2003, RFC 2473
	TunnelGRE         // RFC 2784
	TunnelGUE         // draft-ietf-intarea-gue, without options
)

// Numbers of IP protocols and EtherTypes.
const (
	protoIPIP  = 4
	protoTCP   = 6
	protoUDP   = 17
	protoIPv6  = 41
	protoGRE   = 47
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	pathTTL    = 64
	pathMSS4   = 1400 // room for the outer headers of every tunnel on Ethernet
	pathMSS6   = 1380
	pathWindow = 0xffff
)

// Flags of TCP (RFC 9293, section 3.1).
const (
	tcpSYN = 1 << 1
	tcpRST = 1 << 2
	tcpACK = 1 << 4
)

// segment is a TCP segment without data: what a client would send to a virtual address, or get from it.
type segment struct {
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    byte
}

// packet is s as an IP packet. A SYN carries a maximum segment size.
func (s segment) packet() []byte {
	tcp := make([]byte, 20, 24)
	binary.BigEndian.PutUint16(tcp[0:], s.Src.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.Dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.Seq)
	binary.BigEndian.PutUint32(tcp[8:], s.Ack)
	tcp[13] = s.Flags
	binary.BigEndian.PutUint16(tcp[14:], pathWindow)
	if s.Flags&tcpSYN != 0 {
		mss := uint16(pathMSS4)
		if s.Dst.Addr().Is6() {
			mss = pathMSS6
		}
		tcp = binary.BigEndian.AppendUint16(append(tcp, 2, 4), mss)
	}
	tcp[12] = byte(len(tcp)/4) << 4
	sum := pseudoSum(s.Src.Addr(), s.Dst.Addr(), protoTCP, len(tcp))
	binary.BigEndian.PutUint16(tcp[16:], ^onesSum(sum, tcp))
	return ipPacket(s.Src.Addr(), s.Dst.Addr(), protoTCP, tcp)
}

// ipPacket puts an IPv4 or IPv6 header before body, as the family of the addresses says.
func ipPacket(src, dst netip.Addr, proto byte, body []byte) []byte {
	if dst.Is6() {
		b := make([]byte, 8, 40+len(body))
		b[0] = 0x60
		binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
		b[6], b[7] = proto, pathTTL
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		return append(b, body...)
	}
	b := make([]byte, 12, 20+len(body))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
	b[6] = 0x40 // DF
	b[8], b[9] = pathTTL, proto
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], ^onesSum(0, b))
	return append(b, body...)
}

// pseudoSum begins the checksum of what proto carries in n bytes between two addresses (RFC 9293, section 3.1; RFC 8200,
// section 8.1).
func pseudoSum(src, dst netip.Addr, proto byte, n int) uint32 {
	sum := uint32(onesSum(uint32(proto)+uint32(n), src.AsSlice()))
	return uint32(onesSum(sum, dst.AsSlice()))
}

// wrap puts a packet into a tunnel from src to dst. port is that of GUE, and entropy its source port.
func (t Tunnel) wrap(src, dst netip.Addr, port, entropy uint16, inner []byte) []byte {
	proto, ether := byte(protoIPIP), uint16(etherIPv4)
	if inner[0]>>4 == 6 {
		proto, ether = protoIPv6, etherIPv6
	}
	switch t {
	case TunnelIPIP:
		return ipPacket(src, dst, proto, inner)
	case TunnelGRE:
		gre := binary.BigEndian.AppendUint16([]byte{0, 0}, ether)
		return ipPacket(src, dst, protoGRE, append(gre, inner...))
	case TunnelGUE:
		udp := make([]byte, 8, 12+len(inner))
		binary.BigEndian.PutUint16(udp[0:], entropy)
		binary.BigEndian.PutUint16(udp[2:], port)
		udp = append(append(udp, 0, proto, 0, 0), inner...) // version 0, data, no options
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
		sum := ^onesSum(pseudoSum(src, dst, protoUDP, len(udp)), udp)
		if sum == 0 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(udp[6:], sum)
		return ipPacket(src, dst, protoUDP, udp)
	default:
		return inner
	}
}

// parseSegment reads the TCP header of an IP packet. ok is false for what is none, is a later fragment, or is cut short.
// Checksums are not looked at: the kernel may hand over a packet of this machine before they are made.
func parseSegment(b []byte) (s segment, ok bool) {
	var src, dst netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		head := int(b[0]&0xf) * 4
		if head < 20 || len(b) < head || b[9] != protoTCP || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return s, false
		}
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[head:]
	case len(b) >= 40 && b[0]>>4 == 6:
		if b[6] != protoTCP { // no server answers a SYN with extension headers
			return s, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40:]
	default:
		return s, false
	}
	if len(b) < 20 {
		return s, false
	}
	s.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	s.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	s.Seq, s.Ack, s.Flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
	return s, true
}
