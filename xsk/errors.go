package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// PortGoneError ends a Lane: an interface was deleted under it. The Set must be closed and opened anew.
type PortGoneError struct{ Name string }

func (e *PortGoneError) Error() string { return fmt.Sprintf("interface %s is gone", e.Name) }

// explain turns an error of opening sockets or programs into a sentence that says what to do.
func explain(what string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		hint = "run dirsw as root (CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are needed)"
	case errors.Is(err, unix.EAFNOSUPPORT):
		hint = "this kernel has no AF_XDP; boot one with CONFIG_XDP_SOCKETS=y"
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		hint = "too little memory may be locked; raise it with \"ulimit -l unlimited\" or LimitMEMLOCK=infinity in the unit"
	case errors.Is(err, unix.ERANGE):
		hint = "the MTU is too large for native XDP; lower it to 3500 or set mode generic"
	case errors.Is(err, unix.EBUSY):
		hint = "another process has AF_XDP sockets on the queue; stop it"
	case errors.Is(err, unix.EOPNOTSUPP):
		hint = "the driver does not support it; set mode auto and zero_copy auto"
	}
	if hint == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w; %s", what, err, hint)
}
