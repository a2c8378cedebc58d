package conntrack

import (
	"math/bits"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// Telling says of which connections another director is told, and how often: the kernel's sysctls sync_threshold,
// sync_refresh_period, sync_retries and sync_persist_mode (Documentation/networking/ipvs-sysctl.rst).
type Telling struct {
	// Threshold and Period: a connection is told of with each packet of its client whose number leaves Threshold when
	// divided by Period. With Period 0 it is told of once, with packet number Threshold, and when its state changes.
	Threshold, Period uint32
	// Refresh is how long nothing is told again of what has not changed; 0: what Period says alone decides.
	Refresh time.Duration
	// Retries is how often it is told again within Refresh, an eighth of it apart.
	Retries uint8
	// Persist tells of templates only, not of the connections through them.
	Persist bool
}

// heard is what another director heard last of an entry.
type heard struct {
	until   clock.Mono // when it ends by that
	state   State
	retries uint8
}

const heardSize = 16 // bytes

// teller is what a table needs to find out what is due.
type teller struct {
	Telling
	inverse uint64  // of Period: 2^64/Period, rounded up
	told    []heard // by slot; nil until SetTelling
	kept    func(*Conn)
}

// SetTelling says how Due answers, and has kept called by Expire for each entry whose time is over and that lives on for
// those that it controls, which is when the kernel tells of it (ip_vs_conn_expire). kept must not change the table. The
// first call allocates.
func (t *Table) SetTelling(o Telling, kept func(*Conn)) {
	x := &t.teller
	x.Telling, x.kept = o, kept
	if o.Period > 0 {
		x.inverse = ^uint64(0)/uint64(o.Period) + 1
	}
	if x.told == nil {
		x.told = make([]heard, len(t.slab))
	}
}

// StopTelling ends what SetTelling began. What was told of whom stays known.
func (t *Table) StopTelling() { t.teller.kept = nil }

// counts reports whether it is the turn of the packet with this number. The remainder of a division by a number that is
// known long before takes two multiplications (Lemire, Kaser, Kurz: Faster remainder by direct computation, 2019).
func (x *teller) counts(packets uint32) bool {
	rest, _ := bits.Mul64(x.inverse*uint64(packets), uint64(x.Period))
	return uint32(rest) == x.Threshold
}

// How states are told of.
const (
	tellNever    = iota
	tellByCount  // with the packets that Telling says
	tellOnChange // at once when it is reached, then as tellByCount
)

// tellStates is what the kernel's ip_vs_sync_conn_needed says of states.
var tellStates = [32]uint8{
	TCPEstablished: tellByCount, TCPFinWait: tellOnChange, TCPClose: tellOnChange, TCPCloseWait: tellOnChange,
	TCPTimeWait:     tellOnChange,
	UDPNormal:       tellByCount,
	SCTPEstablished: tellByCount, SCTPShutdownSent: tellOnChange, SCTPShutdownReceived: tellOnChange,
	SCTPShutdownAckSent: tellOnChange, SCTPClosed: tellOnChange,
}

// Due reports whether another director is to be told of c now, when it has had that many packets from the client, and takes
// it for told if so (kernel: ip_vs_sync_conn_needed). Only after SetTelling.
func (t *Table) Due(c *Conn, packets uint32, now clock.Mono) bool {
	x := &t.teller
	how := tellStates[c.state&31]
	switch {
	case c.flags&Template != 0:
		if x.Period == 0 && x.Refresh == 0 && packets != x.Threshold {
			return false
		}
		return t.refreshes(c, now)
	case how == tellNever, x.Persist && t.persistent(c):
		return false
	case how == tellOnChange && x.told[c.self].state != c.state:
		x.told[c.self] = heard{until: now + t.lifetime(c), state: c.state}
		return true
	case x.Period > 0:
		return x.counts(packets) && t.refreshes(c, now)
	case x.Refresh == 0 && packets != x.Threshold:
		return false
	}
	return t.refreshes(c, now)
}

// refreshes reports whether what is told of c is news for its receiver, or is told again in case it was lost, and takes it
// for told.
func (t *Table) refreshes(c *Conn, now clock.Mono) bool {
	x := &t.teller
	last, life := &x.told[c.self], t.lifetime(c)
	until, retries := now+life, uint8(0)
	if refresh := clock.Mono(x.Refresh); refresh > 0 {
		least := max(life/2, clock.Mono(10*time.Second))
		if diff := until - last.until; max(diff, -diff) < min(refresh, least) {
			if last.retries >= x.Retries || now < last.until-life+refresh/8 {
				return false
			}
			retries = last.retries + 1
		}
	}
	*last = heard{until: until, state: c.state, retries: retries}
	return true
}

// persistent reports whether c came through a template.
func (t *Table) persistent(c *Conn) bool {
	for p := t.Controller(c); p != nil; p = t.Controller(p) {
		if p.flags&Template != 0 {
			return true
		}
	}
	return false
}

// Tellable reports whether another director is ever told of c as it is now, whatever Telling says but for Persist: for one
// that is to learn all of the table.
func (t *Table) Tellable(c *Conn) bool {
	if c.flags&Template != 0 {
		return c.flags&Retired == 0
	}
	return tellStates[c.state&31] != tellNever && !(t.teller.Persist && t.persistent(c))
}

// Led reports whether another entry controls c (Control), or did and has been removed. It is told from the first line of c.
func (c *Conn) Led() bool { return c.flags&led != 0 }

// lifetime is how long c lives after a packet.
func (t *Table) lifetime(c *Conn) clock.Mono {
	if c.flags&Template != 0 {
		return seconds(c.via)
	}
	return t.timeouts[c.state&31]
}

// Lifetime returns how long c lives after its last packet; a template, after the last connection through it was opened.
func (t *Table) Lifetime(c *Conn) time.Duration { return time.Duration(t.lifetime(c)) }

// Learn gives c the state that another director tells of, and starts its time again: life, or if that is 0 what its state
// says (of a template, 3 minutes: ip_vs_proc_conn). It returns the state before.
func (t *Table) Learn(c *Conn, s State, life time.Duration, now clock.Mono) (was State) {
	was, c.state = c.state, s
	if c.flags&Template != 0 {
		if life == 0 {
			life = learnedTemplate
		}
		c.via = uint32(min(max(life/time.Second, 1), maxLearned))
		life = time.Duration(seconds(c.via))
	} else if life == 0 {
		life = time.Duration(t.timeouts[s&31])
	}
	c.deadline = now + clock.Mono(min(life, maxLearned*time.Second))
	if int32(ceilTick(c.deadline)-c.armed) < 0 {
		t.wheel.unlink(t.slab, c)
		t.wheel.link(t.slab, c)
	}
	if t.teller.told != nil {
		t.teller.told[c.self].state = s
	}
	return was
}

const (
	learnedTemplate = 3 * time.Minute
	maxLearned      = 1<<31 - 1 // seconds: no message can say more than twice that, and it would outlive the machine
)

// StateOf reports whether s is a state of connections of the protocol.
func StateOf(proto uint8, s State) bool {
	switch proto {
	case packet.ProtoTCP:
		return s == None || s >= TCPEstablished && s <= TCPSynAck
	case packet.ProtoUDP:
		return s == UDPNormal
	case packet.ProtoSCTP:
		return s == None || s >= SCTPInit1 && s <= SCTPClosed
	}
	return false
}
