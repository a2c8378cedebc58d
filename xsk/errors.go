package xsk

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// PortGoneError ends a Lane: an interface was deleted, or moved to another namespace, under it. The Set must be
// opened anew (Reopen).
type PortGoneError struct{ Name string }

func (e *PortGoneError) Error() string { return fmt.Sprintf("interface %s is gone", e.Name) }

// ErrClosed is the error of a Set that was closed.
var ErrClosed = errors.New("the sockets are closed")

// What to do about errors that may come from anywhere in Open.
const (
	hintRoot = "run dirsw as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF"
	hintOld  = "this kernel is too old or built without it; dirsw needs Linux 5.10 with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS"
	hintLock = "too little memory may be locked, and the limit may not be raised by dirsw; raise it with \"ulimit -l unlimited\", " +
		"or LimitMEMLOCK=infinity in the unit"
)

// explain makes one sentence of an error: what was being done, what is wrong, and what to do. More maps errors to hints
// that are special to what was being done. The error wraps the kernel's number, not the messages of libraries around it.
func explain(what string, err error, more map[unix.Errno]string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("%s: %w; %s", what, ebpf.ErrNotSupported, hintOld)
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("%s: %w", what, err)
	}
	hint := more[errno]
	if hint == "" {
		switch errno {
		case unix.EPERM, unix.EACCES:
			hint = hintRoot
		case unix.EAFNOSUPPORT, unix.ENOSYS:
			hint = hintOld
		case unix.ENOBUFS, unix.ENOMEM:
			hint = hintLock
		default:
			return fmt.Errorf("%s: %w", what, errno)
		}
	}
	return fmt.Errorf("%s: %w; %s", what, errno, hint)
}
