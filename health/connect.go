package health

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attempt is a connection of TCP that is being made, by a socket that does not block. It costs four system calls, and neither a
// goroutine nor a timer nor a place in the runtime's poller: where thousands of servers are asked each second, these cost more
// than the connections.
type attempt struct {
	fd int
	to syscall.Sockaddr
}

// socket returns an attempt as d wants it. Nothing is sent before the first call of established. Errors are
// *Failure with a Kind.
func (d *Dial) socket() (attempt, error) {
	to, family := d.addr(), syscall.AF_INET6
	if to.Addr().Unmap().Is4() {
		family = syscall.AF_INET
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, syscall.IPPROTO_TCP)
	if err != nil {
		return attempt{}, failure("connect", os.NewSyscallError("socket", err))
	}
	a := attempt{fd: fd}
	if a.to, err = sockaddr(fd, to); err == nil {
		err = d.prepare(fd)
	}
	if err != nil {
		a.close()
		return attempt{}, failure("connect", err)
	}
	return a, nil
}

// established begins to connect when it is called first, and then says whether it is known how that ended: err is nil if the
// server accepted. A connection that the server has reset since was accepted (tcp_reset: one that was not is ECONNREFUSED).
func (a attempt) established() (known bool, err error) {
	switch err := syscall.Connect(a.fd, a.to); err {
	case syscall.EINPROGRESS, syscall.EALREADY, syscall.EINTR:
		return false, nil
	case nil, syscall.EISCONN, syscall.ECONNRESET, syscall.EPIPE:
		return true, nil
	default:
		return true, failure("connect", os.NewSyscallError("connect", err))
	}
}

func (a attempt) close() { _ = syscall.Close(a.fd) }

// An attempt is looked at again after so much time, or half of what has passed: so late an answer may be heard at most.
const lookAgain = time.Millisecond

// patience is how long to leave an attempt alone that has taken so long already.
func patience(took time.Duration) time.Duration { return max(lookAgain, took/2) }

// connect opens a connection of TCP and closes it at once. Errors are *Failure with a Kind.
func (d *Dial) connect(ctx context.Context) error {
	a, err := d.socket()
	if err != nil {
		return err
	}
	defer a.close()
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	for took := time.Duration(0); ; {
		if known, err := a.established(); known {
			return err
		}
		if ctx.Err() != nil {
			return failure("connect", os.ErrDeadlineExceeded)
		}
		pause, end := context.WithTimeout(ctx, patience(took))
		<-pause.Done()
		end()
		took += patience(took)
	}
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
	sa, err := sockaddr(fd, local.AddrPort())
	if err == nil {
		err = os.NewSyscallError("bind", syscall.Bind(fd, sa))
	}
	return err
}

// sockaddr is an address as the system calls want it. The socket is asked for the number of a link.
func sockaddr(fd int, a netip.AddrPort) (syscall.Sockaddr, error) {
	addr := a.Addr().Unmap()
	if addr.Is4() {
		return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: addr.As4()}, nil
	}
	sa := &syscall.SockaddrInet6{Port: int(a.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		link, err := unix.NewIfreq(zone)
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, link)
		}
		if err != nil {
			return nil, os.NewSyscallError("SIOCGIFINDEX", err)
		}
		sa.ZoneId = link.Uint32()
	}
	return sa, nil
}
