package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// Dial says how a check reaches its server: the keywords that all network checks share. It is data; the director fills
// in Addr from the real server where connect_ip and connect_port are not given.
type Dial struct {
	Addr    netip.AddrPort // connect_ip, connect_port
	Bind    netip.AddrPort // bindto, bind_port; a zero address or port is the kernel's choice
	Device  string         // bind_if; also the zone of a link-local Addr that has none
	Mark    uint32         // fwmark (SO_MARK); 0 is none
	Timeout time.Duration  // connect_timeout; 0 is DefaultTimeout
}

// timeout is d.Timeout with its default.
func (d *Dial) timeout() time.Duration {
	if d.Timeout <= 0 {
		return DefaultTimeout
	}
	return d.Timeout
}

// addr is d.Addr with its zone.
func (d *Dial) addr() netip.AddrPort {
	a := d.Addr.Addr()
	if d.Device != "" && a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" {
		return netip.AddrPortFrom(a.WithZone(d.Device), d.Addr.Port())
	}
	return d.Addr
}

// dial connects a socket of network ("tcp", "udp", or "ip4:icmp" and the like) within d's timeout, and leaves no deadline
// on it. Errors are *Failure with a Kind.
func (d *Dial) dial(ctx context.Context, network string) (net.Conn, error) {
	return d.dialWith(ctx, network, nil)
}

// dialWith is dial with further options of the socket, which more sets before it is bound.
func (d *Dial) dialWith(ctx context.Context, network string, more func(fd int) error) (net.Conn, error) {
	dialer := net.Dialer{Timeout: d.timeout(), KeepAlive: -1, FallbackDelay: -1}
	if more != nil || d.Mark != 0 || d.Device != "" || d.Bind.Port() != 0 {
		dialer.Control = func(_, _ string, c syscall.RawConn) error { return d.control(c, more) }
	}
	if d.Bind.Addr().IsValid() || d.Bind.Port() != 0 {
		dialer.LocalAddr = d.local(network)
	}
	to := d.addr().String()
	if strings.HasPrefix(network, "ip") {
		to = d.addr().Addr().String()
	}
	c, err := dialer.DialContext(ctx, network, to)
	if err != nil {
		return nil, failure("connect", err)
	}
	return c, nil
}

// local is the address to bind to. The family of an address that is not given is that of the destination.
func (d *Dial) local(network string) net.Addr {
	a := d.Bind.Addr()
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
		if d.Addr.Addr().Is4() {
			a = netip.IPv4Unspecified()
		}
	}
	ap := netip.AddrPortFrom(a, d.Bind.Port())
	switch {
	case strings.HasPrefix(network, "ip"):
		return &net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()}
	case network == "udp":
		return net.UDPAddrFromAddrPort(ap)
	}
	return net.TCPAddrFromAddrPort(ap)
}

// control sets the socket's options before it is bound.
func (d *Dial) control(c syscall.RawConn, more func(fd int) error) error {
	var opt error
	err := c.Control(func(fd uintptr) {
		opt = d.options(int(fd))
		if opt == nil && more != nil {
			opt = more(int(fd))
		}
	})
	return errors.Join(err, opt)
}

func (d *Dial) options(fd int) error {
	if d.Mark != 0 {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_MARK, int(d.Mark)); err != nil {
			return os.NewSyscallError("SO_MARK", err)
		}
	}
	if d.Device != "" {
		if err := syscall.BindToDevice(fd, d.Device); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
	}
	if d.Bind.Port() != 0 { // closing resets: in TIME_WAIT the port would be taken when the next check wants it
		if err := syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
			return os.NewSyscallError("SO_LINGER", err)
		}
	}
	return nil
}

// hearICMP makes a socket without connection report every ICMP error that concerns it, not only the fatal ones
// (IP_RECVERR): a host that does not answer ARP is known at once.
func (d *Dial) hearICMP(fd int) error {
	level, option := syscall.IPPROTO_IP, syscall.IP_RECVERR
	if d.Addr.Addr().Is6() {
		level, option = syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR
	}
	return os.NewSyscallError("RECVERR", syscall.SetsockoptInt(fd, level, option, 1))
}

// failure classifies the error of a socket. what is the step that failed ("connect", "read"), for the text.
func failure(what string, err error) error {
	f := &Failure{Text: what, Err: err}
	var op *net.OpError
	if errors.As(err, &op) {
		f.Err = op.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		f.Kind = ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		f.Kind = ErrRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN),
		errors.Is(err, syscall.EPROTO), errors.Is(err, syscall.EACCES):
		f.Kind = ErrUnreach
	case isLocal(err):
		f.Kind = ErrLocal
	}
	return f
}

// isLocal reports whether the director is to blame.
func isLocal(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE,
		syscall.EPERM, syscall.ENODEV,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
