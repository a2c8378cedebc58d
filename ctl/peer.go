package ctl

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// peerUID returns the effective user of the process at the other end, as it was when that connected or listened
// (SO_PEERCRED, unix(7)).
func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, fmt.Errorf("ask for the credentials of the peer: %w", credErr)
	}
	return cred.Uid, nil
}

// trusted says whether a process of user uid may talk to us: root, or our own user.
func trusted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }
