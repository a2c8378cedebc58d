package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Ping is PING_CHECK: the server answers an ICMP or ICMPv6 echo request. It needs CAP_NET_RAW. The port of Dial.Addr is
// of no account.
type Ping struct{ Dial Dial }

var (
	_ Checker = (*Ping)(nil)
	_ Wording = (*Ping)(nil)
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4).
const (
	echoReply4   = 0
	echoRequest4 = 8
	echoRequest6 = 128
	echoReply6   = 129
)

// pingSize is how many bytes follow the header of an echo request, as in keepalived.
const pingSize = 128

// String returns all that the check asks as text: checks with the same text ask the same.
func (c *Ping) String() string { return fmt.Sprintf("%+v", c.Dial) }

// Check sends one echo request and waits for its reply.
func (c *Ping) Check(ctx context.Context) error {
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if c.Dial.Addr.Addr().Is6() {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	conn, err := c.Dial.dialWith(ctx, network, c.Dial.hearICMP)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(deadline(ctx, c.Dial.timeout()))
	message := echoRequest(request)
	if _, err := conn.Write(message); err != nil {
		return failure("send", err)
	}
	return awaitEcho(conn, message, reply, network == "ip4:icmp")
}

// echoRequest is an echo request with an identifier and data that nobody else sends.
func echoRequest(kind byte) []byte {
	m := make([]byte, 8+pingSize)
	_, _ = rand.Read(m[4:]) // never fails
	m[0] = kind
	if kind == echoRequest4 { // the kernel fills in that of ICMPv6, which covers the addresses
		binary.BigEndian.PutUint16(m[2:], ^onesSum(0, m))
	}
	return m
}

// awaitEcho reads until the reply to message comes. A raw socket hears all that the server says by ICMP.
func awaitEcho(conn net.Conn, message []byte, reply byte, v4 bool) error {
	buf := make([]byte, 60+len(message)+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return failure("receive", err)
		}
		m := buf[:n]
		if v4 { // a raw socket of IPv4 shows the IP header
			if n < 20 || n < int(m[0]&0xf)*4 {
				continue
			}
			m = m[int(m[0]&0xf)*4:]
		}
		if len(m) >= len(message) && m[0] == reply && m[1] == 0 && string(m[4:len(message)]) == string(message[4:]) {
			return nil
		}
	}
}

// onesSum adds the 16 bit words of b to sum in ones' complement (RFC 1071). An odd last byte is the high one of a word.
func onesSum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// deadline is d from now, or the end of ctx if that is sooner.
func deadline(ctx context.Context, d time.Duration) time.Time {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	end, _ := ctx.Deadline()
	return end
}

// Up is keepalived's line.
func (c *Ping) Up(n Names) string { return fmt.Sprintf("ICMP connection to %s success.", n.Server) }

// Down is keepalived's line.
func (c *Ping) Down(n Names, _ error, try Try) string {
	if r := try.Retries(); r != "" {
		return fmt.Sprintf("ICMP CHECK on service %s of %s failed%s.", n.Server, n.Service, r)
	}
	return fmt.Sprintf("ICMP CHECK on service %s failed.", n.Server)
}

// Failed is keepalived's line.
func (c *Ping) Failed(n Names, err error, _ Try) string {
	if errors.Is(err, ErrTimeout) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("ICMP connection to address %s timeout.", n.Server)
	}
	return fmt.Sprintf("ICMP connection to %s of %s failed.", n.Server, n.Service)
}
