package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// What the kernel's own stack would tell the client of a packet that IPVS does not forward, the worker tells it: a frame
// that the packet filter took has no way back to the kernel. The answers are those of the transcripts dr4 and dr6 in
// testdata/oracle, byte for byte but for the identification.

const (
	icmpUnreachable  = 3 // RFC 792; code 2: protocol, 3: port, 4: fragmentation needed (RFC 1191)
	icmpTimeExceeded = 11
	icmpParam        = 12
	icmpMax          = 576 // bytes of an IPv4 packet with an ICMP error (RFC 1812, section 4.3.2.3)

	icmp6Unreachable  = 1 // RFC 4443; code 4: port
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
	icmp6Param        = 4    // code 1: unknown next header
	icmp6Max          = 1280 // bytes of an IPv6 packet with an ICMPv6 error (RFC 4443, section 2.4)

	nextHeaderAt = 6 // bytes into the IPv6 header

	icmpTOS  = 0xc0 // internetwork control, of ICMPv4 errors (RFC 1812, section 4.3.2.5)
	icmpHead = 8

	icmpPerSecond = 1000 // errors that one worker sends, whatever comes (net.ipv4.icmp_msgs_per_sec)
	icmpBurst     = 64
)

// limiter lets so many errors out a second.
type limiter struct {
	left  int64
	since clock.Mono
}

func (l *limiter) take(now clock.Mono) bool {
	if more := int64(now.Sub(l.since) / (time.Second / icmpPerSecond)); more > 0 {
		l.left = min(l.left+more, icmpBurst)
		l.since = now
	}
	if l.left == 0 {
		return false
	}
	l.left--
	return true
}

// answer tells the sender of f why it is dropped, where the kernel would. The answer leaves by the port that f came by.
func (w *Worker) answer(f *packet.Frame, m *packet.Meta, v *Verdict, now clock.Mono) {
	if m.Flags&(packet.ICMPError|packet.LaterFragment) != 0 || !unicast(&m.Src) || v.foreign(w.snap, m) {
		return
	}
	in := f.Bytes()
	s := packet.Spec{Tuple: m.Reverse(), VLAN: m.VLAN, SrcMAC: packet.Ethernet(in).Dst(), DstMAC: packet.Ethernet(in).Src()}
	if m.Family == packet.IPv4Family {
		s.Options = w.echoed(in[m.L3:], m)
	}
	if v.Drop == packet.DropNoConnection && v.Dir == conntrack.FromClient && m.Proto == packet.ProtoTCP {
		if m.TCPFlags&packet.RST != 0 {
			return
		}
		reset(&s, in, m)
	} else if !w.icmpError(&s, f, m, v) || !w.errors.take(now) {
		return
	}
	w.sendAnswer(&s, f.Port)
}

// sendAnswer makes a packet and sends it by a port, if the lane has a frame for it.
func (w *Worker) sendAnswer(s *packet.Spec, port uint8) {
	out, ok := w.lane.Alloc()
	if !ok {
		return
	}
	out.Resize(answerLen(s))
	packet.Build(out.Bytes(), *s)
	out.Port = port
	w.plain.Answered++
	if w.answers.N == packet.BatchSize {
		w.lane.Send(&w.answers)
	}
	w.answers.Add(out)
}

// reset is the RST for a segment without a connection (RFC 9293, section 3.10.7.1).
func reset(s *packet.Spec, in []byte, m *packet.Meta) {
	t := packet.TCP(in[m.L4:])
	s.DF = true
	if m.TCPFlags&packet.ACK != 0 {
		s.TCPFlags, s.Seq = packet.RST, t.Ack()
		return
	}
	n := m.End - uint32(m.Payload)
	if m.TCPFlags&packet.SYN != 0 {
		n++
	}
	if m.TCPFlags&packet.FIN != 0 {
		n++
	}
	s.TCPFlags, s.Ack = packet.RST|packet.ACK, t.Seq()+n
}

