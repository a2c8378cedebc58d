package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// pingWait is how long Ping waits.
const pingWait = 10 * time.Second

// Ping sends an ICMP echo request (RFC 792) from a node to an IPv4 address and returns how long the answer took. It waits
// at most ten seconds.
func (c *Cluster) Ping(node string, dst netip.Addr, seq uint16) (time.Duration, error) {
	var took time.Duration
	err := c.Do(node, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		limit := unix.NsecToTimeval(int64(pingWait))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
			return err
		}
		begin := c.clk.Now()
		if err := unix.Sendto(fd, echoRequest(uint16(fd), seq), 0, &unix.SockaddrInet4{Addr: dst.As4()}); err != nil {
			return err
		}
		buf := make([]byte, 1500)
		for c.clk.Now().Sub(begin) < pingWait {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				return err
			}
			if isEchoReply(buf[:n], dst, uint16(fd), seq) {
				took = c.clk.Now().Sub(begin)
				return nil
			}
		}
		return fmt.Errorf("no answer within %v", pingWait)
	})
	if err != nil {
		return 0, fmt.Errorf("ping %v from %s: %w", dst, node, err)
	}
	return took, nil
}

// echoRequest is an ICMP echo request with 32 bytes to send back.
func echoRequest(id, seq uint16) []byte {
	b := []byte{8, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	for i := range byte(32) {
		b = append(b, 'a'+i%26)
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

// isEchoReply reports whether an IPv4 packet is the answer from src to an echo request.
func isEchoReply(p []byte, src netip.Addr, id, seq uint16) bool {
	if len(p) < 20 {
		return false
	}
	l4 := int(p[0]&15) * 4
	return len(p) >= l4+8 && netip.AddrFrom4([4]byte(p[12:16])) == src && p[l4] == 0 && p[l4+1] == 0 &&
		binary.BigEndian.Uint16(p[l4+4:]) == id && binary.BigEndian.Uint16(p[l4+6:]) == seq
}

// WhoHas asks, from an interface of a node, by ARP for an IPv4 address (RFC 826) and returns the MAC of everyone who
// answers within d, each once. It asks some more times while nobody answers.
func (c *Cluster) WhoHas(ctx context.Context, node string, target netip.Addr, d time.Duration) ([]net.HardwareAddr, error) {
	n, ok := c.nodes[node]
	if !ok || n.spec == nil || len(n.spec.Addrs) == 0 {
		return nil, unknownNode(node)
	}
	return c.whoHas(ctx, node, n.spec.Interface, n.spec.Addrs[0].Addr(), target, d)
}

// whoHas is WhoHas from one of the interfaces of a node, in the name of one of its addresses there.
func (c *Cluster) whoHas(ctx context.Context, node, link string, from, target netip.Addr, d time.Duration) ([]net.HardwareAddr, error) {
	mac, err := c.MAC(node, link)
	if err != nil {
		return nil, err
	}
	p, err := c.OpenCapture(node, link)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var frames [][]byte
	for tries := 0; tries < 20 && len(answersFor(target, frames)) == 0; tries++ {
		if err := p.Send(arpRequest(mac, from, target)); err != nil {
			return nil, fmt.Errorf("ask for %v: %w", target, err)
		}
		if err := pause(ctx, c.clk, d); err != nil {
			return nil, err
		}
		if frames, _, err = p.Frames(); err != nil {
			return nil, err
		}
	}
	return answersFor(target, frames), nil
}

// answersFor lists the MACs that ARP replies among frames say an address has, each once.
func answersFor(target netip.Addr, frames [][]byte) (out []net.HardwareAddr) {
	for _, f := range frames {
		if len(f) >= 42 && binary.BigEndian.Uint16(f[12:]) == unix.ETH_P_ARP &&
			binary.BigEndian.Uint16(f[20:]) == 2 && netip.AddrFrom4([4]byte(f[28:32])) == target {
			if is := net.HardwareAddr(f[22:28]); !slices.ContainsFunc(out, func(a net.HardwareAddr) bool { return slices.Equal(a, is) }) {
				out = append(out, is)
			}
		}
	}
	return out
}

// arpRequest asks in the name of sender who has target.
func arpRequest(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	b := append([]byte("\xff\xff\xff\xff\xff\xff"), mac...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, mac...), sender.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

// MAC returns the Ethernet address of an interface of a node.
func (c *Cluster) MAC(node, link string) (net.HardwareAddr, error) {
	h, err := c.Netlink(node)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l, err := h.LinkByName(link)
	if err != nil {
		return nil, fmt.Errorf("interface %s of %s: %w", link, node, err)
	}
	return l.Attrs().HardwareAddr, nil
}
