package packet

import (
	"encoding/binary"
	"hash/crc32"
)

// SCTPLen is the length in bytes of the SCTP common header (RFC 9260, section 3.1).
const SCTPLen = 12

// Never written: the table of CRC32c (RFC 9260, appendix A), and what is summed in place of the checksum field. The
// latter would be allocated for each packet if it were local.
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	noChecksum = make([]byte, 4)
)

// SCTP is a view of a packet from its common header on, up to the end of its last chunk (RFC 9260, section 3). It must
// hold SCTPLen bytes. Setters leave the checksum as it is.
type SCTP []byte

// SrcPort returns the source port.
func (h SCTP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:2]) }

// DstPort returns the destination port.
func (h SCTP) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// VerificationTag returns the verification tag, 0 in a packet with an INIT chunk.
func (h SCTP) VerificationTag() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Checksum returns the CRC32c as it stands. Unlike all other fields it is in little-endian order (RFC 9260, appendix
// A).
func (h SCTP) Checksum() uint32 { return binary.LittleEndian.Uint32(h[8:12]) }

// SetSrcPort writes the source port.
func (h SCTP) SetSrcPort(p uint16) { binary.BigEndian.PutUint16(h[0:2], p) }

// SetDstPort writes the destination port.
func (h SCTP) SetDstPort(p uint16) { binary.BigEndian.PutUint16(h[2:4], p) }

// SetVerificationTag writes the verification tag.
func (h SCTP) SetVerificationTag(t uint32) { binary.BigEndian.PutUint32(h[4:8], t) }

// SetChecksum writes the CRC32c.
func (h SCTP) SetChecksum(crc uint32) { binary.LittleEndian.PutUint32(h[8:12], crc) }

// ComputeChecksum returns the CRC32c of the packet, what stands in the field taken as 0 (RFC 9260, section 6.8).
func (h SCTP) ComputeChecksum() uint32 {
	crc := crc32.Update(0, castagnoli, h[:8])
	crc = crc32.Update(crc, castagnoli, noChecksum)
	return crc32.Update(crc, castagnoli, h[SCTPLen:])
}
