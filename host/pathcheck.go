package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// PathSocket sends IP packets to one neighbour whatever their destination is, and hears the TCP segments that a virtual
// address sends back. It is what a check through the forwarding path needs: the kernel would not connect to an address
// that this host holds itself. One goroutine uses it; Close may be called from another.
type PathSocket struct {
	file *os.File // a packet socket, in the poller
	raw  interface {
		Write(func(uintptr) bool) error
	}
	to             unix.SockaddrLinklayer
	source, client netip.Addr
}

// OpenPath opens a PathSocket to server that hears segments from vip to port, on any link. direct demands that server is
// on a link itself, not behind a gateway. It does not wait: while the MAC of the next hop is not known, the kernel is
// told to ask for it, and the error says so. It needs CAP_NET_RAW.
func (h *Host) OpenPath(server netip.Addr, vip netip.AddrPort, port uint16, direct bool) (*PathSocket, error) {
	server = server.Unmap()
	hop, err := h.NextHop(server)
	switch {
	case err != nil:
		return nil, err
	case hop.Local:
		return nil, fmt.Errorf("%v is an address of this host", server)
	case hop.Unreachable:
		return nil, fmt.Errorf("%v cannot be reached: %s", server, hop.Reason)
	case direct && hop.Gateway != server.WithZone(""):
		return nil, fmt.Errorf("%v is not on a link of this host: the way is by %v", server, hop.Gateway)
	case !hop.Resolved:
		return nil, errors.Join(fmt.Errorf("the MAC of %v is not known", hop.Gateway), h.Resolve(hop))
	}
	s := &PathSocket{source: hop.Src, client: hop.Src}
	v4 := vip.Addr().Unmap().Is4()
	if s.client.Is4() != v4 {
		if s.client, err = h.anyAddr(hop.Link, v4); err != nil {
			return nil, err
		}
	}
	s.to = unix.SockaddrLinklayer{Ifindex: hop.Link, Halen: 6}
	copy(s.to.Addr[:], hop.MAC[:])
	if err := h.within(func() error { return s.open(segmentFilter(vip, port), v4) }); err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return s, nil
}

// anyAddr is an address of a link that may ask for something far away.
func (h *Host) anyAddr(link int, v4 bool) (netip.Addr, error) {
	family := netlink.FAMILY_V6
	if v4 {
		family = netlink.FAMILY_V4
	}
	list, err := h.links.AddrList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: link}}, family)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses of interface %d: %w", link, err)
	}
	for _, a := range list {
		if a.Scope == unix.RT_SCOPE_UNIVERSE && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			return fromIP(a.IP), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %d has no address of the virtual address's family", link)
}

// open makes the socket. The filter is there before the first packet.
func (s *PathSocket) open(filter []unix.SockFilter, v4 bool) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	protocol := uint16(unix.ETH_P_IPV6)
	if v4 {
		protocol = unix.ETH_P_IP
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap16(protocol)})
	}
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	s.file = os.NewFile(uintptr(fd), "path check")
	s.raw, err = s.file.SyscallConn()
	if err != nil {
		return errors.Join(err, s.file.Close())
	}
	return nil
}

// swap16 is a number in network order, as the protocol of a packet socket's address is.
func swap16(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// Source is this host's address towards the server.
func (s *PathSocket) Source() netip.Addr { return s.source }

// Client is this host's address in the family of the virtual address.
func (s *PathSocket) Client() netip.Addr { return s.client }

// Send sends an IP packet to the next hop.
func (s *PathSocket) Send(packet []byte) error {
	to := s.to
	to.Protocol = swap16(unix.ETH_P_IP)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		to.Protocol = swap16(unix.ETH_P_IPV6)
	}
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), packet, 0, &to)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("send to %v: %w", net.HardwareAddr(s.to.Addr[:6]), err)
	}
	return nil
}

// Receive copies the next segment's IP packet into buf and returns its length. It waits until a time; then the error is
// os.ErrDeadlineExceeded.
func (s *PathSocket) Receive(buf []byte, until time.Time) (int, error) {
	if err := s.file.SetReadDeadline(until); err != nil {
		return 0, err
	}
	return s.file.Read(buf)
}

// Close closes the socket.
func (s *PathSocket) Close() error { return s.file.Close() }

// segmentFilter is a program of classic BPF over IP packets that passes the first fragments of TCP from vip to a port.
func segmentFilter(vip netip.AddrPort, port uint16) []unix.SockFilter {
	var f filterProgram
	a := vip.Addr().Unmap()
	if a.Is4() {
		f.want(unix.BPF_B, 9, unix.IPPROTO_TCP)
		f.want(unix.BPF_W, 12, word(a.AsSlice()))
		f.op(unix.BPF_LD|unix.BPF_H|unix.BPF_ABS, 6)
		f.op(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0x1fff)
		f.equal(0)
		f.op(unix.BPF_LDX|unix.BPF_B|unix.BPF_MSH, 0) // the length of the header
		f.op(unix.BPF_LD|unix.BPF_H|unix.BPF_IND, 0)
		f.equal(uint32(vip.Port()))
		f.op(unix.BPF_LD|unix.BPF_H|unix.BPF_IND, 2)
		f.equal(uint32(port))
	} else {
		f.want(unix.BPF_B, 6, unix.IPPROTO_TCP)
		for i := range 4 {
			f.want(unix.BPF_W, uint32(8+4*i), word(a.AsSlice()[4*i:]))
		}
		f.want(unix.BPF_H, 40, uint32(vip.Port()))
		f.want(unix.BPF_H, 42, uint32(port))
	}
	return f.end()
}

// word is 4 bytes in network order.
func word(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// filterProgram is a program of classic BPF in the making: comparisons that must all hold.
type filterProgram []unix.SockFilter

func (f *filterProgram) op(code uint16, k uint32) {
	*f = append(*f, unix.SockFilter{Code: code, K: k})
}

// equal goes on if the accumulator is k. Where else to go is filled in by end.
func (f *filterProgram) equal(k uint32) { f.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k) }

// want goes on if the bytes at an offset are k.
func (f *filterProgram) want(size uint16, at, k uint32) {
	f.op(unix.BPF_LD|size|unix.BPF_ABS, at)
	f.equal(k)
}

// end passes the packet, and drops it where a comparison did not hold.
func (f filterProgram) end() []unix.SockFilter {
	f.op(unix.BPF_RET|unix.BPF_K, 0xffff)
	f.op(unix.BPF_RET|unix.BPF_K, 0)
	for i := range f {
		if f[i].Code == unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K {
			f[i].Jf = uint8(len(f) - 2 - i)
		}
	}
	return f
}
