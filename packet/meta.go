package packet

// IP protocol numbers (IANA) that Parse understands.
const (
	ProtoICMP   uint8 = 1
	ProtoTCP    uint8 = 6
	ProtoUDP    uint8 = 17
	ProtoESP    uint8 = 50
	ProtoAH     uint8 = 51
	ProtoICMPv6 uint8 = 58
	ProtoSCTP   uint8 = 132
)

// Flags are facts about a packet.
type Flags uint8

const (
	// Fragment: the packet is a part of a datagram (first or later), or in IPv6 has a fragment header though it is all.
	Fragment Flags = 1 << iota
	// LaterFragment: not the first part, so Tuple has no ports and L4 points at payload. Fragment is set too. In IPv6
	// Proto is then the first header behind the fragment header, which may be an extension header.
	LaterFragment
	// ICMPError: an ICMP or ICMPv6 error; Tuple is that of the quoted packet, as quoted (from the sender of the
	// packet that could not be delivered). Quoted and QuotedL4 are valid. Never set in a fragment.
	ICMPError
	// IPOptions: the IPv4 header is longer than 20 bytes, or IPv6 has extension headers.
	IPOptions
	// QuotedFragment: the packet an ICMP error quotes was a later fragment. The ports in Tuple are then whatever stands
	// where the ports of a first fragment do, as IPVS takes them.
	QuotedFragment
)

// TCP flags as they stand in Meta.TCPFlags (RFC 9293, section 3.1).
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Meta is what Parse learnt. Offsets are bytes from the start of the frame.
type Meta struct {
	Tuple // of the quoted packet when ICMPError is set

	L3, L4   uint16 // start of the IP header; of the header behind it and its extension headers
	Payload  uint16 // start of what follows the transport header; equals L4 when there is none
	End      uint32 // end of the IP packet; Ethernet padding may follow
	VLAN     uint16 // tag control information; 0 if untagged, or tagged with priority 0 in no VLAN
	Quoted   uint16 // start of the quoted IP header; valid iff ICMPError
	QuotedL4 uint16 // start of the quoted transport header; valid iff ICMPError
	TCPFlags uint8  // valid iff Proto == ProtoTCP and neither Fragment nor ICMPError; ECE and CWR are not in it
	Flags    Flags
	FragID   uint32 // identification of the datagram; valid iff Fragment
}

// Len returns how many bytes the IP packet has, from its header to its end.
func (m *Meta) Len() int { return int(m.End) - int(m.L3) }
