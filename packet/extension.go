package packet

import "encoding/binary"

// chain is where a chain of IPv6 extension headers ends.
type chain struct {
	off    int   // of the header behind them, from the start of the IPv6 header; at most the length of the packet
	proto  uint8 // its kind, or the first header of the fragmentable part in a later fragment
	flags  Flags // IPOptions, Fragment, LaterFragment
	fragID uint32
}

// isExtension reports whether proto is an extension header that Parse follows.
func isExtension(proto uint8) bool {
	switch proto {
	case ExtHopByHop, ExtRouting, ExtFragment, ExtDestOptions:
		return true
	}
	return false
}

// followExtensions walks the extension headers of the IPv6 packet ip, the first of which is of kind proto and starts at
// off (RFC 8200, section 4). It ends behind the fragment header of a later fragment, where data follow. An atomic
// fragment, alone and complete (RFC 6946), is a fragment too: Linux takes its fragment header away.
func followExtensions(ip []byte, off int, proto uint8) (chain, DropReason) {
	c := chain{off: off, proto: proto, flags: IPOptions}
	for range MaxExtensionHeaders {
		if !isExtension(c.proto) {
			return c, NoDrop
		}
		if len(ip) < c.off+8 { // the shortest, and the unit of their lengths
			return c, DropTruncated
		}
		h := ip[c.off : c.off+8]
		n := 8
		if c.proto == ExtFragment {
			part := binary.BigEndian.Uint16(h[2:4])
			c.flags |= Fragment
			c.fragID = binary.BigEndian.Uint32(h[4:8])
			if part&0xfff8 != 0 {
				c.flags |= LaterFragment
			}
		} else {
			n += int(h[1]) * 8
		}
		if len(ip) < c.off+n {
			return c, DropTruncated
		}
		c.off, c.proto = c.off+n, h[0]
		if c.flags&LaterFragment != 0 {
			return c, NoDrop
		}
	}
	if isExtension(c.proto) {
		return c, DropExtensionHeaders
	}
	return c, NoDrop
}
