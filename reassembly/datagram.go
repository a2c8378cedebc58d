package reassembly

import (
	"encoding/binary"

	"dirsw/clock"
	"dirsw/packet"
)

// datagram is one that is not complete.
type datagram struct {
	key      key
	hash     uint32
	self     int32
	chain    int32 // the next in the bucket, or the next free one
	older    int32
	newer    int32
	first    int32 // fragment with the lowest offset
	last     int32 // fragment with the highest
	peer     int32 // of IPv4
	seen     uint32
	serial   uint64
	deadline clock.Mono

	len, meat   int32 // where it ends as far as is known, and how much of it is there
	largest     int32 // the longest fragment, from its IP header on
	largestDF   int32 // the longest one with DF
	count       int16
	head        uint16 // of the first fragment: bytes of the frame before its data
	l3          uint16
	fragmentAt  uint16 // of the first fragment: where its fragment header starts, from l3 (IPv6)
	protoAt     uint16
	hasFirst    bool
	hasLast     bool
	ecn         uint8  // a bit for each codepoint that was seen
	from        Origin // of the first fragment
	firstBuffer uint16 // bytes of the frame of the first fragment
}

const datagramBytes = 136

// Outcome is what became of a fragment.
type Outcome uint8

// The outcomes. Unless it says otherwise, the datagram waits on.
const (
	// Held: it was taken in, and the datagram is not complete.
	Held Outcome = iota
	// Whole: it was the last that was missing. Cache.Datagram returns the datagram.
	Whole
	// Duplicate: what it holds was there already.
	Duplicate
	// Overlap: it holds a part of what was there and something new; the datagram was given up (RFC 5722).
	Overlap
	// Bad: it contradicts itself or what came before. In IPv4 the datagram was given up, in IPv6 not always.
	Bad
	// Uneven: an IPv6 fragment with others behind it, of a length that is no multiple of 8 bytes; the datagram was given
	// up. The sender is to be told (RFC 8200, section 4.5).
	Uneven
	// TooMany: the datagram has more than MaxFragments, and was given up.
	TooMany
)

func (o Outcome) String() string {
	return [...]string{"held", "whole", "duplicate", "overlap", "bad", "uneven", "too many"}[o]
}

// part is what a fragment says of itself.
type part struct {
	key        key
	start, end int32
	more       bool
	df         bool
	ecn        uint8
	data       []byte // from start to end
	header     uint16 // bytes from the IP header to the data
	fragmentAt uint16
	protoAt    uint16
	length     int32 // from the IP header on
}

// read4 fills p from the fragment whose IPv4 header starts at m.L3.
func (p *part) read4(frame []byte, m *packet.Meta) {
	h := packet.IPv4(frame[m.L3:])
	*p = part{
		key:    key{m.Src, m.Dst, uint32(h.ID()), h.Protocol(), packet.IPv4Family},
		start:  int32(h.FragmentOffset()),
		more:   h.MoreFragments(),
		df:     h.DontFragment(),
		ecn:    1 << (h.TOS() & 3),
		header: uint16(h.HeaderLen()),
	}
	p.data = frame[int(m.L3)+int(p.header) : m.End]
	if p.more {
		p.data = p.data[:len(p.data)&^7]
	}
	p.end = p.start + int32(len(p.data))
	p.length = int32(p.header) + int32(len(p.data))
}

// read6 fills p from the fragment whose IPv6 header starts at m.L3; false if it has no fragment header.
func (p *part) read6(frame []byte, m *packet.Meta) bool {
	ip := frame[m.L3:m.End]
	at, protoAt, ok := packet.FragmentHeader(ip)
	if !ok {
		return false
	}
	e := ip[at : at+packet.IPv6FragmentLen]
	where := binary.BigEndian.Uint16(e[2:4])
	*p = part{
		key:        key{src: m.Src, dst: m.Dst, id: binary.BigEndian.Uint32(e[4:8]), family: packet.IPv6Family},
		start:      int32(where &^ 7),
		more:       where&1 != 0,
		ecn:        1 << (packet.IPv6(ip).TrafficClass() & 3),
		header:     uint16(at + packet.IPv6FragmentLen),
		fragmentAt: uint16(at),
		protoAt:    uint16(protoAt),
		length:     int32(len(ip)),
	}
	p.data = ip[p.header:]
	p.end = p.start + int32(len(p.data))
	return true
}

// judge4 compares the end of an IPv4 fragment with what is known of its datagram (ip_frag_queue). What lies beyond the
// longest packet is seen there only at the end.
func (d *datagram) judge4(p *part) Outcome {
	switch {
	case p.end > maxIP:
		return Bad
	case !p.more && (p.end < d.len || d.hasLast && p.end != d.len):
		return Bad
	case !p.more:
		d.hasLast, d.len = true, p.end
	case p.end > d.len && d.hasLast:
		return Bad
	case p.end > d.len:
		d.len = p.end
	}
	if p.end == p.start {
		return Bad
	}
	return Held
}

// judge6 does so for IPv6 (nf_ct_frag6_queue): Uneven gives the datagram up, Bad does not.
func (d *datagram) judge6(p *part) Outcome {
	if p.end <= maxIP && p.more && p.end%8 != 0 {
		return Uneven
	}
	return d.judge4(p)
}

// Which codepoints of ECN the fragments of a datagram had (RFC 3168, section 5.3), as bits.
const (
	sawNotECT = 1 << 0
	sawCE     = 1 << 3
)

// ecnOf returns the ECN bits that are added to the first fragment's, false if no datagram has such fragments.
func ecnOf(saw uint8) (uint8, bool) {
	switch {
	case saw&sawNotECT != 0:
		return 0, saw == sawNotECT
	case saw&sawCE != 0 && saw != sawCE:
		return 3, true
	}
	return 0, true
}
