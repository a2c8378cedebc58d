package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/packet"
)

// tunName is the device by which a node gets what came to it in tunnels.
const tunName = "decap0"

// Decap is the far end of tunnels in a node, for kernels without tunnel devices of their own. It receives the outer
// packets by sockets, so that the node's stack has looked at their headers and put their fragments together, and gives
// the packets inside to the same stack by a tun device.
type Decap struct {
	tun     *os.File
	sockets []*os.File
	ends    sync.WaitGroup
	taken   atomic.Uint64
	refused atomic.Uint64
}

// entrance is a socket on which outer packets arrive.
type entrance struct {
	family, typ, proto int
	port               uint16 // of UDP
}

// entrances lists the sockets that a tunnel needs, for outer packets of both families.
func entrances(t packet.Tunnel) []entrance {
	var list []entrance
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		switch t.Type {
		case packet.GUE:
			list = append(list, entrance{family, unix.SOCK_DGRAM, unix.IPPROTO_UDP, t.Port})
		case packet.GRE:
			list = append(list, entrance{family, unix.SOCK_RAW, unix.IPPROTO_GRE, 0})
		default:
			list = append(list, entrance{family, unix.SOCK_RAW, unix.IPPROTO_IPIP, 0}, entrance{family, unix.SOCK_RAW, unix.IPPROTO_IPV6, 0})
		}
	}
	return list
}

// OpenDecap makes a node the end of tunnels, one of each kind, until Close. What comes out of them must be for an address
// of the node. It needs /dev/net/tun.
func (c *Cluster) OpenDecap(node string, tunnels ...packet.Tunnel) (*Decap, error) {
	d := &Decap{}
	err := c.Do(node, func() error {
		if err := d.openTun(); err != nil {
			return err
		}
		for _, t := range tunnels {
			for _, e := range entrances(t) {
				f, err := e.open()
				if err != nil {
					return fmt.Errorf("socket for protocol %d: %w", e.proto, err)
				}
				d.sockets = append(d.sockets, f)
				d.ends.Go(func() { d.unwrap(f, t, e) })
			}
		}
		return nil
	})
	if err == nil {
		err = c.raiseTun(node)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("end of tunnels in %s: %w", node, err), d.Close())
	}
	return d, nil
}

// openTun makes the device. Its reverse path filter is off: clients are not behind it.
func (d *Decap) openTun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	r, err := unix.NewIfreq(tunName)
	if err == nil {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("make %s: %w", tunName, err)
	}
	d.tun = os.NewFile(uintptr(fd), tunName)
	for path, value := range map[string]string{"ipv4/conf/" + tunName + "/rp_filter": "0", "ipv4/conf/all/rp_filter": "0",
		"ipv6/conf/" + tunName + "/addr_gen_mode": "1"} { // none
		err := os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0o644)
		if err != nil && !(strings.HasPrefix(path, "ipv6/") && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// raiseTun sets the device up.
func (c *Cluster) raiseTun(node string) error {
	h, err := c.Netlink(node)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(tunName)
	if err != nil {
		return err
	}
	return h.LinkSetUp(&netlink.Device{LinkAttrs: *l.Attrs()})
}

// open opens the socket, in the namespace of the calling thread.
func (e entrance) open() (*os.File, error) {
	fd, err := unix.Socket(e.family, e.typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, e.proto)
	if err != nil {
		return nil, err
	}
	if e.proto == unix.IPPROTO_UDP {
		if e.family == unix.AF_INET6 { // GUE may do without checksums (RFC 6935)
			err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
				unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX, 1))
		}
		if err == nil {
			err = unix.Bind(fd, e.any())
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tunnel"), nil
}

// any is the address that stands for all of the node's.
func (e entrance) any() unix.Sockaddr {
	if e.family == unix.AF_INET {
		return &unix.SockaddrInet4{Port: int(e.port)}
	}
	return &unix.SockaddrInet6{Port: int(e.port)}
}

// unwrap gives what comes by a socket to the node until the socket is closed.
func (d *Decap) unwrap(f *os.File, t packet.Tunnel, e entrance) {
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error about something sent before, say
			continue
		}
		p := buf[:n]
		if e.family == unix.AF_INET && e.typ == unix.SOCK_RAW { // comes with its header, whole
			p = p[min(n, packet.IPv4(p).HeaderLen()):]
		}
		inner := t.Inside(p, uint8(e.proto))
		if inner == nil {
			d.refused.Add(1)
			continue
		}
		d.taken.Add(1)
		_, _ = d.tun.Write(inner) // a device that is down takes nothing: a loss like any other
	}
}

// Taken returns how many packets came out of the tunnels, and how many were not of them.
func (d *Decap) Taken() (taken, refused uint64) { return d.taken.Load(), d.refused.Load() }

// Close ends the tunnels and removes the device.
func (d *Decap) Close() error {
	var errs []error
	for _, f := range d.sockets {
		errs = append(errs, f.Close())
	}
	d.ends.Wait()
	if d.tun != nil {
		errs = append(errs, d.tun.Close())
	}
	return errors.Join(errs...)
}
