package packet

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// IPv4 options (RFC 791, section 3.1; numbers by IANA) that a router has to do with.
const (
	optEnd       = 0
	optNop       = 1
	optRoute     = 7   // record route
	optTimestamp = 68  // Internet timestamp
	optLoose     = 131 // loose source and record route
	optCIPSO     = 134 // commercial security
	optStrict    = 137 // strict source and record route
	optAlert     = 148 // router alert (RFC 2113)

	optCopied = 0x80 // in the kind: goes into every fragment
)

// Flags of the timestamp option.
const (
	stampOnly   = 0
	stampAddr   = 1 // address and timestamp
	stampPreset = 3 // only where the address given is one's own
	stampMax    = 15
)

// MaxOptionsLen is the most bytes of options that an IPv4 header can have.
const MaxOptionsLen = 40

// Router is what a router writes into IPv4 options.
type Router struct {
	Own    Addr   // the address that it has for the sender
	Local  []Addr // all its addresses, in order
	Millis uint32 // milliseconds since midnight UTC
}

// OptionsFate is what becomes of a packet because of its IPv4 options.
type OptionsFate uint8

// The fates.
const (
	// OptionsPass: it goes on.
	OptionsPass OptionsFate = iota
	// OptionsSourceRoute: it names its own route, and is dropped (net.ipv4.conf.all.accept_source_route=0).
	OptionsSourceRoute
	// OptionsBad: an option contradicts itself: the sender is told with a parameter problem (RFC 792).
	OptionsBad
)

// OptionsSeen is what Router.Visit found.
type OptionsSeen struct {
	Fate OptionsFate
	// Pointer is the byte of the header that is wrong; valid iff Fate is OptionsBad.
	Pointer uint8
	// Recorded is where in the header an address was recorded, 0 if none was.
	Recorded uint8

	route, stamp, cipso uint8 // where in the header these options are, 0 for none
	stampAddr           bool  // an address was written with the timestamp
	stampTime           bool
}

// Visit does with the IPv4 options of a packet what a router does when the packet arrives (ip_options_compile): it
// records its address and the time where the sender has asked for that. The header checksum is left as it was, as Linux
// leaves it until the packet goes out: an error about the packet quotes it like that. Byte by byte as Linux, an option
// before the one that is wrong has been filled in. h must hold the whole header.
func (r *Router) Visit(h IPv4) (seen OptionsSeen) {
	n, sourceRoute := h.HeaderLen(), uint8(0)
	bad := func(at int) OptionsSeen {
		seen.Fate, seen.Pointer = OptionsBad, uint8(at)
		return seen
	}
	for at := IPv4MinLen; at < n; {
		switch h[at] {
		case optEnd:
			clear(h[at:n])
			at = n
			continue
		case optNop:
			at++
			continue
		}
		if n-at < 2 || h[at+1] < 2 || int(h[at+1]) > n-at {
			return bad(at)
		}
		o := h[at : at+int(h[at+1])]
		wrong := -1
		switch h[at] {
		case optLoose, optStrict:
			if wrong = badPointer(o, 4); wrong < 0 && sourceRoute != 0 {
				wrong = 0
			}
			sourceRoute = uint8(at)
		case optRoute:
			wrong = r.record(o, at, &seen)
		case optTimestamp:
			wrong = r.timestamp(o, at, &seen)
		case optAlert:
			if len(o) < 4 {
				wrong = 1
			}
		case optCIPSO: // Linux passes only those of a domain that was set up
			seen.cipso = uint8(at)
			if wrong = 2; len(o) < 8 {
				wrong = 1
			}
		}
		if wrong >= 0 {
			return bad(at + wrong)
		}
		at += len(o)
	}
	if sourceRoute != 0 {
		seen.Fate = OptionsSourceRoute
	}
	return seen
}

// badPointer returns which byte of an option with a pointer is wrong, -1 if none: least is the smallest pointer, and one
// less the shortest option.
func badPointer(o []byte, least uint8) int {
	switch {
	case len(o) < int(least)-1:
		return 1
	case o[2] < least:
		return 2
	}
	return -1
}

// record puts the own address into the record route option o, which is at that place of the header.
func (r *Router) record(o []byte, at int, seen *OptionsSeen) (wrong int) {
	if seen.route != 0 {
		return 0
	}
	if wrong = badPointer(o, 4); wrong >= 0 {
		return wrong
	}
	if p := int(o[2]); p <= len(o) {
		if p+3 > len(o) {
			return 2
		}
		copy(o[p-1:p+3], r.Own[12:])
		seen.Recorded = uint8(at + p - 1)
		o[2] += 4
	}
	seen.route = uint8(at)
	return -1
}

