package packet

import "encoding/binary"

// Protocols of packets inside packets (IANA), as they stand in Protocol or Next Header of the outer header.
const (
	ProtoIPIP uint8 = 4  // IPv4 (RFC 2003)
	ProtoIPv6 uint8 = 41 // IPv6 (RFC 2473, RFC 4213)
	ProtoGRE  uint8 = 47 // RFC 2784
)

// TunnelType is what stands between the outer IP header and the packet inside.
type TunnelType uint8

// The encapsulations, ipvsadm --tun-type.
const (
	// IPIP: nothing, for every combination of IPv4 and IPv6.
	IPIP TunnelType = iota
	// GUE: UDP and the four bytes of Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue-09, section 3.1).
	GUE
	// GRE: Generic Routing Encapsulation (RFC 2784), with neither key nor sequence number.
	GRE
)

// Lengths in bytes of what the encapsulations add to the outer IP header.
const (
	gueLen         = 4
	greLen         = 4
	greChecksumLen = 4 // checksum and the reserved bytes behind it (RFC 2784, sections 2.5 and 2.6)
)

const greHasChecksum = 0x80 // in the first byte of a GRE header

// MaxTunnelLen is the most that Wrap prepends: IPv6, UDP and GUE.
const MaxTunnelLen = IPv6Len + UDPLen + gueLen

// Tunnel is how packets travel to a real server inside others. The zero value is IP in IP.
//
// Sum asks for a checksum in the header of GUE or GRE; IP in IP has none. IPVS can also offload the inner checksum to
// the outer one (remote checksum offload), but does so only for a packet that its own host has left unfinished: for all
// that comes from a network, and for what FinishChecksum has finished, that is Sum.
type Tunnel struct {
	Type TunnelType
	Sum  bool
	Port uint16 // destination port of GUE
}

// Outer is what the outer header of a tunnelled packet does not take over from the packet inside.
type Outer struct {
	Src, Dst *Addr  // of one family; it is that of the outer header
	SrcPort  uint16 // of GUE: see FlowPort
	ID       uint16 // IPv4 identification of a packet that may be cut
	// MayCut clears DF, whatever the packet inside says (net.ipv4.vs.pmtu_disc=0). Without it IPv4 in IPv4 has the DF
	// bit of the packet inside; IPv6 in IPv4 never has it.
	MayCut bool
}

// Len returns how many bytes Wrap prepends towards dst.
func (t Tunnel) Len(dst *Addr) int {
	if dst.Is4() {
		return IPv4MinLen + t.headerLen()
	}
	return IPv6Len + t.headerLen()
}

// headerLen returns the length of what stands between the outer and the inner IP header.
func (t Tunnel) headerLen() int {
	switch t.Type {
	case GUE:
		return UDPLen + gueLen
	case GRE:
		if t.Sum {
			return greLen + greChecksumLen
		}
		return greLen
	}
	return 0
}

// Wrap puts the IP packet of f into another one. m is what Parse learnt of f; it holds for the packet as it is now, and
// is not changed: the outer header starts at m.L3 afterwards, the inner one Len bytes behind it. The Ethernet header
// moves to the front with its VLAN tag, Ethernet's padding goes. TTL, DSCP and ECN are those of the inner header, so
// DecrementTTL comes first; so does FinishChecksum, for nobody mends a checksum inside a tunnel.
//
// It returns false, and changes nothing, if the frame has no room in front or if the outer packet would be longer than
// IP allows.
func (t Tunnel) Wrap(f *Frame, m *Meta, o *Outer) bool {
	n, l3 := t.Len(o.Dst), int(m.L3)
	if int(m.End)-l3+n > 0xffff {
		return false
	}
	b, ok := f.Prepend(n)
	if !ok {
		return false
	}
	f.n = uint32(int(m.End) + n)
	b = b[:f.n:f.n]
	copy(b[:l3], b[n:n+l3])
	outer, inner := b[l3:], b[l3+n:]
	if o.Dst.Is4() {
		binary.BigEndian.PutUint16(b[l3-2:l3], EtherTypeIPv4)
		putOuter4(outer, inner, t.proto(inner), o)
	} else {
		binary.BigEndian.PutUint16(b[l3-2:l3], EtherTypeIPv6)
		putOuter6(outer, inner, t.proto(inner), o)
	}
	switch t.Type {
	case GUE:
		t.putGUE(outer[n-UDPLen-gueLen:], inner, o)
	case GRE:
		t.putGRE(outer[n-t.headerLen():], inner)
	}
	return true
}

// proto returns the protocol in the outer header of a tunnel with the packet inner.
func (t Tunnel) proto(inner []byte) uint8 {
	switch t.Type {
	case GUE:
		return ProtoUDP
	case GRE:
		return ProtoGRE
	}
	return protoOf(inner)
}

// protoOf returns the protocol by which the IP packet inner travels in another.
func protoOf(inner []byte) uint8 {
	if inner[0]>>4 == 6 {
		return ProtoIPv6
	}
	return ProtoIPIP
}

