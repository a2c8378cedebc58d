package packet

import "encoding/binary"

// Lengths of Ethernet headers in bytes (IEEE 802.3, section 3.2.6; IEEE 802.1Q, section 9.6).
const (
	EthernetLen = 14
	VLANTagLen  = 4
)

// EtherTypes (IEEE 802, assigned numbers of RFC 9542, section 5.1) as they stand in a header.
const (
	EtherTypeIPv4 uint16 = 0x0800
	EtherTypeARP  uint16 = 0x0806
	EtherTypeVLAN uint16 = 0x8100
	EtherTypeIPv6 uint16 = 0x86dd
)

// Ethernet is a view of a frame from its destination address on. It must hold EthernetLen bytes, and VLANTagLen more
// where Type is EtherTypeVLAN and TCI or InnerType are asked for; Parse has seen to that.
type Ethernet []byte

// Dst returns the destination address.
func (e Ethernet) Dst() MAC { return MAC(e[0:6]) }

// Src returns the source address.
func (e Ethernet) Src() MAC { return MAC(e[6:12]) }

// Type returns the EtherType, or the tag protocol identifier of a tagged frame.
func (e Ethernet) Type() uint16 { return binary.BigEndian.Uint16(e[12:14]) }

// TCI returns the tag control information: priority, drop eligibility and VLAN identifier. Valid iff Type is
// EtherTypeVLAN.
func (e Ethernet) TCI() uint16 { return binary.BigEndian.Uint16(e[14:16]) }

// InnerType returns the EtherType behind the tag. Valid iff Type is EtherTypeVLAN.
func (e Ethernet) InnerType() uint16 { return binary.BigEndian.Uint16(e[16:18]) }

// SetDst writes the destination address.
func (e Ethernet) SetDst(a MAC) { *(*MAC)(e[0:6]) = a }

// SetSrc writes the source address.
func (e Ethernet) SetSrc(a MAC) { *(*MAC)(e[6:12]) = a }

// SetType writes the EtherType or the tag protocol identifier.
func (e Ethernet) SetType(t uint16) { binary.BigEndian.PutUint16(e[12:14], t) }
