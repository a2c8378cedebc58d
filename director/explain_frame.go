package director

import (
	"bytes"
	"fmt"
	"strings"

	"dirsw/packet"
)

// field is a part of a header, in words.
type field struct {
	name, value string
	at, n       int // bytes of the frame
}

// changes lists the header fields that are others in the frame that would leave than in the one that came, with their
// bytes, and the headers that were put in front.
func changes(before, after []byte) string {
	var b strings.Builder
	outer, inner := unwrapped(before, after)
	for _, line := range outer {
		fmt.Fprintf(&b, "  prepended: %s\n", line)
	}
	was, is := fieldsOf(before), fieldsOf(inner)
	for i, f := range is {
		if i >= len(was) || was[i].name != f.name {
			break
		}
		o := was[i]
		from, to := before[o.at:o.at+o.n], inner[f.at:f.at+f.n]
		if !bytes.Equal(from, to) {
			fmt.Fprintf(&b, "  %s: %s -> %s (%s: % x -> % x)\n", f.name, o.value, f.value, place(f), from, to)
		}
	}
	return b.String()
}

// place is where a field stands in a frame.
func place(f field) string {
	if f.n == 1 {
		return fmt.Sprintf("byte %d", f.at)
	}
	return fmt.Sprintf("bytes %d-%d", f.at, f.at+f.n-1)
}

// fieldsOf are the fields of a frame that forwarding may change, always in the same order for packets of one kind.
func fieldsOf(frame []byte) []field {
	eth := packet.Ethernet(frame)
	list := []field{{"destination MAC", MACText(eth.Dst()), 0, 6}, {"source MAC", MACText(eth.Src()), 6, 6}}
	var m packet.Meta
	if packet.Parse(frame, &m) != packet.NoDrop {
		return list
	}
	l3 := int(m.L3)
	if m.Family == packet.IPv4Family {
		h := packet.IPv4(frame[l3:])
		list = append(list, field{"time to live", fmt.Sprint(h.TTL()), l3 + 8, 1},
			field{"header checksum", fmt.Sprintf("%#04x", h.Checksum()), l3 + 10, 2},
			field{"source", h.Src().String(), l3 + 12, 4}, field{"destination", h.Dst().String(), l3 + 16, 4})
	} else {
		h := packet.IPv6(frame[l3:])
		list = append(list, field{"hop limit", fmt.Sprint(h.HopLimit()), l3 + 7, 1},
			field{"source", h.Src().String(), l3 + 8, 16}, field{"destination", h.Dst().String(), l3 + 24, 16})
	}
	if m.Flags&(packet.ICMPError|packet.LaterFragment) != 0 {
		return list
	}
	l4 := int(m.L4)
	sum, n := 0, 2
	switch m.Proto {
	case packet.ProtoTCP:
		sum = l4 + 16
	case packet.ProtoUDP:
		sum = l4 + 6
	case packet.ProtoSCTP:
		sum, n = l4+8, 4
	default:
		return list
	}
	return append(list, field{"source port", fmt.Sprint(m.SrcPort), l4, 2}, field{"destination port", fmt.Sprint(m.DstPort), l4 + 2, 2},
		field{strings.ToUpper(protoName(m.Proto)) + " checksum", fmt.Sprintf("%#x", frame[sum:sum+n]), sum, n})
}

// unwrapped tells of what stands in front of the packet in a frame that leaves by a tunnel, and returns the frame as it
// would be without.
func unwrapped(before, after []byte) (outer []string, inner []byte) {
	const eth = packet.EthernetLen
	extra := len(after) - len(before)
	if extra < packet.IPv4MinLen || len(after) < eth+extra {
		return nil, after
	}
	inner = append(append([]byte{}, after[:eth]...), after[eth+extra:]...)
	packet.Ethernet(inner).SetType(packet.Ethernet(before).Type())
	head := after[eth : eth+extra]
	proto, n := uint8(0), packet.IPv4MinLen
	switch {
	case head[0]>>4 == 4:
		h := packet.IPv4(head)
		proto = h.Protocol()
		df := ""
		if h.DontFragment() {
			df = ", don't fragment"
		}
		outer = append(outer, fmt.Sprintf("IPv4 %v > %v, protocol %d, time to live %d, type of service %#02x%s", h.Src(), h.Dst(), proto,
			h.TTL(), h.TOS(), df))
	case len(head) >= packet.IPv6Len:
		h := packet.IPv6(head)
		proto, n = h.NextHeader(), packet.IPv6Len
		outer = append(outer, fmt.Sprintf("IPv6 %v > %v, next header %d, hop limit %d, traffic class %#02x", h.Src(), h.Dst(), proto,
			h.HopLimit(), h.TrafficClass()))
	}
	switch rest := head[n:]; {
	case proto == packet.ProtoUDP && len(rest) >= packet.UDPLen:
		u := packet.UDP(rest)
		outer = append(outer, fmt.Sprintf("UDP port %d > %d, checksum %#04x", u.SrcPort(), u.DstPort(), u.Checksum()),
			fmt.Sprintf("GUE % x", rest[packet.UDPLen:]))
	case proto == packet.ProtoGRE:
		outer = append(outer, fmt.Sprintf("GRE % x", rest))
	}
	return outer, inner
}
