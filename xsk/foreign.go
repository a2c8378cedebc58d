package xsk

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// displace looks for an XDP program of somebody else on the interface. It is an error to find one, unless replace is set:
// then it is taken away.
func displace(p *PortOptions, replace bool) error {
	l, err := netlink.LinkByIndex(p.Index)
	if err != nil {
		return fmt.Errorf("interface %s: %w", p.Name, err)
	}
	x := l.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil
	}
	name := programName(ebpf.ProgramID(x.ProgId))
	if !replace {
		return fmt.Errorf("interface %s has the XDP program %s (id %d) of somebody else; stop what attached it "+
			"(\"ip link set dev %s xdp off\" for a left one), or let dirsw displace it with replace_xdp", p.Name, name,
			x.ProgId, p.Name)
	}
	if err := detach(p.Index); err != nil {
		return fmt.Errorf("displace the XDP program %s on %s: %w", name, p.Name, err)
	}
	return nil
}

func programName(id ebpf.ProgramID) string {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return "?"
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil || info.Name == "" {
		return "without a name"
	}
	return info.Name
}

// detach takes whatever program away, held by a bpf_link or attached over netlink.
func detach(index int) error {
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil {
			continue
		}
		x := info.XDP()
		if x == nil || int(x.Ifindex) != index {
			continue
		}
		d, ok := it.Link.(interface{ Detach() error })
		if !ok {
			return errors.New("its link cannot be detached; stop the process that holds it")
		}
		return d.Detach()
	}
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	const modes = 1<<1 | 1<<2 // XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
	var last error
	for _, mode := range []int{1 << 2, 1 << 1} {
		last = netlink.LinkSetXdpFdWithFlags(l, -1, mode&modes)
	}
	return last
}
