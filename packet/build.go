package packet

import (
	"encoding/binary"
	"slices"
)

// Spec says what Build makes. Only Tuple needs to be set; Tuple.Family may be 0, the family is then that of Src.
type Spec struct {
	SrcMAC, DstMAC MAC
	VLAN           uint16 // tag control information; 0 leaves the frame untagged
	Tuple

	TOS uint8  // type of service or traffic class
	TTL uint8  // time to live or hop limit; 0 stands for 64
	ID  uint16 // IPv4 identification; IPv6 fragment identification; identifier of an echo
	DF  bool   // IPv4 only

	// Options of the IPv4 header, a multiple of 4 bytes, at most MaxOptionsLen; not part of Build's dst.
	Options []byte

	// Of a fragment: where Payload belongs, in bytes (a multiple of 8), and whether more follow. With an offset there is
	// no transport header. A first fragment has one, as if it were the whole datagram. IPv6 gets a fragment header.
	FragmentOffset int
	MoreFragments  bool

	TCPFlags uint8
	Seq, Ack uint32 // TCP; the sequence number of an echo is Seq too
	Window   uint16 // TCP; 0 stands for 65535, but not with RST
	Tag      uint32 // SCTP verification tag

	// Of an ICMP or ICMPv6 message. If all are 0 it is an echo request with identifier ID and sequence number Seq.
	ICMPType, ICMPCode uint8
	ICMPRest           uint32

	Payload []byte // behind the transport header: data, SCTP chunks, what an ICMP error quotes; not part of Build's dst
}

// Build makes a whole frame with right lengths and checksums, in dst if its capacity suffices, and returns it. It is
// not padded to the Ethernet minimum. It panics if the packet would be longer than an IP packet can be.
func Build(dst []byte, s Spec) []byte {
	if s.Family == 0 {
		s.Family = IPv6Family
		if s.Src.Is4() {
			s.Family = IPv4Family
		}
	}
	s.TTL = orDefault(s.TTL, 64)
	l3, l4 := s.offsets()
	t := l4 + s.transportLen()
	n := t + len(s.Payload)
	if s.Family == IPv4Family && n-l3 > 0xffff || n-l3-IPv6Len > 0xffff {
		panic("packet: Build: longer than an IP packet can be")
	}
	b := slices.Grow(dst[:0], n)[:n]
	clear(b)
	copy(b[t:], s.Payload)
	s.putEthernet(b)
	if s.Family == IPv4Family {
		s.putIPv4(b[l3:])
	} else {
		s.putIPv6(b[l3:])
	}
	if s.FragmentOffset == 0 {
		s.putTransport(b[l4:])
	}
	return b
}

