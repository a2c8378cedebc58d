package packet

import "encoding/binary"

// ICMPv6 types (RFC 4443, section 2.1). Types below ICMPv6EchoRequest are errors.
const (
	ICMPv6Unreachable      uint8 = 1
	ICMPv6PacketTooBig     uint8 = 2
	ICMPv6TimeExceeded     uint8 = 3
	ICMPv6ParameterProblem uint8 = 4
	ICMPv6EchoRequest      uint8 = 128
	ICMPv6EchoReply        uint8 = 129
	ICMPv6PortUnreachable  uint8 = 4 // code of ICMPv6Unreachable
)

// ICMPv6 is a view of a message from its ICMPv6 header on, up to the end of the packet (RFC 4443, section 2.1). It must
// hold ICMPLen bytes. Setters leave the checksum as it is.
type ICMPv6 []byte

// Type returns the type.
func (h ICMPv6) Type() uint8 { return h[0] }

// Code returns the code within the type.
func (h ICMPv6) Code() uint8 { return h[1] }

// Checksum returns the checksum as it stands; it covers a pseudo-header (RFC 4443, section 2.3).
func (h ICMPv6) Checksum() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Rest returns the four bytes behind the checksum.
func (h ICMPv6) Rest() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// ID returns the identifier. Valid for echo request and reply (RFC 4443, section 4).
func (h ICMPv6) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// Seq returns the sequence number. Valid for echo request and reply (RFC 4443, section 4).
func (h ICMPv6) Seq() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// MTU returns the MTU of the next hop in bytes. Valid for ICMPv6PacketTooBig (RFC 4443, section 3.2).
func (h ICMPv6) MTU() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Quoted returns the packet that an error quotes, as much of it as there is.
func (h ICMPv6) Quoted() IPv6 { return IPv6(h[ICMPLen:]) }

// SetType writes type and code.
func (h ICMPv6) SetType(typ, code uint8) { h[0], h[1] = typ, code }

// SetRest writes the four bytes behind the checksum.
func (h ICMPv6) SetRest(v uint32) { binary.BigEndian.PutUint32(h[4:8], v) }

// SetChecksum writes the checksum.
func (h ICMPv6) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[2:4], sum) }

// ComputeChecksum returns what the checksum ought to be between src and dst; what stands there does not matter.
func (h ICMPv6) ComputeChecksum(src, dst Addr) uint16 {
	return Checksum(h[4:], Sum(h[:2], PseudoHeaderIPv6(src, dst, ProtoICMPv6, len(h))))
}
