package packet

import "encoding/binary"

// TCPMinLen is the length in bytes of a TCP header without options (RFC 9293, section 3.1).
const TCPMinLen = 20

// TCP is a view of a segment from its header on (RFC 9293, section 3.1). It must hold TCPMinLen bytes. Setters leave
// the checksum as it is.
type TCP []byte

// SrcPort returns the source port.
func (h TCP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:2]) }

// DstPort returns the destination port.
func (h TCP) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Seq returns the sequence number.
func (h TCP) Seq() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Ack returns the acknowledgment number. Valid iff Flags has ACK.
func (h TCP) Ack() uint32 { return binary.BigEndian.Uint32(h[8:12]) }

// HeaderLen returns the data offset in bytes: the length of the header with its options.
func (h TCP) HeaderLen() int { return int(h[12]>>4) * 4 }

// Flags returns all eight control bits: FIN to URG as Meta has them, above them ECE and CWR (RFC 3168, section 6.1).
func (h TCP) Flags() uint8 { return h[13] }

// Window returns the window as it stands, not scaled.
func (h TCP) Window() uint16 { return binary.BigEndian.Uint16(h[14:16]) }

// Checksum returns the checksum as it stands.
func (h TCP) Checksum() uint16 { return binary.BigEndian.Uint16(h[16:18]) }

// UrgentPointer returns the urgent pointer. Valid iff Flags has URG.
func (h TCP) UrgentPointer() uint16 { return binary.BigEndian.Uint16(h[18:20]) }

// SetSrcPort writes the source port.
func (h TCP) SetSrcPort(p uint16) { binary.BigEndian.PutUint16(h[0:2], p) }

// SetDstPort writes the destination port.
func (h TCP) SetDstPort(p uint16) { binary.BigEndian.PutUint16(h[2:4], p) }

// SetSeq writes the sequence number.
func (h TCP) SetSeq(n uint32) { binary.BigEndian.PutUint32(h[4:8], n) }

// SetAck writes the acknowledgment number.
func (h TCP) SetAck(n uint32) { binary.BigEndian.PutUint32(h[8:12], n) }

// SetHeaderLen writes the data offset for a header of n bytes.
func (h TCP) SetHeaderLen(n int) { h[12] = uint8(n/4)<<4 | h[12]&0x0f }

// SetFlags writes all eight control bits.
func (h TCP) SetFlags(f uint8) { h[13] = f }

// SetWindow writes the window.
func (h TCP) SetWindow(w uint16) { binary.BigEndian.PutUint16(h[14:16], w) }

// SetChecksum writes the checksum.
func (h TCP) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[16:18], sum) }