// timestamp puts the time, and the own address, into the timestamp option o.
func (r *Router) timestamp(o []byte, at int, seen *OptionsSeen) (wrong int) {
	if seen.stamp != 0 {
		return 0
	}
	if wrong = badPointer(o, 5); wrong >= 0 {
		return wrong
	}
	p, kind := int(o[2]), o[3]&0xf
	switch {
	case p > len(o):
		if kind == stampPreset {
			break
		}
		if o[3]>>4 == stampMax {
			return 3
		}
		o[3] += 1 << 4 // one more for which there was no room
	case p+3 > len(o):
		return 2
	case kind == stampOnly:
		binary.BigEndian.PutUint32(o[p-1:p+3], r.Millis)
		o[2] += 4
		seen.stampTime = true
	case kind == stampAddr || kind == stampPreset:
		if p+7 > len(o) {
			return 2
		}
		if kind == stampAddr {
			copy(o[p-1:p+3], r.Own[12:])
			seen.stampAddr = true
		} else if !r.mine(o[p-1 : p+3]) {
			break
		}
		binary.BigEndian.PutUint32(o[p+3:p+7], r.Millis)
		o[2] += 8
		seen.stampTime = true
	}
	seen.stamp = uint8(at)
	return -1
}

// mine reports whether an address in an option is one that others could not have: the router's own, a broadcast or a
// multicast address.
func (r *Router) mine(b []byte) bool {
	if b[0] == 0 || b[0] == 127 || b[0]>>4 == 0xe || binary.BigEndian.Uint32(b) == 0xffffffff {
		return true
	}
	a := Addr{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}
	_, ok := slices.BinarySearchFunc(r.Local, a, func(x, y Addr) int { return bytes.Compare(x[:], y[:]) })
	return ok
}

// Echo writes into dst the options that an answer to the packet with the header h has (ip_options_echo): record route
// and timestamp as they came, with one more entry of the answer's sender r if there is room, and returns their length, a
// multiple of 4. Seen is what Visit has found in h.
func (r *Router) Echo(dst *[MaxOptionsLen]byte, h IPv4, seen *OptionsSeen) int {
	n := 0
	if at := int(seen.route); at != 0 {
		o := dst[n : n+copy(dst[n:], h[at:at+int(h[at+1])])]
		if p := int(o[2]); seen.Recorded != 0 && p+3 <= len(o) {
			copy(o[p-1:p+3], r.Own[12:])
			o[2] += 4
		}
		n += len(o)
	}
	if at := int(seen.stamp); at != 0 {
		o := dst[n : n+copy(dst[n:], h[at:at+int(h[at+1])])]
		r.stampAgain(o, seen)
		n += len(o)
	}
	if at := int(seen.cipso); at != 0 {
		n += copy(dst[n:], h[at:at+int(h[at+1])])
	}
	for n%4 != 0 {
		dst[n] = optEnd
		n++
	}
	return n
}

// stampAgain adds a timestamp to one that was echoed.
func (r *Router) stampAgain(o []byte, seen *OptionsSeen) {
	p := int(o[2])
	if !seen.stampTime || p+3 > len(o) {
		return
	}
	switch o[3] & 0xf {
	case stampOnly:
		binary.BigEndian.PutUint32(o[p-1:p+3], r.Millis)
		o[2] += 4
	case stampAddr:
		if p+7 <= len(o) {
			copy(o[p-1:p+3], r.Own[12:])
			binary.BigEndian.PutUint32(o[p+3:p+7], r.Millis)
			o[2] += 8
		}
	case stampPreset:
		if p+7 <= len(o) && r.mine(o[p-1:p+3]) {
			binary.BigEndian.PutUint32(o[p+3:p+7], r.Millis)
			o[2] += 8
		}
	}
}

// Rerecord puts another address where Visit has recorded one: a reply whose source was translated records that
// (ip_forward_options). It reports whether there was one.
func (s *OptionsSeen) Rerecord(h IPv4, own Addr) bool {
	if s.Recorded == 0 {
		return false
	}
	copy(h[s.Recorded:s.Recorded+4], own[12:])
	return true
}

// forgetOptions turns the options that only the first fragment has into no-operations (ip_options_fragment).
func forgetOptions(o []byte) {
	for len(o) > 0 {
		switch o[0] {
		case optEnd:
			return
		case optNop:
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return
		}
		n := int(o[1])
		if o[0]&optCopied == 0 {
			for i := range n {
				o[i] = optNop
			}
		}
		o = o[n:]
	}
}
