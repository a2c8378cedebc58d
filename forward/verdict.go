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
	WhyFragment       // a fragment that waits for the rest of its datagram
	WhyKernel         // not ours: the director's own network stack gets it
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
		return "fragment of an incomplete datagram"
	case WhyKernel:
		return "left to the kernel"
	}
	return "invalid"
}

// Verdict is what was decided about one packet.
type Verdict struct {
	Why     Why
	Drop    packet.DropReason // not NoDrop: the packet goes nowhere; Why may still say what chose the destination
	Service ServiceID         // NoService when there is none
	Dest    conntrack.DestID  // valid iff a destination was chosen: not with WhyNone, WhyFragment, WhyKernel
	Dir     conntrack.Dir     // FromServer: a reply, or an ICMP error about a packet of the client, on its way to the client
	State   conntrack.State   // of the connection afterwards; valid iff there is one
	Left    time.Duration     // of the connection, or of the template when that decided

	conn   *conntrack.Conn // nil if there is none (one-packet scheduling)
	mtu    uint16          // with DropTooBig: what the sender is told; 0: nothing
	pieces uint16          // cut it into packets of at most so many bytes; 0: it leaves as it is
	way    Method          // of a packet of a known one-way connection that came as it is: how it goes on; else 0
	fresh  bool            // it may be another worker's: only its connection can tell that it is not
	whole  uint16          // it was reassembled, and this was the longest of its fragments; 0: it came like this
}

// method is the way to the destination: a connection keeps the one it began with when its server is given another
// (kernel: ip_vs_bind_dest).
func (v *Verdict) method(d *Dest) Method {
	if v.conn != nil && v.conn.Method != 0 {
		return Method(v.conn.Method &^ quick)
	}
	return d.Method
}

// chosen reports whether Dest says something.
func (v *Verdict) chosen() bool {
	return v.Why != WhyNone && v.Why != WhyFragment && v.Why != WhyKernel
}

// An Observer is told of every verdict before the frame leaves, on the worker's goroutine. It must not keep f or m.
// For captures and tests: a director that forwards has none.
type Observer func(f *packet.Frame, m *packet.Meta, v Verdict)
