package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// captureBuffer is the room for frames not yet read, in bytes: thousands of small ones.
const captureBuffer = 8 << 20

// Capture records the frames that pass an interface, in both directions, from OpenCapture on.
type Capture struct{ fd int }

// OpenCapture begins a capture on an interface of a node; on the switch, the port to a node is named like the node. It
// takes every protocol: a socket for one would see neither what leaves nor what the bridge takes in.
func (c *Cluster) OpenCapture(node, link string) (*Capture, error) {
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	p := &Capture{fd: -1}
	err := c.Do(node, func() error {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		// Protocol 0: nothing is received before it is bound to the one interface.
		if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		err = errors.Join(unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
			unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}))
		if err != nil {
			p.Close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture on %s of %s: %w", link, node, err)
	}
	return p, nil
}

// Frames returns what was recorded since the last call, and whether that is all there was.
func (p *Capture) Frames() (frames [][]byte, complete bool, err error) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(p.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return frames, false, fmt.Errorf("capture: %w", err)
		}
		frames = append(frames, append([]byte(nil), buf[:n]...))
	}
	stats, err := unix.GetsockoptTpacketStats(p.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return frames, false, fmt.Errorf("capture: %w", err)
	}
	return frames, stats.Drops == 0, nil
}

// Send puts a frame on the interface.
func (p *Capture) Send(frame []byte) error {
	_, err := unix.Write(p.fd, frame)
	return err
}

// Close ends the capture.
func (p *Capture) Close() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// segment is what the demonstration looks at in a frame that carries TCP over IPv4. It is read here and not by package
// packet, which is a part of what is being watched.
type segment struct {
	srcMAC, dstMAC net.HardwareAddr
	src, dst       netip.AddrPort
}

// tcpSegment reads a frame; false if it is something else.
func tcpSegment(f []byte) (s segment, ok bool) {
	if len(f) < 34 || binary.BigEndian.Uint16(f[12:]) != unix.ETH_P_IP || f[23] != unix.IPPROTO_TCP {
		return s, false
	}
	l4 := 14 + int(f[14]&15)*4
	if len(f) < l4+4 {
		return s, false
	}
	addr := func(at, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(f[at:at+4])), binary.BigEndian.Uint16(f[port:]))
	}
	return segment{dstMAC: f[0:6], srcMAC: f[6:12], src: addr(26, l4), dst: addr(30, l4+2)}, true
}
