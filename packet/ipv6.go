package packet

import "encoding/binary"

// IPv6Len is the length in bytes of an IPv6 header without extension headers (RFC 8200, section 3).
const IPv6Len = 40

// Extension headers that Parse follows (RFC 8200, section 4.1), as they stand in Next Header. The Authentication Header
// is not among them: it is ProtoAH, a protocol that a service can have.
const (
	ExtHopByHop    uint8 = 0
	ExtRouting     uint8 = 43
	ExtFragment    uint8 = 44
	ExtDestOptions uint8 = 60
)

// ProtoNoNext in Next Header says that nothing follows (RFC 8200, section 4.7).
const ProtoNoNext uint8 = 59

// IPv6FragmentLen is the length in bytes of a fragment header (RFC 8200, section 4.5).
const IPv6FragmentLen = 8

// IPv6 is a view of a packet from its IPv6 header on (RFC 8200, section 3). It must hold IPv6Len bytes.
type IPv6 []byte

// Version returns the version, 6 in a packet that Parse passed.
func (h IPv6) Version() int { return int(h[0] >> 4) }

// TrafficClass returns DSCP and ECN (RFC 8200, section 7).
func (h IPv6) TrafficClass() uint8 { return uint8(binary.BigEndian.Uint16(h[0:2]) >> 4) }

// FlowLabel returns the 20 bits of the flow label (RFC 6437, section 2).
func (h IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(h[0:4]) & 0xfffff }

// PayloadLen returns the length in bytes of all that follows this header, extension headers included.
func (h IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(h[4:6])) }

// NextHeader returns the kind of the header that follows.
func (h IPv6) NextHeader() uint8 { return h[6] }

// HopLimit returns the hop limit.
func (h IPv6) HopLimit() uint8 { return h[7] }

// Src returns the source address.
func (h IPv6) Src() Addr { return Addr(h[8:24]) }

// Dst returns the destination address.
func (h IPv6) Dst() Addr { return Addr(h[24:40]) }

// SetVersion writes version 6, the traffic class and the flow label, the first four bytes of the header.
func (h IPv6) SetVersion(class uint8, label uint32) {
	binary.BigEndian.PutUint32(h[0:4], 6<<28|uint32(class)<<20|label&0xfffff)
}

// SetPayloadLen writes the length in bytes of all that follows this header.
func (h IPv6) SetPayloadLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

// SetNextHeader writes the kind of the header that follows.
func (h IPv6) SetNextHeader(p uint8) { h[6] = p }

// SetHopLimit writes the hop limit.
func (h IPv6) SetHopLimit(n uint8) { h[7] = n }

// SetSrc writes the source address.
func (h IPv6) SetSrc(a Addr) { *(*Addr)(h[8:24]) = a }

// SetDst writes the destination address.
func (h IPv6) SetDst(a Addr) { *(*Addr)(h[24:40]) = a }
