package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// watchBuffer is the room for messages not yet read, in bytes: some thousand routes.
const watchBuffer = 1 << 20

// Watch calls changed once, and then whenever links, addresses, routes, policy rules or neighbours changed so that an
// answer of Host may differ: not when the kernel merely confirmed what it knew of a neighbour, nor when an address was
// given more time. It subscribes before it
// returns; the calls come from one goroutine, one after the other, until ctx ends. What changes during a call, however
// often, leads to one more call. If the kernel had more news than there was room for, changed is called as well.
func (h *Host) Watch(ctx context.Context, changed func()) error {
	f, err := h.subscribe()
	if err != nil {
		return err
	}
	w := &watch{host: h, seen: map[neighbour]entry{}, addrs: map[heldAddr]bool{}, buf: make([]byte, 1<<16)}
	go w.run(ctx, f, changed)
	return nil
}

// watch is the state of the goroutine of one Watch.
type watch struct {
	host  *Host
	seen  map[neighbour]entry // the resolved neighbours, as last told; only the state's validity is kept
	addrs map[heldAddr]bool   // the addresses that were told of
	buf   []byte
}

// forget is for when messages were lost: everything may be news.
func (w *watch) forget() {
	clear(w.seen)
	clear(w.addrs)
}

// run reads until ctx ends. It closes f.
func (w *watch) run(ctx context.Context, f *os.File, changed func()) {
	changed()
	for ctx.Err() == nil {
		stop := context.AfterFunc(ctx, func() { f.Close() })
		err := w.read(f, changed)
		stop()
		f.Close()
		if ctx.Err() != nil {
			return
		}
		w.host.log.Warn("lost the news of the kernel, subscribing again", zap.Error(err))
		if f, err = w.host.subscribe(); err != nil {
			w.host.log.Error("changes of links, routes and neighbours are no longer noticed", zap.Error(err))
			return
		}
		w.forget()
		changed()
	}
}

// read reads f until it fails: each time as much as there is, then a call if any of it matters.
func (w *watch) read(f *os.File, changed func()) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var news bool
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			any := false
			for {
				n, _, err := unix.Recvfrom(int(fd), w.buf, 0)
				switch {
				case err == nil:
					any = true
					news = w.matters(w.buf[:n]) || news
				case errors.Is(err, unix.ENOBUFS): // messages were lost; the socket goes on
					w.forget()
					any, news = true, true
				case errors.Is(err, unix.EINTR):
				case errors.Is(err, unix.EAGAIN):
					return any
				default:
					failed = err
					return true
				}
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		if news {
			changed()
		}
	}
}

// matters reports whether any of the messages in b is news.
func (w *watch) matters(b []byte) bool {
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return true // it cannot be told, so ask
	}
	news := false
	for _, m := range msgs {
		switch m.Header.Type {
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			news = w.neighbour(m) || news
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			news = w.address(m) || news
		case unix.NLMSG_NOOP, unix.NLMSG_DONE, unix.NLMSG_ERROR:
		default:
			news = true
		}
	}
	return news
}

// neighbour reports whether m changes the MAC of a neighbour, or whether it has one.
func (w *watch) neighbour(m syscall.NetlinkMessage) bool {
	n, err := netlink.NeighDeserialize(m.Data)
	if err != nil {
		return true
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok || n.Family != unix.AF_INET && n.Family != unix.AF_INET6 {
		return false // entries of bridges
	}
	k := neighbour{n.LinkIndex, addr.Unmap()}
	var is entry
	if m.Header.Type == unix.RTM_NEWNEIGH && n.State&nudValid != 0 {
		is.state = nudValid
		copy(is.mac[:], n.HardwareAddr)
	}
	was := w.seen[k]
	if is.state == 0 {
		delete(w.seen, k)
		return was != is || n.State&netlink.NUD_FAILED != 0
	}
	w.seen[k] = is
	return was != is
}

// address reports whether m adds or removes an address.
func (w *watch) address(m syscall.NetlinkMessage) bool {
	if len(m.Data) < unix.SizeofIfAddrmsg {
		return true
	}
	attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return true
	}
	var a netip.Addr
	for _, at := range attrs {
		if at.Attr.Type == unix.IFA_ADDRESS && !a.IsValid() || at.Attr.Type == unix.IFA_LOCAL {
			a = fromIP(at.Value)
		}
	}
	k := heldAddr{int(binary.NativeEndian.Uint32(m.Data[4:])), netip.PrefixFrom(a, int(m.Data[1]))}
	if m.Header.Type == unix.RTM_DELADDR {
		delete(w.addrs, k)
		return true
	}
	was := w.addrs[k]
	w.addrs[k] = true
	return !was
}

// subscribe opens a socket that hears of every change.
func (h *Host) subscribe() (f *os.File, err error) {
	groups := uint32(0)
	for _, g := range []uint{
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP,
	} {
		groups |= 1 << (g - 1)
	}
	err = h.within(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer) // as much as one may without privilege
		}
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), "netlink")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to changes of links, routes and neighbours: %w", err)
	}
	return f, nil
}
