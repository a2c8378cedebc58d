package director

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"go.uber.org/zap"

	"dirsw/config"
)

// held is a virtual address that this director put on an interface.
type held struct {
	link   int
	prefix netip.Prefix
}

// hold puts the virtual addresses of m on their interfaces, or refreshes them: they are held for addrLifetime only, so
// that the kernel itself takes them away when the director has died. Those that m no longer has are given back. (Host
// leaves an address alone that somebody else put there for good.)
func (d *Director) hold(m *config.Model) error {
	var keep []held
	var errs []error
	for i := range m.Instances {
		in := &m.Instances[i]
		for k := range in.Addresses {
			h, err := d.holdOne(in, &in.Addresses[k])
			if err != nil {
				errs = append(errs, err)
				continue
			}
			keep = append(keep, h)
		}
	}
	d.release(keep)
	d.held = keep
	return errors.Join(errs...)
}

func (d *Director) holdOne(in *config.Instance, a *config.VirtualAddress) (held, error) {
	dev := a.Dev
	if dev == "" {
		dev = in.Interface
	}
	link, err := d.o.Host.Link(dev)
	if err != nil {
		return held{}, fmt.Errorf("%v: hold %s: %w", a.Pos, a.Prefix, err)
	}
	h := held{link.Index, a.Prefix}
	if err := d.o.Host.HoldAddr(link.Index, a.Prefix, a.Label, addrLifetime); err != nil {
		return held{}, fmt.Errorf("%v: hold %s on %s: %w", a.Pos, a.Prefix, dev, err)
	}
	if !slices.Contains(d.held, h) {
		d.o.Log.Info("virtual address held", zap.Stringer("address", a.Prefix), zap.String("interface", dev))
		if err := d.o.Host.Announce(link.Index, a.Prefix.Addr()); err != nil {
			d.o.Log.Warn("virtual address cannot be announced", zap.Stringer("address", a.Prefix), zap.Error(err))
		}
	}
	return h, nil
}

// release gives back every held address that is not in keep.
func (d *Director) release(keep []held) {
	for _, h := range d.held {
		if slices.Contains(keep, h) {
			continue
		}
		if err := d.o.Host.ReleaseAddr(h.link, h.prefix); err != nil {
			d.o.Log.Error("virtual address cannot be given back", zap.Stringer("address", h.prefix), zap.Error(err))
		}
	}
	d.held = slices.DeleteFunc(d.held, func(h held) bool { return !slices.Contains(keep, h) })
}
