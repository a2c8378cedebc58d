package bfd

import (
	"math"
	"time"

	"dirsw/clock"
)

// never is a time that does not come.
const never = clock.Mono(math.MaxInt64)

// Session is the state machine of one neighbour (RFC 5880, 6.8). It does no I/O and asks no clock. It is made by
// NewSession and has one owner, who gives it what arrives, calls Tick when Next has come, and sends what it says.
type Session struct {
	config Config
	random func() float64 // [0, 1)

	state       State
	diag        Diag
	local       uint32 // bfd.LocalDiscr
	remote      uint32 // bfd.RemoteDiscr, 0 while nothing was heard for a detection time
	remoteState State
	remoteDiag  Diag

	// What the neighbour last said; valid iff heardAny.
	remoteMinRx  time.Duration
	remoteMinTx  time.Duration
	remoteMult   uint8
	remoteDemand bool
	heardAny     bool
	heard        clock.Mono // when

	// What the neighbour is told, and what of it is in force: a slower pace only once a poll has been answered, so that
	// both sides change together (RFC 5880, 6.8.3).
	desired, desiredInForce   time.Duration // bfd.DesiredMinTxInterval
	required, requiredInForce time.Duration // bfd.RequiredMinRxInterval
	polling                   bool

	sent    clock.Mono // when the last periodic packet left
	sendDue clock.Mono
}

// Action is what an event of a Session asks for.
type Action struct {
	Send   bool // Packet
	Packet Packet
	From   State // From != To is a change of state
	To     State
	// Silence is how long nothing was heard, if that is why the state changed; Late how much of it is beyond the
	// detection time: the delay of this machine.
	Silence, Late time.Duration
	Poll          bool // a poll sequence begins
}

// NewSession returns a session that is down and sends its first packet at now. discriminator is not 0 and no other
// session's. random returns numbers in [0, 1) for the jitter.
func NewSession(c Config, discriminator uint32, now clock.Mono, random func() float64) *Session {
	c = c.withDefaults()
	s := &Session{config: c, random: random, state: Down, remoteState: Down, local: discriminator, remoteMinRx: time.Microsecond, sendDue: now}
	s.desired, s.desiredInForce = c.IdleTx, c.IdleTx
	s.required, s.requiredInForce = c.MinRx, c.MinRx
	return s
}

// State returns the state now.
func (s *Session) State() State { return s.state }

// Next returns when Tick is to be called.
func (s *Session) Next() clock.Mono { return min(s.expiry(), s.due()) }

// expiry is when the neighbour's silence has lasted for the detection time.
func (s *Session) expiry() clock.Mono {
	if !s.heardAny || s.state == AdminDown {
		return never
	}
	return s.heard.Add(s.detection())
}

// detection is the detection time of this side (RFC 5880, 6.8.4).
func (s *Session) detection() time.Duration {
	return time.Duration(s.remoteMult) * max(s.requiredInForce, s.remoteMinTx)
}

// interval is how often packets are sent, before the jitter (RFC 5880, 6.8.2 and 6.8.7).
func (s *Session) interval() time.Duration { return max(s.desiredInForce, s.remoteMinRx) }

// due is when the next periodic packet is to be sent.
func (s *Session) due() clock.Mono {
	switch {
	case s.state == AdminDown,
		s.config.Passive && s.remote == 0,
		s.remoteMinRx == 0,
		s.remoteDemand && s.state == Up && s.remoteState == Up && !s.polling:
		return never
	}
	return s.sendDue
}

// Receive takes in a packet that Parse let pass and that is for this session.
func (s *Session) Receive(now clock.Mono, p Packet) Action {
	if s.state == AdminDown {
		return Action{From: s.state, To: s.state}
	}
	before := s.interval()
	s.remote, s.remoteState, s.remoteDiag = p.My, p.State, p.Diag
	s.remoteMinRx, s.remoteMinTx, s.remoteMult, s.remoteDemand = p.RequiredMinRx, p.DesiredMinTx, p.DetectMult, p.Demand
	s.heardAny, s.heard = true, now
	if p.Final && s.polling {
		s.polling = false
		s.desiredInForce, s.requiredInForce = s.desired, s.required
	}
	a := s.become(s.answer(p.State), DiagNeighborDown)
	if s.interval() < before {
		s.sendDue = min(s.sendDue, s.sent.Add(s.jittered()))
	}
	if p.Poll || a.From != a.To {
		s.emit(&a, now, p.Poll)
	}
	return a
}