func orDefault[T uint8 | uint16](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// fragmented reports whether s describes a part of a datagram.
func (s *Spec) fragmented() bool { return s.FragmentOffset != 0 || s.MoreFragments }

// offsets returns where the IP header and the transport header start.
func (s *Spec) offsets() (l3, l4 int) {
	l3 = EthernetLen
	if s.VLAN != 0 {
		l3 += VLANTagLen
	}
	switch {
	case s.Family == IPv4Family:
		return l3, l3 + IPv4MinLen + len(s.Options)
	case s.fragmented():
		return l3, l3 + IPv6Len + IPv6FragmentLen
	}
	return l3, l3 + IPv6Len
}

// transportLen returns the length of the transport header.
func (s *Spec) transportLen() int {
	if s.FragmentOffset != 0 {
		return 0
	}
	switch s.Proto {
	case ProtoTCP:
		return TCPMinLen
	case ProtoUDP:
		return UDPLen
	case ProtoSCTP:
		return SCTPLen
	case ProtoICMP, ProtoICMPv6:
		return ICMPLen
	}
	return 0
}

func (s *Spec) putEthernet(b []byte) {
	e := Ethernet(b)
	e.SetDst(s.DstMAC)
	e.SetSrc(s.SrcMAC)
	typ := EtherTypeIPv4
	if s.Family == IPv6Family {
		typ = EtherTypeIPv6
	}
	if s.VLAN == 0 {
		e.SetType(typ)
		return
	}
	e.SetType(EtherTypeVLAN)
	binary.BigEndian.PutUint16(b[14:16], s.VLAN)
	binary.BigEndian.PutUint16(b[16:18], typ)
}

func (s *Spec) putIPv4(b []byte) {
	h := IPv4(b)
	h[0] = 0x45 + uint8(len(s.Options)/4)
	copy(h[IPv4MinLen:], s.Options)
	h.SetTOS(s.TOS)
	h.SetTotalLen(len(b))
	h.SetID(s.ID)
	h.SetFragment(s.DF, s.MoreFragments, s.FragmentOffset)
	h.SetTTL(s.TTL)
	h.SetProtocol(s.Proto)
	h.SetSrc(s.Src)
	h.SetDst(s.Dst)
	h.SetChecksum(h.ComputeChecksum())
}

func (s *Spec) putIPv6(b []byte) {
	h := IPv6(b)
	h.SetVersion(s.TOS, 0)
	h.SetPayloadLen(len(b) - IPv6Len)
	h.SetNextHeader(s.Proto)
	h.SetHopLimit(s.TTL)
	h.SetSrc(s.Src)
	h.SetDst(s.Dst)
	if !s.fragmented() {
		return
	}
	h.SetNextHeader(ExtFragment)
	f := b[IPv6Len : IPv6Len+IPv6FragmentLen]
	part := uint16(s.FragmentOffset) &^ 7
	if s.MoreFragments {
		part |= 1
	}
	f[0] = s.Proto
	binary.BigEndian.PutUint16(f[2:4], part)
	binary.BigEndian.PutUint32(f[4:8], uint32(s.ID))
}

// putTransport writes the transport header at the start of t and the checksum over all of t.
func (s *Spec) putTransport(t []byte) {
	switch s.Proto {
	case ProtoTCP:
		h := TCP(t)
		h.SetSrcPort(s.SrcPort)
		h.SetDstPort(s.DstPort)
		h.SetSeq(s.Seq)
		h.SetAck(s.Ack)
		h.SetHeaderLen(TCPMinLen)
		h.SetFlags(s.TCPFlags)
		if s.TCPFlags&RST == 0 {
			s.Window = orDefault(s.Window, 0xffff)
		}
		h.SetWindow(s.Window)
		h.SetChecksum(Checksum(t, pseudoHeader(&s.Tuple, len(t))))
	case ProtoUDP:
		h := UDP(t)
		h.SetSrcPort(s.SrcPort)
		h.SetDstPort(s.DstPort)
		h.SetLen(len(t))
		h.SetChecksum(UDPChecksum(Checksum(t, pseudoHeader(&s.Tuple, len(t)))))
	case ProtoSCTP:
		h := SCTP(t)
		h.SetSrcPort(s.SrcPort)
		h.SetDstPort(s.DstPort)
		h.SetVerificationTag(s.Tag)
		h.SetChecksum(h.ComputeChecksum())
	case ProtoICMP, ProtoICMPv6:
		s.putICMP(t)
	}
}

// putICMP writes an ICMP message of either family; their first eight bytes have the same shape.
func (s *Spec) putICMP(t []byte) {
	h, typ, rest := ICMPv4(t), s.ICMPType, s.ICMPRest
	if typ == 0 && s.ICMPCode == 0 && rest == 0 {
		typ, rest = ICMPv4EchoRequest, uint32(s.ID)<<16|s.Seq&0xffff
		if s.Proto == ProtoICMPv6 {
			typ = ICMPv6EchoRequest
		}
	}
	h.SetType(typ, s.ICMPCode)
	h.SetRest(rest)
	if s.Proto == ProtoICMPv6 {
		h.SetChecksum(ICMPv6(t).ComputeChecksum(s.Src, s.Dst))
		return
	}
	h.SetChecksum(h.ComputeChecksum())
}
