package packet

// DropReason says why a frame was not forwarded. The list is closed and each has a counter of its own. It is one list
// for the parser and the forwarder, so that a counter block is one array.
type DropReason uint8

const (
	// NoDrop means that nothing is wrong.
	NoDrop DropReason = iota

	// Found by Parse.

	// DropRunt: shorter than an Ethernet header and the IP header it announces.
	DropRunt
	// DropNotIP: neither IPv4 nor IPv6 behind at most one 802.1Q tag.
	DropNotIP
	// DropBadHeader: an IP header that contradicts itself (version, header length, total length).
	DropBadHeader
	// DropBadChecksum: the IPv4 header checksum is wrong (RFC 1812, section 5.2.2).
	DropBadChecksum
	// DropTruncated: a length on the wire says more than the frame holds.
	DropTruncated
	// DropBadTransport: a transport header that contradicts itself (TCP data offset, UDP length), or an ICMP error about a
	// connection whose checksum is wrong.
	DropBadTransport
	// DropExtensionHeaders: more IPv6 extension headers than are followed.
	DropExtensionHeaders

	// Found by the forwarder.

	// DropNoService: address, protocol and port belong to no virtual service.
	DropNoService
	// DropNoConnection: not the start of a connection, and no connection is known (TCP without SYN).
	DropNoConnection
	// DropNoServer: the service has no usable real server.
	DropNoServer
	// DropTableFull: the connection table has no room for a new connection.
	DropTableFull
	// DropDefence: it was the turn of this new connection to be dropped (drop_packet).
	DropDefence
	// DropServerGone: the connection's real server was removed from the service.
	DropServerGone
	// DropNoNextHop: the real server has no route or its next hop no link layer address; of a reply, no packet of its
	// client has been seen.
	DropNoNextHop
	// DropTTL: time to live was used up (RFC 1812, section 5.3.1).
	DropTTL
	// DropTooBig: longer than the MTU towards the real server, and may not be cut.
	DropTooBig
	// DropFragment: a fragment of a datagram whose others did not come in time, or which was given up: for newer ones when
	// there was no room, or for a fragment that did not belong to it.
	DropFragment
	// DropDuplicate: a fragment that was there already.
	DropDuplicate
	// DropOverlap: a fragment that overlaps another one; its datagram is given up (RFC 5722).
	DropOverlap
	// DropBadFragment: a fragment that contradicts itself or the others of its datagram.
	DropBadFragment
	// DropNoFrame: the lane had no frame for a piece of what was cut.
	DropNoFrame
	// DropBadOptions: an IPv4 option that contradicts itself (RFC 1812, section 4.3.3.5).
	DropBadOptions
	// DropSourceRoute: an IPv4 packet that names its own route.
	DropSourceRoute
	// DropICMP: an ICMP error about a connection that is not known.
	DropICMP
	// DropMartian: what was for the director's own network stack came from an address that is the director's own.
	DropMartian
	// DropTunnelError: an ICMP error about a tunnel of ours. What it says has been told to the client, or is kept in mind.
	DropTunnelError
	// DropMethod: the forwarding method of the real server is not served.
	DropMethod
	// DropNoCall: nothing for the persistence engine of the service to go by (no Call-ID in a SIP message).
	DropNoCall
	// DropProtocol: an IP protocol that no service has.
	DropProtocol
	// DropNotAccepted: a packet that no service is for to an address that the director does not answer at (no_accept).
	DropNotAccepted

	// DropHandover: the worker that owns the client took no more frames from another one.
	DropHandover
	// DropOverload: more came than the worker could take, and this was a TCP packet that would open a connection.
	DropOverload

	// Counted by the lanes.

	// DropSendFull: the transmit ring had no room.
	DropSendFull
	// DropSendFailed: the port is gone or down.
	DropSendFailed

	// DropReasons is the number of reasons, NoDrop included.
	DropReasons
)

// String returns the name under which listings and metrics count the reason.
func (r DropReason) String() string {
	if int(r) < len(dropNames) {
		return dropNames[r]
	}
	return "invalid"
}

var dropNames = [DropReasons]string{
	NoDrop: "none", DropRunt: "runt", DropNotIP: "not-ip", DropBadHeader: "bad-ip-header",
	DropBadChecksum: "bad-ip-checksum", DropTruncated: "truncated", DropBadTransport: "bad-transport-header",
	DropExtensionHeaders: "too-many-extension-headers", DropNoService: "no-service",
	DropNoConnection: "no-connection", DropNoServer: "no-server", DropTableFull: "table-full",
	DropDefence: "drop-packet", DropServerGone: "server-gone", DropNoNextHop: "no-next-hop", DropTTL: "ttl-exceeded", DropTooBig: "too-big",
	DropFragment: "fragment-incomplete", DropDuplicate: "fragment-duplicate", DropOverlap: "fragment-overlap",
	DropBadFragment: "bad-fragment", DropNoFrame: "no-frame-left", DropBadOptions: "bad-ip-options", DropSourceRoute: "source-route",
	DropICMP: "icmp-without-connection", DropTunnelError: "tunnel-error", DropMartian: "martian-source",
	DropMethod: "method-not-served", DropNoCall: "no-call-id", DropProtocol: "protocol-not-served", DropNotAccepted: "not-accepted",
	DropHandover: "handover-full", DropOverload: "overload", DropSendFull: "send-ring-full",
	DropSendFailed: "send-failed",
}
