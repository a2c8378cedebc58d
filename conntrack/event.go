package conntrack

import (
	"encoding/binary"

	"dirsw/packet"
)

// Event is what a packet says to the state of its connection.
type Event uint8

// Events. Of TCP flags the first in the order RST, SYN, FIN, ACK decides, as in the kernel; nothing else of a TCP
// packet matters. For SCTP the first chunk decides (RFC 9260, section 3.2).
const (
	Keep Event = iota // says nothing (a later fragment): the state stays, its time starts again

	TCPRst
	TCPSynRst // RST with SYN: opens nothing, yet ends a connection that a SYN would replace
	TCPSyn
	TCPFin
	TCPAck
	TCPBare // none of the four

	UDPAny

	SCTPChunkData // DATA, SACK, HEARTBEAT and whatever is not named here
	SCTPChunkInit
	SCTPChunkInitAck
	SCTPChunkAbort
	SCTPChunkShutdown
	SCTPChunkShutdownAck
	SCTPChunkError
	SCTPChunkCookieEcho
	SCTPChunkCookieAck
	SCTPChunkShutdownComplete

	// Events is the number of events.
	Events
)

// tcpEvents maps the low five flag bits of TCP: FIN, SYN, RST, PSH, ACK.
var tcpEvents = func() (t [32]Event) {
	for f := range t {
		switch f := uint8(f); {
		case f&packet.RST != 0 && f&packet.SYN != 0:
			t[f] = TCPSynRst
		case f&packet.RST != 0:
			t[f] = TCPRst
		case f&packet.SYN != 0:
			t[f] = TCPSyn
		case f&packet.FIN != 0:
			t[f] = TCPFin
		case f&packet.ACK != 0:
			t[f] = TCPAck
		default:
			t[f] = TCPBare
		}
	}
	return t
}()

// sctpEvents maps chunk types (RFC 9260, section 3.2).
var sctpEvents = [...]Event{
	0: SCTPChunkData, 1: SCTPChunkInit, 2: SCTPChunkInitAck, 3: SCTPChunkData, 4: SCTPChunkData, 5: SCTPChunkData,
	6: SCTPChunkAbort, 7: SCTPChunkShutdown, 8: SCTPChunkShutdownAck, 9: SCTPChunkError, 10: SCTPChunkCookieEcho,
	11: SCTPChunkCookieAck, 12: SCTPChunkData, 13: SCTPChunkData, 14: SCTPChunkShutdownComplete,
}

// EventOf returns what a packet that Parse accepted says. It reads the frame for SCTP only.
func EventOf(frame []byte, m *packet.Meta) Event {
	if m.Flags&(packet.LaterFragment|packet.ICMPError) != 0 {
		return Keep
	}
	switch m.Proto {
	case packet.ProtoTCP:
		return tcpEvents[m.TCPFlags&31]
	case packet.ProtoUDP:
		return UDPAny
	case packet.ProtoSCTP:
		return sctpEvent(frame[min(int(m.Payload), len(frame)):min(int(m.End), len(frame))])
	}
	return Keep
}

// sctpEvent reads the first chunk. An ABORT bundled behind COOKIE ECHO or COOKIE ACK wins over it, as in the kernel's
// set_sctp_state.
func sctpEvent(b []byte) Event {
	if len(b) < 4 {
		return Keep
	}
	ev := sctpChunk(b[0])
	if ev != SCTPChunkCookieEcho && ev != SCTPChunkCookieAck {
		return ev
	}
	n := int(binary.BigEndian.Uint16(b[2:])+3) &^ 3
	if n >= 4 && len(b) >= n+4 && sctpChunk(b[n]) == SCTPChunkAbort {
		return SCTPChunkAbort
	}
	return ev
}

func sctpChunk(t uint8) Event {
	if int(t) < len(sctpEvents) {
		return sctpEvents[t]
	}
	return SCTPChunkData
}

// Opens reports whether a packet without a connection may open one: TCP needs SYN without RST, SCTP an INIT; with
// sloppy (the kernel's sloppy_tcp and sloppy_sctp, which matter after a failover without synchronisation) all but RST
// and ABORT do.
func (e Event) Opens(sloppy bool) bool {
	switch e {
	case TCPSyn, UDPAny, SCTPChunkInit:
		return true
	case TCPRst, TCPSynRst, SCTPChunkAbort, Keep:
		return false
	}
	return sloppy
}

// Starts reports whether a packet of a known connection may be the first of another one: a SYN, whatever else, or an INIT
// (the kernel's is_new_conn).
func (e Event) Starts() bool { return 1<<(e&31)&(1<<TCPSyn|1<<TCPSynRst|1<<SCTPChunkInit) != 0 }

// ReuseMode is the kernel's sysctl conn_reuse_mode: when a new connection from a known client port is scheduled anew.
type ReuseMode uint8

// The modes. ReuseClosing is the kernel's 2; the kernel's 1 is ReuseClosed.
const (
	ReuseNever   ReuseMode = iota
	ReuseClosed            // if the old one is in TIME_WAIT or CLOSE, or CLOSED of SCTP
	ReuseClosing           // also in FIN_WAIT when replies do not pass the director
)

// Reuses reports whether the packet starts a new connection in place of c: the caller then removes c and goes on as if
// it had not been found. Connections through a template stay where they are.
func (c *Conn) Reuses(e Event, m ReuseMode) bool {
	if m == ReuseNever || !e.Starts() {
		return false
	}
	switch c.state {
	case TCPTimeWait, TCPClose, SCTPClosed:
		return c.via == 0
	case TCPFinWait:
		return m == ReuseClosing && c.flags&OneWay != 0 && c.via == 0
	}
	return false
}
