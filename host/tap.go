package host

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const tunDevice = "/dev/net/tun"

// Tap is an Ethernet interface whose other end is a file of this process: what is written to the file the kernel receives
// by the interface, and what the kernel sends by the interface can be read. The kernel takes it away when the file is
// closed, at the latest when the process ends.
//
// The kernel finishes checksums and takes segments apart before they can be read: without IFF_VNET_HDR and TUNSETOFFLOAD
// the interface has no offloads (drivers/net/tun.c). What is written must have its checksums finished.
type Tap struct {
	Link Link
	FD   int // does not block: reading says EAGAIN when there is nothing

	host *Host
}

// OpenTap makes a tap and sets it up with an MTU in bytes. A %d in name becomes the first number that is free. It needs
// CAP_NET_ADMIN and /dev/net/tun; the error wraps os.ErrNotExist or os.ErrPermission where that is not to be had.
//
// Nothing is resolved on it (NOARP), it has no addresses and gives itself none, and it accepts packets to and from the
// addresses of this host: 127.0.0.0/8 (route_localnet) and sources that are local (accept_local). Reverse paths are
// verified on it only where net.ipv4.conf.all.rp_filter demands it, and then loosely: clients reach this host by other
// interfaces.
func (h *Host) OpenTap(name string, mtu int) (_ *Tap, err error) {
	t := &Tap{FD: -1, host: h}
	if err := h.within(func() error { return t.open(name) }); err != nil {
		return nil, fmt.Errorf("make the interface %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = t.Close()
		}
	}()
	l, err := h.links.LinkByName(t.Link.Name)
	if err != nil {
		return nil, fmt.Errorf("ask for interface %s: %w", t.Link.Name, err)
	}
	if err := errors.Join(h.links.LinkSetMTU(l, mtu), h.links.LinkSetARPOff(l), h.confTap(l.Attrs()), h.links.LinkSetUp(l)); err != nil {
		return nil, fmt.Errorf("set interface %s up: %w", t.Link.Name, err)
	}
	t.Link, err = h.Link(t.Link.Name)
	return t, err
}

// open makes the interface, in the namespace of the calling thread.
func (t *Tap) open(name string) error {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: tunDevice, Err: err}
	}
	r, err := unix.NewIfreq(name)
	if err == nil {
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	t.FD, t.Link.Name = fd, r.Name()
	return nil
}

// Close takes the interface away, and with it its routes.
func (t *Tap) Close() error {
	if t.FD < 0 {
		return nil
	}
	err := unix.Close(t.FD)
	t.FD = -1
	return err
}

// Settings of an interface by their numbers in netlink (include/uapi/linux/ip.h, if_link.h).
const (
	confForwarding    = 1
	confRPFilter      = 8
	confAcceptLocal   = 23
	confRouteLocalnet = 26

	inetConf         = 1 // IFLA_INET_CONF
	inet6AddrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone      = 1 // IN6_ADDR_GEN_MODE_NONE
)

// confTap sets what makes a tap a tap. It goes over netlink, because in containers /proc/sys often cannot be written.
func (h *Host) confTap(a *netlink.LinkAttrs) error {
	err := h.setConf(a.Index, map[int]uint32{confRPFilter: loosely(), confAcceptLocal: 1, confRouteLocalnet: 1})
	if err != nil {
		return fmt.Errorf("accept local packets: %w", err)
	}
	err = h.setAF(a.Index, unix.AF_INET6, nl.NewRtAttr(inet6AddrGenMode, []byte{addrGenNone}))
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // this machine has no IPv6
		return fmt.Errorf("have no addresses generated: %w", err)
	}
	return nil
}

// loosely is how reverse paths are verified on a tap: the kernel takes the higher value of the interface's and of all.
func loosely() uint32 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/conf/all/rp_filter")
	if err == nil && strings.TrimSpace(string(b)) == "0" {
		return 0
	}
	return 2
}

// setConf sets values of net.ipv4.conf for an interface (inet_set_link_af in net/ipv4/devinet.c).
func (h *Host) setConf(link int, values map[int]uint32) error {
	conf := nl.NewRtAttr(inetConf|unix.NLA_F_NESTED, nil)
	for k, v := range values {
		conf.AddRtAttr(k, nl.Uint32Attr(v))
	}
	return h.setAF(link, unix.AF_INET, conf)
}

// setAF sets an attribute of an interface that belongs to an address family.
func (h *Host) setAF(link, family int, attr *nl.RtAttr) error {
	req := h.request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	spec.AddRtAttr(family|unix.NLA_F_NESTED, nil).AddChild(attr)
	req.AddData(spec)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
