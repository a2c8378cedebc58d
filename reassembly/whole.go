package reassembly

import (
	"math/bits"

	"dirsw/packet"
)

// Headroom is how many bytes are free in front of a datagram in its buffer, for the headers of a tunnel.
const Headroom = 256

// maxFrame is the longest frame that a datagram can be, as long as it has its fragment header.
const maxFrame = packet.EthernetLen + packet.VLANTagLen + packet.IPv6Len + packet.IPv6FragmentLen + maxIP

// NoDesc is the Desc of frames that no Lane has lent: they live in a Cache's memory and must not be given to one.
const NoDesc = ^uint64(0)

// Datagram is one that was put together. It is valid until the next call of Add or Expire.
type Datagram struct {
	// Frame has the first fragment's headers, with length, ECN and checksum of the whole, and in IPv6 without the fragment
	// header. If the longest fragment had DF, so has it.
	Frame packet.Frame
	// Largest is the longest fragment in bytes, from its IP header on.
	Largest int
	// DF says that the longest fragment had DF (IPv4).
	DF bool
	// Options is what was seen of the options of the first fragment.
	Options packet.OptionsSeen
	// Parts are the fragments behind the first one.
	Parts []packet.Part

	firstBuffer int
}

// Datagram returns the datagram that the last call of Add has made Whole.
func (c *Cache) Datagram() *Datagram { return &c.whole }

// assemble makes c.whole of d, all of which is there; false if its fragments do not belong together after all.
func (c *Cache) assemble(d *datagram) bool {
	ecn, ok := ecnOf(d.ecn)
	n := int(d.head-d.l3) + int(d.len)
	if d.key.family == packet.IPv6Family {
		n -= packet.IPv6Len + packet.IPv6FragmentLen
	}
	if !ok || n > maxIP {
		return false
	}
	frags, parts := c.blocks.frags, c.parts[:0]
	at := int(d.head) + int(frags[d.first].end)
	b := c.out[Headroom:]
	c.blocks.load(b[:at], d.first)
	for i := frags[d.first].next; i != none; i = frags[i].next {
		n := int(frags[i].end - frags[i].start)
		c.blocks.load(b[at:at+n], i)
		at += n
		parts = append(parts, packet.Part{Len: uint16(n), Header: frags[i].header})
	}
	w := &c.whole
	w.Options = d.from.Options
	w.Largest, w.DF, w.Parts, w.firstBuffer = int(d.largest), false, parts, int(d.firstBuffer)
	if d.key.family == packet.IPv4Family {
		w.DF = d.largestDF == d.largest
		mend4(b[d.l3:at], ecn, w.DF)
	} else {
		cut := int(d.l3) + int(d.fragmentAt)
		b[int(d.l3)+int(d.protoAt)] = b[cut]
		copy(b[packet.IPv6FragmentLen:], b[:cut])
		b = b[packet.IPv6FragmentLen:]
		at -= packet.IPv6FragmentLen
		mend6(b[d.l3:at], ecn)
	}
	w.Frame = packet.MakeFrame(c.out, len(c.out)-len(b), at, d.from.Port, NoDesc)
	return true
}

// mend4 makes the header of a first fragment that of the datagram ip (ip_frag_reasm).
func mend4(ip []byte, ecn uint8, df bool) {
	h := packet.IPv4(ip)
	h.SetTotalLen(len(ip))
	h.SetTOS(h.TOS() | ecn)
	h.SetFragment(df, false, 0)
	h.SetChecksum(h.ComputeChecksum())
}

// mend6 does so in IPv6 (nf_ct_frag6_reasm).
func mend6(ip []byte, ecn uint8) {
	h := packet.IPv6(ip)
	h.SetVersion(h.TrafficClass()|ecn, h.FlowLabel())
	h.SetPayloadLen(len(ip) - packet.IPv6Len)
}

// Bytes of a buffer in which Linux receives a frame: its smallest, what it keeps free in front, and what it keeps behind.
const (
	bufferMin   = 512
	bufferFront = 16
	bufferEnd   = 320
)

// Coalesce joins to the first fragment those that follow it as long as they fit into the rest of its buffer, as Linux
// does with what is for itself (skb_try_coalesce with room behind the data): after that they are not remembered as
// fragments of their own, and if the first has become too long, the datagram leaves in pieces of equal size. It matters
// only for fragments of unequal sizes.
func (w *Datagram) Coalesce() {
	buffer := max(bufferMin, 1<<bits.Len(uint(w.firstBuffer+bufferFront+63)&^63+bufferEnd-1))
	left := buffer - bufferEnd - 2 - w.firstBuffer
	for len(w.Parts) > 0 && int(w.Parts[0].Len) <= left {
		left -= int(w.Parts[0].Len)
		w.Parts = w.Parts[1:]
	}
}
