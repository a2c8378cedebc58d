package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// connect opens a connection of TCP and closes it at once. It is what net.Dialer does without that one's goroutine and timer for
// each connection, which cost more than the connection where thousands of servers are asked each second. Errors are *Failure
// with a Kind.
func (d *Dial) connect(ctx context.Context) error {
	to := d.addr()
	sa, err := sockaddr(to)
	if err != nil {
		return failure("connect", err)
	}
	family := syscall.AF_INET6
	if to.Addr().Unmap().Is4() {
		family = syscall.AF_INET
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, syscall.IPPROTO_TCP)
	if err != nil {
		return failure("connect", os.NewSyscallError("socket", err))
	}
	f := os.NewFile(uintptr(fd), "check") // in the poller, for it does not block
	defer f.Close()
	if err := d.prepare(fd); err != nil {
		return failure("connect", err)
	}
	switch err := syscall.Connect(fd, sa); err {
	case nil:
		return nil
	case syscall.EINPROGRESS, syscall.EINTR:
	default:
		return failure("connect", os.NewSyscallError("connect", err))
	}
	return d.established(ctx, f)
}

// prepare sets the options of a socket and binds it, as far as the check asks for it.
func (d *Dial) prepare(fd int) error {
	if err := d.options(fd); err != nil {
		return err
	}
	if !d.Bind.Addr().IsValid() && d.Bind.Port() == 0 {
		return nil
	}
	local, _ := d.local("tcp").(*net.TCPAddr)
	sa, err := sockaddr(local.AddrPort())
	if err == nil {
		err = os.NewSyscallError("bind", syscall.Bind(fd, sa))
	}
	return err
}

// established waits until a connection is there, or it is known that it will not be.
func (d *Dial) established(ctx context.Context, f *os.File) error {
	if err := f.SetWriteDeadline(deadline(ctx, d.timeout())); err != nil {
		return failure("connect", err)
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })()
	raw, err := f.SyscallConn()
	if err != nil {
		return failure("connect", err)
	}
	var outcome error
	err = raw.Write(func(fd uintptr) bool {
		code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		switch {
		case err != nil:
			outcome = os.NewSyscallError("getsockopt", err)
			return true
		case code != 0:
			outcome = os.NewSyscallError("connect", syscall.Errno(code))
			return true
		}
		_, err = syscall.Getpeername(int(fd)) // woken without reason it is not connected yet
		return err == nil
	})
	if err = errors.Join(err, outcome); err != nil {
		return failure("connect", err)
	}
	return nil
}

// sockaddr is an address as the system calls want it.
func sockaddr(a netip.AddrPort) (syscall.Sockaddr, error) {
	addr := a.Addr().Unmap()
	if addr.Is4() {
		return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: addr.As4()}, nil
	}
	sa := &syscall.SockaddrInet6{Port: int(a.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, err
		}
		sa.ZoneId = uint32(link.Index)
	}
	return sa, nil
}
