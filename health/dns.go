package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
)

// DNS asks a name server one question: DNS_CHECK. The server is well if it answers without an error; what the answer
// holds does not matter, also if it is nothing. NXDOMAIN is an error, so the name must exist.
type DNS struct {
	o     DNSOptions
	query []byte // but for its ID
}

var (
	_ Checker = (*DNS)(nil)
	_ Wording = (*DNS)(nil)
)

// DNSOptions are the settings of a DNS_CHECK.
type DNSOptions struct {
	Dial Dial
	Type DNSType // 0 is DNSTypeSOA
	Name string  // "" is the root
	TCP  bool    // ask over TCP (RFC 7766); keepalived asks over UDP only
}

// NewDNS returns the check. It fails if the name is none.
func NewDNS(o DNSOptions) (*DNS, error) {
	if o.Type == 0 {
		o.Type = DNSTypeSOA
	}
	q, err := dnsQuery(o.Name, o.Type)
	if err != nil {
		return nil, err
	}
	return &DNS{o: o, query: q}, nil
}

// String returns all that the check asks as text: checks with the same text ask the same.
func (d *DNS) String() string {
	return fmt.Sprintf("%+v %d %q tcp %v", d.o.Dial, d.o.Type, d.o.Name, d.o.TCP)
}

// Check asks and waits for the answer, all within one timeout.
func (d *DNS) Check(ctx context.Context) error {
	timeout := d.o.Dial.timeout()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	network := "udp"
	if d.o.TCP {
		network = "tcp"
	}
	conn, err := d.o.Dial.dial(ctx, network)
	if err != nil {
		return d.connectFailure(err)
	}
	l := hold(ctx, conn)
	defer l.release()
	l.step(timeout)
	id := uint16(rand.Uint32()) //nolint:gosec // against chance; against others the port and the socket's peer
	if err := d.send(conn, id); err != nil {
		return worded(err, "write timeout to socket.", "failed to write socket.")
	}
	rcode, err := d.receive(conn, id)
	switch {
	case late(err):
		return &Failure{Kind: ErrTimeout, Text: "read timeout from socket"}
	case err != nil:
		return readFailure(err)
	case rcode != 0:
		return &Failure{Text: fmt.Sprintf("read error occurred. (rcode = %d)", rcode)}
	}
	return nil
}

// send writes the question with its ID; over TCP after its length.
func (d *DNS) send(conn net.Conn, id uint16) error {
	var b []byte
	if d.o.TCP {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d.query)))
	}
	at := len(b)
	b = append(b, d.query...)
	binary.BigEndian.PutUint16(b[at:], id)
	_, err := conn.Write(b)
	return err
}

// receive waits for the answer to a question and returns its code. What is no answer to it is passed over.
func (d *DNS) receive(conn net.Conn, id uint16) (rcode int, err error) {
	buf := make([]byte, 64<<10)
	for {
		n := 0
		if d.o.TCP {
			n, err = readPrefixed(conn, buf)
		} else {
			n, err = conn.Read(buf)
		}
		if err != nil {
			return 0, err
		}
		if rcode, ok := dnsAnswer(buf[:n], id); ok {
			return rcode, nil
		}
	}
}

// readPrefixed reads one message after its length of two bytes (RFC 1035, 4.2.2).
func readPrefixed(r io.Reader, buf []byte) (int, error) {
	if _, err := io.ReadFull(r, buf[:2]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	return io.ReadFull(r, buf[:n])
}

// readFailure is the failure of a read that was not late.
func readFailure(err error) error {
	f := failure("failed to read socket", err).(*Failure)
	var no syscall.Errno
	if errors.As(err, &no) {
		f.Text = fmt.Sprintf("failed to read socket; errno %d (%s)", int(no), capital(no.Error()))
	}
	return f
}

// capital is the C library's spelling of an error.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// connectFailure words an error of dial as keepalived does for a name server.
func (d *DNS) connectFailure(err error) error {
	f := &Failure{Text: "connection failure.", Err: err}
	a := d.o.Dial.Addr
	switch {
	case errors.Is(err, ErrTimeout):
		f.Text = "connection timeout."
	case errors.Is(err, ErrUnreach):
		f.Text = fmt.Sprintf("network unreachable for [%s]:%d", a.Addr().WithZone(""), a.Port())
	case errors.Is(err, ErrLocal):
		f.Text = "UDP socket bind failed. Rescheduling."
	}
	return f
}

// Up is empty: keepalived logs none.
func (d *DNS) Up(Names) string { return "" }

// Down is the line for the failure that took the check down.
func (d *DNS) Down(n Names, err error, try Try) string {
	after := ""
	if !try.First {
		after = fmt.Sprintf(" after %d retries", try.Retry)
	}
	return fmt.Sprintf("DNS_CHECK (%s) %s%s", n.Server, textOf(err), after)
}

// Failed is the line for one failure.
func (d *DNS) Failed(n Names, err error, _ Try) string {
	return fmt.Sprintf("DNS_CHECK (%s) %s", n.Server, textOf(err))
}
