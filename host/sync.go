package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// SyncGroup is a multicast group by which directors tell each other of connections.
type SyncGroup struct {
	Interface string
	Group     netip.Addr
	Port      uint16
	TTL       int // of what is sent; 0: 1
	Buffer    int // of the socket, bytes; 0: the system's
}

// SyncSocket is a UDP socket for one direction of a SyncGroup. Close may be called by another goroutine than Send or Receive,
// and ends them.
type SyncSocket struct {
	host  *Host
	conn  *net.UDPConn
	group SyncGroup
	index int // of the interface, when the socket was opened
}

// OpenSyncSender opens a socket that sends to the group by the interface, from its first address. What it sends is not
// heard on this host. It needs CAP_NET_RAW.
func (h *Host) OpenSyncSender(g SyncGroup) (*SyncSocket, error) {
	return h.openSync(g, (*SyncGroup).send)
}

// OpenSyncReceiver opens a socket that receives what others send to the group on the interface. It needs CAP_NET_RAW.
func (h *Host) OpenSyncReceiver(g SyncGroup) (*SyncSocket, error) {
	return h.openSync(g, (*SyncGroup).receive)
}

func (h *Host) openSync(g SyncGroup, prepare func(*SyncGroup, int, *Link) error) (*SyncSocket, error) {
	l, err := h.Link(g.Interface)
	if err != nil {
		return nil, err
	}
	s := &SyncSocket{host: h, group: g, index: l.Index}
	err = h.within(func() error {
		domain := unix.AF_INET
		if g.Group.Is6() {
			domain = unix.AF_INET6
		}
		fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "connection synchronisation")
		defer f.Close() // FilePacketConn has a descriptor of its own
		if err := prepare(&g, fd, &l); err != nil {
			return err
		}
		c, err := net.FilePacketConn(f)
		if err != nil {
			return err
		}
		s.conn = c.(*net.UDPConn)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open a socket for %s port %d on %s: %w", g.Group, g.Port, g.Interface, err)
	}
	return s, nil
}

// send makes fd one that sends: nothing comes back to this host, and messages may be cut on their way, as the kernel's.
func (g *SyncGroup) send(fd int, l *Link) error {
	ttl := g.TTL
	if ttl == 0 {
		ttl = 1
	}
	var list []option
	if g.Group.Is6() {
		list = []option{{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ttl}, {unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0},
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, l.Index}, {unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT}}
	} else {
		list = []option{{unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl}, {unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0},
			{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT}}
		if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(l.Index)}); err != nil {
			return fmt.Errorf("send by %s: %w", g.Interface, err)
		}
	}
	if g.Buffer > 0 {
		list = append(list, option{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, g.Buffer})
	}
	list = append(list, option{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, l.Index})
	if err := setAll(fd, list); err != nil {
		return err
	}
	return unix.Connect(fd, g.sockaddr(l))
}

// receive makes fd one that receives what is sent to the group by the interface, beside others on this host.
func (g *SyncGroup) receive(fd int, l *Link) error {
	list := []option{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}}
	if g.Group.Is6() {
		list = append(list, option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0})
	} else {
		list = append(list, option{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0})
	}
	if g.Buffer > 0 {
		list = append(list, option{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, g.Buffer})
	}
	list = append(list, option{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, l.Index})
	if err := setAll(fd, list); err != nil {
		return err
	}
	if err := unix.Bind(fd, g.sockaddr(l)); err != nil {
		return err
	}
	var err error
	if g.Group.Is6() {
		err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
			&unix.IPv6Mreq{Multiaddr: g.Group.As16(), Interface: uint32(l.Index)})
	} else {
		err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: g.Group.As4(), Ifindex: int32(l.Index)})
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

func (g *SyncGroup) sockaddr(l *Link) unix.Sockaddr {
	if g.Group.Is6() {
		return &unix.SockaddrInet6{Addr: g.Group.As16(), Port: int(g.Port), ZoneId: uint32(l.Index)}
	}
	return &unix.SockaddrInet4{Addr: g.Group.As4(), Port: int(g.Port)}
}

// Send sends one message to the group. It waits while the socket has no room.
func (s *SyncSocket) Send(msg []byte) error {
	_, err := s.conn.Write(msg)
	return err
}

// Receive waits for a message. One that is longer than buf is cut.
func (s *SyncSocket) Receive(buf []byte) (n int, from netip.Addr, err error) {
	n, at, err := s.conn.ReadFromUDPAddrPort(buf)
	return n, at.Addr().Unmap().WithZone(""), err
}

// errOtherLink is what Check says.
var errOtherLink = errors.New("the interface is not the one that the socket was opened on")

// Check returns an error if the interface has gone, or another one has its name now.
func (s *SyncSocket) Check() error {
	l, err := s.host.links.LinkByName(s.group.Interface)
	if err == nil && l.Attrs().Index != s.index {
		err = errOtherLink
	}
	return err
}

// Close ends the socket.
func (s *SyncSocket) Close() error { return s.conn.Close() }
