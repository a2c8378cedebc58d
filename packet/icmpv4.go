package packet

import "encoding/binary"

// ICMPLen is the length in bytes of what every ICMP and ICMPv6 message begins with (RFC 792; RFC 4443, section 2.1):
// type, code, checksum and four bytes whose meaning depends on the type. Errors quote a packet behind it.
const ICMPLen = 8

// ICMP types (RFC 792). Of the errors, Parse looks into the first three, as IPVS does; IPVS leaves parameter problem
// and redirect to the local stack.
const (
	ICMPv4EchoReply       uint8 = 0
	ICMPv4Unreachable     uint8 = 3
	ICMPv4SourceQuench    uint8 = 4
	ICMPv4EchoRequest     uint8 = 8
	ICMPv4TimeExceeded    uint8 = 11
	ICMPv4FragNeeded      uint8 = 4 // code of ICMPv4Unreachable (RFC 1191, section 4)
	ICMPv4PortUnreachable uint8 = 3 // code of ICMPv4Unreachable
)

// ICMPv4 is a view of a message from its ICMP header on, up to the end of the packet (RFC 792). It must hold ICMPLen
// bytes. Setters leave the checksum as it is.
type ICMPv4 []byte

// Type returns the type.
func (h ICMPv4) Type() uint8 { return h[0] }

// Code returns the code within the type.
func (h ICMPv4) Code() uint8 { return h[1] }

// Checksum returns the checksum as it stands.
func (h ICMPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Rest returns the four bytes behind the checksum.
func (h ICMPv4) Rest() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// ID returns the identifier. Valid for echo and echo reply.
func (h ICMPv4) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// Seq returns the sequence number. Valid for echo and echo reply.
func (h ICMPv4) Seq() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// MTU returns the MTU of the next hop in bytes (RFC 1191, section 4); 0 from routers that do not tell. Valid for
// ICMPv4Unreachable with code ICMPv4FragNeeded.
func (h ICMPv4) MTU() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// Quoted returns the packet that an error quotes, as much of it as there is.
func (h ICMPv4) Quoted() IPv4 { return IPv4(h[ICMPLen:]) }

// SetType writes type and code.
func (h ICMPv4) SetType(typ, code uint8) { h[0], h[1] = typ, code }

// SetRest writes the four bytes behind the checksum.
func (h ICMPv4) SetRest(v uint32) { binary.BigEndian.PutUint32(h[4:8], v) }

// SetChecksum writes the checksum.
func (h ICMPv4) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[2:4], sum) }

// ComputeChecksum returns what the checksum ought to be; what stands there does not matter.
func (h ICMPv4) ComputeChecksum() uint16 { return Checksum(h[4:], Sum(h[:2], 0)) }
