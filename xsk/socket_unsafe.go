package xsk

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setsockopt passes a structure. Sound because v is a plain structure without pointers that the kernel only reads, and
// lives until the call returns.
func setsockopt[T any](fd, opt int, v *T) error {
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(unsafe.Pointer(v)),
		unsafe.Sizeof(*v), 0)
	if e != 0 {
		return e
	}
	return nil
}

// getsockopt fills a structure. Sound because the kernel writes at most the length it is given.
func getsockopt[T any](fd, opt int, v *T) error {
	n := uint32(unsafe.Sizeof(*v))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(unsafe.Pointer(v)),
		uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return e
	}
	return nil
}

// register gives the pool to the kernel. Sound because the mapping stays until every socket on it is closed.
func (u *umem) register(fd int) error {
	r := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(u.mem)))), Len: uint64(len(u.mem)),
		Size: uint32(u.chunk)}
	return setsockopt(fd, unix.XDP_UMEM_REG, &r)
}

// wake has the kernel look at the TX ring, without ever blocking. A raw call, so that the scheduler of Go is not told: it
// returns after the frames were handed to the driver.
func wake(fd int) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return e
}

// wakeRx has the kernel look at the fill ring.
func wakeRx(fd int) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return e
}

// rawPoll is ppoll(2) without a word to the scheduler of Go, as wake: for short sleeps only. Sound because the kernel writes
// within the slice, reads the time, and both are the lane's, which live until the call returns.
func rawPoll(fds []unix.PollFd, timeout *unix.Timespec) (n int, err error) {
	r, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}
