package xsk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"dirsw/packet"
)

// Kinds of keys in the map of services (bpf/filter.bpf.c).
const (
	kindService uint8 = iota
	kindPart
)

// gate is the packet filter on one port: the program, its sockets by queue, and the link that holds it there.
type gate struct {
	objs *filterObjects
	xdp  *xdp.Program // registers sockets; attaching is ours
	link link.Link
	mode string
}

// newGate loads the program for a port. Services is the map that all ports share, nil for the first port.
func newGate(services *ebpf.Map) (*gate, error) {
	spec, err := loadFilter()
	if err != nil {
		return nil, err
	}
	var opts ebpf.CollectionOptions
	if services != nil {
		opts.MapReplacements = map[string]*ebpf.Map{"services": services}
	}
	objs := new(filterObjects)
	if err := spec.LoadAndAssign(objs, &opts); err != nil {
		var ve *ebpf.VerifierError
		if errors.As(err, &ve) {
			return nil, fmt.Errorf("this kernel does not accept the packet filter: %w", err)
		}
		return nil, explain("load the packet filter", err)
	}
	return &gate{objs: objs, xdp: &xdp.Program{Program: objs.DirswFilter, Queues: objs.Queues, Sockets: objs.Sockets}}, nil
}

// attach puts the program on the interface by a bpf_link, so that it goes with the process. A foreign program is left
// alone unless replace is set.
func (f *gate) attach(p *PortOptions, mode Mode, replace bool) error {
	if err := displace(p, replace); err != nil {
		return err
	}
	try := func(flags link.XDPAttachFlags, name string) (err error) {
		f.link, err = link.AttachXDP(link.XDPOptions{Program: f.objs.DirswFilter, Interface: p.Index, Flags: flags})
		f.mode = name
		return err
	}
	what := "attach the packet filter to " + p.Name
	if mode == Generic {
		return wrap(what, try(link.XDPGenericMode, "generic"))
	}
	err := try(link.XDPDriverMode, "native")
	if err == nil || mode == Native {
		return wrap(what+" in native mode", err)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENODEV) {
		return wrap(what, err)
	}
	return wrap(what, try(link.XDPGenericMode, "generic"))
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return explain(what, err)
}

// station makes an Ethernet address one of ours.
func (f *gate) station(mac packet.MAC) error {
	one := uint32(1)
	if err := f.objs.Stations.Put(filterStation{Mac: mac}, one); err != nil {
		return fmt.Errorf("tell the packet filter the address of the interface: %w", err)
	}
	return nil
}

func (f *gate) close() error {
	var first error
	if f.link != nil {
		first = f.link.Close()
		f.link = nil
	}
	if err := f.objs.Close(); first == nil {
		first = err
	}
	return first
}

// keysOf lists the entries of the services map for a filter: each service, and for later fragments its address and
// protocol.
func keysOf(f Filter) map[filterService]bool {
	keys := make(map[filterService]bool, 2*len(f.Services))
	for _, s := range f.Services {
		k := filterService{Proto: s.Proto}
		for i := range k.Addr {
			k.Addr[i] = binary.NativeEndian.Uint32(s.Addr[4*i:])
		}
		k.Kind = kindPart
		keys[k] = true
		k.Kind = kindService
		k.Port = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, s.Port)) // network order in memory
		keys[k] = true
	}
	return keys
}
