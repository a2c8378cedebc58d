package track

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// The types of echo messages (RFC 792, RFC 4443 section 4).
const (
	echoReply4   = 0
	echoRequest4 = 8
	echoRequest6 = 128
	echoReply6   = 129
)

// echoLen is the length of our echo messages: type, code, checksum, identifier, sequence number, 8 bytes of a nonce.
const echoLen = 16

// echo is what tells one of our echo messages from all others.
type echo struct {
	nonce uint64 // the identifier is made of it
	seq   uint16
}

// request returns the echo request for e. The kernel fills in the checksum of ICMPv6 (RFC 3542 section 3.1).
func (e echo) request(six bool) []byte {
	b := make([]byte, echoLen)
	b[0] = echoRequest4
	if six {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], uint16(e.nonce))
	binary.BigEndian.PutUint16(b[6:], e.seq)
	binary.BigEndian.PutUint64(b[8:], e.nonce)
	if !six {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// parseReply returns the echo that msg answers, an ICMP message that may stand behind its IPv4 header, as raw sockets
// of IPv4 give it.
func parseReply(msg []byte, six bool) (echo, bool) {
	want := byte(echoReply6)
	if !six {
		want = echoReply4
		if len(msg) > 0 && msg[0]>>4 == 4 {
			msg = msg[min(len(msg), int(msg[0]&15)*4):]
		}
	}
	if len(msg) < echoLen || msg[0] != want || msg[1] != 0 || !six && checksum(msg) != 0 {
		return echo{}, false
	}
	e := echo{nonce: binary.BigEndian.Uint64(msg[8:]), seq: binary.BigEndian.Uint16(msg[6:])}
	return e, binary.BigEndian.Uint16(msg[4:]) == uint16(e.nonce)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// dialEcho opens a raw socket on which the kernel delivers ICMP messages from addr only.
func dialEcho(addr netip.Addr) (net.Conn, error) {
	network := "ip4:icmp"
	if addr.Is6() {
		network = "ip6:ipv6-icmp"
	}
	c, err := net.Dial(network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("ping %v: %w", addr, err)
	}
	return c, nil
}
