package packet

import "net/netip"

// Addr is an IP address in network order, IPv4 as v4-mapped (RFC 4291, section 2.5.5.2). Unlike netip.Addr it has no
// pointer, so a table of a million connections is never scanned by the garbage collector.
type Addr [16]byte

// AddrFrom converts a. The zone of a scoped IPv6 address is lost.
func AddrFrom(a netip.Addr) Addr { return Addr(a.As16()) }

// Netip converts back; v4-mapped addresses come out as IPv4.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool {
	return [12]byte(a[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

func (a Addr) String() string { return a.Netip().String() }

// MAC is an Ethernet address in network order.
type MAC [6]byte

// IP families as they stand in Tuple.Family.
const (
	IPv4Family uint8 = 4
	IPv6Family uint8 = 6
)

// Tuple identifies a flow in one direction. Ports are in host order; both are 0 for protocols without ports, and in a
// later fragment. Comparable.
type Tuple struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Proto, Family    uint8 // IP protocol number; 4 or 6
}

// Reverse returns the tuple of the answers.
func (t Tuple) Reverse() Tuple {
	return Tuple{Src: t.Dst, Dst: t.Src, SrcPort: t.DstPort, DstPort: t.SrcPort, Proto: t.Proto, Family: t.Family}
}
