package conntrack

import (
	"time"

	"dirsw/packet"
)

// Record is what one director tells another about a connection or a template: an entry of a message of Linux IPVS
// connection synchronisation (net/netfilter/ipvs/ip_vs_sync.c), whatever its version. It holds no pointers, and the
// addresses are those of one family.
type Record struct {
	// Tuple is the connection from the client to the virtual address. Of a template: the client's network and port 0; that
	// of a service by firewall mark has the protocol 0 and the mark for an address: in the last four bytes of an IPv4 one, in
	// the first four of IPv6.
	packet.Tuple
	Real     packet.Addr
	RealPort uint16
	Flags    RecordFlags
	State    State
	Mark     uint32 // firewall mark of the service; 0: it has none
	// Timeout is how long the connection lives after its last packet, in whole seconds; 0: the message does not say it
	// (version 0).
	Timeout time.Duration
	// In and Out are how helpers have shifted the sequence numbers of a TCP connection, towards the server and towards the
	// client. Valid iff the flag RecordInSeq or RecordOutSeq says so.
	In, Out RecordSeq

	// Engine is the persistence engine of a template and Data what the template goes by there. Empty for others.
	Engine    [RecordEngineMax]byte
	Data      [RecordDataMax]byte
	EngineLen uint8
	DataLen   uint8
}

// What a message has room for: the name of a persistence engine and its data, bytes (IP_VS_PENAME_MAXLEN,
// IP_VS_PEDATA_MAXLEN).
const (
	RecordEngineMax = 16
	RecordDataMax   = 255
)

// RecordSeq is how the sequence numbers of one direction are shifted: by Delta from Init on, by Previous before it
// (struct ip_vs_seq).
type RecordSeq struct {
	Init, Delta, Previous uint32
}

// RecordFlags are the facts about a connection as they stand in a message: the kernel's IP_VS_CONN_F_*
// (include/uapi/linux/ip_vs.h).
type RecordFlags uint16

// The flags. The lowest three bits are how packets reach the server, one of RecordMasq to RecordBypass.
const (
	RecordMethod RecordFlags = 7 // mask

	RecordMasq   RecordFlags = 0 // addresses are translated
	RecordLocal  RecordFlags = 1 // the director itself is the server
	RecordTunnel RecordFlags = 2
	RecordRoute  RecordFlags = 3 // direct routing
	RecordBypass RecordFlags = 4

	RecordSync         RecordFlags = 0x0020 // who tells has learned it from another director
	RecordNoOutput     RecordFlags = 0x0080 // replies do not pass the director
	RecordInactive     RecordFlags = 0x0100 // counts as inactive on its server
	RecordOutSeq       RecordFlags = 0x0200 // Record.Out is valid
	RecordInSeq        RecordFlags = 0x0400 // Record.In is valid
	RecordNoClientPort RecordFlags = 0x0800 // a helper has announced it, the client's port is not known yet
	RecordTemplate     RecordFlags = 0x1000
	RecordOnePacket    RecordFlags = 0x2000 // its connections end with their first packet
)

// IsTemplate reports whether the record is of a persistence template.
func (r *Record) IsTemplate() bool { return r.Flags&RecordTemplate != 0 }
