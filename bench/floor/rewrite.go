package floor

import (
	"encoding/binary"
	"math/bits"

	"dirsw/packet"
)

// Rewrite is what a table does to the frames besides their Ethernet addresses. All but the zero value are for IPv4.
type Rewrite uint8

// The rewrites.
const (
	Nothing Rewrite = iota
	// IPIP puts the packet into another one, whose header is made before but for its length and checksum.
	IPIP
	// NAT writes the destination's address and port, and carries both checksums over.
	NAT
)

// Offsets in a plain frame of IPv4.
const (
	ipLength   = packet.EthernetLen + 2
	ipProtocol = packet.EthernetLen + 9
	ipChecksum = packet.EthernetLen + 10
	ipDst      = packet.EthernetLen + 16
	l4         = packet.EthernetLen + packet.IPv4MinLen
	dstPort    = l4 + 2
	tcpSum     = l4 + 16
	udpSum     = l4 + 6
)

// target is what a rewrite needs to know of a destination.
type target struct {
	addr  [4]byte
	port  uint16
	outer [packet.IPv4MinLen]byte // with length and checksum 0
	sum   uint32                  // over outer
}

// SetRewrite chooses the rewrite. Own is the director's address, IPv4; addr and port are those of the destinations of New.
func (t *Table) SetRewrite(r Rewrite, own packet.Addr, addr []packet.Addr, port uint16) {
	t.rewrite, t.targets = r, nil
	for _, a := range addr {
		d := target{addr: [4]byte(a[12:16]), port: port}
		copy(d.outer[:], []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, packet.ProtoIPIP})
		copy(d.outer[12:16], own[12:16])
		copy(d.outer[16:20], a[12:16])
		for i := 0; i < len(d.outer); i += 2 {
			d.sum += uint32(binary.BigEndian.Uint16(d.outer[i:]))
		}
		t.targets = append(t.targets, d)
	}
}

// change does the rewrite of destination dest and returns the bytes of the frame as they are then.
func (t *Table) change(f *packet.Frame, dest uint64) []byte {
	if t.rewrite == Nothing {
		return f.Bytes()
	}
	d := &t.targets[dest]
	if t.rewrite == IPIP {
		return d.wrap(f)
	}
	return d.masquerade(f.Bytes())
}

// wrap puts the packet of f into another one.
func (d *target) wrap(f *packet.Frame) []byte {
	was := binary.BigEndian.Uint16(f.Bytes()[ipLength:])
	if _, ok := f.Prepend(packet.IPv4MinLen); !ok {
		return f.Bytes()
	}
	b := f.Bytes()
	p := (*[l4]byte)(b)
	n := was + packet.IPv4MinLen
	binary.BigEndian.PutUint16(p[packet.EthernetLen-2:], 0x0800)
	copy(p[packet.EthernetLen:], d.outer[:])
	binary.BigEndian.PutUint16(p[ipLength:], n)
	binary.BigEndian.PutUint16(p[ipChecksum:], ^fold(d.sum+uint32(n)))
	return b
}

// masquerade writes address and port of the destination.
func (d *target) masquerade(b []byte) []byte {
	p := (*[minIPv4]byte)(b)
	sum := add(uint32(^binary.BigEndian.Uint16(p[ipDst:])), ^binary.BigEndian.Uint16(p[ipDst+2:]),
		binary.BigEndian.Uint16(d.addr[:]), binary.BigEndian.Uint16(d.addr[2:]))
	carry(p[ipChecksum:ipChecksum+2], sum)
	sum = add(sum, ^binary.BigEndian.Uint16(p[dstPort:]), d.port)
	at := tcpSum
	if p[ipProtocol] == packet.ProtoUDP {
		at = udpSum
	}
	if at+2 <= len(b) {
		carry(b[at:at+2], sum)
	}
	copy(p[ipDst:], d.addr[:])
	binary.BigEndian.PutUint16(p[dstPort:], d.port)
	return b
}

// add adds words to a sum that is not folded.
func add(sum uint32, words ...uint16) uint32 {
	for _, w := range words {
		sum += uint32(w)
	}
	return sum
}

// carry changes a checksum by the difference in sum (RFC 1624, equation 3).
func carry(b []byte, sum uint32) {
	binary.BigEndian.PutUint16(b, ^fold(uint32(^binary.BigEndian.Uint16(b))+sum))
}

// fold adds the upper half of a sum to its lower one, until there is none.
func fold(sum uint32) uint16 {
	lo, over := bits.Add32(sum<<16, sum&0xffff0000, 0)
	return uint16(lo>>16) + uint16(over)
}
