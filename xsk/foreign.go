package xsk

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// ours is the name of the filter, as programs that are loaded tell it.
const ours = "dirsw_filter"

// inTheWay is about an XDP program that is on the interface already: an error that says whose it is and how to be rid of
// it, or nil after it has been displaced. The filter of another dirsw is never displaced: it goes with its process, so that
// process lives, and has the queues.
func inTheWay(p *PortOptions, replace bool) error {
	progs, err := programsOn(p.Index)
	for _, a := range progs {
		if programName(ebpf.ProgramID(a.id)) == ours {
			return fmt.Errorf("another dirsw runs on interface %s; stop it first", p.Name)
		}
	}
	if replace {
		return displace(p)
	}
	if err != nil || len(progs) == 0 {
		return fmt.Errorf("interface %s has an XDP program of somebody else; detach it, or let dirsw displace it with replace_xdp", p.Name)
	}
	how := fmt.Sprintf("\"ip link set dev %s xdp off\"", p.Name)
	if l, err := linkOn(p.Index); err == nil && l != nil {
		if info, err := l.Info(); err == nil {
			how = fmt.Sprintf("\"bpftool link detach id %d\", or by ending the process that holds it", info.ID)
		}
		l.Close()
	}
	return fmt.Errorf("interface %s has the XDP program %s (id %d) of somebody else; detach it with %s, or let dirsw displace "+
		"it with replace_xdp", p.Name, programName(ebpf.ProgramID(progs[0].id)), progs[0].id, how)
}

func programName(id ebpf.ProgramID) string {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return "that cannot be looked at"
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil || info.Name == "" {
		return "without a name"
	}
	return info.Name
}

// displace takes whatever XDP program away from the interface, held by a bpf_link or attached over netlink.
func displace(p *PortOptions) error {
	l, err := linkOn(p.Index)
	if err != nil {
		return fmt.Errorf("look for the link of the XDP program on %s: %w", p.Name, err)
	}
	if l != nil {
		defer l.Close()
		return explain("detach the XDP program of somebody else from "+p.Name, l.Detach(), nil)
	}
	progs, err := programsOn(p.Index)
	if err != nil {
		return fmt.Errorf("look for the XDP program on %s: %w", p.Name, err)
	}
	var errs []error
	for _, a := range progs {
		errs = append(errs, explain("detach the XDP program of somebody else from "+p.Name, removeProgram(p.Index, a.flags), nil))
	}
	return errors.Join(errs...)
}

// linkOn returns the bpf_link that holds an XDP program on the interface, nil if there is none. Indices of interfaces of
// other namespaces may be the same: the program must be the one that our interface has.
func linkOn(index int) (link.Link, error) {
	progs, err := programsOn(index)
	if err != nil {
		return nil, err
	}
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil {
			continue // gone meanwhile, or of a kind that is not known
		}
		x := info.XDP()
		if x == nil || int(x.Ifindex) != index {
			continue
		}
		for _, a := range progs {
			if ebpf.ProgramID(a.id) == info.Program {
				return it.Take(), nil
			}
		}
	}
	return nil, it.Err()
}
