package bfd

import (
	"encoding/binary"
	"time"
)

// State is the state of a session, with the values of the wire (RFC 5880, 4.1).
type State uint8

// The states.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String returns the name as keepalived logs it.
func (s State) String() string {
	if s > Up {
		return "invalid"
	}
	return [...]string{"AdminDown", "Down", "Init", "Up"}[s]
}

// Diag is the reason for the last change from Up to another state (RFC 5880, 4.1). Values above 8 are reserved.
type Diag uint8

// The reasons.
const (
	DiagNone Diag = iota
	DiagExpired
	DiagEchoFailed
	DiagNeighborDown
	DiagForwardingReset
	DiagPathDown
	DiagConcatenatedDown
	DiagAdminDown
	DiagReverseConcatenatedDown
)

// String returns the words as keepalived logs them.
func (d Diag) String() string {
	if d > DiagReverseConcatenatedDown {
		return "invalid"
	}
	return [...]string{
		"No Diagnostic", "Control Detection Time Expired", "Echo Function Failed", "Neighbor Signaled Session Down",
		"Forwarding Plane Reset", "Path Down", "Concatenated Path Down", "Administratively Down", "Reverse Concatenated Path Down",
	}[d]
}

// PacketLen is the length of a control packet without authentication.
const PacketLen = 24

// Version is the one that this package speaks.
const Version = 1

// Packet is a control packet (RFC 5880, 4.1). Intervals are whole microseconds.
type Packet struct {
	Diag   Diag
	State  State
	Poll   bool // P: answer with Final
	Final  bool // F: the answer to Poll
	Demand bool // D: no packets are wanted while both sides are up
	// Independent is C: the sender's BFD survives a restart of its control plane.
	Independent bool

	DetectMult uint8
	My, Your   uint32 // discriminators

	DesiredMinTx      time.Duration
	RequiredMinRx     time.Duration
	RequiredMinEchoRx time.Duration
}

// The bits of the second byte, below the state.
const (
	flagPoll        = 1 << 5
	flagFinal       = 1 << 4
	flagIndependent = 1 << 3
	flagAuth        = 1 << 2
	flagDemand      = 1 << 1
	flagMultipoint  = 1 << 0
)

// Append appends the packet as it stands on the wire to b.
func (p *Packet) Append(b []byte) []byte {
	flags := byte(p.State&3) << 6
	for _, f := range []struct {
		set bool
		bit byte
	}{{p.Poll, flagPoll}, {p.Final, flagFinal}, {p.Independent, flagIndependent}, {p.Demand, flagDemand}} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(b, Version<<5|byte(p.Diag)&0x1f, flags, p.DetectMult, PacketLen)
	for _, v := range []uint32{p.My, p.Your, micros(p.DesiredMinTx), micros(p.RequiredMinRx), micros(p.RequiredMinEchoRx)} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// micros is an interval in the microseconds of the wire, at most what fits.
func micros(d time.Duration) uint32 { return uint32(min(max(d/time.Microsecond, 0), 1<<32-1)) }

// Parse reads a control packet out of a datagram's payload and makes the checks of RFC 5880, 6.8.6, that need no
// session. The packet is valid iff the Reject is 0.
func Parse(b []byte) (Packet, Reject) {
	if len(b) < PacketLen {
		return Packet{}, RejectShort
	}
	interval := func(at int) time.Duration { return time.Duration(binary.BigEndian.Uint32(b[at:])) * time.Microsecond }
	p := Packet{
		Diag: Diag(b[0] & 0x1f), State: State(b[1] >> 6),
		Poll: b[1]&flagPoll != 0, Final: b[1]&flagFinal != 0, Demand: b[1]&flagDemand != 0, Independent: b[1]&flagIndependent != 0,
		DetectMult: b[2], My: binary.BigEndian.Uint32(b[4:]), Your: binary.BigEndian.Uint32(b[8:]),
		DesiredMinTx: interval(12), RequiredMinRx: interval(16), RequiredMinEchoRx: interval(20),
	}
	return p, p.reject(b[0]>>5, int(b[3]), len(b), b[1])
}

// reject returns what is wrong with a packet, given its version, its length field, the length of the payload, and its
// flags.
func (p *Packet) reject(version byte, length, got int, flags byte) Reject {
	switch {
	case version != Version:
		return RejectVersion
	case length < PacketLen || length > got:
		return RejectLength
	case p.DetectMult == 0:
		return RejectMultiplier
	case flags&flagMultipoint != 0:
		return RejectMultipoint
	case p.My == 0:
		return RejectMyDiscriminator
	case p.Your == 0 && p.State != Down && p.State != AdminDown:
		return RejectYourDiscriminator
	case flags&flagAuth != 0:
		return RejectAuth
	case p.Poll && p.Final:
		return RejectPollFinal
	}
	return 0
}

// Reject is why a datagram was not taken in. 0 is none.
type Reject uint8

// The reasons, in the order in which they are looked for.
const (
	RejectShort             Reject = iota + 1 // fewer bytes than a packet has
	RejectVersion                             // another version than 1
	RejectLength                              // the length field is below 24, or above the payload's
	RejectMultiplier                          // detection multiplier 0
	RejectMultipoint                          // M is set
	RejectMyDiscriminator                     // its sender's discriminator is 0
	RejectYourDiscriminator                   // no discriminator of ours, though not down
	RejectAuth                                // authenticated: not served
	RejectPollFinal                           // P and F at once
	RejectSession                             // no session has its discriminator, or its sender's address
	RejectAddress                             // the session has another neighbour
	RejectTTL                                 // came over more hops than max_hops
	RejectAdminDown                           // the session is closed
	rejectCount
)

// String returns a name for listings and metrics.
func (r Reject) String() string {
	if r == 0 || r >= rejectCount {
		return "none"
	}
	return [...]string{
		"short", "version", "length", "multiplier", "multipoint", "my_discriminator", "your_discriminator", "auth", "poll_final",
		"session", "address", "ttl", "admin_down",
	}[r-1]
}

// Rejects are counts of datagrams that were not taken in, by reason.
type Rejects [rejectCount]uint64

// Each calls f for each reason in order.
func (r *Rejects) Each(f func(Reject, uint64)) {
	for i := Reject(1); i < rejectCount; i++ {
		f(i, r[i])
	}
}
