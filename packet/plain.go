package packet

import (
	"encoding/binary"
	"math/bits"
)

// The load of a director is untagged TCP and UDP without IP options or extension headers, whole and well formed.
// plainIPv4 and plainIPv6 do for such packets what parse does for all, each in one function without calls and with
// constant offsets; it takes 5.5 ns instead of 13 (IPv4) and 8.5 (IPv6). They return false for every other frame, and
// m holds anything then. A test compares them with parse.

// plainIPv4 is parse for a frame with EtherTypeIPv4, of at most maxFrame bytes.
func plainIPv4(frame []byte, m *Meta) bool {
	const l3, l4 = EthernetLen, EthernetLen + IPv4MinLen
	if len(frame) < l4+UDPLen {
		return false
	}
	b := frame[:l4+UDPLen]
	w0 := binary.LittleEndian.Uint64(b[l3 : l3+8])
	w1 := binary.LittleEndian.Uint64(b[l3+8 : l3+16])
	w2 := binary.LittleEndian.Uint32(b[l3+16 : l3+20])
	s, c := bits.Add64(w0, w1, 0)
	s, c = bits.Add64(s, uint64(w2), c)
	end := l3 + int(binary.BigEndian.Uint16(b[l3+2:l3+4]))
	const fragment = 0xff3f // MF and the offset in the fragment field, its bytes swapped
	if uint8(w0) != 0x45 || w0>>48&fragment != 0 || fold64(s+c) != 0xffff || end > len(frame) {
		return false
	}
	proto, hlen, flags := b[l3+9], UDPLen, uint8(0)
	switch proto {
	case ProtoTCP:
		if end < l4+TCPMinLen {
			return false
		}
		t := frame[l4 : l4+TCPMinLen]
		hlen, flags = int(t[12]>>4)*4, t[13]&tcpFlags
		if hlen < TCPMinLen || l4+hlen > end {
			return false
		}
	case ProtoUDP:
		if n := int(binary.BigEndian.Uint16(b[l4+4 : l4+6])); n < UDPLen || l4+n > end {
			return false
		}
	default:
		return false
	}
	m.Src.put4(uint32(w1 >> 32))
	m.Dst.put4(w2)
	m.SrcPort = binary.BigEndian.Uint16(b[l4 : l4+2])
	m.DstPort = binary.BigEndian.Uint16(b[l4+2 : l4+4])
	m.Proto, m.Family = proto, IPv4Family
	m.L3, m.L4, m.Payload, m.End = l3, l4, uint16(l4+hlen), uint32(end)
	m.VLAN, m.Quoted, m.QuotedL4 = 0, 0, 0
	m.TCPFlags, m.Flags = flags, 0
	m.FragID = 0
	return true
}

// plainIPv6 is parse for a frame with EtherTypeIPv6, of at most maxFrame bytes.
func plainIPv6(frame []byte, m *Meta) bool {
	const l3, l4 = EthernetLen, EthernetLen + IPv6Len
	if len(frame) < l4+UDPLen {
		return false
	}
	b := frame[:l4+UDPLen]
	end := l4 + int(binary.BigEndian.Uint16(b[l3+4:l3+6]))
	if b[l3]>>4 != 6 || end > len(frame) {
		return false
	}
	if binary.LittleEndian.Uint64(b[l3+8:l3+16]) == 0 || binary.LittleEndian.Uint64(b[l3+24:l3+32]) == 0 {
		return false // may be v4-mapped
	}
	proto, hlen, flags := b[l3+6], UDPLen, uint8(0)
	switch proto {
	case ProtoTCP:
		if end < l4+TCPMinLen {
			return false
		}
		t := frame[l4 : l4+TCPMinLen]
		hlen, flags = int(t[12]>>4)*4, t[13]&tcpFlags
		if hlen < TCPMinLen || l4+hlen > end {
			return false
		}
	case ProtoUDP:
		n := int(binary.BigEndian.Uint16(b[l4+4 : l4+6]))
		if n < UDPLen || l4+n > end {
			return false
		}
	default:
		return false
	}
	m.Src, m.Dst = Addr(b[l3+8:l3+24]), Addr(b[l3+24:l3+40])
	m.SrcPort = binary.BigEndian.Uint16(b[l4 : l4+2])
	m.DstPort = binary.BigEndian.Uint16(b[l4+2 : l4+4])
	m.Proto, m.Family = proto, IPv6Family
	m.L3, m.L4, m.Payload, m.End = l3, l4, uint16(l4+hlen), uint32(end)
	m.VLAN, m.Quoted, m.QuotedL4 = 0, 0, 0
	m.TCPFlags, m.Flags = flags, 0
	m.FragID = 0
	return true
}
