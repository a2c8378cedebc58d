package main

import (
	"bytes"
	"fmt"

	"dirsw/packet"
)

// deliver hands what left by the tap to the director's own network stack, at which nobody listens, and returns what left
// otherwise, with what came of the stack's answers.
func (m *machine) deliver(sent []out) (left []out, err error) {
	for _, o := range sent {
		if o.port != ownStack {
			left = append(left, o)
			continue
		}
		if on, ok := m.top.routed(o.frame); ok {
			left = append(left, on...)
			continue
		}
		answer := stackAnswer(o.frame)
		if answer == nil {
			continue
		}
		m.lane.Inject(ownStack, answer)
		if err := m.step(); err != nil {
			return nil, err
		}
		for _, o := range m.left() {
			if o.port == ownStack {
				return nil, fmt.Errorf("the answer of the director's own stack came back to it: %x", o.frame)
			}
			left = append(left, o)
		}
	}
	return left, nil
}

// routed is what the kernel makes of a frame to an address that is not its own: it sends it on, where there is a way. It
// reports false for one to an address of its own.
func (t *topology) routed(frame []byte) (sent []out, ok bool) {
	var m packet.Meta
	if packet.Parse(frame, &m) != packet.NoDrop || m.Flags&packet.ICMPError != 0 || within(m.Dst.Netip(), t.local) {
		return nil, false
	}
	hop := t.hop(m.Dst.Netip())
	on := packet.MakeFrame(bytes.Clone(frame), 0, len(frame), 0, 0)
	if hop.OK && packet.DecrementTTL(&on, &m) {
		packet.SetMACs(&on, hop.Src, hop.Dst)
		sent = []out{{int(hop.Port), on.Bytes()}}
	}
	return sent, true
}

// stackAnswer is what the kernel's own stack sends back for a packet to an address of its own at which nobody listens: a RST
// to TCP (RFC 9293, section 3.10.7.1), port unreachable to UDP, protocol unreachable to SCTP, which it does not speak.
func stackAnswer(frame []byte) []byte {
	var m packet.Meta
	if packet.Parse(frame, &m) != packet.NoDrop || m.Flags&(packet.ICMPError|packet.LaterFragment) != 0 ||
		m.Family == packet.IPv4Family && m.Dst.Netip().IsLoopback() {
		return nil
	}
	s := packet.Spec{Tuple: m.Reverse(), SrcMAC: packet.Ethernet(frame).Dst(), DstMAC: packet.Ethernet(frame).Src()}
	switch m.Proto {
	case packet.ProtoTCP:
		in := packet.TCP(frame[m.L4:])
		if m.TCPFlags&packet.RST != 0 {
			return nil
		}
		s.DF, s.TCPFlags, s.Seq = true, packet.RST, in.Ack()
		if m.TCPFlags&packet.ACK == 0 {
			s.TCPFlags, s.Seq, s.Ack = packet.RST|packet.ACK, 0, in.Seq()+(m.End-uint32(m.Payload))
			if m.TCPFlags&packet.SYN != 0 {
				s.Ack++
			}
			if m.TCPFlags&packet.FIN != 0 {
				s.Ack++
			}
		}
	case packet.ProtoUDP, packet.ProtoSCTP:
		stackError(&s, frame, &m)
	default:
		return nil
	}
	return packet.Build(nil, s)
}

// stackError makes s the ICMP error about UDP, or about SCTP, to who sent it.
func stackError(s *packet.Spec, frame []byte, m *packet.Meta) {
	if m.Family == packet.IPv4Family {
		s.TOS, s.ICMPType, s.ICMPCode = 0xc0, packet.ICMPv4Unreachable, packet.ICMPv4PortUnreachable
		s.Payload = frame[m.L3:min(int(m.End), int(m.L3)+548)]
		if m.Proto == packet.ProtoSCTP {
			s.ICMPCode = 2 // protocol unreachable
		}
		s.Proto = packet.ProtoICMP
		return
	}
	s.ICMPType, s.ICMPCode = packet.ICMPv6Unreachable, packet.ICMPv6PortUnreachable
	s.Payload = frame[m.L3:min(int(m.End), int(m.L3)+1232)]
	if m.Proto == packet.ProtoSCTP {
		s.ICMPType, s.ICMPCode, s.ICMPRest = packet.ICMPv6ParameterProblem, 1, 6 // the next header is not known
	}
	s.Proto = packet.ProtoICMPv6
}
