package conntrack

// State is the state of a connection, or of a template. The names are those of ipvsadm -Lnc. TCP states are those of
// the director, which sees flags but not sequence numbers, not those of RFC 9293.
type State uint8

// States. None is that of a new template and of a connection without Event.
const (
	None    State = iota
	Assured       // template: a connection through it was established

	TCPEstablished
	TCPSynSent // the server sent a SYN on an old connection
	TCPSynRecv
	TCPFinWait
	TCPTimeWait
	TCPClose
	TCPCloseWait
	TCPLastAck // never reached here, another director may tell of it
	TCPListen  // announced by a helper (FTP), no packet has come yet
	TCPSynAck  // SecureTCP only

	UDPNormal

	SCTPInit1
	SCTPInit
	SCTPCookieSent
	SCTPCookieReplied
	SCTPCookieWait
	SCTPCookie
	SCTPCookieEchoed
	SCTPEstablished
	SCTPShutdownSent
	SCTPShutdownReceived
	SCTPShutdownAckSent
	SCTPRejected
	SCTPClosed

	// States is the number of states.
	States
)

var stateNames = [States]string{
	None: "NONE", Assured: "ASSURED",
	TCPEstablished: "ESTABLISHED", TCPSynSent: "SYN_SENT", TCPSynRecv: "SYN_RECV", TCPFinWait: "FIN_WAIT",
	TCPTimeWait: "TIME_WAIT", TCPClose: "CLOSE", TCPCloseWait: "CLOSE_WAIT", TCPLastAck: "LAST_ACK",
	TCPListen: "LISTEN", TCPSynAck: "SYNACK",
	UDPNormal: "UDP",
	SCTPInit1: "INIT1", SCTPInit: "INIT", SCTPCookieSent: "C-SENT", SCTPCookieReplied: "C-REPLIED",
	SCTPCookieWait: "C-WAIT", SCTPCookie: "COOKIE", SCTPCookieEchoed: "C-ECHOED", SCTPEstablished: "ESTABLISHED",
	SCTPShutdownSent: "S-SENT", SCTPShutdownReceived: "S-RECEIVED", SCTPShutdownAckSent: "S-ACK-SENT",
	SCTPRejected: "REJECTED", SCTPClosed: "CLOSED",
}

// String returns the name that ipvsadm -Lnc prints. TCP and SCTP share some.
func (s State) String() string {
	if s < States {
		return stateNames[s]
	}
	return "ERR!"
}

// Active reports whether a connection in this state counts as active on its server; others count as inactive
// (ActiveConn and InActConn of ipvsadm -Ln). UDP never counts as active. Templates count as neither.
func (s State) Active() bool {
	switch s {
	case TCPEstablished, TCPSynSent, TCPSynRecv, TCPSynAck, SCTPEstablished:
		return true
	}
	return false
}
