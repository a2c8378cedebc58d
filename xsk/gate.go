package xsk

import (
	"errors"
	"fmt"
	"maps"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"dirsw/packet"
)

// maxStations is how many Ethernet addresses a port may have: its own and those of 255 virtual routers.
const maxStations = 256

// gate is the packet filter on one port: the program with its maps, and the link that holds it there. The director uses
// it, under the lock of its Set.
type gate struct {
	xdp      *xdp.Program // the program, and sockets registered by queue; attaching is ours, closed sockets leave by themselves
	stations *ebpf.Map
	first    *ebpf.Variable // the station that is compared without a look into the map
	extras   *ebpf.Variable // what the filter must look for besides services
	link     link.Link
	room     int // queues that it can serve
	mode     string
	note     string // why not native

	macs map[packet.MAC]bool // in stations
}

// newGate loads the program for a port of s. All ports share the maps of keys and those of the accelerator.
func newGate(s *Set, p *port) (*gate, error) {
	keys := s.keys
	spec, err := loadFilter()
	if err != nil {
		return nil, err
	}
	spec.Maps[filterMapSockets].MaxEntries = uint32(p.most)
	spec.Maps[filterMapQueues].MaxEntries = uint32(p.most)
	spec.Maps[filterMapStations].MaxEntries = 2 * maxStations // old and new at once
	shared := map[string]*ebpf.Map{filterMapServices: keys.services.kernel, filterMapPrefixes: keys.prefixes.kernel}
	if s.flows != nil {
		maps.Copy(shared, s.flows.maps())
		if err := s.flows.tell(spec, p.Unfinished); err != nil {
			return nil, err
		}
	}
	for name, m := range shared {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	var objs struct {
		filterPrograms
		Queues   *ebpf.Map `ebpf:"queues"`
		Sockets  *ebpf.Map `ebpf:"sockets"`
		Stations *ebpf.Map `ebpf:"stations"`
		filterVariables
	}
	opts := ebpf.CollectionOptions{MapReplacements: shared}
	if err := spec.LoadAndAssign(&objs, &opts); err != nil {
		var refused *ebpf.VerifierError
		if errors.As(err, &refused) && !errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("this kernel does not accept the packet filter; dirsw needs Linux 5.10: %w", err)
		}
		return nil, explain("load the packet filter", err, nil)
	}
	return &gate{room: p.most, xdp: &xdp.Program{Program: objs.DirswFilter, Queues: objs.Queues, Sockets: objs.Sockets},
		stations: objs.Stations, first: objs.First, extras: objs.Extras, macs: map[packet.MAC]bool{}}, nil
}

// attach puts the program on the interface by a bpf_link, so that it goes with the process. A foreign program is left
// alone unless replace is set.
func (g *gate) attach(p *PortOptions, mode Mode, replace bool) error {
	if mode == Generic {
		return g.try(p, Generic, replace)
	}
	err := g.try(p, Native, replace)
	var errno unix.Errno
	if err == nil || mode == Native || !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.EPERM, unix.EACCES, unix.ENODEV, unix.ENOMEM:
		return err
	case unix.ERANGE:
		g.note = "the MTU is too large for native mode"
	default:
		g.note = fmt.Sprintf("the driver refuses native mode (%v)", errno)
	}
	return g.try(p, Generic, replace)
}

// try attaches in one mode. The error wraps the number of the kernel, unless a foreign program is in the way.
func (g *gate) try(p *PortOptions, mode Mode, replace bool) (err error) {
	flags, name := link.XDPDriverMode, "native"
	if mode == Generic {
		flags, name = link.XDPGenericMode, "generic"
	}
	for {
		g.link, err = link.AttachXDP(link.XDPOptions{Program: g.xdp.Program, Interface: p.Index, Flags: flags})
		if err == nil {
			g.mode = name
			return nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EEXIST) { // EEXIST: a program in the other mode
			break
		}
		if err := inTheWay(p, replace); err != nil {
			return err
		}
		replace = false // who attaches again at once is left alone
	}
	return explain(fmt.Sprintf("attach the packet filter to %s in %s mode", p.Name, name), err, map[unix.Errno]string{
		unix.EOPNOTSUPP: "its driver has no support for it; set mode auto or generic",
		unix.EINVAL:     "its driver has no support for it; set mode auto or generic",
		unix.ERANGE:     "its MTU, or that of its veth peer, is too large for native mode; lower it to 3500, or set mode auto or generic",
		unix.ENODEV:     "the interface has vanished",
	})
}

// set makes macs the Ethernet addresses that are ours, adding before it removes.
func (g *gate) set(macs []packet.MAC) error {
	want := make(map[packet.MAC]bool, len(macs))
	for _, m := range macs {
		want[m] = true
	}
	if len(want) > maxStations {
		return fmt.Errorf("%d Ethernet addresses on one interface, there may be %d", len(want), maxStations)
	}
	add, remove := difference(g.macs, want)
	for _, m := range add {
		if err := g.stations.Put(filterStation{Mac: m}, uint32(1)); err != nil {
			return fmt.Errorf("tell the packet filter an address of the interface: %w", err)
		}
		g.macs[m] = true
	}
	first := filterStation{Zero: 1} // what no frame has
	if len(macs) > 0 {
		first = filterStation{Mac: macs[0]}
	}
	if err := g.first.Set(first); err != nil {
		return fmt.Errorf("tell the packet filter the first address of the interface: %w", err)
	}
	for _, m := range remove {
		if err := g.stations.Delete(filterStation{Mac: m}); err != nil {
			return fmt.Errorf("take an address of the interface from the packet filter: %w", err)
		}
		delete(g.macs, m)
	}
	return nil
}

// close detaches the program and gives it back.
func (g *gate) close() error {
	var errs []error
	if g.link != nil {
		errs = append(errs, g.link.Close())
		g.link = nil
	}
	return errors.Join(append(errs, g.xdp.Close(), g.stations.Close())...)
}
