package wire

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// awaitAttached waits until a process has put its XDP program on the director's first interface.
func (b *Bench) awaitAttached(ctx context.Context, r *rig, p *process) error {
	const poll, patience = 20 * time.Millisecond, 10 * time.Second
	for range patience / poll {
		if err := p.failure(); err != nil {
			return err
		}
		var on bool
		err := r.director.do(func() error {
			l, err := netlink.LinkByName(r.in)
			if err != nil {
				return err
			}
			on = l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached
			return nil
		})
		if err != nil {
			return err
		}
		if on {
			return nil
		}
		if err := b.sleep(ctx, poll); err != nil {
			return err
		}
	}
	p.stop()
	return fmt.Errorf("%s attached no program within %v", p.name, patience)
}

// dupFile makes a file of a descriptor, for a process to inherit.
func dupFile(fd int, name string) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("pass on the %s: %w", name, err)
	}
	return os.NewFile(uintptr(n), name), nil
}
