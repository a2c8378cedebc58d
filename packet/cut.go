package packet

import "encoding/binary"

// Part is a fragment behind the first one, as it came: the sizes in which a reassembled packet leaves again.
type Part struct {
	Len    uint16 // bytes of data
	Header uint16 // bytes of the IP header and, in IPv6, of all up to the end of the fragment header
}

// Plan says how a packet is to be cut.
type Plan struct {
	// MTU is the most bytes that a fragment may have, from its IP header on.
	MTU int
	// Largest is the longest of the fragments that the packet was reassembled from, 0 if it came whole. What leaves is no
	// longer, but in IPv6 may have 1280 bytes in any case.
	Largest int
	// Parts are the fragments behind the first one that the packet was reassembled from.
	Parts []Part
	// DF sets DF in each piece (IPv4), unless the packet leaves as it came.
	DF bool
	// ID is the identification of the pieces (IPv6).
	ID uint32
}

// MinMTUIPv6 is what every link carries that carries IPv6 (RFC 8200, section 5).
const MinMTUIPv6 = 1280

// Cut divides an IP packet into fragments, as Linux does it (ip_do_fragment, ip6_fragment): a packet that was reassembled
// leaves in the pieces that it came in if those fit as they are, otherwise in pieces as large as they may be. Start sets
// it up, each Next makes one fragment. The zero value has none. It allocates nothing and reads the frame only.
type Cut struct {
	frame   []byte // all of it, without Ethernet's padding
	l3      int
	hlen    int    // bytes of the IP packet that each fragment begins with
	room    int    // bytes of data for which a fragment has room
	next    int    // offset in the data of what the next fragment begins with
	parts   []Part // what is behind the first fragment, if the packet leaves as it came
	first   int    // bytes of data in the first fragment then
	asCame  bool
	v6, df  bool
	proto   uint8 // IPv6: of what follows the fragment header
	protoAt int   // IPv6: where that stands in what each fragment begins with
	id      uint32
	options bool // IPv4: there are some, and those not to be copied are still there
	head    [maxHead]byte
}

// maxHead is the longest Ethernet header with a tag and IPv4 header with options.
const maxHead = EthernetLen + VLANTagLen + 60

// Start prepares to cut the packet whose IP header begins at l3 of frame; it ends with the frame. It returns false if no
// fragment has room for data: for an MTU too small. Frame must not change, and p.Parts must hold, until Next returned
// false.
func (c *Cut) Start(frame []byte, l3 int, p *Plan) bool {
	c.frame, c.l3, c.next, c.id, c.df = frame, l3, 0, p.ID, p.DF
	ip := frame[l3:]
	c.v6 = ip[0]>>4 == 6
	limit, fragment := p.MTU, 0
	if c.v6 {
		c.hlen, c.protoAt = unfragmentable(ip)
		c.proto, fragment = ip[c.protoAt], IPv6FragmentLen
		if p.Largest != 0 {
			limit = min(limit, max(p.Largest, MinMTUIPv6))
		}
	} else {
		c.hlen = IPv4(ip).HeaderLen()
		c.options = c.hlen > IPv4MinLen
		if p.Largest != 0 {
			limit = min(limit, p.Largest)
		}
	}
	c.room = limit - c.hlen - fragment
	c.asCame = c.fits(p.Parts, fragment)
	if !c.v6 {
		copy(c.head[:], frame[:l3+c.hlen])
		c.df = c.df && !c.asCame
	}
	return c.room >= 8
}

// fits reports whether the packet can leave in the pieces that it came in: they must not be too long, the first one,
// which may have got longer since, must end at a multiple of 8 bytes, and each must have had a header that is not
// shorter than the one that it gets. The last is because Linux puts the header where the old one was.
func (c *Cut) fits(parts []Part, fragment int) bool {
	first := len(c.frame) - c.l3 - c.hlen
	for i, p := range parts {
		n := int(p.Len)
		if n > c.room || n%8 != 0 && i < len(parts)-1 || int(p.Header) < c.hlen+fragment {
			return false
		}
		first -= n
	}
	if len(parts) == 0 || first <= 0 || first%8 != 0 || first > c.room {
		return false
	}
	c.first, c.parts = first, parts
	return true
}

