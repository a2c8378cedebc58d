package host

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// WatchQueues calls changed whenever the number of queues of a link has been set (ethtool -L), which the news that Watch hears
// do not tell. It subscribes before it returns; the calls come from one goroutine until ctx ends. Where the kernel does not tell
// of it, before Linux 5.6, nothing is called.
func (h *Host) WatchQueues(ctx context.Context, changed func()) error {
	f, err := h.subscribeEthtool()
	if f == nil || err != nil {
		return err
	}
	go func() {
		stop := context.AfterFunc(ctx, func() { f.Close() })
		defer stop()
		defer f.Close()
		if err := readQueues(f, changed); err != nil && ctx.Err() == nil {
			h.log.Error("changes of the number of queues are no longer noticed", zap.Error(err))
		}
	}()
	return nil
}

// readQueues reads f until it fails. Messages that were lost may have been about queues.
func readQueues(f *os.File, changed func()) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), buf, 0)
			return failed != unix.EAGAIN && failed != unix.EINTR
		})
		switch {
		case err != nil:
			return err
		case failed == unix.ENOBUFS || failed == nil && aboutQueues(buf[:n]):
			changed()
		case failed != nil:
			return failed
		}
	}
}

// aboutQueues reports whether one of the messages says how many channels a link has now.
func aboutQueues(b []byte) bool {
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return true // it cannot be told, so ask
	}
	for _, m := range msgs {
		if len(m.Data) >= nl.SizeofGenlmsg && m.Data[0] == unix.ETHTOOL_MSG_CHANNELS_NTF {
			return true
		}
	}
	return false
}

// subscribeEthtool opens a socket that hears what ethtool changes (Documentation/networking/ethtool-netlink.rst); nil where the
// kernel has no such news.
func (h *Host) subscribeEthtool() (f *os.File, err error) {
	family, err := h.links.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
	if err != nil {
		return nil, nil // no such family: an older kernel
	}
	for _, g := range family.Groups {
		if g.Name != unix.ETHTOOL_MCGRP_MONITOR_NAME {
			continue
		}
		err = h.within(func() error {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
			if err != nil {
				return err
			}
			if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err == nil {
				err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g.ID))
			}
			if err != nil {
				unix.Close(fd)
				return err
			}
			f = os.NewFile(uintptr(fd), "netlink")
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("subscribe to changes of queues: %w", err)
		}
	}
	return f, nil
}
