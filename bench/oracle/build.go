package main

import (
	"fmt"
	"net/netip"
	"strings"

	"dirsw/packet"
)

// flags of TCP by the letters of transcripts. Meta and Spec have no ECE and CWR, and nothing here depends on them.
const flagLetters = "FSRPAU"

func tcpFlags(s string) (f uint8, err error) {
	if s == "none" {
		return 0, nil
	}
	for _, c := range s {
		i := strings.IndexRune(flagLetters, c)
		if i < 0 {
			return 0, fmt.Errorf("TCP flag %q", c)
		}
		f |= 1 << i
	}
	return f, nil
}

func flagNames(f uint8) (s string) {
	for i, c := range flagLetters {
		if f&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}

// chunkTypes of SCTP (RFC 9260, section 3.2).
var chunkTypes = map[string]uint8{"DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "ABORT": 6,
	"SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11, "SHUTDOWN_COMPLETE": 14}

// bodies are the lengths of chunks that are more than their header, as in the transcripts.
var bodies = map[uint8]int{0: 16, 1: 16, 2: 16, 3: 12, 7: 4}

func chunks(names string) (b []byte, err error) {
	for name := range strings.SplitSeq(names, "+") {
		typ, ok := chunkTypes[name]
		if !ok {
			return nil, fmt.Errorf("SCTP chunk %q", name)
		}
		n := bodies[typ]
		b = append(b, typ, 0, 0, byte(4+n))
		b = append(b, make([]byte, n)...)
	}
	return b, nil
}

var protocols = map[string]uint8{"tcp": packet.ProtoTCP, "udp": packet.ProtoUDP, "sctp": packet.ProtoSCTP}

// parcel is a packet of a transcript that names addresses and content.
type parcel struct {
	proto    string
	from, to netip.AddrPort
	content  string // TCP flags; SCTP chunks; of UDP nothing
	data     []byte // behind the header, of TCP and UDP
}

// build makes the frame of p, as it comes in by a port.
func (m *machine) build(port int, p parcel) ([]byte, error) {
	proto, ok := protocols[p.proto]
	if !ok {
		return nil, fmt.Errorf("protocol %q", p.proto)
	}
	s := packet.Spec{Tuple: packet.Tuple{Src: packet.AddrFrom(p.from.Addr()), Dst: packet.AddrFrom(p.to.Addr()),
		SrcPort: p.from.Port(), DstPort: p.to.Port(), Proto: proto}, DF: true, ID: 0x1234, Payload: p.data}
	s.DstMAC, s.SrcMAC = m.top.ports[port].MAC, gateway
	if port == serverSide {
		s.SrcMAC, _ = serverMAC(1, true)
	}
	var err error
	switch proto {
	case packet.ProtoTCP:
		if s.TCPFlags, err = tcpFlags(p.content); err != nil {
			return nil, err
		}
		s.Seq, s.Window = 1000, 64240
		if s.TCPFlags&packet.ACK != 0 {
			s.Ack = 5000
		}
	case packet.ProtoUDP:
		if p.data == nil {
			s.Payload = []byte("hello-ipvs")
		}
	case packet.ProtoSCTP:
		if s.Payload, err = chunks(p.content); err != nil {
			return nil, err
		}
		if p.content != "INIT" {
			s.Tag = 7
		}
	}
	return packet.Build(nil, s), nil
}

// kernelAnswer is what the kernel's own stack says to a packet for a local address that nobody listens at, in the words of
// a transcript; "" for nothing.
func kernelAnswer(frame []byte) string {
	var m packet.Meta
	if packet.Parse(frame, &m) != packet.NoDrop || m.Flags&(packet.ICMPError|packet.LaterFragment) != 0 {
		return ""
	}
	four := m.Family == packet.IPv4Family
	switch {
	case m.Proto == packet.ProtoTCP && m.TCPFlags&packet.RST != 0:
		return ""
	case m.Proto == packet.ProtoTCP && m.TCPFlags&packet.ACK != 0:
		return "tcp R"
	case m.Proto == packet.ProtoTCP:
		return "tcp RA"
	case m.Proto == packet.ProtoUDP && four:
		return "icmp 3/3"
	case m.Proto == packet.ProtoUDP:
		return "icmp6 1/4"
	case m.Proto == packet.ProtoSCTP && four:
		return "icmp 3/2"
	case m.Proto == packet.ProtoSCTP:
		return "icmp6 4/1"
	}
	return ""
}

// describe says of a frame to the client what it is, in the words of a transcript.
func describe(frame []byte) string {
	if len(frame) < packet.EthernetLen+packet.IPv4MinLen {
		return "other"
	}
	at, proto := packet.EthernetLen+packet.IPv4MinLen, frame[23]
	if packet.Ethernet(frame).Type() == packet.EtherTypeIPv6 {
		at, proto = packet.EthernetLen+packet.IPv6Len, frame[20]
	} else {
		at = packet.EthernetLen + packet.IPv4(frame[packet.EthernetLen:]).HeaderLen()
	}
	switch {
	case proto == packet.ProtoICMP && len(frame) > at+1:
		return fmt.Sprintf("icmp %d/%d", frame[at], frame[at+1])
	case proto == packet.ProtoICMPv6 && len(frame) > at+1:
		return fmt.Sprintf("icmp6 %d/%d", frame[at], frame[at+1])
	case proto == packet.ProtoTCP && len(frame) >= at+packet.TCPMinLen:
		return "tcp " + flagNames(packet.TCP(frame[at:]).Flags())
	}
	return "other"
}