// inherited returns what an outer header takes over from the packet inner: DSCP and ECN, time to live, and DF, which
// IPv6 does not have. Congestion met before the tunnel is not told outside, where ECT(0) stands for it (RFC 3168, section
// 9.1.1; INET_ECN_encapsulate).
func inherited(inner []byte) (tos, ttl uint8, df uint16) {
	h := inner[:IPv4MinLen]
	if h[0]>>4 == 6 {
		tos = uint8(binary.BigEndian.Uint16(h[0:2]) >> 4)
		return tos &^ (tos >> 1 & 1), h[7], 0
	}
	return h[1] &^ (h[1] >> 1 & 1), h[8], binary.BigEndian.Uint16(h[6:8]) & ipv4DF
}

// putOuter4 writes the IPv4 header at the start of p, which reaches to the end of the packet (ip_vs_tunnel_xmit). Words
// and checksum are made from values: a header written in pieces and then read in words has to wait for its pieces.
func putOuter4(p, inner []byte, proto uint8, o *Outer) {
	h := p[:IPv4MinLen]
	tos, ttl, df := inherited(inner)
	id := uint16(0)
	if df == 0 || o.MayCut {
		df, id = 0, o.ID
	}
	first := 0x4500_0000_0000_0000 | uint64(tos)<<48 | uint64(uint16(len(p)))<<32 | uint64(id)<<16 | uint64(df)
	src, dst := binary.BigEndian.Uint32(o.Src[12:16]), binary.BigEndian.Uint32(o.Dst[12:16])
	third := uint32(ttl)<<24 | uint32(proto)<<16
	sum := ^fold64(first>>32 + first&0xffffffff + uint64(third) + uint64(src) + uint64(dst))
	binary.BigEndian.PutUint64(h[0:8], first)
	binary.BigEndian.PutUint32(h[8:12], third|uint32(sum))
	binary.BigEndian.PutUint32(h[12:16], src)
	binary.BigEndian.PutUint32(h[16:20], dst)
}

// putOuter6 writes the IPv6 header at the start of p, which reaches to the end of the packet, with flow label 0
// (ip_vs_tunnel_xmit_v6).
func putOuter6(p, inner []byte, proto uint8, o *Outer) {
	h := p[:IPv6Len]
	tos, ttl, _ := inherited(inner)
	binary.BigEndian.PutUint64(h[0:8], 6<<60|uint64(tos)<<52|uint64(uint16(len(p)-IPv6Len))<<16|uint64(proto)<<8|uint64(ttl))
	*(*Addr)(h[8:24]) = *o.Src
	*(*Addr)(h[24:40]) = *o.Dst
}

// putGUE writes the UDP and GUE headers at the start of p, which reaches to the end of the packet. GUE: variant 0, no
// control message, no options; the protocol of the packet inside; no flags. Without Sum the UDP checksum is 0, in IPv6
// too (RFC 6935).
func (t Tunnel) putGUE(p, inner []byte, o *Outer) {
	h := p[:UDPLen+gueLen]
	proto := protoOf(inner)
	word := uint64(o.SrcPort)<<48 | uint64(t.Port)<<32 | uint64(uint16(len(p)))<<16
	if t.Sum {
		tuple := Tuple{Src: *o.Src, Dst: *o.Dst, Proto: ProtoUDP, Family: IPv6Family}
		if o.Dst.Is4() {
			tuple.Family = IPv4Family
		}
		sum := uint64(pseudoHeader(&tuple, len(p))) + uint64(proto)<<16 // as its place in the GUE header weighs
		sum += word>>32 + word&0xffffffff
		word |= uint64(UDPChecksum(^Fold(Sum(inner, uint32(fold64(sum))))))
	}
	binary.BigEndian.PutUint64(h[0:8], word)
	binary.BigEndian.PutUint32(h[8:12], uint32(proto)<<16)
}

// putGRE writes the GRE header at the start of p, which reaches to the end of the packet. The checksum covers the header
// and the packet inside (RFC 2784, section 2.5).
func (t Tunnel) putGRE(p, inner []byte) {
	typ := EtherTypeIPv4
	if inner[0]>>4 == 6 {
		typ = EtherTypeIPv6
	}
	if !t.Sum {
		binary.BigEndian.PutUint32(p[:greLen], uint32(typ))
		return
	}
	h := p[:greLen+greChecksumLen]
	sum := ^Fold(Sum(inner, greHasChecksum<<8+uint32(typ)))
	binary.BigEndian.PutUint64(h, greHasChecksum<<56|uint64(typ)<<32|uint64(sum)<<16)
}

// Ports from which GUE packets come (net.ipv4.ip_local_port_range).
const (
	flowPortFirst = 32768
	flowPorts     = 60999 - flowPortFirst + 1
)

// FlowPort returns the source port of GUE packets of the flow with that hash: always the same for a flow, so that
// routers on the way and the receiver's queues keep its packets in order, and spread over flows.
func FlowPort(hash uint64) uint16 {
	return uint16(flowPortFirst + (hash>>32)*flowPorts>>32)
}
