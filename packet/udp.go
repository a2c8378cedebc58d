package packet

import "encoding/binary"

// UDPLen is the length in bytes of a UDP header (RFC 768).
const UDPLen = 8

// UDP is a view of a datagram from its UDP header on (RFC 768). It must hold UDPLen bytes. Setters leave the checksum
// as it is.
type UDP []byte

// SrcPort returns the source port.
func (h UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:2]) }

// DstPort returns the destination port.
func (h UDP) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Len returns the length of header and data in bytes.
func (h UDP) Len() int { return int(binary.BigEndian.Uint16(h[4:6])) }

// Checksum returns the checksum as it stands; 0 says that the sender made none.
func (h UDP) Checksum() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// SetSrcPort writes the source port.
func (h UDP) SetSrcPort(p uint16) { binary.BigEndian.PutUint16(h[0:2], p) }

// SetDstPort writes the destination port.
func (h UDP) SetDstPort(p uint16) { binary.BigEndian.PutUint16(h[2:4], p) }

// SetLen writes the length of header and data in bytes.
func (h UDP) SetLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

// SetChecksum writes the checksum. A computed checksum of 0 must be given as 0xffff; UDPChecksum does that.
func (h UDP) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[6:8], sum) }