// Next makes f the next fragment, with the Ethernet header of the packet, and reports whether there was one. The buffer
// of f must have room for the headers and the MTU behind the place where f starts (Frame.Room); Next panics otherwise.
func (c *Cut) Next(f *Frame) bool {
	if c.Done() {
		return false
	}
	data := c.frame[c.l3+c.hlen:]
	n := c.size(len(data) - c.next)
	piece := data[c.next : c.next+n]
	more := c.next+n < len(data)
	if c.v6 {
		c.put6(f, piece, more)
	} else {
		c.put4(f, piece, more)
	}
	c.next += n
	return true
}

// Done reports whether Next has made all fragments.
func (c *Cut) Done() bool { return c.next >= len(c.frame)-c.l3-c.hlen }

// size returns how many of the left bytes of data the next fragment takes.
func (c *Cut) size(left int) int {
	if c.asCame {
		if c.next == 0 {
			return c.first
		}
		n := int(c.parts[0].Len)
		c.parts = c.parts[1:]
		return n
	}
	if left <= c.room {
		return left
	}
	return c.room &^ 7
}

// put4 writes an IPv4 fragment (RFC 791, section 3.2). Behind the first one, options that are not to be copied become
// no-operation options of the same length (ip_options_fragment).
func (c *Cut) put4(f *Frame, piece []byte, more bool) {
	n := c.l3 + c.hlen
	b := f.sized(n + len(piece))
	copy(b[n:], piece)
	copy(b, c.head[:n])
	h := IPv4(b[c.l3:])
	h.SetTotalLen(c.hlen + len(piece))
	h.SetFragment(c.df, more, c.next)
	h.SetChecksum(h.ComputeChecksum())
	if c.options {
		c.options = false
		forgetOptions(c.head[c.l3+IPv4MinLen : n])
	}
}

// put6 writes an IPv6 fragment (RFC 8200, section 4.5).
func (c *Cut) put6(f *Frame, piece []byte, more bool) {
	n := c.l3 + c.hlen
	b := f.sized(n + IPv6FragmentLen + len(piece))
	copy(b, c.frame[:n])
	copy(b[n+IPv6FragmentLen:], piece)
	h := IPv6(b[c.l3:])
	h.SetPayloadLen(len(b) - c.l3 - IPv6Len)
	b[c.l3+c.protoAt] = ExtFragment
	part := uint16(c.next)
	if more {
		part |= 1
	}
	e := b[n : n+IPv6FragmentLen]
	e[0], e[1] = c.proto, 0
	binary.BigEndian.PutUint16(e[2:4], part)
	binary.BigEndian.PutUint32(e[4:8], c.id)
}

// sized returns the bytes of f, n of them.
func (f *Frame) sized(n int) []byte {
	if !f.Resize(n) {
		panic("packet: Cut: a frame too small for a fragment")
	}
	return f.Bytes()
}

// Room returns how long the packet can become without moving its start.
func (f *Frame) Room() int { return len(f.buf) - int(f.off) }

// unfragmentable returns the length of what stands before the fragment header in each fragment of the IPv6 packet ip,
// and where the number of the header behind it stands (ip6_find_1stfragopt): hop-by-hop options, a routing header, and
// destination options before it. Linux takes destination options without a routing header for these too.
func unfragmentable(ip []byte) (n, protoAt int) {
	n, protoAt = IPv6Len, 6
	routed := false
	for {
		switch ip[protoAt] {
		case ExtHopByHop:
		case ExtRouting:
			routed = true
		case ExtDestOptions:
			if routed {
				return n, protoAt
			}
		default:
			return n, protoAt
		}
		if n+8 > len(ip) || n+8+8*int(ip[n+1]) > len(ip) {
			return n, protoAt
		}
		n, protoAt = n+8+8*int(ip[n+1]), n
	}
}

// FragmentHeader returns where in the IPv6 packet ip its fragment header starts, and where the number of that header
// stands; false if there is none among its first headers. For packets that Parse has passed.
func FragmentHeader(ip []byte) (at, protoAt int, ok bool) {
	at, protoAt = IPv6Len, 6
	for range MaxExtensionHeaders {
		switch proto := ip[protoAt]; {
		case proto == ExtFragment:
			return at, protoAt, at+IPv6FragmentLen <= len(ip)
		case !isExtension(proto) || at+8 > len(ip):
			return 0, 0, false
		}
		at, protoAt = at+8+8*int(ip[at+1]), at
	}
	return 0, 0, false
}
