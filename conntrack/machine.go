package conntrack

import (
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// Timeouts are how long a connection lives after its last packet, as set by ipvsadm --set. Zero keeps what was.
type Timeouts struct {
	TCP    time.Duration // ESTABLISHED; 15 min if never set
	TCPFin time.Duration // FIN_WAIT, not CLOSE_WAIT; 2 min
	UDP    time.Duration // 5 min
}

// stateTimeouts are the kernel's defaults, in seconds.
var stateTimeouts = [States]uint16{
	None: 2, Assured: 2,
	TCPEstablished: 900, TCPSynSent: 120, TCPSynRecv: 60, TCPFinWait: 120, TCPTimeWait: 120, TCPClose: 10,
	TCPCloseWait: 60, TCPLastAck: 30, TCPListen: 120, TCPSynAck: 120,
	UDPNormal: 300,
	SCTPInit1: 4, SCTPInit: 61, SCTPCookieSent: 61, SCTPCookieReplied: 61, SCTPCookieWait: 61, SCTPCookie: 61,
	SCTPCookieEchoed: 61, SCTPEstablished: 900, SCTPShutdownSent: 61, SCTPShutdownReceived: 61,
	SCTPShutdownAckSent: 61, SCTPRejected: 4, SCTPClosed: 61,
}

// eventSet has bit e set for Event e.
type eventSet uint32

// move says that in state from, an event of on leads to state to. Where no move is named the state stays.
type move struct {
	from, to State
	on       eventSet
}

// Sets of events by the names of RFC 9293, section 3.1, and RFC 9260, section 3.2.
const (
	rst  eventSet = 1<<TCPRst | 1<<TCPSynRst
	syn  eventSet = 1 << TCPSyn
	fin  eventSet = 1 << TCPFin
	ack  eventSet = 1 << TCPAck
	bare eventSet = 1 << TCPBare

	data             eventSet = 1 << SCTPChunkData
	init1            eventSet = 1 << SCTPChunkInit
	initAck          eventSet = 1 << SCTPChunkInitAck
	abort            eventSet = 1 << SCTPChunkAbort
	shutdown         eventSet = 1 << SCTPChunkShutdown
	shutdownAck      eventSet = 1 << SCTPChunkShutdownAck
	chunkError       eventSet = 1 << SCTPChunkError
	cookieEcho       eventSet = 1 << SCTPChunkCookieEcho
	cookieAck        eventSet = 1 << SCTPChunkCookieAck
	shutdownComplete eventSet = 1 << SCTPChunkShutdownComplete
)

// fromClient, fromServer and oneWay are the moves of the kernel as testdata/oracle/transitions.jsonl.gz shows them, and
// listen.jsonl.gz for what a helper announced.
// oneWay is read after fromClient and says where it differs; states that no client reaches alone, which another director
// may tell of, move as in fromClient.
var fromClient = []move{
	{None, TCPSynRecv, syn}, {None, TCPEstablished, ack}, {None, TCPClose, fin | bare | rst},
	{TCPSynRecv, TCPEstablished, ack}, {TCPSynRecv, TCPTimeWait, fin}, {TCPSynRecv, TCPClose, bare},
	{TCPEstablished, TCPCloseWait, fin}, {TCPEstablished, TCPClose, rst | bare},
	{TCPTimeWait, TCPSynRecv, syn}, {TCPTimeWait, TCPClose, rst | bare},
	{TCPClose, TCPSynRecv, syn},
	{TCPCloseWait, TCPSynRecv, syn}, {TCPCloseWait, TCPClose, rst | bare},
	{TCPFinWait, TCPSynRecv, syn}, {TCPFinWait, TCPTimeWait, fin}, {TCPFinWait, TCPClose, rst | bare},
	{TCPSynSent, TCPEstablished, syn}, {TCPSynSent, TCPClose, rst | bare},
	{TCPSynAck, TCPSynRecv, syn | rst}, {TCPSynAck, TCPEstablished, ack}, {TCPSynAck, TCPTimeWait, fin}, {TCPSynAck, TCPClose, bare},
	{TCPListen, TCPSynRecv, syn}, {TCPListen, TCPClose, bare},

	{None, SCTPInit1, init1}, {None, SCTPEstablished, data | cookieAck}, {None, SCTPCookieWait, initAck},
	{None, SCTPCookieReplied, cookieEcho}, {None, SCTPShutdownReceived, shutdown},
	{None, SCTPClosed, abort | chunkError | shutdownAck | shutdownComplete},
	{SCTPInit1, SCTPInit, init1 | shutdownAck | cookieEcho}, {SCTPInit1, SCTPCookieWait, initAck},
	{SCTPInit1, SCTPClosed, abort | shutdownComplete},
	{SCTPInit, SCTPCookieWait, initAck}, {SCTPInit, SCTPClosed, abort | shutdownComplete},
	{SCTPCookieWait, SCTPCookie, initAck}, {SCTPCookieWait, SCTPRejected, abort},
	{SCTPCookieSent, SCTPCookieReplied, cookieEcho}, {SCTPCookieSent, SCTPClosed, abort},
	{SCTPCookieEchoed, SCTPEstablished, cookieAck}, {SCTPCookieEchoed, SCTPClosed, abort | chunkError},
	{SCTPCookie, SCTPClosed, abort}, {SCTPCookieReplied, SCTPClosed, abort},
	{SCTPEstablished, SCTPShutdownReceived, shutdown}, {SCTPEstablished, SCTPClosed, abort},
	{SCTPShutdownSent, SCTPClosed, abort | shutdownAck}, {SCTPShutdownReceived, SCTPClosed, abort},
	{SCTPShutdownAckSent, SCTPClosed, abort | shutdownAck | shutdownComplete},
	{SCTPRejected, SCTPInit, init1}, {SCTPRejected, SCTPClosed, abort},
	{SCTPClosed, SCTPInit1, init1},
}

var fromServer = []move{
	{TCPSynRecv, TCPEstablished, ack}, {TCPSynRecv, TCPTimeWait, fin}, {TCPSynRecv, TCPClose, rst | bare},
	{TCPEstablished, TCPFinWait, fin}, {TCPEstablished, TCPClose, rst | bare},
	{TCPTimeWait, TCPSynSent, syn}, {TCPTimeWait, TCPClose, bare},
	{TCPClose, TCPSynSent, syn},
	{TCPCloseWait, TCPSynSent, syn}, {TCPCloseWait, TCPTimeWait, fin}, {TCPCloseWait, TCPClose, rst | bare},
	{TCPFinWait, TCPSynSent, syn}, {TCPFinWait, TCPClose, rst | bare},
	{TCPSynSent, TCPClose, bare},
	{TCPSynAck, TCPSynRecv, syn}, {TCPSynAck, TCPEstablished, ack}, {TCPSynAck, TCPTimeWait, fin}, {TCPSynAck, TCPClose, rst | bare},
	{TCPListen, TCPEstablished, ack}, {TCPListen, TCPClose, rst | bare},

	{SCTPInit1, SCTPCookieWait, init1}, {SCTPInit1, SCTPCookieSent, initAck}, {SCTPInit1, SCTPRejected, abort},
	{SCTPInit1, SCTPShutdownSent, shutdown}, {SCTPInit1, SCTPShutdownAckSent, shutdownAck},
	{SCTPInit1, SCTPClosed, chunkError}, {SCTPInit1, SCTPCookieEchoed, cookieEcho},
	{SCTPInit1, SCTPEstablished, cookieAck},
	{SCTPInit, SCTPCookieWait, init1}, {SCTPInit, SCTPCookieSent, initAck}, {SCTPInit, SCTPClosed, abort | chunkError},
	{SCTPInit, SCTPShutdownSent, shutdown}, {SCTPInit, SCTPShutdownAckSent, shutdownAck},
	{SCTPInit, SCTPCookieEchoed, cookieEcho}, {SCTPInit, SCTPEstablished, cookieAck},
	{SCTPCookieSent, SCTPCookieWait, init1}, {SCTPCookieSent, SCTPClosed, abort | chunkError},
	{SCTPCookieSent, SCTPShutdownSent, shutdown}, {SCTPCookieSent, SCTPShutdownAckSent, shutdownAck},
	{SCTPCookieSent, SCTPCookieEchoed, cookieEcho}, {SCTPCookieSent, SCTPEstablished, cookieAck},
	{SCTPCookieReplied, SCTPCookieWait, init1}, {SCTPCookieReplied, SCTPClosed, abort | chunkError},
	{SCTPCookieReplied, SCTPShutdownSent, shutdown}, {SCTPCookieReplied, SCTPShutdownAckSent, shutdownAck},
	{SCTPCookieReplied, SCTPCookieEchoed, cookieEcho}, {SCTPCookieReplied, SCTPEstablished, cookieAck},
	{SCTPCookieWait, SCTPClosed, abort}, {SCTPCookieWait, SCTPShutdownSent, shutdown},
	{SCTPCookieWait, SCTPCookieEchoed, cookieEcho}, {SCTPCookieWait, SCTPEstablished, cookieAck},
	{SCTPCookie, SCTPCookieWait, init1}, {SCTPCookie, SCTPClosed, abort}, {SCTPCookie, SCTPShutdownSent, shutdown},
	{SCTPCookie, SCTPCookieEchoed, cookieEcho}, {SCTPCookie, SCTPEstablished, cookieAck},
	{SCTPCookieEchoed, SCTPCookieWait, init1}, {SCTPCookieEchoed, SCTPClosed, abort},
	{SCTPCookieEchoed, SCTPShutdownSent, shutdown}, {SCTPCookieEchoed, SCTPEstablished, cookieAck},
	{SCTPEstablished, SCTPClosed, abort}, {SCTPEstablished, SCTPShutdownSent, shutdown},
	{SCTPShutdownSent, SCTPCookieWait, init1}, {SCTPShutdownSent, SCTPClosed, abort},
	{SCTPShutdownSent, SCTPShutdownAckSent, shutdownAck},
	{SCTPShutdownReceived, SCTPCookieWait, init1}, {SCTPShutdownReceived, SCTPClosed, abort},
	{SCTPShutdownReceived, SCTPShutdownAckSent, shutdownAck},
	{SCTPShutdownAckSent, SCTPCookieWait, init1}, {SCTPShutdownAckSent, SCTPClosed, abort},
	{SCTPRejected, SCTPCookieWait, init1}, {SCTPRejected, SCTPClosed, abort},
	{SCTPClosed, SCTPCookieWait, init1},
}

var oneWay = []move{
	{TCPEstablished, TCPFinWait, fin}, {TCPFinWait, TCPFinWait, fin}, {TCPSynAck, TCPClose, rst},

	{None, SCTPCookieEchoed, initAck}, {None, SCTPEstablished, cookieEcho},
	{SCTPInit1, SCTPCookieEchoed, initAck}, {SCTPInit1, SCTPEstablished, cookieEcho},
	{SCTPInit, SCTPCookieEchoed, initAck}, {SCTPInit, SCTPEstablished, cookieEcho},
	{SCTPCookieEchoed, SCTPCookieEchoed, chunkError}, {SCTPEstablished, SCTPClosed, shutdownAck},
	{SCTPShutdownReceived, SCTPClosed, shutdownComplete},
}

// Where the kernel's sysctl secure_tcp makes a difference. It may be switched while connections live.
var (
	secureClient = []move{
		{TCPSynRecv, TCPSynRecv, ack},
		{TCPSynAck, TCPSynAck, syn | ack | fin}, {TCPSynAck, TCPClose, rst | bare},
	}
	secureServer = []move{{TCPSynRecv, TCPSynAck, syn}, {TCPSynAck, TCPSynAck, syn}}
	secureOneWay = []move{
		{None, TCPSynAck, syn}, {TCPTimeWait, TCPSynAck, syn}, {TCPClose, TCPSynAck, syn}, {TCPFinWait, TCPSynAck, syn},
		{TCPCloseWait, TCPSynAck, syn}, {TCPSynAck, TCPSynAck, syn},
	}
)

// Columns of a machine. colOneWay has the value of the flag OneWay, so that a packet from the client needs no branch.
const (
	colClient = 0
	colServer = 1
	colOneWay = uint8(OneWay)
)

// machine holds the next state by column, event and state, filled up to powers of two so that no index is out of range.
type machine [4][32][32]State

// build fills the machine. All of it is written, so it may be built again while connections live.
func (x *machine) build(secure bool) {
	for col := range x {
		for ev := range x[col] {
			for s := range x[col][ev] {
				x[col][ev][s] = State(s)
			}
		}
		for s := range x[col][UDPAny] {
			x[col][UDPAny][s] = UDPNormal
		}
	}
	x.apply(colClient, fromClient)
	x.apply(colServer, fromServer)
	x.apply(colOneWay, fromClient)
	x.apply(colOneWay, oneWay)
	if secure {
		x.apply(colClient, secureClient)
		x.apply(colServer, secureServer)
		x.apply(colOneWay, secureOneWay)
	}
}

func (x *machine) apply(col uint8, moves []move) {
	for _, m := range moves {
		for e := Event(0); e < Events; e++ {
			if m.on&(1<<e) != 0 {
				x[col][e][m.from] = m.to
			}
		}
	}
}

// Advance tells connection c, not a template, of a packet that Lookup found it by: state and deadline follow. It returns the state
// before and after; whether the server's active or inactive count changes is was.Active() != is.Active().
func (t *Table) Advance(c *Conn, d Dir, ev Event, now clock.Mono) (was, is State) {
	col := uint8(c.flags & OneWay)
	if d == FromClient {
		c.Packets++
	} else {
		col = colServer
	}
	was = c.state
	is = t.machine[col&3][ev&31][was&31]
	c.deadline = now + t.timeouts[is&31]
	if is != was || col == colServer && is == UDPNormal {
		t.changed(c, d, is)
	}
	if int32(ceilTick(c.deadline)-c.armed) < 0 {
		t.rearm(c)
	}
	return was, is
}

// Steady reports whether a plain packet (packet.Meta.Plain) leaves the connection, not a template, in its state whatever its
// direction: Renew then is Advance for it.
func (c *Conn) Steady(m *packet.Meta) bool {
	const says = packet.FIN | packet.SYN | packet.RST | packet.ACK
	if c.state == TCPEstablished {
		return m.TCPFlags&says == packet.ACK
	}
	return c.state == UDPNormal
}

// Renew is Advance for a packet for which the connection is Steady, unless it is the answer of a UDP server on a connection that
// another entry controls (Conn.Led).
func (t *Table) Renew(c *Conn, d Dir, now clock.Mono) {
	if d == FromClient {
		c.Packets++
	}
	c.deadline = now + t.timeouts[c.state&31]
	if int32(ceilTick(c.deadline)-c.armed) < 0 {
		t.rearm(c)
	}
}

// rearm puts c under an earlier tick.
func (t *Table) rearm(c *Conn) {
	t.wheel.unlink(t.slab, c)
	t.wheel.link(t.slab, c)
}

// Limit has connection c, which Advance or Insert has just been told of, end life after now and not when its state says.
func (t *Table) Limit(c *Conn, life time.Duration, now clock.Mono) {
	c.deadline = now.Add(life)
	if int32(ceilTick(c.deadline)-c.armed) < 0 {
		t.rearm(c)
	}
}

// changed sets the state and assures the template: for TCP and SCTP when the connection is established, for UDP when
// the server has answered.
func (t *Table) changed(c *Conn, d Dir, is State) {
	c.state = is
	if is == TCPEstablished || is == SCTPEstablished || is == UDPNormal && d == FromServer {
		if p := t.TemplateOf(c); p != nil {
			p.state = Assured
		}
	}
}

// SetTimeouts changes how long connections live after their next packet.
func (t *Table) SetTimeouts(o Timeouts) {
	set := func(s State, d time.Duration) {
		if d > 0 {
			t.timeouts[s] = clock.Mono(max(d, time.Second))
		}
	}
	set(TCPEstablished, o.TCP)
	set(TCPFinWait, o.TCPFin)
	set(UDPNormal, o.UDP)
}

// Timeouts returns what is in force.
func (t *Table) Timeouts() Timeouts {
	return Timeouts{TCP: time.Duration(t.timeouts[TCPEstablished]), TCPFin: time.Duration(t.timeouts[TCPFinWait]),
		UDP: time.Duration(t.timeouts[UDPNormal])}
}

// SetSecureTCP switches between the usual TCP states and those of the kernel's secure_tcp, in which a connection is
// established by the server's ACK, not by the client's.
func (t *Table) SetSecureTCP(on bool) { t.machine.build(on) }
