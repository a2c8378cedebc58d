package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The ports of RFC 5881, 4, and RFC 5883, 5: to which packets are sent, and from which.
const (
	portSingleHop = 3784
	portMultihop  = 4784
	firstSource   = 49152
	lastSource    = 65535
)

// receiveBuffer is what the kernel may hold of arrived datagrams, in bytes with its own overhead: some thousand packets.
const receiveBuffer = 4 << 20

// listening is what a listening socket is for.
type listening struct {
	v6       bool
	multihop bool
}

// listen opens the socket that packets of one family and kind arrive at.
func listen(l listening) (fd int, err error) {
	family, port := unix.AF_INET, portSingleHop
	if l.v6 {
		family = unix.AF_INET6
	}
	if l.multihop {
		port = portMultihop
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	var addr unix.Sockaddr = &unix.SockaddrInet4{Port: port}
	if l.v6 {
		addr = &unix.SockaddrInet6{Port: port}
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1))
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
	}
	if err != nil {
		return -1, os.NewSyscallError("setsockopt", err)
	}
	// So that garbage sent in bursts does not keep out what is good; without privilege it stays as it is.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	if err = unix.Bind(fd, addr); err != nil {
		return -1, fmt.Errorf("bind to port %d: %w", port, err)
	}
	return fd, nil
}

// datagram is what arrived.
type datagram struct {
	from netip.Addr // with a zone if it is link-local
	ttl  int        // TTL or hop limit, -1 if the kernel did not say
	data []byte     // valid until the next receive
}

// errNoMore says that nothing is waiting.
var errNoMore = errors.New("nothing to receive")

// receive takes one datagram from a listening socket.
func receive(fd int, buf, oob []byte) (datagram, error) {
	n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN:
		return datagram{}, errNoMore
	case err != nil:
		return datagram{}, os.NewSyscallError("recvmsg", err)
	}
	d := datagram{ttl: hops(oob[:oobn]), data: buf[:n]}
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		d.from = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		d.from = netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 && d.from.IsLinkLocalUnicast() {
			d.from = d.from.WithZone(zoneName(a.ZoneId))
		}
	}
	return d, nil
}

// zoneName is the name of a link, or its number if it has gone.
func zoneName(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}

// hops is the TTL or hop limit in the control messages of a datagram, -1 if there is none.
func hops(oob []byte) int {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return -1
		}
		ttl := h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TTL || h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT
		if ttl && len(data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(data)))
		}
		oob = rest
	}
	return -1
}

// sender is the socket of one session's packets. It is not connected, so that no ICMP error gets in their way.
type sender struct {
	fd int
	to unix.Sockaddr
}

// openSender opens it, bound to a port of the allowed range that is free; start chooses where to look first.
func openSender(c *Config, start uint32) (s sender, err error) {
	family := unix.AF_INET6
	if c.Neighbor.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return sender{}, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if c.Neighbor.Is4() {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, int(c.TTL))
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, int(c.TTL))
	}
	if err != nil {
		return sender{}, os.NewSyscallError("setsockopt", err)
	}
	const ports = lastSource - firstSource + 1
	for i := range uint32(ports) {
		addr, aerr := sockaddr(sourceOf(c), firstSource+int((start+i)%ports))
		if aerr != nil {
			return sender{}, aerr
		}
		if err = unix.Bind(fd, addr); err != unix.EADDRINUSE {
			break
		}
	}
	if err != nil {
		return sender{}, os.NewSyscallError("bind", err)
	}
	port := portSingleHop
	if c.Multihop {
		port = portMultihop
	}
	s = sender{fd: fd}
	s.to, err = sockaddr(c.Neighbor, port)
	return s, err
}

// sourceOf is the address that packets come from, unspecified if the kernel is to choose.
func sourceOf(c *Config) netip.Addr {
	switch {
	case c.Source.IsValid():
		return c.Source
	case c.Neighbor.Is4():
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// sockaddr is an address and port as the kernel takes it.
func sockaddr(a netip.Addr, port int) (unix.Sockaddr, error) {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}, nil
	}
	s := &unix.SockaddrInet6{Port: port, Addr: a.As16()}
	if a.Zone() != "" {
		i, err := net.InterfaceByName(a.Zone())
		if err != nil {
			return nil, fmt.Errorf("zone of %v: %w", a, err)
		}
		s.ZoneId = uint32(i.Index)
	}
	return s, nil
}

// send sends a packet.
func (s *sender) send(p *Packet) error {
	if err := unix.Sendto(s.fd, p.Append(make([]byte, 0, PacketLen)), unix.MSG_DONTWAIT, s.to); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return nil
}

func (s *sender) close() { unix.Close(s.fd) }
