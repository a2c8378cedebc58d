package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// Wire carries IP packets to one server by its MAC, or by that of the gateway to it, and hears what comes back from a
// virtual address. host's PathSocket is one.
type Wire interface {
	// Source is this machine's address towards the server: the outer one of a tunnel.
	Source() netip.Addr
	// Client is this machine's address in the virtual address's family, in whose name it is asked. It is Source, unless
	// the tunnel is of another family than what it carries.
	Client() netip.Addr
	// Send sends an IP packet to the next hop on the way to the server, whatever its destination is.
	Send(packet []byte) error
	// Receive copies the next IP packet into buf and returns its length. It waits until a time, and then returns an error
	// that is os.ErrDeadlineExceeded.
	Receive(buf []byte, until time.Time) (int, error)
	Close() error
}

// OpenWire opens a wire to server on which TCP segments from vip to port are heard. direct demands that the server is on
// a link of this machine, as lvs_method DR does. While the server's MAC is being asked for it returns an error, and is
// called again. An error that is ErrSilent says that this server cannot be asked so at all.
type OpenWire func(server netip.Addr, vip netip.AddrPort, port uint16, direct bool) (Wire, error)

// PathCheck is check_path vip, which is dirsw's own: it connects to the virtual address and port by the server's MAC or
// tunnel, as packets of clients come, and so finds a server that does not hold the virtual address, or not its tunnel,
// or answers by a way that does not lead back. It opens no connection: the answer to its SYN is reset.
//
// The kernel takes no part in it: a virtual address that this machine holds itself could not be connected to.
type PathCheck struct {
	Open       OpenWire
	Server     netip.Addr
	VIP        netip.AddrPort
	Tunnel     Tunnel
	TunnelPort uint16        // of GUE
	Timeout    time.Duration // 0 is DefaultTimeout
}

var _ Checker = (*PathCheck)(nil)

// String returns all that the check asks as text: checks with the same text ask the same.
func (c *PathCheck) String() string {
	return fmt.Sprintf("%v by %v tunnel %d:%d timeout %v", c.VIP, c.Server, c.Tunnel, c.TunnelPort, c.Timeout)
}

// Delays of a path check: between SYNs, as RFC 6298 has it for the first, and between questions for a MAC.
const (
	synAgain  = time.Second
	openAgain = 100 * time.Millisecond
)

// pathPorts is the first of the 4096 ports that path checks use: above those that the kernel gives out by itself
// (net.ipv4.ip_local_port_range).
const pathPorts = 61000

// Check sends a SYN, again each second, until it is answered or the time is over.
func (c *PathCheck) Check(ctx context.Context) error {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	port := pathPorts + binary.BigEndian.Uint16(random[:])%4096
	w, err := c.open(ctx, port)
	if err != nil {
		return err
	}
	defer w.Close()
	return c.shake(ctx, w, segment{
		Src: netip.AddrPortFrom(w.Client(), port), Dst: c.VIP, Seq: binary.BigEndian.Uint32(random[4:]), Flags: tcpSYN,
	})
}

// open opens the wire, and waits for the server's MAC.
func (c *PathCheck) open(ctx context.Context, port uint16) (Wire, error) {
	for {
		w, err := c.Open(c.Server, c.VIP, port, c.Tunnel == NoTunnel)
		if err == nil {
			return w, nil
		}
		if isLocal(err) {
			return nil, &Failure{Kind: ErrLocal, Text: "path", Err: err}
		}
		if errors.Is(err, ErrSilent) {
			return nil, err
		}
		wait, cancel := context.WithTimeout(ctx, openAgain)
		<-wait.Done()
		cancel()
		if ctx.Err() != nil {
			return nil, &Failure{Kind: ErrUnreach, Text: "path", Err: err}
		}
	}
}

// shake sends syn until something answers it.
func (c *PathCheck) shake(ctx context.Context, w Wire, syn segment) error {
	for {
		if err := c.send(w, syn); err != nil {
			return failure("send", err)
		}
		reply, err := listen(w, syn, deadline(ctx, synAgain))
		switch {
		case err == nil && reply.Flags&tcpRST != 0:
			return &Failure{Kind: ErrRefused, Text: fmt.Sprintf("%v refuses the connection", c.VIP)}
		case err == nil:
			rst := segment{Src: syn.Src, Dst: syn.Dst, Seq: syn.Seq + 1, Flags: tcpRST}
			if err := c.send(w, rst); err != nil {
				return failure("send", err)
			}
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return failure("receive", err)
		case ctx.Err() != nil:
			return &Failure{Kind: ErrTimeout, Text: fmt.Sprintf("no answer from %v by way of %v", c.VIP, c.Server)}
		}
	}
}

// send sends s as a client's packet is sent on.
func (c *PathCheck) send(w Wire, s segment) error {
	p := c.Tunnel.wrap(w.Source(), c.Server, c.TunnelPort, s.Src.Port(), s.packet())
	return w.Send(p)
}

// listen returns the first segment that answers syn.
func listen(w Wire, syn segment, until time.Time) (segment, error) {
	buf := make([]byte, 256)
	for {
		n, err := w.Receive(buf, until)
		if err != nil {
			return segment{}, err
		}
		s, ok := parseSegment(buf[:min(n, len(buf))])
		if ok && s.Src == syn.Dst && s.Dst == syn.Src && s.Flags&tcpACK != 0 && s.Ack == syn.Seq+1 &&
			s.Flags&(tcpSYN|tcpRST) != 0 {
			return s, nil
		}
	}
}