// answer is the state that the neighbour's leads to (RFC 5880, 6.8.6).
func (s *Session) answer(remote State) State {
	switch {
	case remote == AdminDown:
		return Down
	case s.state == Down && remote == Down:
		return Init
	case s.state == Down && remote == Init:
		return Up
	case s.state == Init && (remote == Init || remote == Up):
		return Up
	case s.state == Up && remote == Down:
		return Down
	}
	return s.state
}

// become changes the state, and with it what the neighbour is told; why is the reason for going down.
func (s *Session) become(to State, why Diag) Action {
	a := Action{From: s.state, To: to}
	if s.state == to {
		return a
	}
	s.state = to
	switch to {
	case Up:
		s.diag = DiagNone
		s.offer(s.config.MinTx, s.config.MinRx)
		s.polling, a.Poll = true, true
	case Down:
		s.diag = why
		s.polling = false
		s.offer(s.config.IdleTx, s.config.MinRx)
	}
	return a
}

// offer changes what the neighbour is told. While up, a slower pace of sending and a faster one of receiving wait for
// the poll's answer.
func (s *Session) offer(desired, required time.Duration) {
	s.desired, s.required = desired, required
	if s.state != Up || desired < s.desiredInForce {
		s.desiredInForce = desired
	}
	if s.state != Up || required > s.requiredInForce {
		s.requiredInForce = required
	}
}

// Tick does what has fallen due by now.
func (s *Session) Tick(now clock.Mono) Action {
	a := Action{From: s.state, To: s.state}
	if now >= s.expiry() {
		silence, late := now.Sub(s.heard), now.Sub(s.expiry())
		s.heardAny, s.remote, s.remoteDemand = false, 0, false // RFC 5880, 6.8.1, bfd.RemoteDiscr
		s.remoteState = Down
		s.remoteMinRx = time.Microsecond // a new neighbour says what it takes
		if s.state == Up || s.state == Init {
			a = s.become(Down, DiagExpired)
			a.Silence, a.Late = silence, late
			if s.due() != never {
				s.emit(&a, now, false)
			}
			return a
		}
	}
	if now >= s.due() {
		s.emit(&a, now, false)
	}
	return a
}

// emit makes a send the packet of now, and puts off the next periodic one.
func (s *Session) emit(a *Action, now clock.Mono, final bool) {
	a.Send, a.Packet = true, s.packet()
	if final {
		a.Packet.Final, a.Packet.Poll = true, false
	}
	s.sent = now
	s.sendDue = now.Add(s.jittered())
}

// jittered is the interval less a random part: up to 25 %, and at least 10 % where one lost packet is the end (RFC
// 5880, 6.8.7).
func (s *Session) jittered() time.Duration {
	least := 0.0
	if s.config.Multiplier == 1 {
		least = 0.10
	}
	part := least + s.random()*(0.25-least)
	return time.Duration(float64(s.interval()) * (1 - part))
}

// packet is what is said now.
func (s *Session) packet() Packet {
	return Packet{
		Diag: s.diag, State: s.state, Poll: s.polling, DetectMult: s.config.Multiplier, My: s.local, Your: s.remote,
		DesiredMinTx: s.desired, RequiredMinRx: s.required,
	}
}

// Configure changes the settings that a session may change while it lasts: intervals, multiplier, passive, max_hops.
func (s *Session) Configure(now clock.Mono, c Config) Action {
	a := Action{From: s.state, To: s.state}
	c = c.withDefaults()
	old := s.config
	s.config = c
	if s.state == AdminDown || old == c {
		return a
	}
	before := s.interval()
	desired := c.IdleTx
	if s.state == Up {
		desired = c.MinTx
	}
	if s.desired != desired || s.required != c.MinRx || old.Multiplier != c.Multiplier {
		s.offer(desired, c.MinRx)
		if s.state == Up {
			s.polling, a.Poll = true, true
		}
		s.sendDue = min(s.sendDue, now)
	}
	if s.interval() < before {
		s.sendDue = min(s.sendDue, s.sent.Add(s.jittered()))
	}
	return a
}

// Close ends the session and returns the packet that tells the neighbour, so that it need not wait for the detection
// time (RFC 5880, 6.8.16). It reports false if the neighbour does not know of the session.
func (s *Session) Close() (Packet, bool) {
	tell := s.remote != 0
	s.state, s.diag, s.polling = AdminDown, DiagAdminDown, false
	return s.packet(), tell
}
