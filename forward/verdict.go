package forward

import (
	"time"

	"dirsw/conntrack"
	"dirsw/packet"
)

// Why says what decided where a packet goes.
type Why uint8

// The deciders. WhyNone: nothing did, the packet was dropped.
const (
	WhyNone       Why = iota
	WhyConnection     // a connection that is known
	WhyTemplate       // a new connection, placed by a persistence template
	WhyScheduler      // a new connection, placed by the scheduler
	WhyRelated        // an ICMP error about a connection that is known
	WhyFragment       // a later fragment of a datagram whose first one was forwarded
)

func (w Why) String() string {
	switch w {
	case WhyNone:
		return "dropped"
	case WhyConnection:
		return "connection"
	case WhyTemplate:
		return "persistence template"
	case WhyScheduler:
		return "scheduler"
	case WhyRelated:
		return "ICMP error about a connection"
	case WhyFragment:
		return "fragment"
	}
	return "invalid"
}

// Verdict is what was decided about one packet.
type Verdict struct {
	Why     Why
	Drop    packet.DropReason // not NoDrop: the packet goes nowhere; Why may still say what chose the destination
	Service ServiceID         // NoService when there is none
	Dest    conntrack.DestID  // valid iff Why != WhyNone
	State   conntrack.State   // of the connection afterwards; valid iff there is one
	Left    time.Duration     // of the connection, or of the template when that decided
}

// An Observer is told of every verdict before the frame leaves, on the worker's goroutine. It must not keep f or m.
// For captures and tests: a director that forwards has none.
type Observer func(f *packet.Frame, m *packet.Meta, v Verdict)