// icmpError fills s with the error for a drop reason; false where the kernel is silent.
func (w *Worker) icmpError(s *packet.Spec, f *packet.Frame, m *packet.Meta, v *Verdict) bool {
	v4 := m.Family == packet.IPv4Family
	if v.Dir == conntrack.FromServer && !w.fromOwn(s, f.Port, v4) {
		return false
	}
	var typ, code uint8
	switch v.Drop {
	case packet.DropNoServer:
		typ, code = choose(v4, icmpUnreachable, icmp6Unreachable), choose(v4, 3, 4)
	case packet.DropNoConnection:
		typ, code = choose(v4, icmpUnreachable, icmp6Unreachable), choose(v4, 3, 4)
		if v.Dir == conntrack.FromServer {
			break
		}
		typ, code = choose(v4, icmpUnreachable, icmp6Param), choose(v4, 2, 1) // SCTP, which the kernel's stack does not speak
		if !v4 {
			s.ICMPRest = nextHeaderAt // pointer to what is not known
		}
	case packet.DropTTL:
		typ = choose(v4, icmpTimeExceeded, icmp6TimeExceeded)
	case packet.DropTooBig:
		if v.mtu == 0 {
			return false
		}
		typ, code = choose(v4, icmpUnreachable, icmp6TooBig), choose(v4, 4, 0)
		s.ICMPRest = uint32(v.mtu)
	case packet.DropNoNextHop:
		if !v.chosen() || v.Dir == conntrack.FromServer || !w.unreachable(s, f, m, v) {
			return false
		}
		typ, code = choose(v4, icmpUnreachable, icmp6Unreachable), choose(v4, 1, 3)
	default:
		return false
	}
	room := icmpMax - packet.IPv4MinLen - icmpHead - len(s.Options)
	s.Proto = packet.ProtoICMP
	if v4 {
		s.TOS = errorTOS(f.Bytes()[m.L3:])
	} else {
		room = icmp6Max - packet.IPv6Len - icmpHead
		s.Proto = packet.ProtoICMPv6
	}
	w.ipID++
	s.ICMPType, s.ICMPCode, s.ID = typ, code, w.ipID
	s.Payload = f.Bytes()[m.L3 : int(m.L3)+min(m.Len(), room)]
	return true
}

// errorTOS is the type of service of an error about an IPv4 packet: its own, but for the precedence and the last bit (kernel:
// icmp_send).
func errorTOS(about packet.IPv4) uint8 { return icmpTOS | about.TOS()&0x1e }

// fromOwn makes the director's own address on a port the source of s: of errors about replies, and where the kernel does so
// in others. It reports false if there is none.
func (w *Worker) fromOwn(s *packet.Spec, port uint8, v4 bool) bool {
	if int(port) >= len(w.snap.Own) {
		return false
	}
	own := &w.snap.Own[port][1]
	if v4 {
		own = &w.snap.Own[port][0]
	}
	if *own == (packet.Addr{}) {
		return false
	}
	s.Src = *own
	return true
}

// unreachable prepares s and f for the error about a server that has no next hop; false if nobody is told. Where no
// neighbour has answered, the kernel finds out when the packet has been made ready to leave, which shows in the error: in
// IPv4 its source is no more the address that the client spoke to, or the packet that it quotes has been translated there
// and back, but for the transport checksum; in IPv6 the client hears of it by direct routing only.
func (w *Worker) unreachable(s *packet.Spec, f *packet.Frame, m *packet.Meta, v *Verdict) bool {
	d := &w.snap.Dests[v.Dest]
	if d.Hop.Fail != HopSilent {
		return d.Hop.Fail == HopUnreachable
	}
	method := v.method(d)
	if m.Family == packet.IPv6Family {
		return method == DR
	}
	switch method {
	case DR:
		w.fromOwn(s, f.Port, true)
	case NAT:
		real, port := w.serverEnd(m, v, d)
		b := f.Bytes()
		var head [packet.IPv4MinLen]byte
		var ports [4]byte
		k := copy(ports[:], b[m.L4:m.End])
		copy(head[:], b[m.L3:])
		packet.RewriteDst(f, m, &real, port)
		copy(b[m.L3:], head[:])
		copy(b[m.L4:], ports[:k])
	}
	return true
}

func choose(first bool, a, b uint8) uint8 {
	if first {
		return a
	}
	return b
}

// answerLen is the length of the frame that Build makes of s.
func answerLen(s *packet.Spec) int {
	n := packet.EthernetLen + packet.IPv4MinLen + len(s.Options) + icmpHead + len(s.Payload)
	if s.Family == packet.IPv6Family {
		n += packet.IPv6Len - packet.IPv4MinLen
	}
	if s.Proto == packet.ProtoTCP {
		n += packet.TCPMinLen - icmpHead
	}
	if s.VLAN != 0 {
		n += packet.VLANTagLen
	}
	return n
}

// unicast reports whether a can be answered to.
func unicast(a *packet.Addr) bool {
	if a.Is4() {
		return a[12] != 0 && a[12] < 224
	}
	return *a != packet.Addr{} && a[0] != 0xff
}
